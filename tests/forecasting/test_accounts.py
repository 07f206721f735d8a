import json

import numpy as np
import pytest

from helios_agent.forecasting import accounts
from helios_agent.forecasting.accounts import Walked
from helios_agent.forecasting.experts import EXPERTS
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History, Matrix


def walked(name: str, rows: list[list[int]]) -> tuple[Walked, list[Forecast], History]:
    """Return what an expert says of draws, gathered and one by one, and the draws."""
    history = History.from_rows(rows, 5, 69, 26, [True] * len(rows))
    expert = EXPERTS[name](Matrix(69, 26, 5), ())
    said, gains = [], []
    for t in range(len(history)):
        said.append(expert.forecast().rounded())
        gains.append(float(said[-1].log_ratio(history.draw(t))))
        expert.update(history.draw(t))
    return Walked.of(said, gains), said, history


@pytest.mark.parametrize("name", ["counts-0.2", "repeats", "places", "bonus"])
def test_forecasts_gathered_say_what_each_says_alone(powerball_rows: list[list[int]], name: str) -> None:
    together, said, _ = walked(name, powerball_rows[:40])
    for t, forecast in enumerate(said):
        np.testing.assert_allclose(together.inclusion[t], forecast.inclusion(), atol=1e-14)
        np.testing.assert_allclose(together.bonus[t], forecast.bonus_probabilities(), atol=1e-15)
    assert (together.theta is None) == (name == "repeats")


@pytest.mark.parametrize(
    ("name", "white", "bonus"),
    [
        ("counts-0.2", True, False),
        ("repeats", False, False),
        ("uniform", False, False),
        ("bonus", False, True),
    ],
)
def test_calibration_is_tested_where_forecasts_can_be_simulated_and_are_no_chance(
    powerball_rows: list[list[int]], name: str, white: bool, bonus: bool
) -> None:
    together, _, history = walked(name, powerball_rows[:100])
    found = accounts.account(together, history.whites, history.bonus)
    for drum, tested in (("white", white), ("bonus", bonus)):
        parts = found["calibration"][drum]
        assert (parts["test"] is not None, parts["pit"] is not None) == (tested, tested)
        total = parts["reliability"] - parts["resolution"] + parts["uncertainty"] + parts["within"]
        assert parts["brier"] == pytest.approx(total, abs=1e-12)
        if tested:
            assert sum(parts["pit"]["shares"]) == pytest.approx(1.0)
    again = accounts.account(together, history.whites, history.bonus)
    assert json.dumps(again, allow_nan=False) == json.dumps(found, allow_nan=False)


def test_the_mean_has_bounds_from_a_hundred_draws_on(powerball_rows: list[list[int]]) -> None:
    """They are asymptotic: one large gain in few draws would be missed by them."""
    for draws, are_there in ((99, False), (100, True)):
        together, _, history = walked("repeats", powerball_rows[:draws])
        found = accounts.account(together, history.whites, history.bonus)
        low, high = found["mean_low_nats"], found["mean_high_nats"]
        assert [low is not None, high is not None] == [are_there, are_there]
        assert found["mean_gain_nats"] is not None


def test_a_game_without_a_bonus_ball_has_no_hits_of_it() -> None:
    whites, bonus = np.array([[1, 2], [3, 4]]), np.ones(2, dtype=np.int64)
    chance = Walked.of([Forecast.uniform(6, 1, 2)] * 2, [0.0, 0.0])
    found = accounts.account(chance, whites, bonus)
    assert found["bonus_hits"] is None
    assert found["calibration"]["bonus"] is None
    assert found["hits"]["hits"] == 2  # of equal balls the lowest are chosen
