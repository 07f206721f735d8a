"""The fair machine: every draw is equally likely. The yardstick of all the others."""

from __future__ import annotations

import numpy as np

from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, Matrix


class Uniform:
    """Forecasts every draw with the same probability, whatever came before."""

    def __init__(self, matrix: Matrix, lead: tuple[int, ...] = ()) -> None:
        self._forecast = Forecast(
            np.zeros((*lead, matrix.white)), np.zeros((*lead, matrix.bonus)), matrix.pick
        )

    def forecast(self) -> Forecast:
        return self._forecast

    def update(self, drawn: Drawn) -> None:
        """Learn nothing."""
