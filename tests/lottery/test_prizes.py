from datetime import date
from fractions import Fraction

import pytest

from helios_agent.lottery import games, prizes

POWERBALL = games.game("powerball").era_at(date(2026, 9, 16))
MEGAMILLIONS = games.game("megamillions").era_at(date(2026, 8, 25))


@pytest.mark.parametrize(
    ("whites", "bonus", "one_in"),
    [
        (5, True, 292_201_338),
        (5, False, 11_688_053.52),
        (4, True, 913_129.18),
        (4, False, 36_525.17),
        (3, True, 14_494.11),
        (3, False, 579.76),
        (2, True, 701.33),
        (1, True, 91.98),
        (0, True, 38.32),
    ],
)
def test_the_odds_follow_from_the_matrix_as_powerball_publishes_them(
    whites: int, bonus: bool, one_in: float
) -> None:
    assert round(float(prizes.odds_one_in(POWERBALL, whites, bonus)), 2) == one_in


def test_jackpot_odds_are_whole_numbers_exactly() -> None:
    megamillions = games.game("megamillions")
    assert prizes.odds_one_in(POWERBALL, *prizes.JACKPOT) == Fraction(292_201_338)
    assert prizes.odds_one_in(MEGAMILLIONS, *prizes.JACKPOT) == Fraction(290_472_336)
    assert prizes.odds_one_in(megamillions.era_at(date(2020, 1, 3)), 5, True) == Fraction(302_575_350)


def test_the_odds_of_any_prize_are_those_published() -> None:
    assert round(float(prizes.any_prize_one_in(POWERBALL)), 2) == 24.87
    assert round(float(prizes.any_prize_one_in(MEGAMILLIONS)), 2) == 23.07


@pytest.mark.parametrize(
    "era", [era for game in games.GAMES.values() for era in game.eras], ids=lambda era: era.name
)
def test_all_matches_together_are_certain(era: games.Era) -> None:
    chances = [prizes.probability(era, whites, bonus) for whites in range(6) for bonus in (True, False)]
    assert sum(chances) == 1


@pytest.mark.parametrize("whites", [-1, 6])
def test_a_match_that_cannot_happen_has_no_odds(whites: int) -> None:
    assert prizes.probability(POWERBALL, whites, True) == 0
    with pytest.raises(ValueError, match=f"whites_matched is {whites}; expected 0 to 5"):
        prizes.odds_one_in(POWERBALL, whites, True)


def test_a_powerball_line_returns_32_cents_of_its_two_dollars_without_the_jackpot() -> None:
    value = prizes.fixed_prize_value(POWERBALL, prizes.POWERBALL_2015)
    assert round(float(value), 4) == 0.3199


def test_a_mega_millions_line_returns_its_base_prizes_three_times() -> None:
    base = prizes.fixed_prize_value(MEGAMILLIONS, prizes.MEGAMILLIONS_2025)
    chances = prizes.MEGAMILLIONS_2025_MULTIPLIER
    mean = sum(times * chance for times, chance in chances.items())
    assert sum(chances.values()) == 1
    assert mean == 3
    assert round(float(base), 4) == 0.3728
    assert round(float(base * mean), 4) == 1.1185
