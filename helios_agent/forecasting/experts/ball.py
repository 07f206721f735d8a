"""One ball: a single main ball is heavier or lighter than the others."""

from __future__ import annotations

import numpy as np

from helios_agent.forecasting.experts.posterior import Posterior
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, Matrix

FACTORS = {0.5: 0.04, 1.5: 0.06, 2.0: 0.28, 3.0: 0.24, 5.0: 0.38}
"""How many times as heavy as any other ball, with its prior weight."""


class Ball:
    """Believes in one ball and one factor, each ball being as likely.

    Let ball j weigh r times each other. A draw is then r^[j drawn] / (1 + (k/N)(r - 1)) times as likely as
    from a fair machine. Belief over (j, r) follows by Bayes' rule in O(N) a draw; the forecast gives each
    ball its expected weight.
    """

    def __init__(
        self, matrix: Matrix, lead: tuple[int, ...] = (), factors: dict[float, float] = FACTORS
    ) -> None:
        self._matrix = matrix
        self._factors = np.array(list(factors))
        total = 1.0 + matrix.pick / matrix.white * (
            self._factors - 1.0
        )  # 0: no ball can be missing if all are drawn
        self._other_ratio = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0.0)
        prior = np.broadcast_to(np.array(list(factors.values())), (matrix.white, len(factors)))
        self._belief = Posterior(prior.ravel(), lead)

    def forecast(self) -> Forecast:
        shares = self._belief.shares.reshape(*self._belief.fair.shape, self._matrix.white, -1)
        bonus = np.zeros((*self._belief.fair.shape, self._matrix.bonus))
        return Forecast(np.log1p(shares @ (self._factors - 1.0)), bonus, self._matrix.pick)

    def update(self, drawn: Drawn) -> None:
        balls = drawn.balls(self._matrix.white)[..., np.newaxis]
        ratios = np.where(balls, self._factors * self._other_ratio, self._other_ratio)
        self._belief.update(ratios.reshape(self._belief.shares.shape))
