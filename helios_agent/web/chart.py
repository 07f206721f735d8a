"""The evidence over time as an SVG drawing: numbers in, coordinates out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT, MARGIN = 860, 220, 8
FLOOR_NATS = -math.log(2)


@dataclass(frozen=True, slots=True)
class Line:
    """A horizontal line with its name, at height `y`."""

    y: float
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """The evidence's path, its reference lines, and what a reader who does not see it is told."""

    width: int
    height: int
    path: str
    lines: tuple[Line, ...]
    first: str
    last: str
    description: str


def evidence(series: Sequence[Mapping[str, Any]], alarm_level: float) -> Drawing | None:
    """Draw the mixture's cumulative gain (nats) against the draws; None where there is none to draw.

    The vertical axis always holds the floor −ln 2, chance at 0 and the alarm: a wiggle looks like one.
    """
    if not series:
        return None
    values = [float(point["mixture_nats"]) for point in series]
    alarm = math.log(1 / alarm_level)
    low, high = min(FLOOR_NATS, *values), max(alarm, *values)

    def y(value: float) -> float:
        return round(MARGIN + (high - value) / (high - low) * (HEIGHT - 2 * MARGIN), 1)

    def x(place: int) -> float:
        return round(place / max(1, len(values) - 1) * WIDTH, 1)

    points = " ".join(f"{x(i)},{y(v)}" for i, v in enumerate(values))
    return Drawing(
        WIDTH, HEIGHT, points,
        (
            Line(y(alarm), f"alarm at {alarm:.2f} nats (p = {alarm_level:g})", "alarm"),
            Line(y(0.0), "chance", "chance"),
            Line(y(FLOOR_NATS), "the most that can ever be lost: −ln 2", "floor"),
        ),
        str(series[0]["day"]), str(series[-1]["day"]),
        f"Evidence against fairness over {len(values)} draws: now {values[-1]:.2f} nats, "
        f"at most {max(values):.2f}, the alarm is at {alarm:.2f}.",
    )  # fmt: skip
