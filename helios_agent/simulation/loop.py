"""An event loop whose time jumps: nothing ever waits, and years pass in seconds."""

import asyncio
import selectors
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from math import ceil
from typing import Any, TypeVar

from helios_agent.clock import SECOND_US, to_us

T = TypeVar("T")

WEEK_S = 7 * 86_400.0


class Standstill(Exception):
    """Everything waits for something that no timer will bring about."""


class _JumpingSelector(selectors.DefaultSelector):
    """Reports what is ready; where the loop would wait, moves its time forward instead."""

    mono_us = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise Standstill("nothing is due, and nothing can happen any more")
        self.mono_us += max(1, ceil(timeout * SECOND_US))
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on virtual time, on which work meant for threads runs at once, in order.

    No thread may be left to wait for: the time would jump while it works.
    """

    def __init__(self, mono_us: int = 0) -> None:
        self._jumping = _JumpingSelector()
        self._jumping.mono_us = mono_us
        super().__init__(self._jumping)
        # What is due within a microsecond is due: after half a year, seconds as floats are coarser than the
        # nanosecond that asyncio allows for, and a timer that is due to the microsecond would not ring.
        self._clock_resolution = 1 / SECOND_US

    @property
    def mono_us(self) -> int:
        """Virtual microseconds since the beginning."""
        return self._jumping.mono_us

    def time(self) -> float:
        return self._jumping.mono_us / SECOND_US

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run work that was meant for the default threads now; other executors as they see fit."""
        if executor is not None:
            return super().run_in_executor(executor, func, *args)
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done


class SimulatedClock:
    """The clock of a virtual loop, which can be set wrong and can sleep through time."""

    def __init__(self, start: datetime, loop: VirtualLoop) -> None:
        self._start_us = to_us(start)
        self._suspended_us = 0
        self._error_us = 0
        self.loop = loop
        """The loop that gives the time; a new one at each boot goes on where the last one ended."""

    def true_us(self) -> int:
        """Return the right time, whatever the wall clock says: microseconds since 1970-01-01 UTC."""
        return self._start_us + self.loop.mono_us + self._suspended_us

    def now_us(self) -> int:
        return self.true_us() + self._error_us

    def mono_us(self) -> int:
        return self.loop.mono_us

    def suspended_us(self) -> int:
        return self._suspended_us

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back if negative."""
        self._error_us += round(seconds * SECOND_US)

    def set_right(self) -> None:
        """Set the wall clock to the right time."""
        self._error_us = 0

    def suspend(self, seconds: float) -> None:
        """Sleep through so much time, as a laptop does that is closed."""
        self._suspended_us += round(seconds * SECOND_US)


def end(loop: VirtualLoop) -> None:
    """End what still runs on a loop, and close it."""

    async def cancel() -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await loop.shutdown_asyncgens()

    ending = loop.create_task(cancel())
    while not ending.done():
        with suppress(SystemExit):  # of a group of tasks of which one was killed: the others are still to end
            loop.run_until_complete(ending)
    loop.close()
