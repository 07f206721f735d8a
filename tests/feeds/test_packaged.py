import csv
from datetime import date, time, timedelta
from importlib import resources

import pytest

from helios_agent import errors
from helios_agent.feeds import packaged
from helios_agent.lottery import calendar, games


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("powerball", 2000, date(2010, 2, 3), date(2026, 9, 16)),
        ("megamillions", 2372, date(2003, 12, 5), date(2026, 8, 25)),
    ],
)
def test_the_packaged_history_holds_every_draw_day_of_its_span_and_no_other(
    name: str, count: int, first: date, last: date
) -> None:
    game = games.game(name)
    report = packaged.read(game)
    assert report.source == "packaged"
    assert report.rejected == ()
    assert len(report.draws) == count
    assert [draw.day for draw in report.draws] == calendar.draw_days(game, first, last)
    assert all(draw.ordered and draw.game == name for draw in report.draws)


def test_every_row_of_the_files_is_read_as_it_stands() -> None:
    for game in filter(packaged.exist, games.GAMES.values()):
        text = (resources.files("helios_agent.lottery.history") / f"{game.name}.csv").read_text()
        rows = list(csv.reader(text.splitlines()))[1:]
        written = [
            [
                draw.day.isoformat(),
                *map(str, draw.whites),
                str(draw.bonus),
                "" if draw.multiplier is None else str(draw.multiplier),
            ]
            for draw in packaged.read(game).draws
        ]
        assert written == rows


def test_balls_keep_the_order_in_which_they_were_drawn() -> None:
    first = packaged.read(games.game("powerball")).draws[0]
    assert (first.whites, first.bonus, first.multiplier) == ((37, 52, 22, 36, 17), 24, 2)


def test_in_every_packaged_era_the_highest_ball_drawn_is_the_highest_there_is() -> None:
    for game in filter(packaged.exist, games.GAMES.values()):
        drawn = packaged.read(game).draws
        for era in game.eras:
            inside = [draw for draw in drawn if game.era_at(draw.day) is era]
            if inside:
                assert max(ball for draw in inside for ball in draw.whites) == era.white
                assert max(draw.bonus for draw in inside) == era.bonus


def test_powerball_drew_no_multiplier_from_2012_to_2014() -> None:
    without = [draw.day for draw in packaged.read(games.game("powerball")).draws if draw.multiplier is None]
    assert (len(without), without[0], without[-1]) == (210, date(2012, 1, 18), date(2014, 1, 18))


def test_a_game_without_packaged_draws_is_named() -> None:
    keno = games.Game("keno", "Keno", "UTC", time(12), timedelta(0), (), ())
    with pytest.raises(errors.NotFound, match="no draws of 'keno' are packaged"):
        packaged.read(keno)
