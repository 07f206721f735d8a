"""What a source writes is read back as it was: for drawn histories, and for the packaged ones."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from helios_agent.feeds import packaged, socrata, texas
from helios_agent.lottery import calendar, games
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import Game


def as_texas_writes(game: Game, draws: Iterable[Draw]) -> str:
    return "".join(
        f"{game.title},{draw.day.month},{draw.day.day},{draw.day.year},"
        f"{','.join(map(str, draw.whites))},{draw.bonus},{draw.multiplier or ''}\r\n"
        for draw in draws
    )


def _record(game: Game, draw: Draw) -> dict[str, str]:
    balls = [f"{ball:02}" for ball in sorted(draw.whites)]
    found = {"draw_date": f"{draw.day}T00:00:00.000"}
    if game.name == "megamillions":
        found["mega_ball"] = f"{draw.bonus:02}"
    else:
        balls.append(f"{draw.bonus:02}")
    found["winning_numbers"] = " ".join(balls)
    if draw.multiplier is not None:
        found["multiplier"] = str(draw.multiplier)
    return found


def as_new_york_writes(game: Game, draws: Iterable[Draw]) -> str:
    return json.dumps([_record(game, draw) for draw in draws])


def unordered(draw: Draw) -> Draw:
    return replace(draw, whites=tuple(sorted(draw.whites)), ordered=False)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Game, list[Draw]]:
    game = draw(st.sampled_from(list(games.GAMES.values())))
    all_days = calendar.draw_days(game, game.eras[0].start, date(2027, 1, 1))
    days = draw(st.lists(st.sampled_from(all_days), min_size=1, max_size=20, unique=True))
    found = []
    for day in days:
        era = game.era_at(day)
        balls = draw(st.lists(st.integers(1, era.white), min_size=5, max_size=5, unique=True))
        bonus = draw(st.integers(1, era.bonus))
        multiplier = draw(st.none() | st.integers(1, 10))
        found.append(Draw(game.name, day, tuple(balls), bonus, multiplier, ordered=True))
    return game, sorted(found, key=lambda each: each.day)


@given(histories(), st.randoms(use_true_random=False))
def test_texas_is_read_back_in_the_order_drawn(history: tuple[Game, list[Draw]], random: Random) -> None:
    game, drawn = history
    shuffled = random.sample(drawn, len(drawn))
    report = texas.parse(game, as_texas_writes(game, shuffled))
    assert report.draws == tuple(drawn)
    assert report.rejected == ()


@given(histories(), st.randoms(use_true_random=False))
def test_new_york_is_read_back_ascending(history: tuple[Game, list[Draw]], random: Random) -> None:
    game, drawn = history
    shuffled = random.sample(drawn, len(drawn))
    report = socrata.parse(game, as_new_york_writes(game, shuffled))
    assert report.draws == tuple(map(unordered, drawn))
    assert report.rejected == ()


def test_the_packaged_histories_survive_both() -> None:
    for game in filter(packaged.exist, games.GAMES.values()):
        drawn = packaged.read(game).draws
        assert texas.parse(game, as_texas_writes(game, drawn)).draws == drawn
        assert socrata.parse(game, as_new_york_writes(game, drawn)).draws == tuple(map(unordered, drawn))
