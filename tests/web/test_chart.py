"""Numbers in, coordinates out."""

import itertools
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.web import chart
from helios_agent.web.chart import HEIGHT, LABEL_PX, MARGIN, WIDTH

ALARM = 0.01
GAINS = st.lists(st.floats(min_value=-math.log(2), max_value=400), min_size=1, max_size=60)


def series(values: list[float], first_year: int = 2016, a_year: int = 100) -> list[dict[str, Any]]:
    """The evidence after draws of which `a_year` are held a year."""
    return [
        {"day": f"{first_year + i // a_year}-01-{i % a_year % 28 + 1:02d}", "mixture_nats": value,
         "peak_nats": max(0.0, *values[: i + 1]), "basis": "walk-forward"}
        for i, value in enumerate(values)
    ]  # fmt: skip


def drawn(values: list[float], **changes: Any) -> chart.Drawing:
    made = chart.evidence(series(values, **changes), ALARM)
    assert made is not None
    return made


def points(curve: chart.Curve) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in curve.points.split())]


def epochs(losses: list[float], gains: list[float]) -> list[dict[str, Any]]:
    return [{"loss": loss, "validation_gain_nats": gain} for loss, gain in zip(losses, gains, strict=True)]


def test_without_scored_draws_or_epochs_there_is_nothing_to_draw() -> None:
    assert chart.evidence([], ALARM) is None
    assert chart.training([], -19.0) is None


def test_the_evidence_runs_from_left_to_right_and_up_as_it_grows() -> None:
    path = points(drawn([0.0, 1.0, 2.0, 4.0]).curves[0])
    assert [x for x, _ in path] == [0.0, round(WIDTH / 3, 1), round(2 * WIDTH / 3, 1), WIDTH]
    assert all(after < before for (_, before), (_, after) in itertools.pairwise(path))


def test_equal_gains_take_equal_heights() -> None:
    heights = [y for _, y in points(drawn([0.0, 1.0, 2.0]).curves[0])]
    assert heights[0] - heights[1] == pytest.approx(heights[1] - heights[2], abs=0.11)


def test_the_reference_lines_stand_where_a_curve_of_their_value_would() -> None:
    made = drawn([math.log(1 / ALARM), 0.0, -math.log(2)])
    heights = [y for _, y in points(made.curves[0])]
    assert [line.y for line in made.lines] == heights
    assert [line.kind for line in made.lines] == ["alarm", "chance", "floor"]
    assert [line.name for line in made.lines] == ["alarm 4.61", "chance 0", "floor −0.69"]


def test_a_small_wiggle_stays_small_because_alarm_and_floor_are_always_in_sight() -> None:
    alarm, chance, floor = drawn([0.01, -0.01, 0.01]).lines
    assert (alarm.y, floor.y) == (MARGIN, HEIGHT - MARGIN)
    heights = [y for _, y in points(drawn([0.01, -0.01, 0.01]).curves[0])]
    assert max(heights) - min(heights) < 0.01 * (floor.y - alarm.y)
    assert min(heights) <= chance.y <= max(heights)


@given(GAINS)
def test_nothing_leaves_the_drawing_and_every_label_can_be_read(values: list[float]) -> None:
    made = drawn(values)
    assert all(0 <= x <= WIDTH and MARGIN <= y <= HEIGHT - MARGIN for x, y in points(made.curves[0]))
    labels = [line.label_y for line in made.lines]
    assert all(low - high >= LABEL_PX - 0.2 for high, low in itertools.pairwise(labels))
    assert all(0 <= label <= HEIGHT for label in labels)


def test_the_end_is_marked_where_the_curve_ends() -> None:
    made = drawn([0.0, 0.5, 1.5])
    assert made.end == (100.0, points(made.curves[0])[-1][1])


def test_one_draw_is_a_point_at_the_left() -> None:
    made = drawn([0.2])
    assert points(made.curves[0]) == [(0.0, made.end[1])]
    assert made.end[0] == 0.0
    assert [tick.text for tick in made.ticks] == ["2016-01-01"]


def test_forecasts_registered_in_advance_begin_at_their_first_draw() -> None:
    facts = series([0.0] * 5)
    assert chart.evidence(facts, ALARM).since is None  # type: ignore[union-attr]
    facts[3]["basis"] = facts[4]["basis"] = "registered"
    assert chart.evidence(facts, ALARM).since == 75.0  # type: ignore[union-attr]


@pytest.mark.parametrize("years", [3, 6, 7, 13, 40])
def test_years_are_written_as_many_as_can_be_read(years: int) -> None:
    ticks = drawn([0.0] * (100 * years)).ticks
    assert 2 <= len(ticks) <= chart.TICKS_MOST
    assert all(re.fullmatch(r"20\d\d", tick.text) for tick in ticks)
    assert ticks[0].text == "2017"
    assert ticks[0].x == pytest.approx(100 / (100 * years - 1) * 100, abs=0.01)


def test_a_short_history_is_marked_by_its_first_and_last_day() -> None:
    ticks = drawn([0.0] * 28).ticks
    assert [(tick.x, tick.text, tick.anchor) for tick in ticks] == [
        (0.0, "2016-01-01", "start"),
        (100.0, "2016-01-28", "end"),
    ]


def test_the_description_says_what_the_drawing_shows() -> None:
    said = drawn([0.0, 1.25, -0.5]).description
    assert "3 draws" in said
    assert "now −0.50 nats, at most +1.25" in said
    assert "alarm is at 4.61" in said


def test_a_training_shows_loss_as_gain_over_chance() -> None:
    made = chart.training(epochs([19.0, 18.5], [0.5, -0.5]), -19.0)
    assert made is not None
    unseen, seen = (points(curve) for curve in made.curves)
    chance = next(line.y for line in made.lines if line.kind == "chance")
    assert seen[0][1] == chance
    assert seen[1][1] == unseen[0][1] == MARGIN
    assert unseen[1][1] == HEIGHT - MARGIN
    assert [line.name for line in made.lines] == ["+0.50", "chance 0", "−0.50"]
    assert made.end == (100.0, unseen[-1][1])


def test_a_training_that_is_exactly_chance_can_be_drawn() -> None:
    made = chart.training(epochs([19.0], [0.0]), -19.0)
    assert made is not None
    assert [line.name for line in made.lines] == ["chance 0"]


def test_bars_are_as_high_as_they_are_probable_and_stand_on_the_ground() -> None:
    made = chart.bars([0.05, 0.1, 0.2], 0.1, height=60)
    heights = [tall for _, tall in made.bars]
    assert heights[1] == pytest.approx(2 * heights[0])
    assert heights[2] == pytest.approx(4 * heights[0])
    assert all(y + tall == pytest.approx(60) for y, tall in made.bars)
    assert made.chance_y == made.bars[1][0]
    assert "between 5.00% and 20.00%; chance gives each 10.00%" in made.description


@pytest.mark.parametrize(
    ("value", "written"), [(1.234, "+1.23"), (-1.236, "−1.24"), (0.0, "0.00"), (-0.001, "0.00"), (None, "—")]
)
def test_gains_are_written_with_their_sign_and_zero_without(value: float | None, written: str) -> None:
    assert chart.signed(value) == written


def test_gains_are_drawn_between_the_alarm_and_the_lowest_they_fell_to() -> None:
    made = chart.gains(["2026-01-01", "2026-01-03", "2026-01-05"], [0.5, -2.0, -1.0], 7.0)

    assert [(line.name, line.kind) for line in made.lines] == [
        ("alarm 7.00", "alarm"), ("chance 0", "chance"), ("−2.00", "bound")
    ]  # fmt: skip
    assert made.lines[0].y == chart.MARGIN
    assert made.lines[2].y == chart.HEIGHT - chart.MARGIN
    assert "at the end −1.00 nats, at most 0.50" in made.description.replace("+", "")
    assert [line.kind for line in chart.gains(["2026-01-01"], [0.0], 7.0).lines] == ["alarm", "chance"]
