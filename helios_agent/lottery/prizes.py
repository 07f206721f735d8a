"""Odds and prizes of one line, exact, from the matrix alone.

With N white balls of which k are drawn, and B bonus balls, a line matches w whites with probability
C(k, w)·C(N−k, k−w) / C(N, k) (hypergeometric) and the bonus ball with probability 1/B, independently.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import comb
from types import MappingProxyType

from helios_agent.lottery import games

Match = tuple[int, bool]
"""White balls matched, and whether the bonus ball was."""

JACKPOT: Match = (5, True)

WINNING: tuple[Match, ...] = (
    JACKPOT,
    (5, False),
    (4, True),
    (4, False),
    (3, True),
    (3, False),
    (2, True),
    (1, True),
    (0, True),
)
"""The nine ways to win, in both games and in every era."""

POWERBALL_2015: Mapping[Match, int] = MappingProxyType(
    dict(zip(WINNING[1:], (1_000_000, 50_000, 100, 100, 7, 7, 4, 4), strict=True))
)
"""Powerball's fixed prizes since 2015-10-07, in US dollars; California pays pari-mutuel instead."""

MEGAMILLIONS_2025: Mapping[Match, int] = MappingProxyType(
    dict(zip(WINNING[1:], (1_000_000, 10_000, 500, 200, 10, 10, 7, 5), strict=True))
)
"""Mega Millions' fixed prizes since 2025-04-08 in US dollars, before the multiplier each line carries."""

MEGAMILLIONS_2025_MULTIPLIER: Mapping[int, Fraction] = MappingProxyType(
    {times: Fraction(weight, 32) for times, weight in ((2, 15), (3, 10), (4, 4), (5, 2), (10, 1))}
)
"""The chance of each multiplier on a Mega Millions line since 2025-04-08. It is never drawn as a ball."""


def probability(era: games.Era, whites_matched: int, bonus_matched: bool) -> Fraction:
    """Return the probability that one line matches exactly this in one draw; 0 if it cannot."""
    if not 0 <= whites_matched <= era.pick:
        return Fraction(0)
    missed = era.pick - whites_matched
    whites = Fraction(
        comb(era.pick, whites_matched) * comb(era.white - era.pick, missed), comb(era.white, era.pick)
    )
    return whites * Fraction(1 if bonus_matched else era.bonus - 1, era.bonus)


def odds_one_in(era: games.Era, whites_matched: int, bonus_matched: bool) -> Fraction:
    """Return the odds of exactly this match as the x of "1 in x"; raise ValueError if it cannot happen."""
    chance = probability(era, whites_matched, bonus_matched)
    if chance == 0:
        raise ValueError(f"whites_matched is {whites_matched}; expected 0 to {era.pick}")
    return 1 / chance


def any_prize_one_in(era: games.Era) -> Fraction:
    """Return the odds of winning anything as the x of "1 in x"."""
    return 1 / sum((probability(era, *match) for match in WINNING), start=Fraction(0))


def fixed_prize_value(era: games.Era, prizes: Mapping[Match, int]) -> Fraction:
    """Return what `prizes` pay one line on average, in US dollars."""
    return sum((probability(era, *match) * amount for match, amount in prizes.items()), start=Fraction(0))
