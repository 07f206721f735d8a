"""Exact repeats: now and then the machine draws the main balls of an earlier draw again."""

from __future__ import annotations

import math

import numpy as np

from helios_agent.forecasting.experts.posterior import Posterior
from helios_agent.forecasting.forecast import Forecast, Repeat
from helios_agent.forecasting.history import Drawn, Matrix

RATES = (0.001, 0.01, 0.05, 0.2)
"""In what share of the draws it does."""


class Repeats:
    """Believes in one rate of repeats, each different earlier draw being as likely to come again.

    With rate s and d different earlier draws a draw is 1 - s + s C(N,k)/d times as likely as from a fair
    machine if it is one of them, else 1 - s times.
    """

    def __init__(self, matrix: Matrix, lead: tuple[int, ...] = ()) -> None:
        self._matrix = matrix
        self._rates = np.array(RATES)
        self._subsets = math.comb(matrix.white, matrix.pick)
        self._belief = Posterior(np.ones(len(RATES)), lead)
        self._draws = np.zeros(lead, dtype=np.int64)
        self._counts = np.zeros((*lead, matrix.white), dtype=np.int64)

    def forecast(self) -> Forecast:
        lead = self._belief.fair.shape
        share = np.where(self._draws > 0, self._belief.shares @ self._rates, 0.0)
        return Forecast(
            np.zeros((*lead, self._matrix.white)),
            np.zeros((*lead, self._matrix.bonus)),
            self._matrix.pick,
            repeat=Repeat(share, self._draws.copy(), self._counts.copy()),
        )

    def update(self, drawn: Drawn) -> None:
        begun, hit = (self._draws > 0)[..., np.newaxis], drawn.again[..., np.newaxis]
        of_one = self._subsets / np.maximum(self._draws, 1)[..., np.newaxis]
        ratios = 1.0 - self._rates + np.where(hit, self._rates * of_one, 0.0)
        self._belief.update(np.where(begun, ratios, 1.0))
        self._draws += ~drawn.again
        self._counts += drawn.balls(self._matrix.white) & ~hit
