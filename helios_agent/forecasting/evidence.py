"""What the ledger says about fairness and skill, valid at whatever moment one looks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from helios_agent.forecasting import mixture

SKILL_ALPHA = 0.05
"""Wherever a mean gain is shown, its confidence sequence holds with probability 1 - SKILL_ALPHA."""
FEWEST_DRAWS_BOUNDED = 100
"""Below this a backtest gives no bounds of a mean gain: being asymptotic they promise too much, most of all
where gains are rare and large."""
TIGHTEST_AT_DRAWS = 500  # for which skill_interval is tuned: about three years of Powerball


class SkillInterval(NamedTuple):
    """Mean gain per draw and its confidence bounds, nats. None where there are too few draws to say."""

    mean: float | None
    low: float | None
    high: float | None


def anytime_p(peak_nats: float) -> float:
    """Return the anytime-valid p-value min(1, exp(-peak)) of "the machine is fair".

    `peak_nats` is the running maximum of the mixture's cumulative gain. Ville's inequality: a fair machine
    ever takes it to log(1/alpha) with probability at most alpha, however long one watches.
    """
    return min(1.0, math.exp(-peak_nats))


def skill_interval(gains: ArrayLike, alpha: float) -> SkillInterval:
    """Return the mean of per-draw `gains` ((T,), nats) with asymptotic confidence bounds good at all T.

    mean ± sd sqrt(2(Tρ²+1)/(T²ρ²) log(sqrt(Tρ²+1)/alpha)): the asymptotic confidence sequence of
    Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2024), Time-uniform central limit theory and asymptotic
    confidence sequences, Theorem 2.2; sd is that of the sample (divisor T). ρ is fixed in advance so as to
    make the interval tightest at T = 500: ρ² = (-2 log alpha + log(1 - 2 log alpha))/500, one fixed-point
    step on the stationary equation a = log(1 + a) - 2 log alpha of a = Tρ². Bounds are None below two draws.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}; expected a probability between 0 and 1")
    values = np.asarray(gains, dtype=np.float64)
    T = values.size
    if T == 0:
        return SkillInterval(None, None, None)
    mean = float(values.mean())
    if T < 2:
        return SkillInterval(mean, None, None)
    twice_log = -2.0 * math.log(alpha)
    rho2 = (twice_log + math.log1p(twice_log)) / TIGHTEST_AT_DRAWS
    scale = T * rho2 + 1.0
    width = float(values.std()) * math.sqrt(2.0 * scale / (T * T * rho2) * math.log(math.sqrt(scale) / alpha))
    return SkillInterval(mean, mean - width, mean + width)


def worst_drawdown(gains: ArrayLike) -> float:
    """Return the most that the sum of `gains` ((T,), nats) ever fell below an earlier one, at least 0.

    The sum before the first draw, 0, is one of the earlier ones.
    """
    sums = np.concatenate([[0.0], np.cumsum(np.asarray(gains, dtype=np.float64))])
    return float((np.maximum.accumulate(sums) - sums).max())


def predictability(weights: Mapping[str, float]) -> float:
    """Return the mixture's belief that the machine can be predicted: 1 - weight of uniform - reserve."""
    believed = weights.get(mixture.UNIFORM, 0.0) + weights.get(mixture.RESERVE, 0.0)
    return min(1.0, max(0.0, 1.0 - believed))


def smallest_visible_factor(
    draws: int, white_count: int, pick: int, alpha: float, hypotheses: Mapping[float, float]
) -> float | None:
    """Return how many times as heavy as any other a single ball must be to have shown by now, on average.

    `hypotheses` has, for each factor f that the mixture believes possible, the prior weight p of one given
    ball with it. Where the ball really weighs r, it is drawn with probability π = rs/(1 + s(r - 1)), s = k/N,
    and the hypothesis gains π log f - log(1 + s(f - 1)) nats a draw; it alone takes the mixture to 1/alpha
    when it has gained log(1/(alpha p)). Returned is the smallest r > 1 whose mean gain over `draws` is that
    much, for any f > 1; None if no r is large enough.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}; expected a probability between 0 and 1")
    if draws < 1:
        return None
    share = pick / white_count
    found = []
    for factor, prior in hypotheses.items():
        if factor > 1.0:
            needed = -math.log(alpha * prior) / draws
            drawn = (needed + math.log1p(share * (factor - 1.0))) / math.log(factor)
            if drawn < 1.0:
                found.append(drawn * (1.0 - share) / (share * (1.0 - drawn)))
    return min(found, default=None)


def e_bh(log_e_values: Mapping[str, float], alpha: float) -> list[str]:
    """Return the names whose null hypothesis e-BH rejects at level `alpha`, largest e-value first.

    With the K e-values in falling order, the first k are rejected, k the largest with e_(k) >= K/(k alpha).
    The expected share of false ones among them is at most alpha, however the e-values depend on each other
    (R. Wang & A. Ramdas 2022, False discovery rate control with e-values, JRSS B 84(3), 822-852), at one
    moment, chosen as one likes: rejections collected over several moments have no such bound.

    `log_e_values` are in nats, -inf for an e-value of 0: of a game, the cumulative gain of its mixture *now*.
    A running maximum is not an e-value. Raises ValueError for nan and for an alpha outside (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}; expected a probability between 0 and 1")
    for name, log_e in log_e_values.items():
        if math.isnan(log_e):
            raise ValueError(f"log_e_values of {name!r} is nan; expected a number of nats")
    names = sorted(log_e_values, key=lambda name: (-log_e_values[name], name))
    rejected = 0
    for k, name in enumerate(names, start=1):
        if log_e_values[name] >= math.log(len(names) / (k * alpha)):
            rejected = k
    return names[:rejected]
