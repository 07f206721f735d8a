from datetime import date

import pytest

from helios_agent import errors
from helios_agent.lottery import calendar, games
from helios_agent.lottery.games import Game

EVERY_GAME = pytest.mark.parametrize("game", games.GAMES.values(), ids=lambda game: game.name)


@pytest.mark.parametrize(
    ("name", "day", "era", "white", "bonus", "price"),
    [
        ("powerball", date(1992, 4, 22), "1992-04-22", 45, 45, 1),
        ("powerball", date(2009, 1, 3), "2005-08-31", 55, 42, 1),
        ("powerball", date(2009, 1, 7), "2009-01-07", 59, 39, 1),
        ("powerball", date(2012, 1, 14), "2009-01-07", 59, 39, 1),
        ("powerball", date(2012, 1, 18), "2012-01-18", 59, 35, 2),
        ("powerball", date(2015, 10, 7), "2015-10-07", 69, 26, 2),
        ("megamillions", date(2002, 5, 17), "2002-05-17", 52, 52, 1),
        ("megamillions", date(2013, 10, 18), "2005-06-24", 56, 46, 1),
        ("megamillions", date(2013, 10, 22), "2013-10-22", 75, 15, 1),
        ("megamillions", date(2025, 4, 4), "2017-10-31", 70, 25, 2),
        ("megamillions", date(2025, 4, 8), "2025-04-08", 70, 24, 5),
    ],
)
def test_the_rules_of_a_day_are_those_of_its_era(
    name: str, day: date, era: str, white: int, bonus: int, price: int
) -> None:
    found = games.game(name).era_at(day)
    assert (found.name, found.white, found.bonus, found.price, found.pick) == (era, white, bonus, price, 5)


def test_the_added_monday_of_2021_opens_no_era_because_the_balls_stayed_the_same() -> None:
    powerball = games.game("powerball")
    assert powerball.era_at(date(2021, 8, 21)) is powerball.era_at(date(2021, 8, 23))
    assert powerball.weekdays_at(date(2021, 8, 22)) == (2, 5)
    assert powerball.weekdays_at(date(2021, 8, 23)) == (0, 2, 5)


def test_a_day_before_the_first_draw_has_no_era() -> None:
    powerball = games.game("powerball")
    with pytest.raises(errors.DrawInvalid, match=r"powerball 1992-04-18: .*1992-04-22 or later"):
        powerball.era_at(date(1992, 4, 18))
    assert powerball.weekdays_at(date(1992, 4, 18)) == ()


@EVERY_GAME
def test_eras_ascend_and_each_begins_on_a_draw_day(game: Game) -> None:
    starts = [era.start for era in game.eras]
    assert starts == sorted(set(starts))
    assert all(calendar.is_draw_day(game, start) for start in starts)
    assert game.days[0][0] == starts[0]


def test_an_unknown_game_is_refused_by_naming_the_known_ones() -> None:
    with pytest.raises(errors.NotFound, match="game is 'keno'; expected one of: megamillions, powerball"):
        games.game("keno")
