from collections.abc import Hashable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.store.rotation import Rotation, kept

INSTANTS = st.builds(
    lambda minutes, zone: datetime(2024, 12, 20, tzinfo=zone) + timedelta(minutes=minutes),
    st.integers(0, 400 * 24 * 60),
    st.sampled_from([UTC, timezone(timedelta(hours=-7))]),
)
ROTATIONS = st.builds(Rotation, st.integers(1, 9), st.integers(0, 6), st.integers(0, 14))


def periods(instant: datetime) -> tuple[Hashable, Hashable, Hashable]:
    instant = instant.astimezone(UTC)
    monday = instant.date() - timedelta(days=instant.weekday())
    return instant.date(), monday, (instant.year, instant.month)


@given(st.sets(INSTANTS, min_size=1), ROTATIONS)
def test_the_newest_is_kept_and_never_more_than_was_asked_for(
    made: set[datetime], rotation: Rotation
) -> None:
    kept_ones = kept(made, rotation)
    assert max(made) in kept_ones
    assert kept_ones <= made
    assert len(kept_ones) <= rotation.daily + rotation.weekly + rotation.monthly


@given(st.sets(INSTANTS, min_size=1), ROTATIONS)
def test_each_of_the_last_days_weeks_and_months_keeps_its_newest(
    made: set[datetime], rotation: Rotation
) -> None:
    kept_ones = kept(made, rotation)
    for kind, count in enumerate((rotation.daily, rotation.weekly, rotation.monthly)):
        last = sorted({periods(at)[kind] for at in made}, reverse=True)[:count]  # type: ignore[type-var]
        for period in last:
            assert max(at for at in made if periods(at)[kind] == period) in kept_ones


@given(st.sets(INSTANTS, min_size=1), ROTATIONS)
def test_rotating_again_removes_nothing_more(made: set[datetime], rotation: Rotation) -> None:
    kept_ones = kept(made, rotation)
    assert kept(kept_ones, rotation) == kept_ones


def test_a_year_of_nightly_backups_leaves_seven_days_four_weeks_and_six_months() -> None:
    nights = [datetime(2026, 1, 1, 4, 12, tzinfo=UTC) + timedelta(days=day) for day in range(365)]
    left = sorted(kept(nights, Rotation(7, 4, 6)), reverse=True)
    assert [f"{at:%m-%d}" for at in left] == [
        *("12-31", "12-30", "12-29", "12-28", "12-27", "12-26", "12-25"),  # days; the 27th ends a week
        *("12-20", "12-13"),  # Sundays: the weeks of the 31st, the 27th, the 20th, the 13th
        *("11-30", "10-31", "09-30", "08-31", "07-31"),
    ]


def test_after_a_long_pause_the_old_ones_are_still_there() -> None:
    made = [datetime(2025, 3, day, tzinfo=UTC) for day in (1, 2, 3)] + [datetime(2026, 9, 18, tzinfo=UTC)]
    assert kept(made, Rotation(7, 4, 6)) == set(made)


@pytest.mark.parametrize("wrong", [(0, 4, 6), (7, -1, 6), (7, 4, -1)])
def test_a_rotation_that_would_keep_nothing_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="daily must be at least 1"):
        Rotation(*wrong)
