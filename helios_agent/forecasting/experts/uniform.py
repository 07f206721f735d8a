"""The fair machine: every draw is equally likely. The yardstick of all the others."""

from __future__ import annotations

from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History

NAME = "uniform"


def forecast(history: History) -> Forecast:
    """Forecast every draw with the same probability, whatever came before."""
    return Forecast.uniform(history.white_count, history.bonus_count, history.pick)
