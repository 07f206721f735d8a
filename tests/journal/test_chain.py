import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.clock import SECOND_US, VirtualClock
from helios_agent.journal import chain
from helios_agent.journal.chain import Broken
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


def as_links(rows: Iterable[Mapping[str, Any]]) -> Iterator[chain.Link]:
    for row in rows:
        text = chain.covered(row["seq"], row["at_us"], row["kind"], row["cause"], row["payload"])
        yield row["seq"], row["prev"], row["hash"], text


def verify(rows: Iterable[Mapping[str, Any]]) -> chain.Head:
    """Verify events that are given as rows."""
    return chain.verify(as_links(rows))


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
    assert await journal.store.write(chain.verify_database) == chain.Head(2, second.hex())


def test_an_empty_journal_is_sound_and_its_head_is_genesis() -> None:
    assert verify([]) == chain.BEGINNING == chain.Head(0, "00" * 32)


def test_a_journal_as_it_was_written_is_sound() -> None:
    assert verify(ROWS) == chain.Head(EVENTS, ROWS[-1]["hash"].hex())


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
    with pytest.raises(Broken, match=rf"event {place + 1} was changed after it was written"):
        verify(rows)


@given(st.integers(0, EVENTS - 2), st.integers(1, EVENTS))
def test_events_that_were_taken_out_are_found_and_named(place: int, count: int) -> None:
    count = min(count, EVENTS - 1 - place)
    rows = ROWS[:place] + ROWS[place + count :]
    first, last = place + 1, place + count
    named = f"event {first} is missing" if first == last else f"events {first} to {last} are missing"
    with pytest.raises(Broken, match=named) as found:
        verify(rows)
    assert found.value.seq == first
    for number, row in enumerate(closed := [dict(row) for row in rows], start=1):
        row["seq"] = number  # nor does numbering what is left anew help
    with pytest.raises(Broken, match=rf"event {first} "):
        verify(closed)


@given(st.permutations(range(EVENTS)).filter(lambda order: order != sorted(order)))
def test_events_that_were_put_in_another_order_are_found(order: list[int]) -> None:
    first = next(place for place, origin in enumerate(order) if place != origin)
    rows = [dict(ROWS[origin]) for origin in order]
    with pytest.raises(Broken, match=rf"events? {first + 1} "):
        verify(rows)
    for number, row in enumerate(rows, start=1):
        row["seq"] = number
    with pytest.raises(Broken, match=rf"event {first + 1} "):
        verify(rows)


@given(st.integers(0, EVENTS - 1), st.integers(0, EVENTS - 1))
def test_a_chain_may_be_verified_from_any_event_whose_hash_is_known(start: int, cut: int) -> None:
    after = chain.Head(start, ROWS[start - 1]["hash"].hex() if start else chain.BEGINNING.hash)
    assert chain.verify(as_links(ROWS[start:]), after) == verify(ROWS)
    if start < cut:
        with pytest.raises(Broken, match=rf"event {start + 1} was changed|events? {start + 1} "):
            chain.verify(as_links(ROWS[cut:]), after)


def test_the_chain_does_not_cover_which_process_wrote_an_event() -> None:
    rows = [row | {"boot": "another", "mono_us": 0} for row in ROWS]
    assert verify(rows) == verify(ROWS)


def test_a_cut_tail_leaves_a_sound_chain_with_another_head() -> None:
    assert verify(ROWS[:-1]) == chain.Head(EVENTS - 1, ROWS[-2]["hash"].hex())


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
