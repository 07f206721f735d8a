"""Whose job begins when a worker is free."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from helios_agent.errors import JobStopped
from helios_agent.work.engine import Wishes
from helios_agent.work.turns import Turns


class Queue:
    """Jobs that take turns at one worker, each until it is told to end."""

    def __init__(self) -> None:
        self.turns = Turns(1)
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}
        self.jobs: dict[str, asyncio.Task[None]] = {}

    async def ask(self, name: str, priority: int, stop: asyncio.Event) -> None:
        self.ends[name] = asyncio.Event()
        self.jobs[name] = asyncio.create_task(self._take_turn(name, priority, stop))
        await asyncio.sleep(0)

    async def end(self, name: str) -> None:
        """End a job, and see the next one begin."""
        self.ends[name].set()
        await self.jobs.pop(name)
        for _ in range(3):
            await asyncio.sleep(0)

    async def _take_turn(self, name: str, priority: int, stop: asyncio.Event) -> None:
        async with self.turns.turn(priority, stop):
            self.begun.append(name)
            await self.ends[name].wait()


@asynccontextmanager
async def queue() -> AsyncIterator[Queue]:
    made = Queue()
    yield made
    for job in made.jobs.values():
        job.cancel()
    await asyncio.gather(*made.jobs.values(), return_exceptions=True)


async def test_the_priority_counts_that_a_job_has_when_a_worker_is_free() -> None:
    async with queue() as jobs:
        wishes = {name: Wishes(0) for name in ("busy", "first", "second", "third")}
        for name, wished in wishes.items():
            await jobs.ask(name, 0, wished)
        wishes["third"].priority = 5
        wishes["first"].priority = -5
        for name in ("busy", "third", "second"):
            await jobs.end(name)
        assert jobs.begun == ["busy", "third", "second", "first"]


async def test_what_was_stopped_or_given_up_while_it_waited_holds_nobody_up() -> None:
    async with queue() as jobs:
        stop = asyncio.Event()
        for name, priority in (("busy", 0), ("stopped", 9), ("given up", 8), ("next", 1), ("last", 0)):
            await jobs.ask(name, priority, stop if name == "stopped" else asyncio.Event())
        stop.set()
        with pytest.raises(JobStopped):
            await jobs.jobs.pop("stopped")
        jobs.jobs.pop("given up").cancel()
        await jobs.end("busy")
        await jobs.end("next")
        assert jobs.begun == ["busy", "next", "last"]
