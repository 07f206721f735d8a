"""Do forecasts mean what they say? Scores, their parts, and checks against simulated draws.

Arrays hold one row per draw, oldest first: `theta` is (T, N) log-weights of the main balls, probabilities are
(T, N) inclusion probabilities, whose rows sum to k, or (T, B) bonus probabilities, whose rows sum to 1. Balls
are (T, k) int64, 1-based and distinct; of a bonus ball k is 1, so what takes `balls` takes bonus[:, newaxis],
and what takes `theta` takes the logarithms of the bonus probabilities.

The p-values are for a number of draws fixed in advance. Looked at after every draw they do not hold; the
ledger's e-process does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from helios_agent.forecasting import subsets

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_SUM_SLACK = 1e-6  # how far a row of probabilities may sum from where it should
_VALUE_DECIMALS = 9  # forecasts that agree to so many decimals are one value


@dataclass(frozen=True)
class Bin:
    """The forecasts of one bin: how many, their mean, and the share of them that came true."""

    count: int
    forecast: float
    frequency: float


class Murphy(NamedTuple):
    """The mean Brier score of a draw and its parts; brier = reliability - resolution + uncertainty + within.

    reliability: squared distance of mean forecast and frequency within bins; 0 is perfect.
    resolution: squared distance of the bins' frequencies from the overall one; 0 is no knowledge.
    uncertainty: the score of the overall frequency.
    within: what the spread of forecasts inside bins adds; 0 when every bin holds a single value.
    bins: the points of the reliability diagram, by rising forecast.
    """

    brier: float
    reliability: float
    resolution: float
    uncertainty: float
    within: float
    bins: tuple[Bin, ...]


class ReliabilityTest(NamedTuple):
    """The reliability observed, its mean over draws simulated from the forecasts, and the p-value."""

    observed: float
    expected: float
    p: float


class Uniformity(NamedTuple):
    """The Kolmogorov-Smirnov distance of a sample from the uniform law on [0, 1], and its p-value."""

    distance: float
    p: float


def log_scores(
    theta: ArrayLike, bonus_probabilities: ArrayLike, whites: ArrayLike, bonus: ArrayLike
) -> Floats:
    """Return the log-probability of each draw, shape (T,), in nats; -19.493 for fair Powerball forecasts.

    `whites` is (T, k), `bonus` is (T,); -inf for a bonus ball that was held impossible.
    Raises ValueError, naming the field, for shapes, probabilities or balls that do not belong together.
    """
    weights = _log_weights(theta)
    drawn = _balls("whites", whites, weights.shape)
    probabilities, balls = _bonus("bonus_probabilities", bonus_probabilities, bonus)
    if len(drawn) != len(balls):
        raise ValueError(f"whites and bonus have {len(drawn)} and {len(balls)} draws; expected as many")
    with np.errstate(divide="ignore"):
        of_bonus = np.log(np.take_along_axis(probabilities, balls - 1, axis=1)[:, 0])
    return np.asarray(subsets.log_probability(weights, drawn) + of_bonus, dtype=np.float64)


def brier_scores(probabilities: ArrayLike, balls: ArrayLike) -> Floats:
    """Return Σ_i (p_i - 1[i drawn])² of each draw, shape (T,). Smaller is better.

    Fair Powerball forecasts score k(1 - k/N) = 4.638 on the main balls and 0.9615 on the bonus ball
    (G. W. Brier 1950, Monthly Weather Review 78(1), 1-3). Raises ValueError as `log_scores` does.
    """
    forecasts, drawn = _forecasts_and_balls(probabilities, balls)
    return np.asarray(((forecasts - _indicators(drawn, forecasts.shape)) ** 2).sum(axis=1), dtype=np.float64)


def murphy(probabilities: ArrayLike, balls: ArrayLike, bins: int = 10) -> Murphy:
    """Split the mean Brier score of all N indicators of a draw, binned by forecast value.

    The pooled T·N forecasts are cut at their quantiles into at most `bins` bins; equal values share one.
    A. H. Murphy (1973), A new vector partition of the probability score, Journal of Applied Meteorology 12,
    595-600; `within`, the variance within bins less twice the covariance, makes the identity exact
    (D. B. Stephenson, C. A. S. Coelho & I. T. Jolliffe 2008, Two extra components in the Brier score
    decomposition, Weather and Forecasting 23, 752-757).
    Raises ValueError as `log_scores` does, and for bins below 1.
    """
    forecasts, drawn = _forecasts_and_balls(probabilities, balls)
    T, N = forecasts.shape
    cells = _cells(forecasts, bins)
    outcomes = _indicators(drawn, forecasts.shape)
    counts = np.bincount(cells.ravel())
    means = np.bincount(cells.ravel(), forecasts.ravel()) / counts
    frequencies = np.bincount(cells.ravel(), outcomes.ravel()) / counts
    overall = drawn.shape[1] / N
    spread = forecasts - means[cells]
    return Murphy(
        brier=float(((forecasts - outcomes) ** 2).sum() / T),
        reliability=float((counts * (means - frequencies) ** 2).sum() / T),
        resolution=float((counts * (frequencies - overall) ** 2).sum() / T),
        uncertainty=N * overall * (1.0 - overall),
        within=float((spread**2 - 2.0 * spread * (outcomes - frequencies[cells])).sum() / T),
        bins=tuple(
            Bin(*row) for row in zip(counts.tolist(), means.tolist(), frequencies.tolist(), strict=True)
        ),
    )


def reliability_test(
    theta: ArrayLike, balls: ArrayLike, rng: np.random.Generator, simulations: int = 199, bins: int = 10
) -> ReliabilityTest:
    """Test whether forecasts are further from the frequencies than chance alone takes them.

    The k of N indicators of a draw depend on each other, so the law of `murphy`'s reliability under honest
    forecasts is simulated: every draw anew from its own forecast, `simulations` times, in the same bins.
    p = (1 + #{simulated >= observed})/(1 + simulations) is valid for any number of simulations
    (A. C. Davison & D. V. Hinkley 1997, Bootstrap Methods and their Application, section 4.2) if the
    forecasts were fixed before the first draw. For forecasts that learn from the draws before them it is not
    exact, as other draws would have led to other forecasts. With Powerball's balls and shrunk counts no harm
    was seen in simulations. With few balls it is great: an urn of 4 colours to which a ball of the colour
    drawn is added each time, forecast as it is, has p <= 0.1 in about a third of its lives of 1,000 draws.
    `white_pit` with `uniformity` has no such limit. Raises ValueError as `murphy` does, and for simulations
    below 1.
    """
    if simulations < 1:
        raise ValueError(f"simulations is {simulations}; expected at least 1")
    weights = _log_weights(theta)
    drawn = _balls("balls", balls, weights.shape)
    T, k = drawn.shape
    forecasts = subsets.inclusion_probabilities(weights, k)
    cells = _cells(forecasts, bins)
    counts = np.bincount(cells.ravel())
    means = np.bincount(cells.ravel(), forecasts.ravel()) / counts

    def reliability(of: Ints) -> float:
        hits = np.bincount(np.take_along_axis(cells, of - 1, axis=1).ravel(), minlength=counts.size)
        return float((counts * (means - hits / counts) ** 2).sum() / T)

    observed = reliability(drawn)
    drawn_anew = subsets.sample(weights, k, rng, size=simulations)
    simulated = np.array([reliability(drawn_anew[:, n]) for n in range(simulations)])
    exceeding = int((simulated >= observed).sum())
    return ReliabilityTest(observed, float(simulated.mean()), (1 + exceeding) / (1 + simulations))


def bonus_pit(probabilities: ArrayLike, bonus: ArrayLike, rng: np.random.Generator) -> Floats:
    """Return the randomised probability integral transform of each bonus ball ((T,)), shape (T,) in [0, 1].

    F(b) - V p(b), F the forecast's distribution function and V uniform: uniform and independent from draw to
    draw if the forecasts are right (J. Q. Smith 1985, Diagnostic checks of non-standard time series models,
    Journal of Forecasting 4, 283-291). It goes by the balls' numbers, so it shows forecasts that lean to low
    or high ones; boldness that is now here, now there hardly shows. For that there is `white_pit`.
    Raises ValueError as `log_scores` does.
    """
    forecasts, balls = _bonus("probabilities", probabilities, bonus)
    chances = np.take_along_axis(forecasts, balls - 1, axis=1)[:, 0]
    reached = np.take_along_axis(np.cumsum(forecasts, axis=1), balls - 1, axis=1)[:, 0]
    values = reached - rng.random(len(balls)) * chances
    return np.asarray(np.clip(values, 0.0, 1.0), dtype=np.float64)


def white_pit(theta: ArrayLike, whites: ArrayLike, rng: np.random.Generator, simulations: int = 99) -> Floats:
    """Return the randomised rank of each draw's probability among simulated ones, shape (T,) in [0, 1].

    (#{less probable} + V (#{as probable} + 1))/(simulations + 1), over draws simulated from the same
    forecast, V uniform: exactly uniform and independent from draw to draw, whatever `simulations`, if the
    forecasts are right. Many values near 0 say that forecasts are too bold, near 1 that they are too timid.
    The uniform forecast holds all draws equally probable and can not be found wrong here.
    Raises ValueError as `reliability_test` does.
    """
    if simulations < 1:
        raise ValueError(f"simulations is {simulations}; expected at least 1")
    weights = _log_weights(theta)
    drawn = _balls("whites", whites, weights.shape)
    observed = _total_weights(weights, drawn)
    less, equal = np.zeros(len(drawn)), np.zeros(len(drawn))
    drawn_anew = subsets.sample(weights, drawn.shape[1], rng, size=simulations)
    for n in range(simulations):
        simulated = _total_weights(weights, drawn_anew[:, n])
        less += simulated < observed
        equal += simulated == observed
    return np.asarray((less + rng.random(len(drawn)) * (equal + 1.0)) / (simulations + 1), dtype=np.float64)


def uniformity(values: ArrayLike) -> Uniformity:
    """Test whether `values` ((T,), in [0, 1]) come from the uniform law, by Kolmogorov and Smirnov.

    p is twice the exact probability that a one-sided distance reaches D, at most 1 (Z. W. Birnbaum &
    F. H. Tingey 1951, One-sided confidence contours for probability distribution functions, Annals of
    Mathematical Statistics 22, 592-596). The exact two-sided one is never above p, and below it by less
    than 0.001 where p < 0.2. Raises ValueError for no values or one outside [0, 1].
    """
    sample = np.sort(np.asarray(values, dtype=np.float64).ravel())
    T = sample.size
    if T == 0 or not (sample[0] >= 0.0 and sample[-1] <= 1.0):
        worst = "empty" if T == 0 else f"of {sample[0]} to {sample[-1]}"
        raise ValueError(f"values are {worst}; expected at least one, each in [0, 1]")
    steps = np.arange(T + 1) / T
    distance = float(max((steps[1:] - sample).max(), (sample - steps[:-1]).max()))
    return Uniformity(distance, min(1.0, 2.0 * float(special.smirnov(T, distance))))


def _total_weights(theta: Floats, balls: Ints) -> Floats:
    # Ascending, so that equal draws sum in the same order to the same number.
    return np.asarray(np.take_along_axis(theta, np.sort(balls, axis=1) - 1, axis=1).sum(axis=1))


def _cells(forecasts: Floats, bins: int) -> Ints:
    """Return the bin of each forecast, shape (T, N), from 0 by rising value, none of them empty."""
    if bins < 1:
        raise ValueError(f"bins is {bins}; expected at least 1")
    values = np.round(forecasts, _VALUE_DECIMALS)
    edges = np.quantile(values, np.arange(1, bins) / bins, method="lower")
    cells = np.searchsorted(np.unique(edges), values, side="left")
    return np.asarray(np.unique(cells, return_inverse=True)[1].reshape(values.shape), dtype=np.int64)


def _indicators(balls: Ints, shape: tuple[int, ...]) -> Floats:
    outcomes = np.zeros(shape)
    np.put_along_axis(outcomes, balls - 1, 1.0, axis=1)
    return outcomes


def _log_weights(theta: ArrayLike) -> Floats:
    weights = np.asarray(theta, dtype=np.float64)
    if weights.ndim != 2 or weights.size == 0:
        raise ValueError(f"theta has shape {weights.shape}; expected (draws, balls) and at least one")
    finite = np.isfinite(weights).all(axis=1)
    if not finite.all():
        row = int(finite.argmin())
        worst = weights[row][~np.isfinite(weights[row])][0]
        raise ValueError(f"theta of draw {row} holds {worst}; expected finite log-weights")
    return weights


def _forecasts_and_balls(
    probabilities: ArrayLike, balls: ArrayLike, field: str = "probabilities", field_of_balls: str = "balls"
) -> tuple[Floats, Ints]:
    forecasts = np.asarray(probabilities, dtype=np.float64)
    if forecasts.ndim != 2 or forecasts.size == 0:
        raise ValueError(f"{field} has shape {forecasts.shape}; expected (draws, balls) and at least one")
    drawn = _balls(field_of_balls, balls, forecasts.shape)
    k = drawn.shape[1]
    wrong = ~(
        (forecasts >= 0.0).all(axis=1)
        & (forecasts <= 1.0 + _SUM_SLACK).all(axis=1)
        & (np.abs(forecasts.sum(axis=1) - k) <= _SUM_SLACK)
    )
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{field} of draw {row} is {forecasts[row].min()} to {forecasts[row].max()} and sums to "
            f"{forecasts[row].sum()}; expected numbers in [0, 1] that sum to {k}"
        )
    return forecasts, drawn


def _bonus(field: str, probabilities: ArrayLike, bonus: ArrayLike) -> tuple[Floats, Ints]:
    balls = np.asarray(bonus)
    if balls.ndim != 1:
        raise ValueError(f"bonus has shape {balls.shape}; expected (draws,)")
    return _forecasts_and_balls(probabilities, balls[:, np.newaxis], field, "bonus")


def _balls(field: str, balls: ArrayLike, shape: tuple[int, ...]) -> Ints:
    T, N = shape
    drawn = np.asarray(balls)
    if drawn.dtype.kind not in "iu" or drawn.ndim != 2 or len(drawn) != T or not 1 <= drawn.shape[1] <= N:
        raise ValueError(
            f"{field} has shape {drawn.shape} and {drawn.dtype} values; expected whole numbers, ({T}, 1..{N})"
        )
    wrong = (drawn < 1).any(axis=1) | (drawn > N).any(axis=1)
    wrong |= (np.diff(np.sort(drawn, axis=1), axis=1) == 0).any(axis=1)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{field} of draw {row} is {drawn[row].tolist()}; expected different balls of 1..{N}"
        )
    return drawn.astype(np.int64)
