"""Whose job begins next: so many at once, and the others in order of priority, then of arrival."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from helios_agent.errors import JobStopped


class Turns:
    """Lets `at_once` jobs go on at a time."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._tickets = itertools.count()

    @asynccontextmanager
    async def turn(self, priority: int, stop: asyncio.Event) -> AsyncIterator[None]:
        """Wait until a worker is free, and hold it. Raises JobStopped where `stop` is set before that."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-priority, next(self._tickets), turn))
        self._admit()
        stopping: asyncio.Future[Any] = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait((turn, stopping), return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                raise JobStopped()
            yield
        finally:
            stopping.cancel()
            if turn.done():
                self._free += 1
                self._admit()
            else:
                turn.cancel()

    def _admit(self) -> None:
        while self._free and self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                self._free -= 1
                turn.set_result(None)
