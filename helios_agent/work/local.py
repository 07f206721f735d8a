"""The engine on this machine: each job in a child process of its own, the last to get the processor."""

import asyncio
from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.config.model import Work
from helios_agent.errors import JobFailed, JobStopped, JobTooLong
from helios_agent.work import jobs, turns
from helios_agent.work.children import Child, ForkServer, request
from helios_agent.work.engine import Progress, Spent, unmetered

NICE = 19
STOP_GRACE_S = 30.0
"""How long a job that was asked to stop may go on before it is ended: a backtest then judges what its experts
have said, which takes seconds of processor time that it gets only when nobody else wants them."""


class LocalEngine:
    """Computes so many jobs at once; the others wait in order of priority, then of arrival."""

    def __init__(self, settings: Work, forks: ForkServer) -> None:
        self._settings = settings
        self._forks = forks
        self._turns = turns.Turns(settings.workers)

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
        """Compute one job in a child of its own; see `Engine.run`."""
        stop = stop or asyncio.Event()
        if kind in jobs.URGENT:
            return await self._compute(kind, spec, on_progress, time_limit_s, stop, on_spent)
        async with self._turns.turn(priority, stop):
            return await self._compute(kind, spec, on_progress, time_limit_s, stop, on_spent)

    async def close(self) -> None:
        """Do nothing: every child ends with its job."""

    async def _compute(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None,
        time_limit_s: float,
        stop: asyncio.Event,
        on_spent: Spent,
    ) -> dict[str, Any]:
        child: Child | None = None
        stopping: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(time_limit_s):
                child = await self._forks.fork(kind)
                child.say(
                    request(
                        kind,
                        spec,
                        memory=self._settings.memory,
                        cpu_s=self._settings.cpu,
                        nice=NICE,
                        idle=kind not in jobs.URGENT,
                    )
                )
                stopping = asyncio.create_task(_pass_on(stop, child), name=f"work.stop.{child.pid}")
                return await self._listen(child, on_progress, stop)
        except TimeoutError:
            raise JobTooLong(
                f"The {kind} job was stopped after its time limit of {time_limit_s:g} s."
            ) from None
        finally:
            if stopping is not None:
                stopping.cancel()
            if child is not None:
                try:
                    await child.end()
                finally:
                    on_spent(child.cpu_seconds)
                    _tell(kind, child.words())

    async def _listen(
        self, child: Child, on_progress: Progress | None, stop: asyncio.Event
    ) -> dict[str, Any]:
        while message := await child.hear():
            if "result" in message:
                result: dict[str, Any] = message["result"]
                return result
            if "error" in message:
                raise JobFailed(message["error"])
            if "stopped" in message:
                raise JobStopped()
            if on_progress is not None:
                await on_progress(message["progress"])
        if stop.is_set():
            raise JobStopped()
        raise await child.epitaph(self._settings.memory, self._settings.cpu)


def _tell(kind: str, words: str) -> None:
    """Put into the log what a job said there, or the traceback of what nobody foresaw."""
    if words:
        logger.bind(action="work", job=kind).warning("the {} job said: {}", kind, words)


async def _pass_on(stop: asyncio.Event, child: Child) -> None:
    await stop.wait()
    child.say({"stop": True})
    await asyncio.sleep(STOP_GRACE_S)
    child.kill()
