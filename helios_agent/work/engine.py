"""Where jobs are computed: the port. `local.py` is the engine on this machine."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

SHORT_JOB_S = 300.0
"""Time limit of jobs that take seconds: whoever exceeds it hangs."""

Progress = Callable[[Mapping[str, Any]], Awaitable[None]]
Spent = Callable[[float], None]
"""Told once, when a job has ended in whatever way, how many CPU seconds it has taken."""


def unmetered(cpu_seconds: float) -> None:
    """Let go what a job has taken that is done for nobody in particular."""


class Wishes(asyncio.Event):
    """What is wanted of a job by now: which priority it has while it waits, and, once set, that it ends."""

    def __init__(self, priority: int) -> None:
        super().__init__()
        self.priority = priority


class Engine(Protocol):
    """Whatever computes jobs outside the event loop."""

    async def run(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None = None,
        *,
        time_limit_s: float,
        stop: asyncio.Event | None = None,
        priority: int = 0,
        on_spent: Spent = unmetered,
    ) -> dict[str, Any]:
        """Compute one job and return its result, awaiting `on_progress` for each report of it.

        Where all workers are busy the job waits, the greater `priority` first; urgent kinds never wait. Where
        `stop` is one of `Wishes`, the priority that it has when a worker is free counts instead. Waiting is
        no part of `time_limit_s`. When the caller is cancelled, or the time limit is reached, the job is
        ended. When `stop` is set it is asked to end at its next report, having kept a checkpoint if it knows
        how, and is ended if it does not. Raises JobFailed, naming the reason, when it did not succeed,
        WorkerLost when it was killed, JobTooLong when it did not end in time, and JobStopped when it ended
        because of `stop`. Whatever becomes of it, `on_spent` is told the processor time of all its threads;
        of one whose end nobody saw, as on a lost machine, what its last report said.
        """

    async def close(self) -> None:
        """Let go of what the engine holds. No job may be under way. Safe to call twice."""
