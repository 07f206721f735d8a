from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_agent.config import cron
from helios_agent.schedules import due_instants

NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
SUNDAY = datetime(2026, 9, 13, tzinfo=UTC)
TICK = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def fires(line: str, zone: str, first: datetime, last: datetime) -> list[datetime]:
    """Return the instants in [first, last) at which a line is due."""
    return due_instants(cron.trigger(line, zone), first - TICK, last - TICK)[0]


def weekdays(field: str) -> set[str]:
    """Return the days of a fortnight on which a midnight schedule with this week-day field fires."""
    found = [NAMES[t.isoweekday() % 7] for t in fires(f"0 0 * * {field}", "UTC", SUNDAY, SUNDAY + 14 * DAY)]
    assert sorted(found) == sorted([*set(found), *set(found)])
    return set(found)


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("1", {"mon"}),
        ("0", {"sun"}),
        ("7", {"sun"}),
        ("6", {"sat"}),
        ("1-5", {"mon", "tue", "wed", "thu", "fri"}),
        ("mon-fri", {"mon", "tue", "wed", "thu", "fri"}),
        ("*/2", {"sun", "tue", "thu", "sat"}),
        ("1-7/3", {"mon", "thu", "sun"}),
        ("5-7", {"fri", "sat", "sun"}),
        ("fri-mon", {"fri", "sat", "sun", "mon"}),
        ("MON,wed,6", {"mon", "wed", "sat"}),
        ("*", set(NAMES)),
        ("0-7", set(NAMES)),
        ("*/7", {"sun"}),
    ],
)
def test_week_days_are_counted_as_cron_counts_them(field: str, days: set[str]) -> None:
    assert weekdays(field) == days


numbers = st.integers(0, 7)
parts = st.one_of(
    st.just(("*", set(range(7)))),
    st.integers(1, 7).map(lambda step: (f"*/{step}", set(range(0, 7, step)))),
    numbers.map(lambda day: (str(day), {day % 7})),
    st.sampled_from(range(7)).map(lambda day: (NAMES[day], {day})),
    st.tuples(numbers, numbers, st.integers(1, 7))
    .filter(lambda span: span[0] <= span[1])
    .map(lambda s: (f"{s[0]}-{s[1]}/{s[2]}", {day % 7 for day in range(s[0], s[1] + 1, s[2])})),
)


@given(st.lists(parts, min_size=1, max_size=3))
def test_any_week_day_field_fires_on_the_days_that_a_plain_reading_gives(
    chosen: list[tuple[str, set[int]]],
) -> None:
    expected = set().union(*(days for _, days in chosen))
    assert weekdays(",".join(text for text, _ in chosen)) == {NAMES[day] for day in expected}


minutes, hours = (
    st.sets(st.integers(0, 59), min_size=1, max_size=3),
    st.sets(st.integers(0, 23), min_size=1, max_size=3),
)


@given(minutes, hours, st.sampled_from(range(7)))
def test_a_line_fires_at_every_minute_that_matches_and_at_no_other(
    minute: set[int], hour: set[int], day: int
) -> None:
    line = f"{','.join(map(str, minute))} {','.join(map(str, hour))} * * {day}"
    end = SUNDAY + 7 * DAY
    instants, following = due_instants(cron.trigger(line, "UTC"), SUNDAY - TICK, end)
    every = (SUNDAY + timedelta(minutes=m) for m in range(7 * 24 * 60 + 1))
    assert instants == [
        t for t in every if t.minute in minute and t.hour in hour and t.isoweekday() % 7 == day
    ]
    assert following is not None
    assert following > end


@pytest.mark.parametrize(
    ("line", "days"),
    [
        ("0 0 1 * *", [1]),
        ("0 0 * * mon", [7, 14, 21, 28]),
        ("0 0 1 * mon", [1, 7, 14, 21, 28]),
        ("0 0 7,9 * mon", [7, 9, 14, 21, 28]),
        ("0 0 */10 * mon", [21]),
        ("0 0 1-14 * */3", [2, 5, 6, 9, 12, 13]),
        ("0 0 31 * mon", [7, 14, 21, 28]),
        ("0 0 9 oct-dec *", []),
        ("0 0 9 3-SEP/2 *", [9]),
    ],
)
def test_where_day_and_week_day_are_both_restricted_either_will_do(line: str, days: list[int]) -> None:
    month = fires(line, "UTC", datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC))
    assert [t.day for t in month] == days


@pytest.mark.parametrize(
    "field", ["8", "-1", "1-9", "mon-", "x", "1/0", "*/0", "", "1,,2", "mon.tue", "#1", "1-2-3"]
)
def test_a_week_day_field_that_means_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=r"week-day|fields"):
        cron.trigger(f"0 0 * * {field}", "UTC")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("60 * * * *", "60"),
        ("x * * * *", "minute 'x' is not a list of numbers, ranges and steps"),
        ("0 4- * * *", "hour '4-' is not a list"),
        ("0 0 last * *", "day 'last' is not a list"),
        ("0 0 1 janx *", "month 'janx' is neither 1 to 12 nor one of jan, feb"),
        ("0 0 1 jan-mar/2x *", "month 'x' is neither"),
        ("0 0 30 2 *", "there is no day 30 in month 2: this would never be due"),
        ("0 0 31 4,jun *", "there is no day 31 in month 4,6: this would never be due"),
        ("@daily", "this one has 1"),
    ],
)
def test_a_line_that_cannot_be_is_refused_with_the_field_that_is_wrong(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cron.trigger(line, "UTC")


def test_a_line_is_read_in_its_time_zone() -> None:
    found = fires("30 23 * * sat", "America/New_York", SUNDAY, SUNDAY + 8 * DAY)
    assert found == [datetime(2026, 9, day, 3, 30, tzinfo=UTC) for day in (13, 20)]


ZONES = (
    "America/New_York",
    "Europe/Berlin",
    "Australia/Lord_Howe",  # moves by half an hour
    "America/Santiago",  # moves at midnight
    "Africa/Cairo",  # moves at midnight, from 2023 on
    "America/St_Johns",  # until 2011 it moved a minute after midnight
    "Pacific/Chatham",  # three quarters of an hour off
    "Asia/Kolkata",  # never moves
)
zones = st.sampled_from(ZONES)
years = st.sampled_from([2010, 2018, 2024, 2025, 2026])


def changes(zone: str, year: int) -> Iterator[datetime]:
    """Yield the first whole hour after each change of a zone's clocks in a year, or any if there is none."""
    hour, end = datetime(year, 1, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    moved = False
    while hour < end:
        before = hour - timedelta(hours=1)
        if hour.astimezone(ZoneInfo(zone)).utcoffset() != before.astimezone(ZoneInfo(zone)).utcoffset():
            moved = True
            yield hour
        hour += timedelta(hours=1)
    if not moved:
        yield datetime(year, 6, 1, tzinfo=UTC)


@settings(max_examples=40)
@given(zones, years, st.integers(0, 23), st.integers(0, 59))
def test_a_time_of_day_comes_exactly_once_on_each_day_of_a_year(
    zone: str, year: int, hour: int, minute: int
) -> None:
    tz = ZoneInfo(zone)
    first, last = (datetime(y, 1, 1, tzinfo=tz).astimezone(UTC) for y in (year, year + 1))
    seen = [t.astimezone(tz) for t in fires(f"{minute} {hour} * * *", zone, first, last)]
    length = (date(year + 1, 1, 1) - date(year, 1, 1)).days
    assert [t.date() for t in seen] == [date(year, 1, 1) + n * DAY for n in range(length)]
    elsewhere = [t for t in seen if (t.hour, t.minute) != (hour, minute)]
    assert len(elsewhere) <= 2  # Cairo moved twice in 2010
    assert all(t.utcoffset() != (t - DAY).utcoffset() for t in elsewhere)
    assert all(t.fold == 0 for t in seen)


fields = st.tuples(
    st.sampled_from(["*", "*/20", "0", "45", "0-59/7", "5,30"]),
    st.sampled_from(["*", "*/2", "0", "1", "2", "0-4", "23", "22-23"]),
).map(" ".join)


@settings(max_examples=60)
@given(zones, years, fields)
def test_around_every_change_of_clocks_a_line_is_due_as_a_walk_through_all_minutes_finds(
    zone: str, year: int, fields: str
) -> None:
    tz, utc = ZoneInfo(zone), cron.trigger(f"{fields} * * *", "UTC")
    for change in changes(zone, year):
        walk = [change + m * MINUTE for m in range(-36 * 60, 36 * 60)]
        shown = [t.astimezone(tz).replace(tzinfo=UTC, fold=0) for t in walk]
        named = set(due_instants(utc, min(shown) - TICK, max(shown))[0])
        if fields.startswith("*") or " *" in fields:
            expected = [t for t, wall in zip(walk, shown, strict=True) if wall in named]
        else:  # the first minute at which the clocks show that time, or have left it out
            firsts = {next(t for t, s in zip(walk, shown, strict=True) if s >= wall) for wall in named}
            expected = sorted(firsts)
        assert fires(f"{fields} * * *", zone, walk[0], walk[-1] + MINUTE) == expected


@settings(max_examples=60)
@given(zones, fields, years, st.lists(st.integers(0, 5 * 86_400), min_size=3, max_size=3).map(sorted))
def test_what_is_due_does_not_depend_on_how_often_one_looks(
    zone: str, fields: str, year: int, seconds: list[int]
) -> None:
    trigger = cron.trigger(f"{fields} * * *", zone)
    change = next(changes(zone, year)) - 3 * DAY
    a, b, c = (change + timedelta(seconds=s) for s in seconds)
    at_once, following = due_instants(trigger, a, c)
    assert due_instants(trigger, a, b)[0] + due_instants(trigger, b, c)[0] == at_once
    assert at_once == sorted(set(at_once))
    assert all(a < t <= c for t in at_once)
    assert following is not None
    assert following > c
    bit_by_bit: list[datetime] = []
    upcoming: datetime | None = a
    while upcoming is not None and upcoming <= c:
        found, upcoming = due_instants(trigger, bit_by_bit[-1] if bit_by_bit else a, c, 7)
        bit_by_bit += found
    assert bit_by_bit == at_once


def test_an_interval_goes_on_through_every_change_of_clocks() -> None:
    start = datetime(2026, 1, 1, 0, 7, tzinfo=UTC)
    trigger = cron.Interval(timedelta(minutes=90))
    instants, _ = due_instants(trigger, start, start + 365 * DAY)
    assert instants == [start + i * timedelta(minutes=90) for i in range(1, 365 * 16 + 1)]


@given(st.integers(60, 10**6), st.integers(-3600, 10**8))
def test_an_interval_that_was_not_looked_at_for_long_goes_on_in_its_own_steps(every: int, away: int) -> None:
    trigger = cron.Interval(timedelta(seconds=every))
    now = SUNDAY + timedelta(seconds=away)
    upcoming = trigger.resumed(SUNDAY, now)
    assert upcoming > max(SUNDAY, now)
    assert (upcoming - SUNDAY) % trigger.every == timedelta()
    assert upcoming - trigger.every <= max(SUNDAY, now)
