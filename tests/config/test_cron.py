from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.config import cron
from helios_agent.schedules import due_instants

NAMES = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
SUNDAY = datetime(2026, 9, 13, tzinfo=UTC)


def weekdays(field: str) -> set[str]:
    """Return the days of a fortnight on which a midnight schedule with this week-day field fires."""
    trigger = cron.trigger(f"0 0 * * {field}", "UTC")
    instants, _ = due_instants(trigger, SUNDAY - timedelta(seconds=1), SUNDAY + timedelta(days=13, hours=1))
    found = [NAMES[instant.isoweekday() % 7] for instant in instants]
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
    end = SUNDAY + timedelta(days=7)
    instants, following = due_instants(cron.trigger(line, "UTC"), SUNDAY - timedelta(seconds=1), end)
    every = (SUNDAY + timedelta(minutes=m) for m in range(7 * 24 * 60 + 1))
    assert instants == [
        t for t in every if t.minute in minute and t.hour in hour and t.isoweekday() % 7 == day
    ]
    assert following is not None
    assert following > end


@pytest.mark.parametrize(
    "field", ["8", "-1", "1-9", "mon-", "x", "1/0", "*/0", "", "1,,2", "mon.tue", "#1", "1-2-3"]
)
def test_a_week_day_field_that_means_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=r"week-day|fields"):
        cron.trigger(f"0 0 * * {field}", "UTC")


def test_a_line_is_read_in_its_time_zone() -> None:
    trigger = cron.trigger("30 23 * * sat", "America/New_York")
    instants, _ = due_instants(trigger, SUNDAY, SUNDAY + timedelta(days=8))
    assert instants == [datetime(2026, 9, day, 3, 30, tzinfo=UTC) for day in (13, 20)]
