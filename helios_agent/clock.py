"""Time as a port: the only module that reads a clock or sleeps.

Everything else is handed a `Clock`, so the same agent runs on the machine's time or on a
`VirtualClock` that a test moves by hand.
"""

import asyncio
import heapq
import itertools
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

SECOND_US = 1_000_000


class Clock(Protocol):
    """What the agent may ask of time."""

    def now_us(self) -> int:
        """Return the wall clock: microseconds since 1970-01-01 UTC."""

    def mono_us(self) -> int:
        """Return a clock that never steps back: microseconds since an arbitrary start."""

    def suspended_us(self) -> int:
        """Return how long the machine has slept since its start: microseconds that mono_us leaves out."""

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock's time, of which none passes while the machine sleeps."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a clock showed at one moment, in microseconds."""

    now_us: int
    mono_us: int
    suspended_us: int

    @classmethod
    def of(cls, clock: Clock) -> "Reading":
        return cls(clock.now_us(), clock.mono_us(), clock.suspended_us())

    def slept_s(self, earlier: "Reading") -> float:
        """Return how long the machine has slept since an earlier reading."""
        return (self.suspended_us - earlier.suspended_us) / SECOND_US

    def stepped_s(self, earlier: "Reading") -> float:
        """Return by how much the wall clock went further than time has passed since an earlier reading."""
        passed_us = self.mono_us - earlier.mono_us + self.suspended_us - earlier.suspended_us
        return (self.now_us - earlier.now_us - passed_us) / SECOND_US


class SystemClock:
    """The machine's own time."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def mono_us(self) -> int:
        return time.monotonic_ns() // 1_000

    def suspended_us(self) -> int:
        if not hasattr(time, "CLOCK_BOOTTIME"):  # then a sleep looks like a step of the wall clock
            return 0
        mono_ns = time.monotonic_ns()
        return (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - mono_ns) // 1_000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))


class VirtualClock:
    """Time that stands still until `advance` moves it.

    Sleepers wake in the order of their due times, each seeing the clock at exactly its due time.
    """

    def __init__(self, start: datetime) -> None:
        self._now_us = to_us(start)
        self._mono_us = 0
        self._suspended_us = 0
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._ticket = itertools.count()

    def now_us(self) -> int:
        return self._now_us

    def mono_us(self) -> int:
        return self._mono_us

    def suspended_us(self) -> int:
        return self._suspended_us

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due_us = self._mono_us + round(max(0.0, seconds) * SECOND_US)
        heapq.heappush(self._sleepers, (due_us, next(self._ticket), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move time forward by `seconds`, waking every sleeper on the way."""
        end_us = self._mono_us + round(seconds * SECOND_US)
        while self._sleepers and self._sleepers[0][0] <= end_us:
            due_us, _, future = heapq.heappop(self._sleepers)
            self._move_to(max(due_us, self._mono_us))
            if not future.done():
                future.set_result(None)
            await asyncio.sleep(0)
        self._move_to(end_us)
        await asyncio.sleep(0)

    def step(self, seconds: float) -> None:
        """Set the wall clock forward, or back, as one who corrects it does."""
        self._now_us += round(seconds * SECOND_US)

    def suspend(self, seconds: float) -> None:
        """Sleep as a machine does: the wall clock goes on, and nobody wakes."""
        self._now_us += round(seconds * SECOND_US)
        self._suspended_us += round(seconds * SECOND_US)

    @property
    def sleepers(self) -> int:
        """How many wait for this clock to move."""
        return sum(not future.done() for _, _, future in self._sleepers)

    def _move_to(self, mono_us: int) -> None:
        self._now_us += mono_us - self._mono_us
        self._mono_us = mono_us


async def wait_for(clock: Clock, event: asyncio.Event, seconds: float) -> bool:
    """Wait until `event` is set or `seconds` have passed; return whether it was set."""
    waiter = asyncio.ensure_future(event.wait())
    sleeper = asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({waiter, sleeper}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiter.cancel()
        sleeper.cancel()
    return event.is_set()


def to_us(instant: datetime) -> int:
    """Return an aware datetime as microseconds since 1970-01-01 UTC."""
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone")
    delta = instant - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * SECOND_US + delta.microseconds


def from_us(us: int) -> datetime:
    """Return microseconds since 1970-01-01 UTC as an aware datetime in UTC."""
    seconds, rest = divmod(us, SECOND_US)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)


def iso(us: int) -> str:
    """Return microseconds since 1970-01-01 UTC as RFC 3339 text."""
    return from_us(us).isoformat().replace("+00:00", "Z")
