"""A watch for the day a machine changes, that may run for ever.

A test of fairness counts from its first draw, so a long fair past weighs against a late change. An e-detector
adds up, or takes the largest of, the e-processes begun at every draw so far. Where L_t is exp of a
forecaster's gain on draw t, a fair machine has E[L_t | past] = 1, and

    Shiryaev-Roberts  M_t = L_t (1 + M_{t-1}),      M_0 = 0: the sum over all beginnings,
    CUSUM             C_t = L_t max(1, C_{t-1}),    C_0 = 0: the largest of them.

On a fair machine M_t - t is a martingale and C_t <= M_t, so the first time that either reaches c comes after
c draws or more on average (optional stopping): the average run length to a false alarm is at least c. For
equal c Shiryaev-Roberts is never later, so it decides; CUSUM tells where the change most likely began. Begun
anew after an alarm, the detector has the same guarantee again.

Shiryaev-Roberts spends that allowance whether or not there is anything to see: a forecaster that has become
uniform has L_t = 1, so M_t = t reaches c after c draws, while C_t stays at 1. So an alarm asks, besides, for
one beginning that speaks for itself, CLEAR_NATS of CUSUM: a further condition makes no alarm earlier. Nor is
all of the past forgotten: the e-processes begin anew, but with what the forecaster had learnt by then.

Source: J. Shin, A. Ramdas and A. Rinaldo (2024), E-detectors: a nonparametric framework for sequential change
detection, New England Journal of Statistics in Data Science 2(2), 229-260, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from helios_agent.forecasting.mixture import rounded

CLEAR_NATS = 3.0
"""The CUSUM of an alarm: odds of 20 to 1 for a change at the likeliest moment."""


@dataclass(frozen=True)
class Detector:
    """What a detector knows after `draws` draws. Logarithms in nats, None before the first draw.

    shiryaev_roberts_nats: log M_t, to be compared with the threshold.
    cusum_nats: log C_t.
    suspected_draws: how many draws, up to the last, the largest e-process has run: the most likely age of a
    change (E. S. Page 1954, Continuous inspection schemes, Biometrika 41, 100-115).
    """

    shiryaev_roberts_nats: float | None = None
    cusum_nats: float | None = None
    suspected_draws: int = 0
    draws: int = 0

    def to_record(self) -> dict[str, Any]:
        """Return the detector as JSON-ready values."""
        return {
            "shiryaev_roberts_nats": self.shiryaev_roberts_nats,
            "cusum_nats": self.cusum_nats,
            "suspected_draws": self.suspected_draws,
            "draws": self.draws,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Detector:
        """Read a detector back from its record."""
        total, largest = record["shiryaev_roberts_nats"], record["cusum_nats"]
        return cls(
            None if total is None else float(total),
            None if largest is None else float(largest),
            int(record["suspected_draws"]),
            int(record["draws"]),
        )


def update(detector: Detector, gain_nats: float) -> Detector:
    """Return the detector after a draw on which the mixture gained `gain_nats` over a fair machine.

    Figures are rounded as in the ledger. Raises ValueError for a gain that is not finite.
    """
    if not math.isfinite(gain_nats):
        raise ValueError(f"gain_nats is {gain_nats}; expected a finite number")
    total, largest = detector.shiryaev_roberts_nats, detector.cusum_nats
    carried = 0.0 if total is None else float(np.logaddexp(0.0, total))  # log(1 + M)
    running = 0.0 if largest is None else max(largest, 0.0)  # log max(1, C)
    return Detector(
        rounded(gain_nats + carried),
        rounded(gain_nats + running),
        detector.suspected_draws + 1 if running > 0.0 else 1,
        detector.draws + 1,
    )


def alarm(shiryaev_roberts_nats: float, cusum_nats: float, threshold_nats: float) -> float:
    """Return how near to an alarm a detector is: from 1 on there is one.

    The smaller of Shiryaev-Roberts over its threshold and CUSUM over CLEAR_NATS, at least 0.
    """
    return max(0.0, min(shiryaev_roberts_nats / threshold_nats, cusum_nats / CLEAR_NATS))


def threshold_nats(years: float, draws_per_year: float) -> float:
    """Return the log-threshold with one false alarm per `years` years on average, or fewer.

    log(years * draws_per_year): 8.049 for 20 years of Powerball at 156.5 draws a year. Raises ValueError if
    that is not more than one draw.
    """
    for name, value in (("years", years), ("draws_per_year", draws_per_year)):
        if not 0.0 < value < math.inf:
            raise ValueError(f"{name} is {value}; expected a finite number above 0")
    if years * draws_per_year <= 1.0:
        raise ValueError(
            f"years is {years}; expected more than {1.0 / draws_per_year:.6g}, the years from draw to draw"
        )
    return math.log(years * draws_per_year)
