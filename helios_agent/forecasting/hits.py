"""Hits: how many of the balls held likeliest were drawn, and what chance alone gives.

On a fair machine every choice of k balls that was made before the draw has the same law of hits, whoever made
it and from what, and hits of different draws are independent of each other. So the law of their sum is exact,
ties and learning forecasters included.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_RANK_DECIMALS = 12  # probabilities that agree to so many decimals are one: the ball of lower number leads


class Hits(NamedTuple):
    """How many hits there were in all, the mean and standard deviation that chance gives, and its chance
    of as many or more."""

    hits: int
    expected: float
    sd: float
    p: float


def likeliest(probabilities: Floats, count: int) -> Ints:
    """Return the `count` likeliest balls of each draw, (T, count), 1-based, ascending; of (T, N)."""
    ranks = np.argsort(-np.round(probabilities, _RANK_DECIMALS), axis=1, kind="stable")
    return np.asarray(np.sort(ranks[:, :count], axis=1) + 1, dtype=np.int64)


def counted(chosen: Ints, drawn: Ints) -> Ints:
    """Return how many of the balls `chosen` ((T, j)) are among those `drawn` ((T, k)), shape (T,)."""
    return np.asarray((chosen[:, :, np.newaxis] == drawn[:, np.newaxis, :]).sum(axis=(1, 2)), dtype=np.int64)


def of_one_draw(balls: int, pick: int) -> Floats:
    """Return the chances of 0..pick hits when `pick` of `balls` are chosen, and as many drawn.

    The hypergeometric law. With `pick` 1 it is that of the bonus ball.
    """
    ways = [math.comb(pick, hits) * math.comb(balls - pick, pick - hits) for hits in range(pick + 1)]
    return np.array([way / math.comb(balls, pick) for way in ways])


def of_draws(chances: Floats, draws: int) -> Floats:
    """Return the chances of 0, 1, … hits in `draws` independent draws that each have these `chances`.

    By convolution; all terms are positive, so small tails are as exact as large ones.
    """
    total, power = np.ones(1), chances
    while draws:
        if draws & 1:
            total = np.convolve(total, power)
        draws >>= 1
        if draws:
            power = np.convolve(power, power)
    return np.asarray(total, dtype=np.float64)


def against_chance(hits: int, draws: int, balls: int, pick: int) -> Hits:
    """Hold the `hits` of a number of `draws` against the exact law of a fair machine: see `of_one_draw`."""
    chances = of_one_draw(balls, pick)
    numbers = np.arange(len(chances))
    mean = float(chances @ numbers)
    variance = float(chances @ (numbers - mean) ** 2)
    tail = float(of_draws(chances, draws)[hits:].sum())
    return Hits(hits, draws * mean, math.sqrt(draws * variance), min(1.0, tail))
