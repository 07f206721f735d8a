"""The static tilt: some balls are heavier than others, and stay so."""

from __future__ import annotations

import numpy as np

from helios_agent.forecasting.experts.shrinkage import shrunk_forecast
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History

NAME = "tilt"


def forecast(history: History) -> Forecast:
    """Forecast from how often each ball came in all draws, shrunk towards the fair machine."""
    return shrunk_forecast(history, np.ones(len(history)))
