import asyncio
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent import clock as clocks
from helios_agent.clock import SECOND_US, Reading, SystemClock, VirtualClock, from_us, iso, to_us, wait_for

START = datetime(2026, 9, 18, 12, 0, tzinfo=UTC)


async def test_sleepers_wake_in_the_order_of_their_due_times_each_at_exactly_its_own() -> None:
    clock = VirtualClock(START)
    woken: list[tuple[float, int]] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((seconds, clock.mono_us()))

    tasks = [asyncio.create_task(sleeper(s)) for s in (5.0, 0.25, 90.0, 1.5, 0.0)]
    await asyncio.sleep(0)
    await clock.advance(60)
    assert woken == [(0.0, 0), (0.25, 250_000), (1.5, 1_500_000), (5.0, 5_000_000)]
    assert clock.now_us() == to_us(START) + 60 * SECOND_US
    await clock.advance(30)
    assert woken[-1] == (90.0, 90 * SECOND_US)
    await asyncio.gather(*tasks)


async def test_who_sleeps_again_and_again_misses_no_beat_of_one_long_advance() -> None:
    clock = VirtualClock(START)
    beats: list[int] = []

    async def heart() -> None:
        for _ in range(5):
            await clock.sleep(10)
            beats.append(clock.mono_us() // SECOND_US)

    task = asyncio.create_task(heart())
    await asyncio.sleep(0)
    await clock.advance(3600)
    assert beats == [10, 20, 30, 40, 50]
    await task


async def test_sleepers_due_at_the_same_instant_wake_in_the_order_in_which_they_lay_down() -> None:
    clock = VirtualClock(START)
    woken: list[str] = []

    async def sleeper(name: str) -> None:
        await clock.sleep(1)
        woken.append(name)

    tasks = [asyncio.create_task(sleeper(name)) for name in "abc"]
    await asyncio.sleep(0)
    await clock.advance(1)
    assert woken == ["a", "b", "c"]
    await asyncio.gather(*tasks)


async def test_a_cancelled_sleeper_does_not_stop_the_clock() -> None:
    clock = VirtualClock(START)
    task = asyncio.create_task(clock.sleep(1))
    await asyncio.sleep(0)
    task.cancel()
    await clock.advance(2)
    assert task.cancelled()
    assert clock.mono_us() == 2 * SECOND_US


async def test_wait_for_says_whether_the_event_came_or_the_time_ran_out() -> None:
    clock = VirtualClock(START)
    event = asyncio.Event()
    waiting = asyncio.create_task(wait_for(clock, event, 10))
    await asyncio.sleep(0.001)
    await clock.advance(9.9)
    assert not waiting.done()
    await clock.advance(0.1)
    assert await waiting is False
    waiting = asyncio.create_task(wait_for(clock, event, 10))
    await asyncio.sleep(0.001)
    event.set()
    assert await waiting is True
    assert clock.mono_us() == 10 * SECOND_US


async def test_a_cancelled_wait_leaves_no_task_behind() -> None:
    clock = VirtualClock(START)
    before = asyncio.all_tasks()
    waiting = asyncio.create_task(wait_for(clock, asyncio.Event(), 10))
    await asyncio.sleep(0.001)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0.001)
    assert asyncio.all_tasks() == before


async def test_a_step_moves_the_wall_clock_alone_and_wakes_nobody() -> None:
    clock = VirtualClock(START)
    before = Reading.of(clock)
    task = asyncio.create_task(clock.sleep(60))
    await asyncio.sleep(0)
    clock.step(-3600)
    after = Reading.of(clock)
    assert clock.now_us() == to_us(START) - 3600 * SECOND_US
    assert (after.stepped_s(before), after.slept_s(before)) == (-3600.0, 0.0)
    await clock.advance(59)
    assert clock.sleepers == 1
    await clock.advance(1)
    await task
    assert clock.sleepers == 0
    assert Reading.of(clock).stepped_s(after) == 0.0


async def test_a_machine_that_sleeps_wakes_nobody_and_its_wall_clock_goes_on() -> None:
    clock = VirtualClock(START)
    before = Reading.of(clock)
    task = asyncio.create_task(clock.sleep(60))
    await asyncio.sleep(0)
    clock.suspend(36 * 3600)
    after = Reading.of(clock)
    assert clock.now_us() == to_us(START) + 36 * 3600 * SECOND_US
    assert (after.stepped_s(before), after.slept_s(before)) == (0.0, 36 * 3600.0)
    assert clock.sleepers == 1
    await clock.advance(60)
    await task


@given(st.lists(st.tuples(st.sampled_from(["step", "suspend"]), st.integers(0, 10**8)), max_size=8))
def test_readings_tell_steps_and_sleeps_apart_however_they_are_mixed(moves: list[tuple[str, int]]) -> None:
    clock = VirtualClock(START)
    before = Reading.of(clock)
    for move, seconds in moves:
        getattr(clock, move)(seconds)
    after = Reading.of(clock)
    assert after.stepped_s(before) == sum(seconds for move, seconds in moves if move == "step")
    assert after.slept_s(before) == sum(seconds for move, seconds in moves if move == "suspend")
    assert before.stepped_s(after) == -after.stepped_s(before)


def test_the_system_clock_does_not_see_itself_step_or_sleep_while_it_looks() -> None:
    clock = SystemClock()
    first = Reading.of(clock)
    assert first.suspended_us >= 0
    second = Reading.of(clock)
    assert abs(second.stepped_s(first)) < 5
    assert abs(second.slept_s(first)) < 5


async def test_the_system_clock_tells_utc_and_never_sleeps_for_less_than_nothing() -> None:
    clock = SystemClock()
    before = datetime.now(UTC)
    assert abs(clock.now_us() - to_us(before)) < 5 * SECOND_US
    mono_us = clock.mono_us()
    await clock.sleep(-1)
    assert 0 <= clock.mono_us() - mono_us < 5 * SECOND_US


@given(
    st.datetimes(
        min_value=datetime(1900, 1, 1),  # noqa: DTZ001
        max_value=datetime(2200, 1, 1),  # noqa: DTZ001
        timezones=st.integers(-14 * 60, 14 * 60).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_an_instant_survives_the_way_to_microseconds_and_back(instant: datetime) -> None:
    assert from_us(to_us(instant)) == instant
    assert datetime.fromisoformat(iso(to_us(instant))) == instant


@given(st.integers(-(10**15), 10**16))
def test_microseconds_survive_the_way_to_an_instant_and_back(us: int) -> None:
    assert to_us(from_us(us)) == us


def test_known_instants() -> None:
    assert to_us(datetime(1970, 1, 1, 0, 0, 1, 5, tzinfo=UTC)) == 1_000_005
    assert iso(to_us(START) + 250_000) == "2026-09-18T12:00:00.250000Z"


def test_an_instant_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        to_us(datetime(2026, 9, 18))  # noqa: DTZ001
    with pytest.raises(ValueError, match="has no time zone"):
        clocks.VirtualClock(datetime(2026, 9, 18))  # noqa: DTZ001
