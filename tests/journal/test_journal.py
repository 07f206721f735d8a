import asyncio
import dataclasses
from typing import Any

import pytest

from helios_agent.clock import VirtualClock
from helios_agent.errors import StoreError
from helios_agent.journal import chain, events
from helios_agent.journal.journal import Event, Journal, Transaction
from helios_agent.store import Store


async def test_events_are_numbered_from_one_and_carry_time_boot_and_cause(
    journal: Journal, clock: VirtualClock
) -> None:
    first = await journal.append("test.begun", {"a": 1})
    await clock.advance(1.5)
    second = await journal.append("test.done", {"b": [2]}, cause=first.seq)
    assert second == Event(2, clock.now_us(), "boot-1", "test.done", 1, {"b": [2]}, second.hash)
    assert await events.find(journal.store, 2) == second
    assert await events.find(journal.store, 3) is None
    assert second.as_record() == {
        "seq": 2,
        "at": "2026-09-18T12:00:01.500000Z",
        "kind": "test.done",
        "cause": 1,
        "payload": {"b": [2]},
        "hash": second.hash,
    }
    row = (await journal.store.rows("SELECT mono_us FROM event WHERE seq = 2"))[0]
    assert row["mono_us"] == 1_500_000


@pytest.mark.parametrize(
    "kind", ["", "test", "Test.done", "test.", ".done", "test.done\n", "test done.x", "a.b1"]
)
async def test_a_kind_that_is_not_noun_and_verb_is_refused(kind: str, journal: Journal) -> None:
    with pytest.raises(ValueError, match=r"is not of the form noun\.verb"):
        await journal.append(kind, {})
    assert (await events.head(journal.store)).seq == 0


async def test_an_event_cannot_follow_from_one_that_does_not_exist(journal: Journal) -> None:
    with pytest.raises(ValueError, match="is not the seq of an earlier event"):
        await journal.append("test.happened", {}, cause=7)


async def test_a_transaction_sees_its_own_writes_and_is_one_with_them(journal: Journal) -> None:
    def change(tx: Transaction) -> int:
        tx.append("test.first", {})
        tx.append("test.second", {})
        return len(tx.rows("SELECT * FROM event"))

    def breaks(tx: Transaction) -> None:
        tx.append("test.third", {})
        raise StoreError("changed my mind")

    assert await journal.record(change) == 2
    with pytest.raises(StoreError, match="changed my mind"):
        await journal.record(breaks)
    assert [e.kind for e in await events.tail(journal.store, limit=9)] == ["test.second", "test.first"]


async def test_many_writers_make_one_chain(journal: Journal) -> None:
    await asyncio.gather(*(journal.append("test.happened", {"i": i}) for i in range(200)))
    assert await journal.store.write(chain.verify_database) == await events.head(journal.store)
    assert (await events.head(journal.store)).seq == 200


async def test_hooks_run_in_the_events_own_transaction_and_may_append(
    store: Store, clock: VirtualClock
) -> None:
    def echo(tx: Transaction, event: Event) -> None:
        assert tx.rows("SELECT max(seq) AS seq FROM event")[0]["seq"] == event.seq
        if event.kind == "test.happened":
            tx.append("test.echoed", event.payload, event.seq)

    journal = Journal(store, clock, "boot-1", hooks=[echo])
    await journal.append("test.happened", {"x": 1})
    found = await events.tail(store, limit=9)
    assert [(e.kind, e.cause, e.payload) for e in found] == [
        ("test.echoed", 1, {"x": 1}),
        ("test.happened", None, {"x": 1}),
    ]


async def test_a_hook_that_fails_takes_its_event_with_it(store: Store, clock: VirtualClock) -> None:
    def refuse(tx: Transaction, event: Event) -> None:
        if event.kind == "test.echoed":
            raise ZeroDivisionError
        tx.append("test.echoed", {}, event.seq)

    journal = Journal(store, clock, "boot-1", hooks=[refuse])
    with journal.listening() as news:
        with pytest.raises(ZeroDivisionError):
            await journal.append("test.happened", {})
        assert not news.is_set()
    assert (await events.head(store)).seq == 0
    assert (await Journal(store, clock, "boot-1").append("test.happened", {})).seq == 1


async def test_listeners_hear_after_the_commit_and_only_of_what_appended(journal: Journal) -> None:
    with journal.listening() as news:

        def change(tx: Transaction) -> bool:
            tx.append("test.happened", {})
            return news.is_set()

        assert await journal.record(change) is False
        assert news.is_set()
        assert (await events.head(journal.store)).seq == 1
        news.clear()
        await journal.record(lambda tx: tx.rows("SELECT 1"))
        assert not news.is_set()
    await journal.append("test.happened", {})
    assert not news.is_set()


async def test_the_tail_can_be_paged_and_filtered(journal: Journal) -> None:
    kinds = ["draw.ingested", "draw.corrected", "feed.read", "draw.ingested", "feed.failed"]
    for kind in kinds[1:3] + kinds[1:2] * 2 + kinds[2:3]:
        await journal.append(kind.replace("feed.read", "source.read"), {})

    async def seqs(**options: Any) -> list[int]:
        return [event.seq for event in await events.tail(journal.store, **{"limit": 9, **options})]

    assert await seqs() == [5, 4, 3, 2, 1]
    assert await seqs(limit=2) == [5, 4]
    assert await seqs(before=3) == [2, 1]
    assert await seqs(after=3) == [5, 4]
    assert await seqs(before=5, after=1, limit=2) == [4, 3]
    assert await seqs(kinds=["source.*"]) == [5, 2]
    assert await seqs(kinds=["draw.*", "source.read"], before=4) == [3, 2, 1]
    latest = await events.latest(journal.store, "source.read")
    assert latest is not None
    assert latest.seq == 5
    assert await events.latest(journal.store, "never.happened") is None


async def test_the_head_names_the_last_event(journal: Journal) -> None:
    assert await events.head(journal.store) == chain.Head(0, "00" * 32)
    event = await journal.append("test.happened", {})
    assert await events.head(journal.store) == chain.Head(1, event.hash)


def test_an_event_cannot_be_changed() -> None:
    event = Event(1, 0, "boot-1", "test.happened", None, {}, "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.seq = 2  # type: ignore[misc]
