import hashlib
import json
import math
import sqlite3
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.clock import SECOND_US, VirtualClock
from helios_agent.errors import StoreCorrupt
from helios_agent.journal import chain
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.store import migrations

EVENTS = 7

json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


def written() -> list[dict[str, Any]]:
    """Return the rows of a short journal, in which some events have a cause and payloads repeat."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.row_factory = sqlite3.Row
    migrations.apply(connection)
    tx = Transaction(connection, VirtualClock(datetime(2026, 9, 18, tzinfo=UTC)), "boot-1", ())
    for seq in range(1, EVENTS + 1):
        tx.append("test.happened", {"even": seq % 2 == 0}, seq - 1 if seq % 3 == 0 else None)
    rows = [dict(row) for row in connection.execute("SELECT * FROM event ORDER BY seq")]
    connection.close()
    return rows


ROWS = written()


async def test_the_hash_of_an_event_can_be_computed_by_hand(journal: Journal) -> None:
    await journal.append("test.happened", {"b": [1, 2.5, None], "a": "é\n"})
    await journal.append("other.thing-done", {}, cause=1)
    rows = await journal.store.rows("SELECT * FROM event ORDER BY seq")
    at = int(datetime(2026, 9, 18, 12, 0, tzinfo=UTC).timestamp()) * SECOND_US
    first = hashlib.sha256(
        bytes(32) + f'1\n{at}\ntest.happened\n\n{{"a":"é\\n","b":[1,2.5,null]}}'.encode()
    ).digest()
    second = hashlib.sha256(first + f"2\n{at}\nother.thing-done\n1\n{{}}".encode()).digest()
    assert [(row["prev"], row["hash"]) for row in rows] == [(bytes(32), first), (first, second)]
    assert chain.verify(rows) == chain.Head(2, second.hex())


def test_an_empty_journal_is_sound_and_its_head_is_genesis() -> None:
    assert chain.verify([]) == chain.Head(0, "00" * 32)


def test_a_journal_as_it_was_written_is_sound() -> None:
    assert chain.verify(ROWS) == chain.Head(EVENTS, ROWS[-1]["hash"].hex())


@given(
    st.integers(0, EVENTS - 1),
    st.one_of(
        st.tuples(st.just("at_us"), st.integers(-(2**63), 2**63 - 1)),
        st.tuples(st.just("kind"), st.text(st.characters(exclude_categories=["Cs"]))),
        st.tuples(st.just("cause"), st.none() | st.integers(-(2**63), 2**63 - 1)),
        st.tuples(st.just("payload"), st.builds(json.dumps, json_values)),
        st.tuples(st.just("prev"), st.binary(min_size=32, max_size=32)),
        st.tuples(st.just("hash"), st.binary(min_size=32, max_size=32)),
    ),
)
def test_whatever_is_changed_in_any_event_is_found_and_the_event_named(
    place: int, change: tuple[str, Any]
) -> None:
    column, value = change
    if ROWS[place][column] == value:
        return
    rows = [dict(row) for row in ROWS]
    rows[place][column] = value
    with pytest.raises(StoreCorrupt, match=rf"event {place + 1} (was changed after|does not follow)"):
        chain.verify(rows)


@given(st.integers(0, EVENTS - 2))
def test_an_event_that_was_taken_out_is_found(place: int) -> None:
    rows = ROWS[:place] + ROWS[place + 1 :]
    with pytest.raises(StoreCorrupt, match=rf"event {place + 1} is missing, {place + 2} follows"):
        chain.verify(rows)
    for number, row in enumerate(closed := [dict(row) for row in rows], start=1):
        row["seq"] = number  # nor does numbering what is left anew help
    with pytest.raises(StoreCorrupt, match=rf"event {place + 1} "):
        chain.verify(closed)


@given(st.permutations(range(EVENTS)).filter(lambda order: order != sorted(order)))
def test_events_that_were_put_in_another_order_are_found(order: list[int]) -> None:
    first = next(place for place, origin in enumerate(order) if place != origin)
    rows = [dict(ROWS[origin]) for origin in order]
    with pytest.raises(StoreCorrupt, match=rf"event {first + 1} is missing"):
        chain.verify(rows)
    for number, row in enumerate(rows, start=1):
        row["seq"] = number
    with pytest.raises(StoreCorrupt, match=rf"event {first + 1} "):
        chain.verify(rows)


def test_the_chain_does_not_cover_which_process_wrote_an_event() -> None:
    rows = [row | {"boot": "another", "mono_us": 0} for row in ROWS]
    assert chain.verify(rows) == chain.verify(ROWS)


def test_a_cut_tail_leaves_a_sound_chain_with_another_head() -> None:
    assert chain.verify(ROWS[:-1]) == chain.Head(EVENTS - 1, ROWS[-2]["hash"].hex())


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_canonical_text_depends_on_the_value_alone_and_gives_it_back(value: dict[str, Any]) -> None:
    text = chain.canonical(value)
    assert json.loads(text) == value
    assert chain.canonical(dict(reversed(value.items()))) == text
    assert "\n" not in text


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
async def test_what_is_not_a_number_does_not_enter_the_journal(number: float, journal: Journal) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        await journal.append("test.happened", {"deep": [{"er": number}]})
    assert await journal.store.rows("SELECT * FROM event") == []
