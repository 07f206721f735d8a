"""The experts as they learn together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from helios_agent.forecasting import experts
from helios_agent.forecasting.experts import Expert
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, History

T = TypeVar("T")


class Panel:
    """Experts that take in the same draws. One that fails is left out from then on, and the others go on.

    broken: what the failed ones said, by name.
    said: the forecasts that were made last, by name.
    """

    def __init__(self, members: Mapping[str, Expert]) -> None:
        self._members = dict(members)
        self.broken: dict[str, str] = {}
        self.said: dict[str, Forecast] = {}

    @classmethod
    def after(cls, history: History) -> Panel:
        """Return all experts, having taken in every draw of a history."""
        panel = cls(experts.start(history.matrix))
        for t in range(len(history)):
            panel.update(history.draw(t))
        return panel

    def forecasts(self) -> dict[str, Forecast]:
        """Return each expert's forecast of the next draw, as it is registered."""
        made = {
            name: self._ask(name, lambda expert: expert.forecast().rounded()) for name in [*self._members]
        }
        self.said = {name: forecast for name, forecast in made.items() if forecast is not None}
        return self.said

    def update(self, drawn: Drawn) -> None:
        """Let every expert take in the next draw."""
        for name in [*self._members]:
            self._ask(name, lambda expert: expert.update(drawn))

    def _ask(self, name: str, question: Callable[[Expert], T]) -> T | None:
        try:
            return question(self._members[name])
        except Exception as error:  # whatever it is, the mixture can do without this one
            self.broken[name] = f"{type(error).__name__}: {error}"
            del self._members[name]
            return None


def run(spec: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Forecast the draw after a history described in JSON: see `History.from_spec`.

    Returns {"forecasters": {name: record of the forecast}, "broken": {name: what failed}}.
    """
    return answer(Panel.after(History.from_spec(spec)))


def answer(panel: Panel) -> dict[str, Any]:
    """Return what the experts of a panel forecast, as `run` does."""
    made = panel.forecasts()
    return {
        "forecasters": {name: forecast.to_record() for name, forecast in made.items()},
        "broken": panel.broken,
    }
