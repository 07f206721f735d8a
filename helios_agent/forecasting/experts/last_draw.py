"""The last draw: its balls stick, and come again more often than by chance, or are avoided."""

from __future__ import annotations

import math

import numpy as np

from helios_agent.forecasting.experts.posterior import Posterior
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, Matrix

FACTORS = (0.5, 0.67, 1.5, 2.0, 3.0)
"""How many times as heavy as the others the balls of the last draw are."""


class LastDraw:
    """Believes in one factor for the balls of the draw before.

    With factor r a draw that shares m balls with the one before is r^m / E[r^M] times as likely as from a
    fair machine, M being hypergeometric. The forecast gives each ball its expected weight.
    """

    def __init__(self, matrix: Matrix, lead: tuple[int, ...] = ()) -> None:
        self._matrix = matrix
        N, k = matrix.white, matrix.pick
        self._factors = np.array(FACTORS)
        shared = np.arange(k + 1)
        ways = np.array([math.comb(k, m) * math.comb(N - k, k - m) for m in shared]) / math.comb(N, k)
        powers = self._factors ** shared[:, np.newaxis]
        self._fair_ratio = 1.0 / (ways @ powers)
        self._ratios = powers * self._fair_ratio
        self._belief = Posterior(np.ones(len(FACTORS)), lead)
        self._last = np.zeros((*lead, N), dtype=np.bool_)
        self._begun = False

    def forecast(self) -> Forecast:
        outside = self._fair_ratio ** (1.0 / self._matrix.pick)
        shares, fair = self._belief.shares, self._belief.fair
        weights = [
            np.log(shares @ weight + fair)[..., np.newaxis] for weight in (self._factors * outside, outside)
        ]
        white = np.where(self._last, *weights)
        return Forecast(white, np.zeros((*fair.shape, self._matrix.bonus)), self._matrix.pick)

    def update(self, drawn: Drawn) -> None:
        balls = drawn.balls(self._matrix.white)
        if self._begun:
            self._belief.update(self._ratios[(balls & self._last).sum(axis=-1)])
        self._begun, self._last = True, balls
