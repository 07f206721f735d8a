"""Is the challenger better than the champion? A test that may be looked at after every draw.

Let d_t be the challenger's log score of draw t less the champion's, in nats. The null hypothesis is "the
challenger is at no draw expected to do better": E[d_t | past] <= 0 at every t, whatever the machine does.
Rejected, it was expected to do better at some draws; that it always was is more than the test says.

The test bets against it (I. Waudby-Smith & A. Ramdas 2024, Estimating means of bounded random variables by
betting, JRSS B 86(1), 1-27, section 4; on score differences, Y. J. Choe & A. Ramdas 2024, Comparing
sequential forecasters, Operations Research 72(4), 1368-1387). Who stakes λ_t per nat multiplies his wealth by
1 + λ_t d_t. Both forecasts are registered before the draw, so `lowest_difference`, the least value a_t <= 0
that d_t can take over all possible draws, is known before it too, and so is λ_t = min(λ, 0.9/|a_t|). Then

    1 + λ_t d_t >= 1 - 0.9 > 0    and    E[1 + λ_t d_t | past] = 1 + λ_t E[d_t | past] <= 1,

so under the null the wealth of each λ, and the mean E over a fixed grid of λ, is a nonnegative
supermartingale that starts at 1: an e-process. Ville's inequality: P(E ever reaches 1/alpha) <= alpha.
No bound from above is needed.

Nothing is clipped, and no forecast is mixed with uniform for the sake of the test. Clipping d_t to a fixed
[-c, c] would test the mean of the clipped difference, which may be above 0 where that of d_t is not. Mixing
each forecast with a share ε of uniform would be valid but bounds d_t only by the log-range, in Powerball
19.5 nats - log ε, hence stakes below 0.05 where the best are about 1/2. The bound a_t is exact and costs a
sort.

A challenger that is the truth, and at KL nats per draw close to the champion, gains KL/4 per draw at the best
stake: E[d] = KL, E[d²] = 2 KL, and the most that 1 + λd grows by is E[d]²/(2 E[d²]). The ratio of the two
likelihoods grows four times as fast, but speaks against another hypothesis, "the champion is right".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from helios_agent.forecasting import forecast, subsets
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.mixture import rounded

# Stakes per nat. The best for small d is E[d]/E[d²]: 1/2 if the challenger is the truth, more if it is timid,
# less if it is bold. For every best from 1/8 to 16 one of these grows at 0.64 of its rate or faster: r times
# the best stake grows at 2r - r² of it, and steps of a factor 4 leave r = 0.4 and 1.6 in the worst case.
STAKES = (0.125, 0.5, 2.0, 8.0)
LARGEST_LOSS = 0.9  # the share of its wealth that a stake may lose on one draw
_SLACK = 1e-6  # relative: how far rounding may take a difference below its bound


@dataclass(frozen=True)
class Comparison:
    """Where the test of one challenger against one champion stands after `draws` draws.

    wealths_nats: log wealth of each of STAKES.
    peak_nats: the largest log e-value so far, at least 0; exp(-peak) is an anytime-valid p-value.
    """

    wealths_nats: tuple[float, ...] = (0.0,) * len(STAKES)
    peak_nats: float = 0.0
    draws: int = 0

    def __post_init__(self) -> None:
        if len(self.wealths_nats) != len(STAKES) or not all(map(math.isfinite, self.wealths_nats)):
            raise ValueError(
                f"wealths_nats is {self.wealths_nats}; expected {len(STAKES)} finite numbers, one per stake"
            )

    def log_e(self) -> float:
        """Return the log of the e-process, the mean wealth over the stakes, in nats."""
        return rounded(float(np.logaddexp.reduce(self.wealths_nats)) - math.log(len(STAKES)))

    def to_record(self) -> dict[str, Any]:
        """Return the comparison as JSON-ready values."""
        return {"wealths_nats": list(self.wealths_nats), "peak_nats": self.peak_nats, "draws": self.draws}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Comparison:
        """Read a comparison back from its record."""
        return cls(
            tuple(float(wealth) for wealth in record["wealths_nats"]),
            float(record["peak_nats"]),
            int(record["draws"]),
        )


def score(
    comparison: Comparison, challenger: Forecast, champion: Forecast, whites: Sequence[int], bonus: int
) -> Comparison:
    """Return the comparison after one draw. Whoever did not forecast it takes part with the uniform forecast.

    Raises ValueError for forecasts of different games, DrawInvalid for a draw that is not of the game.
    """
    gained, lost = forecast.gains([challenger, champion], whites, bonus).tolist()
    return update(comparison, gained - lost, lowest_difference(challenger, champion))


def update(comparison: Comparison, difference_nats: float, lowest_nats: float) -> Comparison:
    """Return the comparison after a draw with a log-score difference of `difference_nats`.

    `lowest_nats` is the least difference that was possible, known before the draw. Figures are rounded as in
    the ledger. Raises ValueError if either is not finite, `lowest_nats` above 0 or the difference below it.
    """
    if not -math.inf < lowest_nats <= 0.0:
        raise ValueError(f"lowest_nats is {lowest_nats}; expected a finite number, at most 0")
    if not lowest_nats - _SLACK * (1.0 - lowest_nats) <= difference_nats < math.inf:
        raise ValueError(
            f"difference_nats is {difference_nats}; "
            f"expected a finite number, at least lowest_nats, which is {lowest_nats}"
        )
    most = LARGEST_LOSS / -lowest_nats if lowest_nats < 0.0 else math.inf
    difference = max(difference_nats, lowest_nats)
    wealths = tuple(
        rounded(wealth + math.log1p(min(stake, most) * difference))
        for stake, wealth in zip(STAKES, comparison.wealths_nats, strict=True)
    )
    moved = replace(comparison, wealths_nats=wealths, draws=comparison.draws + 1)
    return replace(moved, peak_nats=max(comparison.peak_nats, moved.log_e()))


@dataclass(frozen=True)
class Trial:
    """The test of one challenger against one champion, the `ordinal`-th (from 1) of an era."""

    challenger: str
    champion: str
    ordinal: int
    comparison: Comparison

    def to_record(self) -> dict[str, Any]:
        """Return the trial as JSON-ready values."""
        names = {"challenger": self.challenger, "champion": self.champion, "ordinal": self.ordinal}
        return names | {"comparison": self.comparison.to_record()}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Trial:
        """Read a trial back from its record."""
        return cls(
            str(record["challenger"]),
            str(record["champion"]),
            int(record["ordinal"]),
            Comparison.from_record(record["comparison"]),
        )


def try_out(
    trial: Trial | None,
    challenger: str,
    champion: str,
    forecasts: Mapping[str, Forecast],
    whites: Sequence[int],
    bonus: int,
) -> Trial:
    """Return the trial of `challenger` after a draw. Another one than before begins a trial of its own.

    Who is not among the forecasts of the draw takes part with the uniform forecast. Raises as `score`.
    """
    if trial is None or (trial.challenger, trial.champion) != (challenger, champion):
        trial = Trial(challenger, champion, 1 if trial is None else trial.ordinal + 1, Comparison())
    some = next(iter(forecasts.values()))
    chance = Forecast.uniform(some.white.size, some.bonus.size, some.pick)
    better, held = forecasts.get(challenger, chance), forecasts.get(champion, chance)
    return replace(trial, comparison=score(trial.comparison, better, held, whites, bonus))


def lowest_difference(challenger: Forecast, champion: Forecast) -> float:
    """Return the least log-score difference, challenger less champion, over all possible draws, in nats.

    For log-weights θ and φ the difference of a draw (S, b) is Σ_{i∈S} (θ_i - φ_i) - log e_k(θ)/e_k(φ) plus
    that of the bonus ball's log-probabilities; the k smallest θ_i - φ_i and the worst bonus ball make it
    least. At most 0, as both laws sum to 1. Raises ValueError for forecasts of different games, and for one
    that says something of the order or of repeats.
    """
    if any(f.order is not None or f.repeat is not None for f in (challenger, champion)):
        raise ValueError(
            "a forecast tells of the order or of repeats; expected main balls and bonus ball alone"
        )
    games = [(f.white.size, f.bonus.size, f.pick) for f in (challenger, champion)]
    if games[0] != games[1]:
        raise ValueError(
            f"challenger and champion are of games {games[0]} and {games[1]}; "
            "expected equal numbers of main and bonus balls and equal pick"
        )
    pick = champion.pick
    normalisers = subsets.log_normaliser(np.stack([challenger.white, champion.white]), pick)
    whites = np.sort(challenger.white - champion.white)[:pick].sum() - (normalisers[0] - normalisers[1])
    totals = np.logaddexp.reduce(np.stack([challenger.bonus, champion.bonus]), axis=1)
    bonus = (challenger.bonus - champion.bonus).min() - (totals[0] - totals[1])
    return min(0.0, float(whites + bonus))


def promotion_alpha(ordinal: int, alpha: float) -> float:
    """Return the level of the `ordinal`-th test for promotion, from 1: 6 alpha/(π² m²).

    They sum to alpha over all m, so the chance that any promotion ever, of however many, goes to a challenger
    for which the null hypothesis is true is at most alpha. A test takes its ordinal when it begins, whether
    or not it ends in promotion. Raises ValueError for an ordinal below 1 or an alpha outside (0, 1).
    """
    if ordinal < 1:
        raise ValueError(f"ordinal is {ordinal}; expected 1 for the first test")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha is {alpha}; expected a probability between 0 and 1")
    return 6.0 * alpha / (math.pi * ordinal) ** 2
