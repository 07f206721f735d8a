"""Places in the drawn order: a ball is drawn first, or second, … more often than by chance."""

from __future__ import annotations

import numpy as np

from helios_agent.forecasting.experts.posterior import Posterior
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, Matrix

FACTORS = (0.25, 2.0, 4.0)
"""How many times as heavy as any other ball it is at its place."""


class Places:
    """Believes in one ball, one place and one factor, given which balls are drawn. Learns from ordered draws.

    With factor r at place t, where m balls are still to come, the ball is r m/(r + m - 1) times as likely to
    be drawn there as by chance, and each other one m/(r + m - 1) times; where the ball is not among them, the
    place says nothing. The last place leaves no choice. The forecast gives each ball its expected weight at
    each place.
    """

    def __init__(self, matrix: Matrix, lead: tuple[int, ...] = ()) -> None:
        self._matrix = matrix
        self._lead = lead
        N, choices = matrix.white, matrix.pick - 1
        self._factors = np.array(FACTORS)
        to_come = matrix.pick - np.arange(choices)[:, np.newaxis]
        self._other_ratio = to_come / (self._factors + to_come - 1.0)  # (k - 1, F)
        self._belief = Posterior(np.ones(N * choices * len(FACTORS)), lead) if choices else None

    def forecast(self) -> Forecast:
        N, k = self._matrix.white, self._matrix.pick
        white, bonus = np.zeros((*self._lead, N)), np.zeros((*self._lead, self._matrix.bonus))
        if self._belief is None:
            return Forecast(white, bonus, k)
        shares = self._belief.shares.reshape(*self._lead, N, k - 1, len(FACTORS))
        order = np.zeros((*self._lead, k, N))
        order[..., :-1, :] = np.swapaxes(np.log1p(shares @ (self._factors - 1.0)), -1, -2)
        return Forecast(white, bonus, k, order)

    def update(self, drawn: Drawn) -> None:
        if self._belief is None:
            return
        place = np.full((*self._lead, self._matrix.white), -1)
        np.put_along_axis(place, drawn.whites - 1, np.arange(self._matrix.pick), axis=-1)
        place = np.where(drawn.ordered[..., np.newaxis], place, -1)[..., np.newaxis, np.newaxis]
        here = np.arange(self._matrix.pick - 1)[:, np.newaxis]
        ratios = np.where(place == here, self._factors * self._other_ratio, 1.0)
        ratios = np.where(place > here, self._other_ratio, ratios)
        self._belief.update(ratios.reshape(self._belief.shares.shape))
