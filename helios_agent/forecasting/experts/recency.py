"""The recent tilt: some balls are heavier than others, and which ones changes slowly."""

from __future__ import annotations

import numpy as np

from helios_agent.forecasting.experts.shrinkage import shrunk_forecast
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History

NAME = "recency"
HALF_LIFE_DRAWS = 100.0


def forecast(history: History) -> Forecast:
    """Forecast from counts in which a draw's worth halves every 100 draws, shrunk as the static tilt is."""
    age = np.arange(len(history) - 1, -1, -1)
    return shrunk_forecast(history, 0.5 ** (age / HALF_LIFE_DRAWS))
