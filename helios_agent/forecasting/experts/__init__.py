"""The static experts: forecasters without training, one file each.

Each has a `NAME` and a pure function `forecast(history) -> Forecast` for the draw after the history.
"""

from collections.abc import Callable, Mapping

from helios_agent.forecasting.experts import recency, tilt, uniform
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History

Expert = Callable[[History], Forecast]

EXPERTS: Mapping[str, Expert] = {
    uniform.NAME: uniform.forecast,
    tilt.NAME: tilt.forecast,
    recency.NAME: recency.forecast,
}
