"""What the jobs of every attempt under way have taken of processors.

An action computes with the engine that the runner lends it, and cannot forget to be metered.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from helios_agent.work.engine import Engine, Progress, Spent, unmetered


class Meter:
    """The processor time that jobs have taken in workers, seconds, by the intent that they were done for.

    It outlives the attempt, until that is known to have ended: the database may be full meanwhile.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def of(self, intent_id: str) -> float:
        """Return what the jobs of an attempt under way have taken so far."""
        return self._seconds.get(intent_id, 0.0)

    def add(self, intent_id: str, cpu_seconds: float) -> None:
        """Note what one job has taken."""
        self._seconds[intent_id] = self.of(intent_id) + cpu_seconds

    def forget(self, intent_id: str) -> None:
        """Begin again at nothing."""
        self._seconds.pop(intent_id, None)


class Metered:
    """An engine whose jobs are all done for one intent."""

    def __init__(self, engine: Engine, meter: Meter, intent_id: str) -> None:
        self._engine, self._meter, self._intent_id = engine, meter, intent_id

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
        """Compute one job; see `Engine.run`."""

        def spent(cpu_seconds: float) -> None:
            self._meter.add(self._intent_id, cpu_seconds)
            on_spent(cpu_seconds)

        return await self._engine.run(
            kind, spec, on_progress, time_limit_s=time_limit_s, stop=stop, priority=priority, on_spent=spent
        )

    async def close(self) -> None:
        """Do nothing: the engine belongs to whoever lent it."""
