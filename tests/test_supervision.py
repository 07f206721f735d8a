import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from helios_agent.clock import SECOND_US, VirtualClock
from helios_agent.errors import StoreCorrupt, StoreError
from helios_agent.journal import events
from helios_agent.journal.journal import Event, Journal, Transaction
from helios_agent.store import Store
from helios_agent.supervision import FAILURES, PAUSE_S, WINDOW_S, Supervisor, TaskFailed


@pytest.fixture
async def supervisor(journal: Journal) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(journal)
    yield supervisor
    await supervisor.stop()


class Work:
    """Work that raises what it is told to, once for each entry, and then goes on for ever."""

    def __init__(self, *raises: BaseException | None) -> None:
        self.raises = list(raises)
        self.begun = 0

    async def __call__(self) -> None:
        self.begun += 1
        if not self.raises:
            await asyncio.Event().wait()
        error = self.raises.pop(0)
        if error is not None:
            raise error


async def until(journal: Journal, condition: Callable[[], Any]) -> None:
    """Let time pass, a second at a time, until something holds."""
    clock = cast(VirtualClock, journal.clock)
    for _ in range(2000):
        if condition():
            return
        await journal.store.write(lambda db: db.execute("SELECT 1").fetchone())  # the writer has its turn
        await clock.advance(1)
    raise AssertionError("it never came to hold")


async def failures(journal: Journal) -> list[dict[str, Any]]:
    found = await events.tail(journal.store, limit=100, kinds=["task.failed"])
    return [dict(event.payload) for event in reversed(found)]


async def test_a_task_that_fails_is_journaled_named_and_begun_again_after_a_pause(
    journal: Journal, supervisor: Supervisor
) -> None:
    work = Work(ValueError("no such ball"), None)
    supervisor.start("lane.core", work)
    await until(journal, lambda: supervisor.troubles)
    assert work.begun == 1
    assert supervisor.troubles == ["lane.core begins again: ValueError: no such ball"]
    begun_us = journal.clock.mono_us()
    await until(journal, lambda: work.begun == 3)
    assert journal.clock.mono_us() - begun_us >= 2 * PAUSE_S * SECOND_US
    assert await failures(journal) == [
        {"task": "lane.core", "error": "ValueError: no such ball", "begins_again": True},
        {"task": "lane.core", "error": "RuntimeError: it ended by itself", "begins_again": True},
    ]
    assert supervisor.troubles == []


async def test_a_task_that_keeps_failing_ends_the_daemon(journal: Journal, supervisor: Supervisor) -> None:
    supervisor.start("scheduler", Work(*[ValueError("again")] * (FAILURES + 1)))
    ended = asyncio.create_task(supervisor.failed())
    await until(journal, ended.done)
    with pytest.raises(TaskFailed, match=r"The task scheduler failed 6 times within 900 s"):
        await ended
    assert [f["begins_again"] for f in await failures(journal)] == [True] * FAILURES + [False]


async def test_failures_that_are_far_apart_never_end_it(
    journal: Journal, clock: VirtualClock, supervisor: Supervisor
) -> None:
    work = Work(*[ValueError("now and then")] * (3 * FAILURES))
    supervisor.start("webhooks", work)
    for begun in range(2, 3 * FAILURES + 2):
        await until(journal, lambda n=begun: work.begun == n)
        await clock.advance(WINDOW_S)
    assert [f["begins_again"] for f in await failures(journal)] == [True] * 3 * FAILURES


async def test_a_database_that_fails_a_task_is_waited_for_without_end(
    journal: Journal, supervisor: Supervisor
) -> None:
    work = Work(*[StoreError("disk full")] * (4 * FAILURES))
    supervisor.start("lane.work", work)
    await until(journal, lambda: supervisor.troubles)
    assert supervisor.troubles == ["lane.work begins again: disk full"]
    await until(journal, lambda: work.begun == 4 * FAILURES + 1)
    assert await failures(journal) == []


async def test_a_restarted_task_is_ended_first_and_never_doubled(
    journal: Journal, supervisor: Supervisor
) -> None:
    alive: list[int] = []

    async def work() -> None:
        alive.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            alive.pop()

    supervisor.start("webhooks", work)
    for _ in range(3):
        await until(journal, lambda: alive)
        assert alive == [1]
        await supervisor.restart("webhooks")
    await until(journal, lambda: alive)
    await supervisor.stop()
    assert alive == []


async def test_work_that_cancels_itself_has_failed_and_is_begun_again(
    journal: Journal, supervisor: Supervisor
) -> None:
    work = Work(asyncio.CancelledError())
    supervisor.start("probe", work)
    await until(journal, lambda: work.begun == 2)
    error = "RuntimeError: it was cancelled from within"
    assert await failures(journal) == [{"task": "probe", "error": error, "begins_again": True}]


async def test_a_damaged_database_is_a_failure_and_ends_the_daemon(
    journal: Journal, supervisor: Supervisor
) -> None:
    supervisor.start("lane.core", Work(*[StoreCorrupt("page 7")] * (FAILURES + 1)))
    ended = asyncio.create_task(supervisor.failed())
    await until(journal, ended.done)
    with pytest.raises(TaskFailed, match="page 7"):
        await ended
    assert len(await failures(journal)) == FAILURES + 1


async def test_a_failure_that_cannot_be_journaled_for_whatever_reason_ends_no_task(
    store: Store, clock: VirtualClock
) -> None:
    def refuse(tx: Transaction, event: Event) -> None:
        raise ZeroDivisionError(event.kind)

    journal = Journal(store, clock, "boot-1", [refuse])
    supervisor, work = Supervisor(journal), Work(ValueError("once"))
    supervisor.start("scheduler", work)
    await until(journal, lambda: work.begun == 2)
    assert supervisor.troubles == []
    await supervisor.stop()


async def test_once_stopped_nothing_is_begun_any_more(supervisor: Supervisor) -> None:
    work = Work()
    supervisor.start("webhooks", work)
    await supervisor.stop()
    begun = work.begun
    supervisor.start("pulse", work)
    await supervisor.restart("webhooks")
    await asyncio.sleep(0)
    assert work.begun == begun
