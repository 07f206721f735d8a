import math
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from helios_agent.forecasting import calibration, subsets
from helios_agent.forecasting.calibration import Bin
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def softmax(theta: Floats) -> Floats:
    shares = np.exp(theta)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def some_forecasts(rng: np.random.Generator, draws: int, n: int, spread: float = 0.7) -> Floats:
    return rng.normal(0.0, spread, (draws, n))


def drawn_from(theta: Floats, k: int, rng: np.random.Generator) -> Ints:
    return subsets.sample(theta, k, rng)


# Scores


def test_fair_powerball_forecasts_score_what_is_known(powerball_rows: list[list[int]]) -> None:
    history = History.from_rows(powerball_rows, 5, 69, 26)
    T = len(history)
    bonus = np.full((T, 26), 1 / 26)
    log_scores = calibration.log_scores(np.zeros((T, 69)), bonus, history.whites, history.bonus)
    np.testing.assert_allclose(log_scores, -math.log(math.comb(69, 5) * 26), rtol=1e-12)
    assert log_scores[0] == pytest.approx(-19.493, abs=5e-4)
    whites = calibration.brier_scores(np.full((T, 69), 5 / 69), history.whites)
    np.testing.assert_allclose(whites, 5 * 64 / 69, rtol=1e-12)
    assert whites[0] == pytest.approx(4.638, abs=5e-4)
    of_bonus = calibration.brier_scores(bonus, history.bonus[:, np.newaxis])
    np.testing.assert_allclose(of_bonus, 25 / 26, rtol=1e-12)
    assert of_bonus[0] == pytest.approx(0.9615, abs=5e-5)


def test_scores_are_those_of_each_draw_by_itself() -> None:
    rng = np.random.default_rng(1)
    forecasts = [Forecast(rng.normal(0, 1, 7), rng.normal(0, 1, 3), 2) for _ in range(20)]
    whites = rng.permuted(np.tile(np.arange(1, 8), (20, 1)), axis=1)[:, :2]
    bonus = rng.integers(1, 4, 20)
    found = calibration.log_scores(
        [f.white for f in forecasts], [f.bonus_probabilities() for f in forecasts], whites, bonus
    )
    expected = [f.log_score(w, b) for f, w, b in zip(forecasts, whites.tolist(), bonus.tolist(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    inclusion = np.array([f.inclusion() for f in forecasts])
    brier = [
        sum((row[i - 1] - (i in balls)) ** 2 for i in range(1, 8))
        for row, balls in zip(inclusion, whites.tolist(), strict=True)
    ]
    np.testing.assert_allclose(calibration.brier_scores(inclusion, whites), brier, rtol=1e-12)


def test_who_held_the_bonus_ball_for_impossible_scores_minus_infinity() -> None:
    scores = calibration.log_scores(np.zeros((2, 4)), [[1.0, 0.0], [1.0, 0.0]], [[1, 2], [3, 4]], [1, 2])
    assert scores.tolist() == [pytest.approx(-math.log(6)), -math.inf]


@settings(max_examples=30)
@given(st.integers(0, 2**32))
def test_both_scores_are_best_on_average_for_who_forecasts_the_truth(seed: int) -> None:
    """All draws of 2 of 5 and 1 of 3, weighed as the machine draws them."""
    rng = np.random.default_rng(seed)
    truth, other = rng.normal(0.0, 1.0, (2, 8))
    whites = np.array([pair for pair in combinations(range(1, 6), 2) for _ in range(3)])
    bonus = np.tile([1, 2, 3], 10)

    def scores(theta: Floats) -> tuple[Floats, Floats]:
        rows = np.tile(theta, (30, 1))
        inclusion = subsets.inclusion_probabilities(rows[:, :5], 2)
        log_scores = calibration.log_scores(rows[:, :5], softmax(rows[:, 5:]), whites, bonus)
        return log_scores, calibration.brier_scores(inclusion, whites)

    log_scores, brier = scores(truth)
    chances = np.exp(log_scores)
    assert chances.sum() == pytest.approx(1.0)
    others_log_scores, others_brier = scores(other)
    assert chances @ log_scores > chances @ others_log_scores
    assert chances @ brier <= chances @ others_brier


# Murphy's parts


@settings(max_examples=60)
@given(
    st.integers(0, 2**32), st.integers(1, 30), st.integers(1, 12), st.sampled_from([(5, 1), (6, 2), (4, 4)])
)
def test_the_parts_add_up_to_the_score(seed: int, draws: int, bins: int, game: tuple[int, int]) -> None:
    n, k = game
    rng = np.random.default_rng(seed)
    probabilities = subsets.inclusion_probabilities(some_forecasts(rng, draws, n), k)
    balls = drawn_from(some_forecasts(rng, draws, n), k, rng)
    parts = calibration.murphy(probabilities, balls, bins)
    assert parts.brier == pytest.approx(calibration.brier_scores(probabilities, balls).mean(), abs=1e-12)
    total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
    assert total == pytest.approx(parts.brier, abs=1e-12)
    assert parts.uncertainty == pytest.approx(k * (1 - k / n))
    assert 1 <= len(parts.bins) <= bins
    assert sum(row.count for row in parts.bins) == draws * n
    assert [row.forecast for row in parts.bins] == sorted(row.forecast for row in parts.bins)
    assert min(parts.reliability, parts.resolution) >= 0.0
    if len(np.unique(probabilities.round(9))) == len(parts.bins):
        assert parts.within == pytest.approx(0.0, abs=1e-8)


def test_parts_of_a_game_small_enough_for_paper() -> None:
    """Two draws of 1 of 2, forecast 3/4 and 1/4; the favourite comes once in two."""
    parts = calibration.murphy([[0.75, 0.25], [0.75, 0.25]], [[1], [2]])
    assert parts.bins == (Bin(2, 0.25, 0.5), Bin(2, 0.75, 0.5))
    assert parts[:5] == pytest.approx((0.625, 0.125, 0.0, 0.5, 0.0), abs=1e-15)


def test_who_knows_nothing_has_neither_reliability_nor_resolution_to_show() -> None:
    rng = np.random.default_rng(2)
    parts = calibration.murphy(np.full((50, 10), 0.3), drawn_from(np.zeros((50, 10)), 3, rng))
    assert parts[:5] == pytest.approx((2.1, 0.0, 0.0, 2.1, 0.0), abs=1e-12)
    assert parts.bins == (Bin(500, pytest.approx(0.3), pytest.approx(0.3)),)


def test_who_knows_everything_has_a_score_of_zero_by_resolution_alone() -> None:
    balls = drawn_from(np.zeros((50, 10)), 3, np.random.default_rng(3))
    certain = np.zeros((50, 10))
    np.put_along_axis(certain, balls - 1, 1.0, axis=1)
    parts = calibration.murphy(certain, balls)
    assert parts[:5] == pytest.approx((0.0, 0.0, 2.1, 2.1, 0.0), abs=1e-12)
    assert [(row.count, row.forecast, row.frequency) for row in parts.bins] == [(350, 0, 0), (150, 1, 1)]


def test_bins_hold_equally_many_forecasts_and_equal_forecasts_share_one() -> None:
    rng = np.random.default_rng(4)
    theta = some_forecasts(rng, 200, 10)
    parts = calibration.murphy(subsets.inclusion_probabilities(theta, 2), drawn_from(theta, 2, rng), 8)
    assert [row.count for row in parts.bins] == [250] * 8
    two_valued = np.tile([0.6, 0.6, 0.2, 0.2, 0.2, 0.2], (30, 1))
    parts = calibration.murphy(two_valued, drawn_from(np.zeros((30, 6)), 2, rng), 7)
    assert [(row.count, row.forecast) for row in parts.bins] == [
        (120, pytest.approx(0.2)),
        (60, pytest.approx(0.6)),
    ]


def test_forecasts_that_differ_by_rounding_alone_share_a_bin() -> None:
    balls = drawn_from(np.zeros((20, 6)), 2, np.random.default_rng(5))
    noise = np.random.default_rng(0).normal(0.0, 1e-13, (20, 6))
    assert len(calibration.murphy(np.full((20, 6), 1 / 3) + noise, balls).bins) == 1


# Reliability


def test_reliability_is_that_of_murphy_and_its_mean_that_of_chance() -> None:
    """In bins of one value each the exact mean of reliability is Σ p (1 - p)/T."""
    rng = np.random.default_rng(5)
    probabilities = np.tile([0.5, 0.3, 0.2], (40, 1))
    balls = drawn_from(np.log(probabilities), 1, rng)
    found = calibration.reliability_test(np.log(probabilities), balls, rng, simulations=4000)
    assert found.observed == pytest.approx(calibration.murphy(probabilities, balls).reliability, abs=1e-12)
    assert found.expected == pytest.approx((0.5 * 0.5 + 0.3 * 0.7 + 0.2 * 0.8) / 40, rel=0.05)
    theta = some_forecasts(rng, 60, 9)
    balls = drawn_from(theta, 3, rng)
    found = calibration.reliability_test(theta, balls, rng, simulations=1, bins=6)
    parts = calibration.murphy(subsets.inclusion_probabilities(theta, 3), balls, bins=6)
    assert found.observed == pytest.approx(parts.reliability, abs=1e-12)


def test_p_values_of_forecasts_fixed_in_advance_are_uniform() -> None:
    """With 9 simulations p is one of 1/10, 2/10, … 10/10, each as probable."""
    rng = np.random.default_rng(6)
    theta = some_forecasts(rng, 30, 8)
    p_values = [
        calibration.reliability_test(theta, drawn_from(theta, 2, rng), rng, simulations=9).p
        for _ in range(200)
    ]
    counts = np.bincount(np.rint(np.array(p_values) * 10).astype(int), minlength=11)[1:]
    assert counts.sum() == 200
    assert stats.chisquare(counts).pvalue > 0.001


def lives_of_an_urn(
    rng: np.random.Generator, draws: int, colours: int, start: float
) -> list[tuple[Floats, Ints]]:
    """Return the log-weights and balls of 60 lives of an urn that begins with `start` balls of each colour.

    A ball of the colour drawn is added each time. Whoever knows that makes honest forecasts, which learn.
    """
    counts = np.full((60, colours), start)
    theta, balls = np.zeros((60, draws, colours)), np.zeros((60, draws, 1), dtype=np.int64)
    for t in range(draws):
        theta[:, t] = np.log(counts)
        balls[:, t] = subsets.sample(theta[:, t], 1, rng)
        counts[np.arange(60), balls[:, t, 0] - 1] += 1.0
    return list(zip(theta, balls, strict=True))


@pytest.mark.parametrize(
    ("draws", "colours", "start", "too_often"), [(200, 26, 20.0, False), (1000, 4, 1.0, True)]
)
def test_forecasts_that_learn_may_be_found_unreliable_too_often_but_not_by_their_ranks(
    draws: int, colours: int, start: float, too_often: bool
) -> None:
    rng = np.random.default_rng(7)
    lives = lives_of_an_urn(rng, draws, colours, start)
    reliability = [calibration.reliability_test(*life, rng, simulations=19).p for life in lives]
    ranks = [calibration.uniformity(calibration.white_pit(*life, rng, simulations=9)).p for life in lives]
    most = 0.1 + 3 * math.sqrt(0.1 * 0.9 / 60)
    assert (np.mean(np.array(reliability) <= 0.1) > most) == too_often
    assert np.mean(np.array(ranks) <= 0.1) <= most


@pytest.mark.parametrize("share", [3.0, 0.0])
def test_forecasts_too_bold_or_too_timid_are_found_wrong(share: float) -> None:
    """Log-weights three times too large, and none at all but for a trace that keeps the bins."""
    rng = np.random.default_rng(8)
    truth = some_forecasts(rng, 300, 12, 0.5)
    found = calibration.reliability_test(
        (share + 0.01) * truth, drawn_from(truth, 3, rng), rng, simulations=99
    )
    assert found.p == 0.01
    assert found.observed > 2 * found.expected


def test_uniform_forecasts_have_one_bin_and_can_not_be_unreliable() -> None:
    rng = np.random.default_rng(9)
    theta = np.zeros((30, 10))
    found = calibration.reliability_test(theta, drawn_from(some_forecasts(rng, 30, 10), 3, rng), rng)
    assert found == pytest.approx((0.0, 0.0, 1.0), abs=1e-12)


# Probability integral transforms


def test_transforms_of_every_draw_fill_the_unit_interval_in_shares_of_their_probability() -> None:
    """Where the bonus ball is b the transform lies between F(b-1) and F(b), anywhere as probable."""
    rng = np.random.default_rng(10)
    probabilities = np.array([0.5, 0.0, 0.2, 0.3])
    bonus = np.repeat([1, 2, 3, 4], 2000)
    values = calibration.bonus_pit(np.tile(probabilities, (8000, 1)), bonus, rng)
    for ball, low, high in ((1, 0.0, 0.5), (2, 0.5, 0.5), (3, 0.5, 0.7), (4, 0.7, 1.0)):
        found = values[bonus == ball]
        assert found.min() >= low - 1e-12
        assert found.max() <= high + 1e-12
        if high > low:
            assert calibration.uniformity(np.clip((found - low) / (high - low), 0.0, 1.0)).p > 0.001


Transform = Callable[[Floats, Ints, np.random.Generator], Floats]


def of_whites(theta: Floats, balls: Ints, rng: np.random.Generator) -> Floats:
    return calibration.white_pit(theta, balls, rng, simulations=9)


def of_bonus(theta: Floats, balls: Ints, rng: np.random.Generator) -> Floats:
    return calibration.bonus_pit(softmax(theta), balls[:, 0], rng)


@pytest.mark.parametrize(("transform", "n", "k"), [(of_whites, 12, 3), (of_whites, 26, 1), (of_bonus, 26, 1)])
def test_transforms_of_honest_forecasts_are_uniform_and_independent(
    transform: Transform, n: int, k: int
) -> None:
    rng = np.random.default_rng(11)
    theta = some_forecasts(rng, 4000, n)
    values = transform(theta, drawn_from(theta, k, rng), rng)
    assert stats.kstest(values, "uniform").pvalue > 0.001
    assert abs(np.corrcoef(values[1:], values[:-1])[0, 1]) < 4 / math.sqrt(4000)
    assert 0.0 <= values.min() < 0.01
    assert 0.99 < values.max() <= 1.0


@pytest.mark.parametrize(("n", "k"), [(12, 3), (26, 1)])
@pytest.mark.parametrize(("share", "side"), [(3.0, -1), (0.3, 1)])
def test_the_rank_is_low_for_bold_and_high_for_timid_forecasts(
    n: int, k: int, share: float, side: int
) -> None:
    rng = np.random.default_rng(12)
    truth = some_forecasts(rng, 400, n)
    values = of_whites(share * truth, drawn_from(truth, k, rng), rng)
    assert side * (values.mean() - 0.5) > 0.1
    assert calibration.uniformity(values).p < 1e-6


def test_the_bonus_transform_sees_a_lean_and_the_rank_sees_boldness_without_one() -> None:
    rng = np.random.default_rng(13)
    bonus = rng.integers(1, 27, (400, 1))
    leaning, noise = np.tile(np.linspace(-1.0, 1.0, 26), (400, 1)), some_forecasts(rng, 400, 26, 1.0)
    assert calibration.uniformity(of_bonus(leaning, bonus, rng)).p < 1e-6
    assert calibration.uniformity(of_bonus(noise, bonus, rng)).p > 0.01
    assert calibration.uniformity(of_whites(noise, bonus, rng)).p < 1e-6


def test_the_uniform_forecast_can_not_be_found_wrong_by_its_rank() -> None:
    rng = np.random.default_rng(14)
    values = of_whites(np.zeros((4000, 12)), np.tile([3, 1, 2], (4000, 1)), rng)
    assert stats.kstest(values, "uniform").pvalue > 0.001


def test_the_order_in_which_main_balls_were_drawn_does_not_matter() -> None:
    rng = np.random.default_rng(15)
    theta = some_forecasts(rng, 50, 8)
    balls = drawn_from(theta, 3, rng)
    turned = balls[:, ::-1]
    one, other = (of_whites(theta, rows, np.random.default_rng(0)) for rows in (balls, turned))
    np.testing.assert_array_equal(one, other)
    one, other = (
        calibration.brier_scores(subsets.inclusion_probabilities(theta, 3), b) for b in (balls, turned)
    )
    np.testing.assert_array_equal(one, other)


# The uniform law


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.integers(1, 400), st.floats(0.3, 3.0))
def test_distance_and_p_value_agree_with_the_exact_test(seed: int, draws: int, power: float) -> None:
    values = np.random.default_rng(seed).random(draws) ** power
    found, exact = calibration.uniformity(values), stats.kstest(values, "uniform", method="exact")
    assert found.distance == pytest.approx(exact.statistic, abs=1e-12)
    assert found.p >= exact.pvalue - 1e-6  # which is itself computed to about 1e-7
    if found.p < 0.2:
        assert found.p < exact.pvalue + 0.001


def test_p_values_of_uniform_samples_are_below_any_level_as_often_as_that() -> None:
    samples = np.random.default_rng(16).random((2000, 25))
    p_values = np.array([calibration.uniformity(sample).p for sample in samples])
    for level in (0.01, 0.05, 0.2):
        assert np.mean(p_values <= level) == pytest.approx(
            level, abs=4 * math.sqrt(level * (1 - level) / 2000)
        )


@pytest.mark.parametrize(
    ("values", "distance", "p"),
    [([0.5], 0.5, 1.0), ([0.0], 1.0, 0.0), ([0.95], 0.95, 0.1), ([0.25, 0.75], 0.25, 1.0)],
)
def test_known_distances(values: list[float], distance: float, p: float) -> None:
    assert calibration.uniformity(values) == pytest.approx((distance, p), abs=1e-12)


# Bad input


THETA, BALLS = np.zeros((2, 4)), np.array([[1, 2], [3, 4]])
RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: calibration.brier_scores([0.5, 0.5], [[1]]), r"probabilities has shape \(2,\); expected"),
        (
            lambda: calibration.brier_scores([[0.5, 0.5], [0.9, 0.2]], [[1], [2]]),
            r"probabilities of draw 1 is 0\.2 to 0\.9 and sums to 1\.1.*; expected .* that sum to 1",
        ),
        (lambda: calibration.brier_scores([[1.5, -0.5]], [[1]]), r"probabilities of draw 0 is -0\.5 to 1\.5"),
        (lambda: calibration.brier_scores([[0.75, 0.75, -0.5]], [[1]]), r"of draw 0 is -0\.5 to 0\.75"),
        (lambda: calibration.brier_scores([[math.nan, 1.0]], [[1]]), "probabilities of draw 0 is nan"),
        (
            lambda: calibration.brier_scores([[0.5, 0.5]], [[3]]),
            r"balls of draw 0 is \[3\]; expected different",
        ),
        (lambda: calibration.brier_scores([[1.0, 1.0]], [[2, 2]]), r"balls of draw 0 is \[2, 2\]"),
        (lambda: calibration.brier_scores([[0.5, 0.5]], [[1.0]]), "balls has shape .* and float64 values"),
        (lambda: calibration.murphy([[0.5, 0.5]], [[1]], 0), "bins is 0; expected at least 1"),
        (
            lambda: calibration.reliability_test([[0.0, math.nan]], [[1]], RNG),
            "theta of draw 0 holds nan; expected finite log-weights",
        ),
        (lambda: calibration.reliability_test(np.zeros(4), BALLS, RNG), r"theta has shape \(4,\)"),
        (lambda: calibration.reliability_test(THETA, BALLS[:1], RNG), r"balls has shape \(1, 2\)"),
        (lambda: calibration.reliability_test(THETA, BALLS, RNG, 0), "simulations is 0; expected at least 1"),
        (lambda: calibration.white_pit(THETA, BALLS, RNG, 0), "simulations is 0; expected at least 1"),
        (lambda: calibration.white_pit(THETA, BALLS + 1, RNG), r"whites of draw 1 is \[4, 5\]"),
        (lambda: calibration.bonus_pit([[0.5, 0.5]], [[1]], RNG), r"bonus has shape \(1, 1\)"),
        (lambda: calibration.bonus_pit([[0.5, 0.5]], [3], RNG), r"bonus of draw 0 is \[3\]"),
        (
            lambda: calibration.log_scores(THETA, [[0.5, 0.5], [0.5, 0.4]], BALLS, [1, 1]),
            "bonus_probabilities of draw 1 is",
        ),
        (
            lambda: calibration.log_scores(THETA, [[0.5, 0.5]], BALLS, [1]),
            "whites and bonus have 2 and 1 draws",
        ),
        (lambda: calibration.log_scores(THETA, [[0.5, 0.5]], BALLS, [1, 1]), r"bonus has shape \(2, 1\)"),
        (lambda: calibration.uniformity([]), "values are empty; expected at least one"),
        (lambda: calibration.uniformity([0.2, 1.2]), r"values are of 0\.2 to 1\.2; expected .* in \[0, 1\]"),
        (lambda: calibration.uniformity([0.2, math.nan]), "values are of .* to nan"),
    ],
)
def test_bad_input_is_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_daemon_does_not_load_scipy() -> None:
    program = "import sys, helios_agent.agent, helios_agent.cli; sys.exit('scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
