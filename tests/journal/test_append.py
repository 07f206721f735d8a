"""How events get into the journal: from many callers at once, some of whom change their mind."""

import asyncio
import threading
from typing import Any

import pytest

from helios_agent.errors import StoreError
from helios_agent.journal import chain, events
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.store import Connection, backup


async def hold(journal: Journal) -> tuple[asyncio.Task[None], threading.Event]:
    """Keep the writer busy, so that what is submitted now goes into one transaction."""
    entered, opened = threading.Event(), threading.Event()

    def wait(_: Connection) -> None:
        entered.set()
        assert opened.wait(10)

    task = asyncio.create_task(journal.store.write(wait))
    await asyncio.to_thread(entered.wait, 10)
    return task, opened


async def together(journal: Journal, *changes: Any) -> list[Any]:
    """Record all changes in one transaction; return what came of each."""
    held, opened = await hold(journal)
    waiting = asyncio.gather(*map(journal.record, changes), return_exceptions=True)
    await asyncio.sleep(0)
    opened.set()
    await held
    return await waiting


def append(kind: str) -> Any:
    return lambda tx: tx.append(kind, {}).seq


def fails(tx: Transaction) -> None:
    tx.append("test.undone", {})
    tx.append("test.undone", {})
    raise StoreError("changed my mind")


async def test_after_an_undone_change_the_next_one_continues_the_chain(journal: Journal) -> None:
    await journal.append("test.begun", {})
    found = await together(journal, append("test.first"), fails, append("test.second"), fails, fails)
    assert [found[0], found[2]] == [2, 3]
    assert [event.kind for event in await events.tail(journal.store, limit=9)] == [
        "test.second",
        "test.first",
        "test.begun",
    ]
    assert (await journal.append("test.ended", {})).seq == 4
    assert backup.verify(journal.store.path, chain.verify_database).seq == 4


async def test_the_head_is_read_once_for_all_that_is_committed_together(journal: Journal) -> None:
    statements: list[str] = []
    await journal.store.write(lambda connection: connection.set_trace_callback(statements.append))
    statements.clear()
    await together(journal, *[append("test.happened")] * 100)
    heads = [sql for sql in statements if sql.startswith("SELECT seq, hash FROM event")]
    assert len(heads) == 1
    assert statements.count("COMMIT") == 2
    await journal.store.write(lambda connection: connection.set_trace_callback(None))


async def test_two_journals_on_one_store_make_one_chain(journal: Journal) -> None:
    other = Journal(journal.store, journal.clock, "boot-2")
    held, opened = await hold(journal)
    waiting = asyncio.gather(*(j.append("test.happened", {}) for j in (journal, other) * 5))
    await asyncio.sleep(0)
    opened.set()
    await held
    assert [event.seq for event in await waiting] == list(range(1, 11))
    assert backup.verify(journal.store.path, chain.verify_database).seq == 10


async def test_who_listens_hears_of_events_whose_own_caller_was_cancelled(journal: Journal) -> None:
    entered, opened = threading.Event(), threading.Event()

    def slowly(tx: Transaction) -> None:
        entered.set()
        assert opened.wait(10)
        tx.append("test.happened", {})

    with journal.listening() as news:
        caller = asyncio.create_task(journal.record(slowly))
        await asyncio.to_thread(entered.wait, 10)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        assert not news.is_set()
        opened.set()
        async with asyncio.timeout(10):
            await news.wait()
        assert (await events.head(journal.store)).seq == 1


async def test_who_listens_hears_nothing_of_what_was_undone(journal: Journal) -> None:
    with journal.listening() as news:
        await together(journal, fails, lambda tx: tx.rows("SELECT 1"), fails)
        assert not news.is_set()
        await together(journal, fails, append("test.happened"), fails)
        assert news.is_set()


@pytest.mark.parametrize("cause", [0, -1, 2, 7])
async def test_an_event_can_only_follow_from_an_earlier_one(journal: Journal, cause: int) -> None:
    await journal.append("test.begun", {})
    with pytest.raises(
        ValueError, match=rf"cause {cause} of a test\.happened is not .* event; the last is 1"
    ):
        await journal.append("test.happened", {}, cause=cause)
    assert (await events.head(journal.store)).seq == 1
    assert (await journal.append("test.happened", {}, cause=1)).cause == 1


async def test_the_first_event_follows_from_none(journal: Journal) -> None:
    with pytest.raises(ValueError, match="the last is 0"):
        await journal.append("test.happened", {}, cause=1)
