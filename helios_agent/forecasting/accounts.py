"""What a walk-forward says of a forecaster: its gain, its hits and whether it means what it says.

Its own module, apart from the ledger, because calibration needs scipy, which the daemon does without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helios_agent.forecasting import calibration, evidence, hits
from helios_agent.forecasting.forecast import Forecast, Repeat
from helios_agent.forecasting.mixture import rounded

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SEED = 1
"""Of what calibration simulates: the same forecasts always have the same figures."""
SIMULATIONS = 99
PIT_BINS = 10

_TINY = 1e-300  # a probability that is 0 in floating point has a logarithm, too


@dataclass(frozen=True, eq=False)
class Walked:
    """What one forecaster said of T draws before they were held, and gained on them.

    gains: (T,) log score less a fair machine's, nats.
    inclusion: (T, N) probability of each main ball to be drawn.
    bonus: (T, B) probability of each bonus ball.
    theta: (T, N) log-weights of the main balls; None where their law is not the conditional Bernoulli alone,
        so that draws cannot be simulated from them.
    """

    gains: Floats
    inclusion: Floats
    bonus: Floats
    theta: Floats | None

    @classmethod
    def of(cls, forecasts: Sequence[Forecast], gains: Sequence[float]) -> Walked:
        """Gather the forecasts of one forecaster, one a draw and at least one."""
        whole = stacked(forecasts)
        return cls(
            np.array(gains),
            whole.inclusion(),
            whole.bonus_probabilities(),
            whole.white if whole.repeat is None else None,
        )


def stacked(forecasts: Sequence[Forecast]) -> Forecast:
    """Return forecasts of one game as one, the draws its leading axis, without what they say of orders."""
    white, bonus = (np.stack([getattr(f, name) for f in forecasts]) for name in ("white", "bonus"))
    told = [forecast.repeat for forecast in forecasts]
    if not any(repeat is not None and repeat.share > 0.0 for repeat in told):
        return Forecast(white, bonus, forecasts[0].pick)
    none = Repeat(np.zeros(()), np.zeros((), dtype=np.int64), np.zeros(white.shape[1], dtype=np.int64))
    held = [repeat or none for repeat in told]
    repeat = Repeat(*(np.stack([getattr(r, name) for r in held]) for name in ("share", "draws", "counts")))
    return Forecast(white, bonus, forecasts[0].pick, repeat=repeat)


def account(walked: Walked, whites: Ints, bonus: Ints) -> dict[str, Any]:
    """Return what T >= 1 draws, `whites` (T, k) and `bonus` (T,), 1-based, make of a forecaster.

    JSON-ready: gains in nats, rounded as in the ledger; the bounds of the mean gain are None for fewer draws
    than `evidence.FEWEST_DRAWS_BOUNDED`, `bonus_hits` and the bonus part of `calibration` in a game without a
    bonus ball.
    """
    N, B, k = walked.inclusion.shape[1], walked.bonus.shape[1], whites.shape[1]
    T = len(walked.gains)
    cumulative = np.cumsum(walked.gains)
    mean, low, high = evidence.skill_interval(walked.gains, evidence.SKILL_ALPHA)
    are_many = T >= evidence.FEWEST_DRAWS_BOUNDED
    peak = max(0.0, float(cumulative.max()))
    made = hits.counted(hits.likeliest(walked.inclusion, k), whites)
    bonus_made = hits.counted(hits.likeliest(walked.bonus, 1), bonus[:, np.newaxis])
    return {
        "draws": T,
        "total_gain_nats": rounded(float(cumulative[-1])),
        "mean_gain_nats": mean,
        "mean_low_nats": low if are_many else None,
        "mean_high_nats": high if are_many else None,
        "peak_nats": rounded(peak),
        "anytime_p": evidence.anytime_p(peak),
        "drawdown_nats": rounded(evidence.worst_drawdown(walked.gains)),
        "hits": hits.against_chance(int(made.sum()), T, N, k)._asdict(),
        "bonus_hits": hits.against_chance(int(bonus_made.sum()), T, B, 1)._asdict() if B > 1 else None,
        "calibration": {
            "white": _white_calibration(walked, whites),
            "bonus": _bonus_calibration(walked.bonus, bonus) if B > 1 else None,
        },
        "gains": [rounded(gain) for gain in walked.gains.tolist()],
    }


def _white_calibration(walked: Walked, whites: Ints) -> dict[str, Any]:
    found = _murphy(walked.inclusion, whites)
    theta = walked.theta
    if theta is None or not theta.any():  # what holds all draws equally probable cannot be found wrong
        return found | {"test": None, "pit": None}
    rng = np.random.default_rng(SEED)
    test = calibration.reliability_test(theta, whites, rng, SIMULATIONS)
    return found | {
        "test": test._asdict(),
        "pit": _pit(calibration.white_pit(theta, whites, rng, SIMULATIONS)),
    }


def _bonus_calibration(probabilities: Floats, bonus: Ints) -> dict[str, Any]:
    balls = bonus[:, np.newaxis]
    found = _murphy(probabilities, balls)
    if not np.ptp(probabilities):
        return found | {"test": None, "pit": None}
    rng = np.random.default_rng(SEED)
    test = calibration.reliability_test(np.log(np.maximum(probabilities, _TINY)), balls, rng, SIMULATIONS)
    return found | {"test": test._asdict(), "pit": _pit(calibration.bonus_pit(probabilities, bonus, rng))}


def _murphy(probabilities: Floats, balls: Ints) -> dict[str, Any]:
    parts = calibration.murphy(probabilities, balls)
    N, k = probabilities.shape[1], balls.shape[1]
    return {
        "brier": parts.brier,
        "chance_brier": k * (1.0 - k / N),
        "reliability": parts.reliability,
        "resolution": parts.resolution,
        "uncertainty": parts.uncertainty,
        "within": parts.within,
        "bins": [
            {"count": each.count, "forecast": each.forecast, "frequency": each.frequency}
            for each in parts.bins
        ],
    }


def _pit(values: Floats) -> dict[str, Any]:
    shares = np.histogram(values, bins=PIT_BINS, range=(0.0, 1.0))[0] / len(values)
    return {"shares": shares.tolist(), **calibration.uniformity(values)._asdict()}
