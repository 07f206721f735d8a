"""Whose job begins next: so many at once, and the others in order of priority, then of arrival."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from helios_agent.errors import JobStopped
from helios_agent.work.engine import Wishes


class Turns:
    """Lets `at_once` jobs go on at a time."""

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: dict[asyncio.Future[None], Wishes] = {}
        """In order of arrival."""

    @asynccontextmanager
    async def turn(self, priority: int, stop: asyncio.Event) -> AsyncIterator[None]:
        """Wait until a worker is free, and hold it. Raises JobStopped where `stop` is set before that.

        The priority of one of `Wishes` counts as it is then, in the place of `priority`.
        """
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[turn] = stop if isinstance(stop, Wishes) else Wishes(priority)
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
                del self._waiting[turn]

    def _admit(self) -> None:
        while self._free and self._waiting:
            first = max(self._waiting, key=lambda turn: self._waiting[turn].priority)
            del self._waiting[first]
            self._free -= 1
            first.set_result(None)
