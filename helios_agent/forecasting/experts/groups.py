"""Groups of balls: low or high, odd or even, the ends or the middle, and a slope from low to high."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from helios_agent.forecasting import subsets
from helios_agent.forecasting.experts.posterior import Posterior
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, Matrix

Floats = NDArray[np.float64]

FACTORS = (1.15, 1.3, 1.6)
"""How many times as heavy the balls of a group are as those outside; of the slope, its steepest."""


def profiles(white_count: int) -> dict[str, tuple[Floats, float]]:
    """Return for each group its profile, (N,) from -1/2 to 1/2 from light to heavy, and its prior weight."""
    number = np.arange(white_count)
    low = np.where(number < white_count // 2, 0.5, -0.5)
    middle = np.abs(2 * number - (white_count - 1)) < white_count / 2
    return {
        "low": (low, 0.5),
        "odd": (np.where(number % 2 == 0, 0.5, -0.5), 0.2),
        "ends": (np.where(middle, -0.5, 0.5), 0.1),
        "slope": (0.5 - number / max(white_count - 1, 1), 0.2),
    }


class Groups:
    """Believes in one group, heavier or lighter by one factor.

    Under a hypothesis with log-weights t the draw S is exp(Σ_{i∈S} t_i) C(N,k)/e_k(exp t) times as likely as
    from a fair machine. The forecast gives each ball its expected weight, those of every hypothesis being
    scaled so that this normaliser is 1.
    """

    def __init__(self, matrix: Matrix, lead: tuple[int, ...] = ()) -> None:
        self._matrix = matrix
        hypotheses = [
            (sign * math.log(factor) * profile, prior)
            for profile, prior in profiles(matrix.white).values()
            for factor in FACTORS
            for sign in (1.0, -1.0)
        ]
        tilts = np.array([tilt for tilt, _ in hypotheses])
        fair = math.log(math.comb(matrix.white, matrix.pick))
        scale = (subsets.log_normaliser(tilts, matrix.pick) - fair) / matrix.pick
        self._log_weights = tilts - scale[:, np.newaxis]
        self._weights = np.exp(self._log_weights)
        self._belief = Posterior([prior for _, prior in hypotheses], lead)

    def forecast(self) -> Forecast:
        white = np.log(self._belief.shares @ self._weights + self._belief.fair[..., np.newaxis])
        return Forecast(white, np.zeros((*self._belief.fair.shape, self._matrix.bonus)), self._matrix.pick)

    def update(self, drawn: Drawn) -> None:
        self._belief.update(np.exp(self._log_weights.T[drawn.whites - 1].sum(axis=-2)))
