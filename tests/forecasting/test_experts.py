import math

import numpy as np
import pytest

from helios_agent.forecasting import subsets
from helios_agent.forecasting.experts import EXPERTS, recency, tilt
from helios_agent.forecasting.forecast import Forecast, gains
from helios_agent.forecasting.history import History
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.walk_forward import walk_forward


def weighted_machine(draws: int, log_sd: float, seed: int) -> History:
    """Return draws of 5/69 + 1/26 by a machine whose balls' log-weights have that spread; fair bonus."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0.0, log_sd, 69)
    whites = subsets.sample(theta, 5, rng, draws)
    return History(whites, rng.integers(1, 27, draws), 69, 26)


def test_the_uniform_expert_comes_first() -> None:
    assert list(EXPERTS) == ["uniform", "tilt", "recency"]


@pytest.mark.parametrize("name", list(EXPERTS))
def test_without_draws_every_expert_forecasts_uniform(name: str) -> None:
    forecast = EXPERTS[name](History.from_rows([], 5, 69, 26))
    assert not forecast.white.any()
    assert not forecast.bonus.any()


def test_tilt_is_the_excess_count_over_information_plus_prior_precision() -> None:
    forecast = tilt.forecast(History.from_rows([[1, 2, 1], [1, 3, 2], [1, 4, 2]], 2, 4, 2))
    information = 3 * 2 * 2 / (4 * 3)  # n k (N-k) / (N (N-1))
    expected = (np.array([3, 1, 1, 1]) - 1.5) / (information + 100.0)
    np.testing.assert_allclose(forecast.white, expected, rtol=1e-12)
    np.testing.assert_allclose(forecast.bonus_probabilities(), [21 / 43, 22 / 43], rtol=1e-12)


def test_recency_halves_the_worth_of_a_draw_every_hundred_draws() -> None:
    rows = [[1, 2, 1]] + [[3, 4, 2]] * 100
    forecast = recency.forecast(History.from_rows(rows, 2, 4, 2))
    recent = sum(0.5 ** (age / 100) for age in range(100))
    expected = (20 + recent) / (40 + recent + 0.5)
    assert forecast.bonus_probabilities()[1] == pytest.approx(expected, rel=1e-12)
    scale = (recent + 0.5) * 2 * 2 / (4 * 3) + 100.0
    np.testing.assert_allclose(forecast.white[2] - forecast.white[0], (recent - 0.5) / scale, rtol=1e-12)


@pytest.mark.parametrize("name", list(EXPERTS))
def test_an_expert_sees_a_ball_that_comes_too_often(name: str) -> None:
    rows = [[1, 2 + t % 60, 62 + t % 8, 1] for t in range(200)]
    forecast = EXPERTS[name](History.from_rows(rows, 3, 69, 26))
    ratio = forecast.inclusion()[0] / (3 / 69)
    assert ratio == pytest.approx(1.0) if name == "uniform" else ratio > 2.0


def test_dirichlet_20_on_the_real_powerball_bonus_loses_7_8_nats(powerball_rows: list[list[int]]) -> None:
    history = History.from_rows(powerball_rows, 5, 69, 26)
    total, peak = 0.0, 0.0
    for t in range(len(history)):
        learned = tilt.forecast(history.before(t))
        bonus_only = Forecast(np.zeros(69), learned.bonus, 5)
        total += float(gains([bonus_only], powerball_rows[t][:5], powerball_rows[t][5])[0])
        peak = max(peak, total)
    assert total == pytest.approx(-7.8, abs=0.05)
    assert peak == pytest.approx(0.17, abs=0.005)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_weighted_machine_is_found_by_the_tilt(seed: int) -> None:
    history = weighted_machine(250, 0.4, seed)
    *_, (_, _, ledger) = walk_forward(history, 0, Ledger.start(EXPERTS))
    assert ledger.standings["tilt"].gain_nats > math.log(100)
    assert ledger.peak_nats > math.log(100)
