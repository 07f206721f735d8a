import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from helios_agent.forecasting import subsets

GAMES = [(1, 1), (5, 1), (5, 5), (6, 2), (7, 3), (8, 5)]


def enumerate_law(theta: NDArray[np.float64], k: int) -> dict[tuple[int, ...], float]:
    """Return the probability of every k-subset by brute force."""
    weights = {s: math.exp(sum(theta[i - 1] for i in s)) for s in combinations(range(1, theta.size + 1), k)}
    total = math.fsum(weights.values())
    return {s: weight / total for s, weight in weights.items()}


@pytest.mark.parametrize(("n", "k"), GAMES)
def test_normaliser_and_probabilities_equal_brute_force(n: int, k: int) -> None:
    theta = np.random.default_rng(n * k).normal(0.0, 1.5, n)
    law = enumerate_law(theta, k)
    total = math.fsum(math.exp(sum(theta[i - 1] for i in s)) for s in law)
    assert float(subsets.log_normaliser(theta, k)) == pytest.approx(math.log(total), abs=1e-12)
    found = np.exp(subsets.log_probability(theta, np.array(list(law))))
    np.testing.assert_allclose(found, list(law.values()), rtol=1e-12)


@pytest.mark.parametrize(("n", "k"), GAMES)
def test_inclusion_probabilities_equal_brute_force(n: int, k: int) -> None:
    theta = np.random.default_rng(n + k).normal(0.0, 1.5, n)
    law = enumerate_law(theta, k)
    expected = [math.fsum(p for s, p in law.items() if ball in s) for ball in range(1, n + 1)]
    np.testing.assert_allclose(subsets.inclusion_probabilities(theta, k), expected, rtol=1e-12)


def test_equal_weights_count_the_subsets() -> None:
    assert float(subsets.log_normaliser(np.zeros(69), 5)) == pytest.approx(math.log(11_238_513), abs=1e-12)
    np.testing.assert_allclose(subsets.inclusion_probabilities(np.zeros(69), 5), 5 / 69, rtol=1e-12)


@pytest.mark.parametrize("k", [1, 5, 20])
def test_weights_from_1e_minus_12_to_1e12_lose_no_precision(k: int) -> None:
    exponents = np.random.default_rng(k).integers(-12, 13, 80)
    polynomial = [1] + [0] * k
    for exponent in exponents.tolist():  # exact, in whole numbers: every weight times 1e12
        for j in range(k, 0, -1):
            polynomial[j] += 10 ** (exponent + 12) * polynomial[j - 1]
    exact = math.log(polynomial[k]) - 12 * k * math.log(10)
    theta = exponents * math.log(10)
    assert float(subsets.log_normaliser(theta, k)) == pytest.approx(exact, rel=1e-13, abs=1e-11)
    assert float(subsets.inclusion_probabilities(theta, k).sum()) == pytest.approx(k, rel=1e-11)


@given(st.lists(st.floats(-27.6, 27.6), min_size=2, max_size=40), st.data())
def test_inclusion_probabilities_lie_in_0_1_and_sum_to_k(weights: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(weights)))
    inclusion = subsets.inclusion_probabilities(np.array(weights), k)
    assert float(inclusion.sum()) == pytest.approx(k, rel=1e-10)
    assert ((inclusion > 0.0) & (inclusion <= 1.0 + 1e-10)).all()


@given(st.floats(-50.0, 50.0))
def test_only_the_ratios_of_weights_matter(shift: float) -> None:
    theta = np.linspace(-1.0, 2.0, 9)
    moved = subsets.log_probability(theta + shift, np.array([2, 5, 9]))
    assert float(moved) == pytest.approx(
        float(subsets.log_probability(theta, np.array([2, 5, 9]))), abs=1e-11
    )


@given(st.lists(st.floats(-8.0, 8.0), min_size=2, max_size=9), st.data())
def test_the_normaliser_has_the_symmetries_of_an_elementary_symmetric_polynomial(
    weights: list[float], data: st.DataObject
) -> None:
    theta = np.array(weights)
    k = data.draw(st.integers(1, len(weights) - 1))
    shuffled = np.array(data.draw(st.permutations(weights)))
    e_k = subsets.log_normaliser(theta, k)
    assert subsets.log_normaliser(shuffled, k) == pytest.approx(float(e_k), abs=1e-11)
    # e_k(w) = w_1 … w_N e_{N-k}(1/w): to choose who comes is to choose who stays.
    left_out = theta.sum() + subsets.log_normaliser(-theta, len(weights) - k)
    assert left_out == pytest.approx(float(e_k), abs=1e-10)


@given(st.lists(st.floats(-4.0, 4.0), min_size=3, max_size=9), st.data())
def test_inclusion_is_the_gradient_of_the_normaliser(weights: list[float], data: st.DataObject) -> None:
    theta, step = np.array(weights), 1e-5
    k = data.draw(st.integers(1, len(weights) - 1))
    up, down = theta + step * np.eye(len(weights)), theta - step * np.eye(len(weights))
    gradient = (subsets.log_normaliser(up, k) - subsets.log_normaliser(down, k)) / (2 * step)
    np.testing.assert_allclose(gradient, subsets.inclusion_probabilities(theta, k), atol=1e-8)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_divergence_equals_brute_force(k: int) -> None:
    theta = np.array([0.7, -1.2, 0.0, 2.0, 0.3])
    balls = np.array(list(combinations(range(1, 6), k)))
    log_p = subsets.log_probability(theta, balls)
    expected = float((np.exp(log_p) * (log_p + math.log(math.comb(5, k)))).sum())
    assert subsets.divergence(theta, k) == pytest.approx(expected, rel=1e-12)
    assert subsets.divergence(np.full(5, 3.0), k) == pytest.approx(0.0, abs=1e-12)
    gone = np.array([0.0, 0.0, 0.0, 0.0, -np.inf])
    assert subsets.divergence(gone, k) == pytest.approx(
        math.log(math.comb(5, k) / math.comb(4, k)), rel=1e-12
    )


def test_weights_too_far_apart_to_be_multiplied_are_added_up_as_logarithms() -> None:
    theta = np.array([900.0, 0.0, -900.0, 899.0, 5.0])
    assert subsets.log_normaliser(theta, 3) == pytest.approx(
        900.0 + 899.0 + 5.0 + math.log1p(math.exp(-5)), rel=1e-14
    )
    third = 1.0 / (1.0 + math.exp(-5))
    np.testing.assert_allclose(
        subsets.inclusion_probabilities(theta, 3), [1.0, 1.0 - third, 0.0, 1.0, third], atol=1e-12
    )


@pytest.mark.parametrize("farthest", [230.0, 236.0])  # on both sides of LARGEST_EXPONENT / 3
def test_up_to_there_nothing_overflows(farthest: float) -> None:
    theta = np.array([farthest, 0.0, -3.0, farthest - 1.0, 0.0])
    second = 1.0 / (2.0 + math.exp(-3.0))
    np.testing.assert_allclose(
        subsets.inclusion_probabilities(theta, 3), [1.0, second, 1.0 - 2.0 * second, 1.0, second], rtol=1e-12
    )


def test_leading_axes_are_independent_laws() -> None:
    theta = np.random.default_rng(1).normal(size=(4, 3, 8))
    drawn = subsets.sample(theta, 3, np.random.default_rng(2))
    assert drawn.shape == (4, 3, 3)
    assert subsets.inclusion_probabilities(theta, 3).shape == (4, 3, 8)
    scores = subsets.log_probability(theta, drawn)
    for a, b in np.ndindex(4, 3):
        assert float(scores[a, b]) == float(subsets.log_probability(theta[a, b], drawn[a, b]))
        one = subsets.inclusion_probabilities(theta[a, b], 3)
        np.testing.assert_array_equal(subsets.inclusion_probabilities(theta, 3)[a, b], one)


def test_samples_come_with_the_frequencies_of_the_law() -> None:
    theta = np.array([1.0, -0.5, 0.3, 0.0, -1.2, 0.8])
    law = enumerate_law(theta, 3)
    drawn = subsets.sample(np.broadcast_to(theta, (40_000, 6)), 3, np.random.default_rng(7))
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    assert [tuple(s) for s in found.tolist()] == list(law)
    assert stats.chisquare(counts, 40_000 * np.array(list(law.values()))).pvalue > 0.001


def test_many_draws_of_each_of_several_laws_come_with_their_frequencies() -> None:
    thetas = np.array([[1.0, -0.5, 0.3, 0.0, -1.2], [-2.0, 3.0, 0.0, 0.5, 0.0]])
    drawn = subsets.sample(thetas, 2, np.random.default_rng(8), 20_000)
    assert drawn.shape == (2, 20_000, 2)
    for theta, of_one in zip(thetas, drawn, strict=True):
        law = enumerate_law(theta, 2)
        found, counts = np.unique(of_one, axis=0, return_counts=True)
        assert [tuple(s) for s in found.tolist()] == list(law)
        assert stats.chisquare(counts, 20_000 * np.array(list(law.values()))).pvalue > 0.001


def test_a_ball_without_weight_is_never_drawn_and_the_others_as_if_it_were_not_there() -> None:
    theta = np.array([0.4, -np.inf, 0.0, -0.8, -np.inf])
    drawn = subsets.sample(theta, 2, np.random.default_rng(9), 10_000)
    law = enumerate_law(theta[np.isfinite(theta)], 2)
    found, counts = np.unique(drawn, axis=0, return_counts=True)
    assert found.tolist() == [[1, 3], [1, 4], [3, 4]]
    assert stats.chisquare(counts, 10_000 * np.array(list(law.values()))).pvalue > 0.001


def test_what_cannot_be_drawn_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="fewer than k = 2 balls of positive weight"):
        subsets.sample(np.array([0.0, -np.inf, -np.inf]), 2, rng)
    with pytest.raises(ValueError, match="not a number"):
        subsets.sample(np.array([0.0, np.nan, 1.0]), 2, rng)
    with pytest.raises(ValueError, match="size is -1; expected how many"):
        subsets.sample(np.zeros(3), 2, rng, -1)
    assert subsets.sample(np.zeros(3), 2, rng, 0).shape == (0, 2)


@given(st.lists(st.floats(-27.6, 27.6), min_size=1, max_size=30), st.data())
def test_a_sample_is_k_different_balls_in_ascending_order(weights: list[float], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(weights)))
    drawn = subsets.sample(np.array(weights), k, np.random.default_rng(0)).tolist()
    assert drawn == sorted(set(drawn))
    assert len(drawn) == k
    assert 1 <= drawn[0] <= drawn[-1] <= len(weights)


@pytest.mark.parametrize("subset", [[0, 1], [1, 7]])
def test_a_ball_that_is_not_in_the_machine_is_refused(subset: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected 2 balls of 1\.\.6"):
        subsets.log_probability(np.zeros(6), np.array(subset))


@pytest.mark.parametrize("k", [0, 7])
def test_more_balls_than_there_are_cannot_be_drawn(k: int) -> None:
    with pytest.raises(ValueError, match="1 <= k <= N"):
        subsets.log_normaliser(np.zeros(6), k)
