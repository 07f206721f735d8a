from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.lottery import calendar, games
from helios_agent.lottery.games import Game

POWERBALL = games.game("powerball")
MEGAMILLIONS = games.game("megamillions")


@pytest.mark.parametrize(
    ("game", "day", "instant"),
    [
        (POWERBALL, date(2026, 3, 7), datetime(2026, 3, 8, 3, 59, tzinfo=UTC)),
        (POWERBALL, date(2026, 3, 9), datetime(2026, 3, 10, 2, 59, tzinfo=UTC)),
        (POWERBALL, date(2026, 10, 31), datetime(2026, 11, 1, 2, 59, tzinfo=UTC)),
        (POWERBALL, date(2026, 11, 2), datetime(2026, 11, 3, 3, 59, tzinfo=UTC)),
        (MEGAMILLIONS, date(2026, 3, 6), datetime(2026, 3, 7, 4, 0, tzinfo=UTC)),
        (MEGAMILLIONS, date(2026, 3, 10), datetime(2026, 3, 11, 3, 0, tzinfo=UTC)),
    ],
)
def test_a_draw_keeps_its_local_hour_when_the_clocks_change(game: Game, day: date, instant: datetime) -> None:
    assert calendar.draw_instant(game, day) == instant
    assert calendar.draw_instant(game, day).tzinfo is UTC


def test_sales_close_before_the_draw_by_the_same_time_whatever_the_clocks_do() -> None:
    assert calendar.sales_close(POWERBALL, date(2026, 3, 7)) == datetime(2026, 3, 8, 2, 59, tzinfo=UTC)
    assert calendar.sales_close(MEGAMILLIONS, date(2026, 3, 10)) == datetime(2026, 3, 11, 2, 45, tzinfo=UTC)


def test_the_next_draw_day_turns_at_the_very_instant_of_the_draw() -> None:
    instant = datetime(2026, 9, 17, 2, 59, tzinfo=UTC)
    assert calendar.next_draw_day(POWERBALL, instant - timedelta(microseconds=1)) == date(2026, 9, 16)
    assert calendar.next_draw_day(POWERBALL, instant) == date(2026, 9, 19)


def test_the_next_draw_day_follows_the_schedule_of_its_time() -> None:
    assert calendar.next_draw_day(POWERBALL, datetime(2021, 8, 15, 12, tzinfo=UTC)) == date(2021, 8, 18)
    assert calendar.next_draw_day(POWERBALL, datetime(2021, 8, 22, 12, tzinfo=UTC)) == date(2021, 8, 23)
    assert calendar.next_draw_day(MEGAMILLIONS, datetime(2026, 8, 26, 12, tzinfo=UTC)) == date(2026, 8, 28)


def test_before_a_game_began_its_next_draw_is_its_first() -> None:
    assert calendar.next_draw_day(MEGAMILLIONS, datetime(1999, 1, 1, tzinfo=UTC)) == date(2002, 5, 17)


def test_draw_days_include_both_ends_and_take_up_the_added_monday() -> None:
    assert calendar.draw_days(POWERBALL, date(2021, 8, 14), date(2021, 8, 25)) == [
        date(2021, 8, 14),
        date(2021, 8, 18),
        date(2021, 8, 21),
        date(2021, 8, 23),
        date(2021, 8, 25),
    ]
    assert calendar.draw_days(POWERBALL, date(2021, 8, 25), date(2021, 8, 24)) == []
    assert calendar.draw_days(POWERBALL, date(1992, 4, 1), date(1992, 4, 25)) == [
        date(1992, 4, 22),
        date(1992, 4, 25),
    ]


def test_a_draw_is_expected_from_its_instant_on() -> None:
    instant = calendar.draw_instant(MEGAMILLIONS, date(2026, 8, 28))
    before = calendar.expected_days(MEGAMILLIONS, date(2026, 8, 25), instant - timedelta(seconds=1))
    assert before == [date(2026, 8, 25)]
    assert calendar.expected_days(MEGAMILLIONS, date(2026, 8, 25), instant) == [
        date(2026, 8, 25),
        date(2026, 8, 28),
    ]


def test_the_rules_of_now_are_those_of_the_next_draw() -> None:
    last = calendar.draw_instant(POWERBALL, date(2015, 10, 3))
    assert calendar.era_now(POWERBALL, last - timedelta(seconds=1)).name == "2012-01-18"
    assert calendar.era_now(POWERBALL, last).name == "2015-10-07"


def test_an_instant_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        calendar.next_draw_day(POWERBALL, datetime(2026, 9, 16))  # noqa: DTZ001


@given(
    game=st.sampled_from(list(games.GAMES.values())),
    after=st.datetimes(datetime(1992, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
)
def test_no_draw_lies_between_an_instant_and_the_next_draw_day(game: Game, after: datetime) -> None:
    day = calendar.next_draw_day(game, after)
    assert calendar.is_draw_day(game, day)
    assert calendar.draw_instant(game, day) > after
    earlier = calendar.draw_days(game, after.date() - timedelta(days=8), day - timedelta(days=1))
    assert all(calendar.draw_instant(game, each) <= after for each in earlier)
