import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from helios_agent.forecasting import subsets
from helios_agent.forecasting.experts.ball_scorer import PARTS, BallScorer, Belief, inner_gradient
from helios_agent.forecasting.experts.last_draw import LastDraw
from helios_agent.forecasting.history import Drawn, Matrix

POWERBALL = Matrix(69, 26, 5)
Floats = NDArray[np.float64]
Rule = Callable[[NDArray[np.bool_]], Floats]


def draw_of(whites: NDArray[np.int64]) -> Drawn:
    lead = whites.shape[:-1]
    return Drawn(whites, np.ones(lead, np.int64), np.zeros(lead, np.bool_), np.zeros(lead, np.bool_))


def drawn_by(rule: Rule, draws: int, seed: int, runs: int = 1) -> NDArray[np.int64]:
    """Draw by log-weights that follow from all earlier draws, ((t, runs, 69) bool): (draws, runs, 5)."""
    rng, past = np.random.default_rng(seed), np.zeros((draws, runs, 69), dtype=np.bool_)
    whites = np.empty((draws, runs, 5), dtype=np.int64)
    for t in range(draws):
        whites[t] = subsets.sample(rule(past[:t]), 5, rng)
        np.put_along_axis(past[t], whites[t] - 1, True, axis=-1)
    return whites


def gains(expert: BallScorer | LastDraw, whites: NDArray[np.int64]) -> Floats:
    """Return what an expert gains on each draw, (draws, runs), in nats."""
    made = []
    for each in whites:
        made.append(expert.forecast().log_ratio(draw_of(each)))
        expert.update(draw_of(each))
    return np.array(made)


def fair(past: NDArray[np.bool_]) -> Floats:
    return np.zeros(past.shape[1:])


def twice_two_draws_ago(past: NDArray[np.bool_]) -> Floats:
    return math.log(2.0) * past[-2] if len(past) > 1 else np.zeros(past.shape[1:])


def came_last_six_to_eight_draws_ago(past: NDArray[np.bool_]) -> Floats:
    return math.log(8.0) * (past[-8:-5].any(axis=0) & ~past[-5:].any(axis=0))


def test_it_begins_as_exactly_uniform_and_follows_from_the_draws_alone() -> None:
    one, other = BallScorer(POWERBALL), BallScorer(POWERBALL)
    assert not one.forecast().white.any()
    for whites in drawn_by(fair, 50, 1)[:, 0]:
        one.update(draw_of(whites))
        other.update(draw_of(whites))
    assert one.forecast().white.any()
    assert one.forecast().white.tobytes() == other.forecast().white.tobytes()


def test_the_gradient_is_that_of_the_exact_likelihood() -> None:
    rng = np.random.default_rng(2)
    features, inner = rng.normal(size=(7, 4)), rng.normal(size=(4, 3))
    linear, outer = rng.normal(size=4), rng.normal(size=3)
    subset = np.array([2, 5, 7])

    def likelihood(linear: Floats, outer: Floats, inner: Floats) -> float:
        theta = features @ linear + np.tanh(features @ inner) @ outer
        return float(subsets.log_probability(theta, subset))

    def numeric(of: Callable[[Floats], float], at: Floats) -> Floats:
        slopes = np.empty(at.size)
        for i in range(at.size):
            step = 1e-6 * (np.arange(at.size) == i).reshape(at.shape)
            slopes[i] = (of(at + step) - of(at - step)) / 2e-6
        return slopes.reshape(at.shape)

    hidden = np.tanh(features @ inner)
    error = np.isin(np.arange(1, 8), subset) - subsets.inclusion_probabilities(
        features @ linear + hidden @ outer, 3
    )
    np.testing.assert_allclose(
        inner_gradient(features, hidden, outer, error),
        numeric(lambda x: likelihood(linear, outer, x), inner),
        atol=1e-7,
    )
    np.testing.assert_allclose(
        features.T @ error, numeric(lambda x: likelihood(x, outer, inner), linear), atol=1e-7
    )
    np.testing.assert_allclose(
        hidden.T @ error, numeric(lambda x: likelihood(linear, x, inner), outer), atol=1e-7
    )


def test_a_belief_moves_by_newtons_step_with_nearly_the_exact_information() -> None:
    rng = np.random.default_rng(3)
    inputs, theta = rng.normal(size=(69, 2)), rng.normal(0.0, 0.7, 69)
    inclusion = subsets.inclusion_probabilities(theta, 5)
    nudged = [subsets.inclusion_probabilities(theta + 1e-6 * column, 5) for column in inputs.T]
    information = inputs.T @ ((np.array(nudged) - inclusion).T / 1e-6)
    belief = Belief(2, 0.5, ())
    error = np.isin(np.arange(69), [3, 8, 20, 41, 60]) - inclusion
    belief.update(inputs, error, inclusion)
    gathered = belief._precision - np.eye(2) / 0.25
    np.testing.assert_allclose(gathered, information, atol=0.04 * information.max())
    np.testing.assert_allclose(belief._precision @ belief.mean, inputs.T @ error, rtol=1e-12)


def test_on_fair_draws_it_loses_next_to_nothing() -> None:
    total = gains(BallScorer(POWERBALL, (6,)), drawn_by(fair, 500, 4, runs=6)).sum(axis=0)
    assert total.min() > -1.5
    assert total.max() < math.log(20)


def test_a_rule_of_sequence_that_no_other_expert_knows_is_found() -> None:
    whites = drawn_by(twice_two_draws_ago, 900, 5, runs=3)
    found = gains(BallScorer(POWERBALL, (3,)), whites)
    assert (found[:300].sum(axis=0) > math.log(100)).all()
    assert found[600:].mean() > 0.85 * 0.1054  # the divergence of the rule from a fair machine
    assert gains(LastDraw(POWERBALL, (3,)), whites).mean() < 0.01


def test_the_network_learns_what_the_linear_term_cannot_say() -> None:
    expert = BallScorer(POWERBALL, (3,))
    gains(expert, drawn_by(came_last_six_to_eight_draws_ago, 400, 6, runs=3))
    with_network = np.array(PARTS)[:, 1] > 0.0
    assert (expert._parts.shares[:, with_network].sum(axis=1) > 0.9).all()


@pytest.mark.parametrize("matrix", [POWERBALL, Matrix(5, 1, 2)])
def test_a_ball_that_is_always_drawn_and_then_never_again_leaves_sound_numbers(matrix: Matrix) -> None:
    rng = np.random.default_rng(7)
    others = np.array([rng.permutation(matrix.white - 1)[: matrix.pick] + 2 for _ in range(900)])
    expert = BallScorer(matrix)
    for t, whites in enumerate(others):
        if t < 600:
            whites[0] = 1
        if t == 600:
            assert expert.forecast().inclusion()[0] > 0.99
        expert.update(draw_of(whites))
        forecast = expert.forecast()
        assert np.abs(forecast.white).max() < 30.0
    assert forecast.inclusion()[0] < matrix.pick / matrix.white


@pytest.mark.parametrize("size", [1, 5, 20])
def test_where_every_ball_is_drawn_there_is_nothing_to_learn(size: int) -> None:
    expert = BallScorer(Matrix(size, 1, size))
    for _ in range(20):
        expert.update(draw_of(np.arange(1, size + 1)))
    assert np.isfinite(expert._linear._precision).all()
    assert expert.forecast().log_ratio(draw_of(np.arange(1, size + 1))) == pytest.approx(0.0, abs=1e-12)
