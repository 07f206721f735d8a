"""In what patterns are looked for: one value for each new fact, so that chance puts them in any order.

What each assessment measures will not do. A mean over the last draws, or a total, leans on the value before
it, and of what does not change between two draws an assessment tells twice: in such a series there is always
a trend or a cycle. Nor will every gain do. The mixture's weights move to uniform on a fair machine, so its
gains shrink; regret is what a mixture has yet to learn, and falls; networks are validated on draws that
overlap. Looked at here is what on a fair machine follows, draw by draw, very nearly one law.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from helios_agent.metacognition import patterns

LENGTH = 200
"""At how many of the last values is looked."""
STEADY = ("recent-50", "recent-200")
"""Experts that weigh draws by their age alone: what they gain does not change with how much is known."""
LEAST_SPREAD = 1e-4
"""Standard deviation over the balls of their chances to be drawn, below which they are all the same."""


@dataclass(frozen=True)
class Past:
    """The last values of each kind, oldest first.

    gains: what a forecaster gained on draws, nats, by what it is called. meant: of each draw with a
    registered forecast, the chance to be drawn that the served forecast expected of the balls to be drawn,
    and the one that it gave to those drawn: see `forecasting.served`. white_count, pick: of what is drawn.
    delays: day of the week and hours from a draw to its being stored, of draws that were awaited.
    costs: CPU seconds that each training took a draw that it learned from, by how decisions call it.
    """

    gains: Mapping[str, Sequence[float]]
    meant: Sequence[tuple[float, float]]
    white_count: int
    pick: int
    delays: Sequence[tuple[int, float]]
    costs: Mapping[str, Sequence[float]]


def series(past: Past) -> dict[str, list[float | None]]:
    """Return the series to look at, by name."""
    found: dict[str, list[float | None]] = {
        f"What {name} gains on a draw": [*gains] for name, gains in past.gains.items()
    }
    found["The chance that is served for the balls drawn, in standard deviations,"] = [
        surprise(expected, drawn, past.white_count, past.pick) for expected, drawn in past.meant
    ]
    found["The delay of a draw, in hours beyond what is usual on its day,"] = [*_unusual(past.delays)]
    for action, costs in past.costs.items():
        found[f"What {action} costs, in CPU seconds a draw,"] = [*costs]
    return {name: values[-LENGTH:] for name, values in found.items()}


def surprise(expected: float, drawn: float, white_count: int, pick: int) -> float | None:
    """Return by how many standard deviations of a fair machine the balls drawn were those thought likelier.

    A fair machine draws k of N balls without replacement, whatever was said of them: so the mean p of those
    drawn has the mean k/N and the variance σ²/k · (N − k)/(N − 1), σ² being that of p over all balls, which
    follows from `expected`, Σ p²/k. None where the forecast is uniform.
    """
    share = pick / white_count
    variance = expected * share - share**2
    if variance < LEAST_SPREAD**2 or pick == white_count:
        return None
    error = math.sqrt(variance / pick * (white_count - pick) / (white_count - 1))
    return (drawn - share) / error


def _unusual(delays: Sequence[tuple[int, float]]) -> list[float]:
    """Return delays less the median of their day: feeds are asked on each at hours of its own."""
    usual = {day: median(hours for other, hours in delays if other == day) for day in {d for d, _ in delays}}
    return [hours - usual[day] for day, hours in delays]


def found_in(past: Past) -> list[dict[str, Any]]:
    """Return every pattern as JSON-ready values. Where there is none, any is found at `patterns.LEVEL`."""
    seen = patterns.find(series(past))
    return [asdict(finding) | {"sentence": finding.sentence} for finding in seen.findings]
