"""The bonus ball: each has a probability of its own, learned from how often it was drawn."""

from __future__ import annotations

import numpy as np

from helios_agent.forecasting.experts.posterior import Posterior
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, Matrix

CONCENTRATIONS = (2.0, 10.0, 50.0)
"""Prior draws per ball of symmetric Dirichlet laws: the fewer, the farther apart the probabilities may be."""


class Bonus:
    """Believes in one concentration; under each, ball b has probability (count_b + a)/(n + aB).

    The forecast is their mixture, exactly.
    """

    def __init__(self, matrix: Matrix, lead: tuple[int, ...] = ()) -> None:
        self._matrix = matrix
        self._concentrations = np.array(CONCENTRATIONS)[:, np.newaxis]
        self._belief = Posterior(np.ones(len(CONCENTRATIONS)), lead)
        self._counts = np.zeros((*lead, matrix.bonus))

    def forecast(self) -> Forecast:
        belief = self._belief
        ratios = (belief.shares[..., np.newaxis, :] @ self._ratios())[..., 0, :] + belief.fair[
            ..., np.newaxis
        ]
        white = np.zeros((*belief.fair.shape, self._matrix.white))
        return Forecast(white, np.log(ratios), self._matrix.pick)

    def update(self, drawn: Drawn) -> None:
        ball = drawn.bonus[..., np.newaxis, np.newaxis] - 1
        self._belief.update(np.take_along_axis(self._ratios(), ball, axis=-1)[..., 0])
        self._counts += np.arange(self._matrix.bonus) == ball[..., 0]

    def _ratios(self) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        """Return each ball's probability over a fair machine's under each concentration, shape (..., A,
        B)."""
        counts, B = self._counts[..., np.newaxis, :], self._matrix.bonus
        draws = counts.sum(axis=-1, keepdims=True)
        return np.asarray(B * (counts + self._concentrations) / (draws + B * self._concentrations))
