"""The experts: forecasters that learn from the draws as they come and need no training, one file each.

Each watches for one way in which a machine can be unfair. It owns what it has learned, gives its forecast of
the next draw at any time, and takes in one draw after another, at a cost that does not grow with the history.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

from helios_agent.forecasting import mixture
from helios_agent.forecasting.experts.ball import FACTORS, Ball
from helios_agent.forecasting.experts.ball_scorer import BallScorer
from helios_agent.forecasting.experts.bonus import Bonus
from helios_agent.forecasting.experts.counts import Counts
from helios_agent.forecasting.experts.groups import Groups
from helios_agent.forecasting.experts.last_draw import LastDraw
from helios_agent.forecasting.experts.missing import missing
from helios_agent.forecasting.experts.places import Places
from helios_agent.forecasting.experts.posterior import FAIR
from helios_agent.forecasting.experts.repeats import Repeats
from helios_agent.forecasting.experts.uniform import Uniform
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, Matrix


class Expert(Protocol):
    """A forecaster that learns draw by draw.

    Made for a matrix and the leading axes of independent runs, each with a history of its own; the forecasts
    that are registered have no leading axes.
    """

    def forecast(self) -> Forecast:
        """Return the forecast of the next draw."""

    def update(self, drawn: Drawn) -> None:
        """Take in the next draw of each run."""


EXPERTS: Mapping[str, Callable[[Matrix, tuple[int, ...]], Expert]] = {
    mixture.UNIFORM: Uniform,
    "ball": Ball,
    "missing": missing,
    "counts-0.1": partial(Counts, spread=0.1),
    "counts-0.2": partial(Counts, spread=0.2),
    "counts-0.4": partial(Counts, spread=0.4),
    "recent-50": partial(Counts, spread=0.2, half_life=50.0),
    "recent-200": partial(Counts, spread=0.2, half_life=200.0),
    "groups": Groups,
    "last-draw": LastDraw,
    "ball-scorer": BallScorer,
    "repeats": Repeats,
    "places": Places,
    "bonus": Bonus,
}

PRIORS: Mapping[str, float] = {
    mixture.UNIFORM: 0.5,
    "ball": 0.24,
    "missing": 0.04,
    "counts-0.1": 0.01,
    "counts-0.2": 0.08,
    "counts-0.4": 0.05,
    "recent-50": 0.005,
    "recent-200": 0.01,
    "groups": 0.015,
    "last-draw": 0.01,
    "ball-scorer": 0.01,
    "repeats": 0.005,
    "places": 0.005,
    "bonus": 0.01,
    mixture.SWITCHING: 0.005,
}
"""The mixture's prior weights; the rest is its reserve for models.

A weight p costs log(1/p) nats, which is what must be learned before the alarm. It is small change where one
repeat is worth seven nats, and many draws where a single ball is twice as heavy: hence the differences.
"""

WATCHES_FOR: Mapping[str, str] = {
    mixture.UNIFORM: "nothing: every draw is equally likely",
    "ball": "one white ball heavier or lighter than the others",
    "missing": "a white ball that never comes",
    "counts-0.1": "white balls that differ, a little",
    "counts-0.2": "white balls that differ, more",
    "counts-0.4": "white balls that differ, much",
    "recent-50": "white balls that differ, for some 50 draws",
    "recent-200": "white balls that differ, for some 200 draws",
    "groups": "low or high, odd or even, middle or end numbers",
    "last-draw": "white balls that come again in the next draw, or avoid it",
    "ball-scorer": "white balls whose own past tells when they come",
    "repeats": "whole draws that come again",
    "places": "white balls that prefer a place in the drawn order",
    "bonus": "bonus balls that differ",
    mixture.SWITCHING: "a change from one of these to another",
}
"""What each forecaster of the mixture makes its gain from, in words."""


def start(matrix: Matrix, lead: tuple[int, ...] = ()) -> dict[str, Expert]:
    """Return every expert before the first draw."""
    return {name: make(matrix, lead) for name, make in EXPERTS.items()}


def single_ball_hypotheses(white_count: int, prior: float = PRIORS["ball"]) -> dict[float, float]:
    """Return the mixture's prior weight of a given main ball being so many times as heavy as any other.

    `prior` is that of the expert "ball".
    """
    belief = prior * (1.0 - FAIR) / sum(FACTORS.values()) / white_count
    return {factor: belief * prior for factor, prior in FACTORS.items()}
