"""Drawings for the page: numbers in, coordinates out.

A drawing is stretched to the width it is given, so `x` of what carries text is a percentage of that
width, and `y` is in pixels. Curves have their own grid of WIDTH by HEIGHT, stretched alike.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

WIDTH, HEIGHT, MARGIN = 1000, 240, 10
LABEL_PX = 15  # the least distance of two labels that can both be read
TICKS_MOST = 6
FLOOR_NATS = -math.log(2)
INSIDE = 0.95  # the part of fair counts that a band holds


@dataclass(frozen=True, slots=True)
class Curve:
    """A line through points ("x,y x,y …") with its name."""

    points: str
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Line:
    """A horizontal line at height `y` with its name, which is written at height `label_y`."""

    y: float
    label_y: float
    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A place on the horizontal axis, in percent, with what is written there and how it is anchored."""

    x: float
    text: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Curves, reference lines and ticks, and what a reader who does not see them is told.

    `end` is where the first curve ends (x in percent, y in pixels); `since` is the place from which on
    forecasts were registered before their draw, if there is one.
    """

    curves: tuple[Curve, ...]
    lines: tuple[Line, ...]
    ticks: tuple[Mark, ...]
    end: tuple[float, float]
    since: float | None
    description: str
    width: int = WIDTH
    height: int = HEIGHT


@dataclass(frozen=True, slots=True)
class Bars:
    """One bar a ball, from a baseline of probability 0: each a pair (y, height) in pixels of `height`."""

    bars: tuple[tuple[float, float], ...]
    chance_y: float
    description: str
    height: int


@dataclass(frozen=True, slots=True)
class Dots:
    """One dot a ball (x in percent, y in pixels, its number, whether it is outside the outer band).

    bands: (y, height) in pixels of what chance gives, the outer before the inner. farthest: the dot that is
    farthest from what is expected.
    """

    dots: tuple[tuple[float, float, int, bool], ...]
    farthest: tuple[float, float, int, bool]
    bands: tuple[tuple[float, float], ...]
    lines: tuple[Line, ...]
    ticks: tuple[Mark, ...]
    description: str
    height: int = HEIGHT


def evidence(series: Sequence[Mapping[str, Any]], alarm_level: float) -> Drawing | None:
    """Draw the mixture's cumulative gain (nats) against the draws; None where there is none to draw.

    The vertical axis always holds the floor −ln 2, chance at 0 and the alarm: a wiggle looks like one.
    """
    if not series:
        return None
    values = [float(point["mixture_nats"]) for point in series]
    alarm = math.log(1 / alarm_level)
    scale = _Scale(min(FLOOR_NATS, *values), max(alarm, *values))
    since = next((i for i, point in enumerate(series) if point["basis"] == "registered"), None)
    return Drawing(
        curves=(Curve(scale.points(values), "evidence", "evidence"),),
        lines=scale.lines(
            (alarm, f"alarm {alarm:.2f}", "alarm"),
            (0.0, "chance 0", "chance"),
            (FLOOR_NATS, f"floor −{-FLOOR_NATS:.2f}", "floor"),
        ),
        ticks=_years([str(point["day"]) for point in series]),
        end=(_percent(len(values) - 1, len(values)), scale.y(values[-1])),
        since=None if since is None else _percent(since, len(values)),
        description=(
            f"Evidence against fairness after each of {len(values):,} draws, from {series[0]['day']} to "
            f"{series[-1]['day']}: now {signed(values[-1])} nats, at most {signed(max(values))}. "
            f"The alarm is at {alarm:.2f}, chance at 0, the floor at −{-FLOOR_NATS:.2f}."
        ),
    )


def gains(days: Sequence[str], sums: Sequence[float], alarm_nats: float) -> Drawing:
    """Draw what a forecaster had gained over chance (nats) after each draw, and the alarm."""
    scale = _Scale(min(0.0, *sums), max(alarm_nats, *sums))
    lowest = [(min(sums), signed(min(sums)), "bound")] if min(sums) < 0 else []
    return Drawing(
        curves=(Curve(scale.points(sums), "gain", "evidence"),),
        lines=scale.lines(
            (alarm_nats, f"alarm {alarm_nats:.2f}", "alarm"), (0.0, "chance 0", "chance"), *lowest
        ),
        ticks=_years(days),
        end=(_percent(len(sums) - 1, len(sums)), scale.y(sums[-1])),
        since=None,
        description=(
            f"Gain over chance after each of {len(sums):,} draws, from {days[0]} to {days[-1]}: at the end "
            f"{signed(sums[-1])} nats, at most {signed(max(sums))}, at least {signed(min(sums))}. "
            f"The alarm is at {alarm_nats:.2f}."
        ),
    )


def training(epochs: Sequence[Mapping[str, Any]], fair_nats: float) -> Drawing | None:
    """Draw a training's gain over chance (nats a draw) against its epochs; None before the first.

    `fair_nats` is the log score of chance for one draw, so that a loss becomes a gain.
    """
    if not epochs:
        return None
    seen = [-fair_nats - float(epoch["loss"]) for epoch in epochs]
    unseen = [float(epoch["validation_gain_nats"]) for epoch in epochs]
    low, high = min(0.0, *seen, *unseen), max(0.0, *seen, *unseen)
    scale = _Scale(low, high if high > low else low + 1)
    bounds = [(value, signed(value), "bound") for value in (high, low) if value]
    count = len(epochs)
    return Drawing(
        curves=(
            Curve(scale.points(unseen), "on draws kept back", "unseen"),
            Curve(scale.points(seen), "on draws it learns from", "seen"),
        ),
        lines=scale.lines(*sorted([*bounds, (0.0, "chance 0", "chance")], reverse=True)),
        ticks=_ends("epoch 1", f"epoch {count}" if count > 1 else ""),
        end=(_percent(count - 1, count), scale.y(unseen[-1])),
        since=None,
        description=(
            f"Gain over chance after each of {count} epochs. On the draws kept back: now "
            f"{signed(unseen[-1])} nats a draw, at best {signed(max(unseen))}. On the draws it learns "
            f"from: now {signed(seen[-1])}."
        ),
    )


def bars(probabilities: Sequence[float], chance: float, height: int = 56) -> Bars:
    """Draw one bar a ball, so that bars twice as likely are twice as high, and the height of chance."""
    top = 1.2 * max(chance, *probabilities)

    def bar(probability: float) -> tuple[float, float]:
        tall = round(probability / top * height, 2)
        return round(height - tall, 2), tall

    return Bars(
        tuple(bar(p) for p in probabilities),
        bar(chance)[0],
        f"Probability of each ball from 1 to {len(probabilities)}: between {min(probabilities):.2%} and "
        f"{max(probabilities):.2%}; chance gives each {chance:.2%}.",
        height,
    )


def counts(drawn: Sequence[int], pick: int) -> Dots:
    """Draw how often each of the balls came, of which `pick` are in a draw, with what chance gives.

    In fair draws a given ball is inside the inner band with a chance of about INSIDE, and all of them are
    inside the outer one with at least about that chance (Bonferroni, normal approximation).
    """
    N, expected = len(drawn), sum(drawn) / len(drawn)
    sd = math.sqrt(expected * (1 - pick / N))
    inner, outer = (NormalDist().inv_cdf(1 - (1 - INSIDE) / 2 / balls) * sd for balls in (1, N))
    low, high = max(0.0, expected - outer), expected + outer
    scale = _Scale(min(low, *drawn), max(high, *drawn) or 1.0)
    dots = tuple(
        (round((i + 0.5) / N * 100, 2), scale.y(value), i + 1, not low <= value <= high)
        for i, value in enumerate(drawn)
    )
    far = max(range(N), key=lambda i: abs(drawn[i] - expected))
    outside = [str(ball) for _, _, ball, out in dots if out]
    return Dots(
        dots,
        dots[far],
        tuple(
            (top := scale.y(expected + half), round(scale.y(max(0.0, expected - half)) - top, 1))
            for half in (outer, inner)
        ),
        scale.lines(
            (high, f"{high:.0f}", "bound"),
            (expected, f"expected {expected:.0f}", "chance"),
            (low, f"{low:.0f}", "bound"),
        ),
        tuple(Mark(dots[b - 1][0], str(b), "middle") for b in range(1, N + 1) if b == 1 or b % 5 == 0),
        f"How often each ball from 1 to {N} came: {min(drawn):,} to {max(drawn):,} times, about "
        f"{expected:.0f} expected; farthest off is ball {far + 1} with {drawn[far]:,}. Chance takes hardly "
        f"any ball out of {low:.0f} to {high:.0f}; outside: {', '.join(outside) or 'none'}.",
    )


def signed(value: float | None, decimals: int = 2) -> str:
    """Write a gain with its sign, or a dash where there is none; what rounds to zero has no sign."""
    if value is None:
        return "—"
    text = f"{value:+.{decimals}f}"
    return text[1:] if not float(text) else text.replace("-", "−")


@dataclass(frozen=True, slots=True)
class _Scale:
    """Takes values from `low` to `high` to heights from the bottom to the top."""

    low: float
    high: float

    def y(self, value: float) -> float:
        return round(MARGIN + (self.high - value) / (self.high - self.low) * (HEIGHT - 2 * MARGIN), 1)

    def points(self, values: Sequence[float]) -> str:
        last = max(1, len(values) - 1)
        return " ".join(f"{round(i / last * WIDTH, 1)},{self.y(v)}" for i, v in enumerate(values))

    def lines(self, *named: tuple[float, str, str]) -> tuple[Line, ...]:
        """Place lines, given from the highest to the lowest, and their labels clear of each other."""
        placed: list[Line] = []
        free_above = float(HEIGHT)
        for value, name, kind in reversed(named):
            label_y = min(self.y(value), free_above)
            placed.append(Line(self.y(value), round(label_y, 1), name, kind))
            free_above = label_y - LABEL_PX
        return tuple(reversed(placed))


def _percent(place: int, count: int) -> float:
    return round(place / max(1, count - 1) * 100, 2)


def _ends(first: str, last: str) -> tuple[Mark, ...]:
    return tuple(
        Mark(x, text, anchor) for x, text, anchor in ((0.0, first, "start"), (100.0, last, "end")) if text
    )


def _years(days: Sequence[str]) -> tuple[Mark, ...]:
    """Mark the first draw of years, as many as can be read; the first and last day where years are few."""
    years = [day[:4] for day in days]
    begun = [i for i in range(1, len(years)) if years[i] != years[i - 1]]
    if len(begun) < 2:
        return _ends(days[0], days[-1] if len(days) > 1 else "")
    shown = begun[:: math.ceil(len(begun) / TICKS_MOST)]
    return tuple(Mark(_percent(i, len(days)), years[i], "middle") for i in shown)
