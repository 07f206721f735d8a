from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from helios_agent import errors
from helios_agent.lottery import draws, games
from helios_agent.lottery.draws import Draw

POWERBALL = games.game("powerball")
GOOD = Draw("powerball", date(2026, 9, 16), (21, 24, 25, 2, 64), bonus=7, multiplier=2, ordered=True)


def test_a_draw_within_the_rules_is_valid_to_their_very_limits() -> None:
    draws.validate(POWERBALL, GOOD)
    draws.validate(POWERBALL, replace(GOOD, whites=(69, 1, 2, 3, 4), bonus=26, multiplier=10))
    draws.validate(POWERBALL, replace(GOOD, bonus=1, multiplier=None))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"game": "megamillions"}, "game is 'megamillions'; expected 'powerball'"),
        ({"day": date(2026, 9, 17)}, "day is a Thursday; expected Monday or Wednesday or Saturday"),
        ({"day": date(2021, 8, 16)}, "day is a Monday; expected Wednesday or Saturday"),
        ({"day": date(1990, 1, 3)}, "day is before the game's first draw; expected 1992-04-22 or later"),
        ({"whites": (1, 2, 3, 4)}, "whites is 4 balls (1, 2, 3, 4); expected 5 balls"),
        ({"whites": (1, 2, 3, 4, 5, 6)}, "whites is 6 balls (1, 2, 3, 4, 5, 6); expected 5 balls"),
        ({"whites": (1, 2, 70, 4, 5)}, "white ball 3 is 70; expected 1 to 69"),
        ({"whites": (0, 2, 3, 4, 5)}, "white ball 1 is 0; expected 1 to 69"),
        ({"day": date(2015, 10, 3), "whites": (1, 2, 3, 4, 60)}, "white ball 5 is 60; expected 1 to 59"),
        ({"whites": (9, 2, 3, 9, 5)}, "white ball 4 is 9 again; expected 5 different balls"),
        ({"ordered": False}, "whites is (21, 24, 25, 2, 64); expected ascending balls"),
        ({"bonus": 27}, "bonus ball is 27; expected 1 to 26"),
        ({"bonus": 0}, "bonus ball is 0; expected 1 to 26"),
        ({"multiplier": 0}, "multiplier is 0; expected none, or 1 to 10"),
        ({"multiplier": 22}, "multiplier is 22; expected none, or 1 to 10"),
    ],
)
def test_an_impossible_draw_is_refused_naming_game_date_field_value_and_expectation(
    change: dict[str, Any], message: str
) -> None:
    draw = replace(GOOD, **change)
    with pytest.raises(errors.DrawInvalid) as refusal:
        draws.validate(POWERBALL, draw)
    subject, _, complaint = str(refusal.value).partition(": ")
    assert complaint.startswith(message)
    assert str(draw.day) in subject


def test_the_same_balls_in_another_order_are_the_same_balls() -> None:
    ascending = replace(GOOD, whites=(2, 21, 24, 25, 64), ordered=False, multiplier=None)
    assert GOOD.same_balls(ascending)
    assert ascending.same_balls(GOOD)
    assert not GOOD.same_balls(replace(ascending, bonus=8))
    assert not GOOD.same_balls(replace(ascending, whites=(2, 21, 24, 25, 63)))
