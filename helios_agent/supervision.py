"""Every task of the agent has a name and a rule for when it fails.

While the database fails a task (a full disk), it begins again and again. Damage, and an error that nobody
foresaw, is journaled and the task begun again, a few times; a task that keeps failing ends the daemon, so
that the service manager starts it anew. The door, without which nobody can ask, ends it at once.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from loguru import logger

from helios_agent.clock import SECOND_US
from helios_agent.errors import HeliosError, StoreCorrupt, StoreError
from helios_agent.journal.journal import Journal

PAUSE_S = 30.0
"""How long a task waits before it begins again."""
FAILURES = 5
WINDOW_S = 900.0
"""A task that fails more than so often within this time is not begun again."""

Work = Callable[[], Coroutine[Any, Any, None]]


class TaskFailed(HeliosError):
    """A task of the agent cannot go on."""


@dataclass
class _Owned:
    work: Work
    failures: deque[int] = field(default_factory=deque)
    """When it failed lately, microseconds of the monotonic clock."""
    trouble: str | None = None
    task: asyncio.Task[None] | None = None


class Supervisor:
    """Owns the agent's tasks from their start to their end."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._owned: dict[str, _Owned] = {}
        self._stopped = False
        self._fatal: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, name: str, work: Work) -> None:
        """Do a piece of work that never ends, under a name; once all was stopped, do nothing."""
        if self._stopped:
            return
        owned = self._owned[name] = _Owned(work)
        owned.task = asyncio.create_task(self._live(name, owned), name=name)

    async def restart(self, name: str) -> None:
        """End a task and begin it anew, as it must for other settings."""
        await self._end(name)
        self.start(name, self._owned[name].work)

    @property
    def troubles(self) -> list[str]:
        """What is being begun again just now, and why."""
        return [owned.trouble for owned in self._owned.values() if owned.trouble is not None]

    async def failed(self) -> None:
        """Wait for ever; raise TaskFailed once a task cannot go on."""
        await asyncio.shield(self._fatal)

    async def stop(self) -> None:
        """End every task and wait until it has. None begins any more."""
        self._stopped = True
        for name in self._owned:
            await self._end(name)
        self._fatal.cancel()

    async def _end(self, name: str) -> None:
        task = self._owned[name].task
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _live(self, name: str, owned: _Owned) -> None:
        while True:
            try:
                await owned.work()
                error: Exception = RuntimeError("it ended by itself")
            except StoreCorrupt as damage:
                error = damage
            except StoreError as trouble:
                logger.bind(action="store").error("{} begins again in {:g} s: {}", name, PAUSE_S, trouble)
                owned.trouble = f"{name} begins again: {trouble}"
                await self._journal.clock.sleep(PAUSE_S)
                owned.trouble = None
                continue
            except Exception as unforeseen:
                error = unforeseen
            except asyncio.CancelledError as cancelled:
                if _told_to_end():
                    raise
                error = RuntimeError("it was cancelled from within")
                error.__cause__ = cancelled
            if not await self._may_begin_again(name, owned, error):
                return

    async def _may_begin_again(self, name: str, owned: _Owned, error: Exception) -> bool:
        """Journal a failure and wait; return False, ending the daemon, when there were too many."""
        now_us = self._journal.clock.mono_us()
        owned.failures.append(now_us)
        while owned.failures[0] < now_us - WINDOW_S * SECOND_US:
            owned.failures.popleft()
        lasting = len(owned.failures) > FAILURES
        logger.bind(action="supervise").opt(exception=error).error("{} failed: {}", name, error)
        owned.trouble = f"{name} begins again: {type(error).__name__}: {error}"
        payload = {"task": name, "error": f"{type(error).__name__}: {error}", "begins_again": not lasting}
        try:
            await self._journal.append("task.failed", payload)
        except Exception as trouble:
            logger.bind(action="supervise").opt(exception=trouble).error(
                "the failure of {} is not journaled: {}", name, trouble
            )
        if lasting:
            if not self._fatal.done():
                self._fatal.set_exception(
                    TaskFailed(
                        f"The task {name} failed {FAILURES + 1} times within {WINDOW_S:g} s: {error!r}."
                    )
                )
            return False
        await self._journal.clock.sleep(PAUSE_S)
        owned.trouble = None
        return True


def _told_to_end() -> bool:
    """Return whether somebody cancelled the present task, rather than its own work having done so."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
