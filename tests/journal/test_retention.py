"""Which events are archived: a law of the age, the size, and what is needed."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.journal.retention import BATCH_US, DAY_US, KEPT_US, Stored, archive_upto

NOW_US = 2000 * DAY_US
YEAR_US = 365 * DAY_US


def daily(days: int, size: int = 100) -> list[Stored]:
    """One event a day; the newest is one day old."""
    return [Stored(seq, NOW_US - (days + 1 - seq) * DAY_US, size) for seq in range(1, days + 1)]


def upto(
    events: list[Stored],
    *,
    age_us: int = YEAR_US,
    kept_us: int = KEPT_US,
    excess: int = 0,
    needed: int | None = None,
) -> int | None:
    return archive_upto(events, now_us=NOW_US, age_us=age_us, kept_us=kept_us, excess=excess, needed=needed)


def test_an_empty_or_a_young_journal_keeps_everything() -> None:
    assert upto([]) is None
    assert upto(daily(365)) is None


def test_what_is_older_than_the_age_is_archived_once_it_is_a_week_s_worth() -> None:
    assert upto(daily(365 + 7)) is None
    assert upto(daily(365 + 8)) == 8
    assert upto(daily(1000)) == 1000 - 365


def test_what_is_too_large_gives_up_its_oldest_events() -> None:
    assert upto(daily(300), excess=1) == 1
    assert upto(daily(300), excess=100) == 1
    assert upto(daily(300), excess=1001) == 11
    assert upto(daily(500), excess=1001) == 500 - 365, "by age it would have been more"
    assert upto(daily(500), excess=20_001) == 201, "by size it would have been more"


def test_the_last_thirty_days_stay_whatever_their_size() -> None:
    assert upto(daily(300), excess=10**9) == 270
    assert upto(daily(30), excess=10**9) is None
    assert upto(daily(300), excess=10**9, kept_us=100 * DAY_US) == 200


@pytest.mark.parametrize(("needed", "expected"), [(1, None), (2, 1), (100, 99), (271, 270), (299, 270)])
def test_what_is_needed_stays_with_all_that_came_after_it(needed: int, expected: int | None) -> None:
    assert upto(daily(300), excess=10**9, needed=needed) == expected


def test_an_event_from_a_clock_that_was_ahead_keeps_what_came_after_it() -> None:
    events = daily(1000)
    events[99] = Stored(100, NOW_US + YEAR_US, 100)
    assert upto(events) == 99


def test_no_more_events_are_read_than_need_be() -> None:
    taken = []

    def reading() -> Iterator[Stored]:
        for event in daily(1000):
            taken.append(event.seq)
            yield event

    archive_upto(reading(), now_us=NOW_US, age_us=YEAR_US, kept_us=KEPT_US, excess=0, needed=None)
    assert taken[-1] == 1000 - 365 + 1


events_of_any_clock = st.lists(
    st.tuples(st.integers(NOW_US - 3 * YEAR_US, NOW_US + DAY_US), st.integers(1, 1000)), max_size=40
).map(lambda rows: [Stored(seq, at_us, size) for seq, (at_us, size) in enumerate(rows, start=1)])


@given(
    events_of_any_clock, st.integers(KEPT_US, 2 * YEAR_US), st.integers(-1000, 50_000),
    st.none() | st.integers(1, 41),
)  # fmt: skip
def test_it_archives_a_beginning_that_may_go_and_as_little_as_does(
    events: list[Stored], age_us: int, excess: int, needed: int | None
) -> None:
    last = upto(events, age_us=age_us, excess=excess, needed=needed) or 0
    gone, stays = events[:last], events[last:]
    assert all(event.at_us < NOW_US - KEPT_US for event in gone)
    assert needed is None or last < needed
    if gone and gone[-1].at_us >= NOW_US - age_us:
        assert sum(event.size for event in gone[:-1]) < excess, "it went for its size alone, and had to"
    if stays and stays[0].at_us < NOW_US - KEPT_US and stays[0].seq != needed:
        assert sum(event.size for event in gone) >= excess
        aged = stays[0].at_us < NOW_US - age_us
        assert not aged or events[0].at_us >= NOW_US - age_us - BATCH_US
