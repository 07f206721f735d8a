import math
from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from helios_agent.forecasting import subsets
from helios_agent.forecasting.experts import EXPERTS, PRIORS, Expert, start
from helios_agent.forecasting.experts.ball import FACTORS
from helios_agent.forecasting.experts.bonus import CONCENTRATIONS
from helios_agent.forecasting.experts.counts import Counts
from helios_agent.forecasting.experts.groups import profiles
from helios_agent.forecasting.experts.posterior import CHANGE_RATE, FAIR, Posterior
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, History, Matrix
from helios_agent.forecasting.mixture import SWITCHING, UNIFORM

POWERBALL = Matrix(69, 26, 5)
SMALL = Matrix(6, 3, 3)
Ints = NDArray[np.int64]


def draw_of(whites: list[int], bonus: int = 1, ordered: bool = False, again: bool = False) -> Drawn:
    return Drawn(np.array(whites), np.array(bonus), np.array(ordered), np.array(again))


def history_of(rows: list[list[int]], matrix: Matrix, ordered: bool = True) -> History:
    return History.from_rows(rows, matrix.pick, matrix.white, matrix.bonus, [ordered] * len(rows))


def after(name: str, rows: list[list[int]], matrix: Matrix = POWERBALL, ordered: bool = True) -> Expert:
    expert, history = EXPERTS[name](matrix, ()), history_of(rows, matrix, ordered)
    for t in range(len(history)):
        expert.update(history.draw(t))
    return expert


def gain_over(name: str, rows: list[list[int]], ordered: bool = True) -> float:
    """Return what an expert gains over the draws, in nats."""
    expert, history, total = EXPERTS[name](POWERBALL, ()), history_of(rows, POWERBALL, ordered), 0.0
    for t in range(len(history)):
        total += float(expert.forecast().log_ratio(history.draw(t)))
        expert.update(history.draw(t))
    return total


def drawn_rows(draws: int, seed: int, theta: NDArray[np.float64] | None = None) -> list[list[int]]:
    """Draw Powerball numbers, main balls by their log-weights, in a random order; the bonus ball is fair."""
    rng = np.random.default_rng(seed)
    weights = np.broadcast_to(np.zeros(69) if theta is None else theta, (draws, 69))
    whites = rng.permuted(subsets.sample(weights, 5, rng), axis=1)
    return np.column_stack([whites, rng.integers(1, 27, draws)]).tolist()


# What they all have in common


def test_every_expert_has_a_prior_weight() -> None:
    assert set(PRIORS) == {*EXPERTS, SWITCHING}
    assert next(iter(EXPERTS)) == UNIFORM


@pytest.mark.parametrize("name", list(EXPERTS))
@pytest.mark.parametrize("matrix", [POWERBALL, SMALL, Matrix(5, 1, 5), Matrix(10, 1, 1), Matrix(4, 2, 3)])
def test_without_draws_every_expert_forecasts_uniform(name: str, matrix: Matrix) -> None:
    forecast = EXPERTS[name](matrix, ()).forecast()
    np.testing.assert_allclose(forecast.white, 0.0, atol=0.05)  # of groups the prior is not quite balanced
    assert not forecast.bonus.any()
    again = EXPERTS[name](matrix, ())
    again.update(draw_of(list(range(1, matrix.pick + 1))))
    assert again.forecast().log_ratio(draw_of(list(range(1, matrix.pick + 1)))) < 5.0


@pytest.mark.parametrize("name", list(EXPERTS))
def test_at_each_moment_the_probabilities_of_all_draws_sum_to_one(name: str) -> None:
    rng = np.random.default_rng(5)
    expert, earlier = EXPERTS[name](SMALL, ()), set()
    for _ in range(12):
        whites = rng.permutation(6)[:3] + 1
        balls, bonus = frozenset(whites.tolist()), int(rng.integers(1, 4))
        expert.update(draw_of(whites.tolist(), bonus, True, balls in earlier))
        earlier.add(balls)
        forecast = expert.forecast()
        ratios = [
            math.exp(forecast.log_ratio(draw_of(list(order), b, True, frozenset(order) in earlier)))
            for order in permutations(range(1, 7), 3)
            for b in (1, 2, 3)
        ]
        assert math.fsum(ratios) / len(ratios) == pytest.approx(1.0, rel=1e-10)


@pytest.mark.parametrize("name", list(EXPERTS))
def test_independent_runs_learn_as_they_do_alone(name: str) -> None:
    histories = [history_of(drawn_rows(30, seed), POWERBALL) for seed in (1, 2, 3)]
    together = EXPERTS[name](POWERBALL, (3,))
    for t in range(30):
        draws = [history.draw(t) for history in histories]
        together.update(Drawn(*(np.stack(column) for column in zip(*draws, strict=True))))
    forecast = together.forecast()
    for run, history in enumerate(histories):
        rows = np.column_stack([history.whites, history.bonus]).tolist()
        alone = after(name, rows).forecast()
        np.testing.assert_allclose(forecast.white[run], alone.white, atol=1e-12)
        np.testing.assert_allclose(forecast.bonus[run], alone.bonus, atol=1e-12)


@pytest.mark.parametrize("name", list(EXPERTS))
def test_on_a_fair_machine_no_expert_gains_much(name: str) -> None:
    assert gain_over(name, drawn_rows(300, 7)) < math.log(20)


def test_the_cost_of_a_draw_does_not_grow_with_the_history() -> None:
    for expert in start(POWERBALL).values():
        for t in range(3):
            expert.update(draw_of([1 + t, 2 + t, 3 + t, 4 + t, 5 + t]))
        sizes = {key: np.size(value) for key, value in vars(expert).items()}
        for t in range(60):
            expert.update(draw_of([1 + t, 2 + t, 3 + t, 4 + t, 5 + t]))
        assert {key: np.size(value) for key, value in vars(expert).items()} == sizes


# The posterior


def test_belief_follows_bayes_rule_and_a_part_of_it_begins_anew() -> None:
    belief = Posterior([1.0, 3.0], ())
    np.testing.assert_allclose(belief.shares, (1.0 - FAIR) * np.array([0.25, 0.75]))
    belief.update(np.array([2.0, 0.5]))
    grown = np.array([0.25 * 2.0, 0.75 * 0.5]) * (1.0 - FAIR)
    kept = (1.0 - CHANGE_RATE) / (grown.sum() + FAIR)
    anew = CHANGE_RATE * (1.0 - FAIR) * np.array([0.25, 0.75])
    np.testing.assert_allclose(belief.shares, kept * grown + anew, rtol=1e-12)
    assert belief.shares.sum() + belief.fair == pytest.approx(1.0, abs=1e-12)


def test_what_was_ruled_out_comes_back_when_it_comes_true() -> None:
    belief = Posterior([1.0], (2,))
    for _ in range(500):
        belief.update(np.array([[0.0], [0.5]]))
    for _ in range(15):
        belief.update(np.array([[2.0], [2.0]]))
    assert (belief.shares > 0.9).all()


# Each against what it watches for


def test_ball_gives_each_ball_its_expected_weight() -> None:
    expert = after("ball", [[1, 2, 3, 1]], SMALL)
    factors, prior = np.array(list(FACTORS)), np.array(list(FACTORS.values())) * (1 - FAIR) / 6
    other = prior / (1.0 + 0.5 * (factors - 1.0))
    grown = np.stack([other * factors] * 3 + [other] * 3)
    total = grown.sum() + FAIR
    shares = (1.0 - CHANGE_RATE) * grown / total + CHANGE_RATE * prior
    weights = 1.0 + shares @ (factors - 1.0)
    forecast = expert.forecast()
    np.testing.assert_allclose(forecast.white, np.log(weights) - np.log(weights).mean(), rtol=1e-10)


@pytest.mark.parametrize(("factor", "name"), [(5.0, "ball"), (0.0, "missing")])
def test_one_ball_that_is_not_like_the_others_is_found(factor: float, name: str) -> None:
    theta = np.zeros(69)
    theta[16] = math.log(factor) if factor else -30.0
    rows = drawn_rows(250, 3, theta)
    assert gain_over(name, rows) > math.log(100)
    chance = float(after(name, rows).forecast().inclusion()[16])
    expected = factor * 5 / 69 / (1 + 5 / 69 * (factor - 1))
    assert chance == pytest.approx(expected, abs=0.03)


def test_a_ball_that_was_missing_is_no_longer_believed_to_be_once_it_is_drawn() -> None:
    rows = [[1 + t % 10, 11 + t % 10, 21 + t % 10, 31 + t % 10, 41 + t % 28, 1] for t in range(150)]
    before = after("missing", rows[:28])
    assert before.forecast().inclusion()[60] == pytest.approx(5 / 69, abs=0.03)
    gone = drawn_rows(200, 1, np.where(np.arange(69) == 8, -30.0, 0.0))
    assert after("missing", gone).forecast().inclusion()[8] < 0.01
    back = after("missing", [*gone, [9, 1, 2, 3, 4, 1]])
    assert back.forecast().inclusion()[8] > 0.06


def test_counts_are_shrunk_towards_the_others() -> None:
    expert = Counts(Matrix(4, 2, 2), spread=0.5)
    for whites in ([1, 2], [1, 3], [1, 4]):
        expert.update(draw_of(whites))
    weights = np.array([3 + 4, 1 + 4, 1 + 4, 1 + 4]) / (1.5 + 4)
    np.testing.assert_allclose(expert.forecast().white, np.log(weights) - np.log(weights).mean(), rtol=1e-12)


def test_recent_counts_halve_the_worth_of_a_draw_every_so_many_draws() -> None:
    expert = Counts(Matrix(4, 2, 2), spread=1.0, half_life=10.0)
    expert.update(draw_of([1, 2]))
    for _ in range(10):
        expert.update(draw_of([3, 4]))
    recent = sum(0.5 ** (age / 10) for age in range(10))
    forecast = expert.forecast()
    ratio = math.exp(forecast.white[2] - forecast.white[0])
    assert ratio == pytest.approx((recent + 1.0) / (0.5 + 1.0), rel=1e-12)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_machine_whose_balls_all_weigh_differently_is_found_by_their_counts(seed: int) -> None:
    theta = np.random.default_rng(seed).normal(0.0, 0.4, 69)
    rows = drawn_rows(250, seed, theta)
    assert gain_over("counts-0.4", rows) > math.log(100)
    assert np.corrcoef(after("counts-0.4", rows).forecast().white, theta)[0, 1] > 0.7


@pytest.mark.parametrize("group", ["low", "odd", "ends", "slope"])
def test_a_group_that_is_heavier_is_found(group: str) -> None:
    profile, _ = profiles(69)[group]
    assert sorted({profile.min(), profile.max()}) == [-0.5, 0.5]
    for sign in (1.0, -1.0):
        rows = drawn_rows(600, 4, sign * math.log(1.6) * profile)
        assert gain_over("groups", rows) > math.log(100)
        assert np.corrcoef(after("groups", rows).forecast().white, sign * profile)[0, 1] > 0.9


@pytest.mark.parametrize(("factor", "draws"), [(3.0, 150), (0.2, 1500)])
def test_balls_that_stick_or_are_avoided_are_found(factor: float, draws: int) -> None:
    rng = np.random.default_rng(6)
    rows, last = [], np.zeros(69)
    for _ in range(draws):
        whites = subsets.sample(last, 5, rng)
        last = np.zeros(69)
        last[whites - 1] = math.log(factor)
        rows.append([*whites.tolist(), 1])
    assert gain_over("last-draw", rows) > math.log(100)
    ratio = after("last-draw", rows).forecast().inclusion()[rows[-1][0] - 1] / (5 / 69)
    assert ratio > 1.5 if factor > 1 else ratio < 0.9


def test_the_second_exact_repeat_leaves_no_doubt() -> None:
    rows = drawn_rows(400, 8)
    once, twice = [*rows, rows[10]], [*rows, rows[10], *drawn_rows(20, 9), rows[50]]
    assert gain_over("repeats", once) > 0.0
    assert gain_over("repeats", twice) > math.log(100)
    forecast = after("repeats", twice).forecast()
    assert forecast.repeat is not None
    assert int(forecast.repeat.draws) == 420
    assert int(forecast.repeat.counts.sum()) == 420 * 5
    assert float(forecast.repeat.share) > 0.005


def test_a_ball_that_prefers_a_place_is_found_where_the_order_is_told() -> None:
    rng = np.random.default_rng(10)
    rows = drawn_rows(400, 10, np.where(np.arange(69) == 4, math.log(3.0), 0.0))
    for row in rows:
        if 5 in row[:5] and rng.random() < 0.8:
            place = row.index(5)
            row[0], row[place] = row[place], row[0]
    assert gain_over("places", rows) > math.log(100)
    assert gain_over("places", rows, ordered=False) == 0.0
    order = after("places", rows).forecast().order
    assert order is not None
    assert np.unravel_index(int(np.argmax(order)), order.shape) == (0, 4)


def test_places_learn_by_the_exact_likelihood_of_each_order() -> None:
    matrix = Matrix(3, 1, 3)
    for balls in permutations((1, 2, 3)):
        expert = EXPERTS["places"](matrix, ())
        expert.update(draw_of(list(balls), ordered=True))
        order = expert.forecast().order
        assert order is not None
        # At the first place only the ball that was drawn there has gained, at the second the same.
        assert int(np.argmax(order[0])) == balls[0] - 1
        assert int(np.argmax(order[1])) == balls[1] - 1
        assert not order[2].any()


def test_bonus_is_the_mixture_of_its_dirichlet_laws() -> None:
    expert = after("bonus", [[1, 2, 3, 2], [1, 2, 3, 2], [1, 2, 3, 1]], SMALL)
    shares, fair = np.full(3, (1.0 - FAIR) / 3), FAIR
    counts = np.zeros(3)
    a = np.array(CONCENTRATIONS)
    for ball in (1, 1, 0):
        grown = shares * 3 * (counts[ball] + a) / (counts.sum() + 3 * a)
        kept = (1.0 - CHANGE_RATE) / (grown.sum() + fair)
        shares = grown * kept + CHANGE_RATE * (1.0 - FAIR) / 3
        fair = fair * kept + CHANGE_RATE * FAIR
        counts[ball] += 1
    laws = (counts + a[:, np.newaxis]) / (counts.sum() + 3 * a[:, np.newaxis])
    np.testing.assert_allclose(expert.forecast().bonus_probabilities(), shares @ laws + fair / 3, rtol=1e-12)


def test_a_heavy_bonus_ball_is_found() -> None:
    rows = drawn_rows(600, 11)
    rng = np.random.default_rng(11)
    for row in rows:
        row[5] = 7 if rng.random() < 0.12 else row[5]
    assert gain_over("bonus", rows) > math.log(100)


def test_no_expert_sees_the_order_in_which_a_set_is_written_unless_it_is_the_drawn_one() -> None:
    rows = drawn_rows(40, 12)
    turned = [[*reversed(row[:5]), row[5]] for row in rows]
    for name in EXPERTS:
        one, other = (after(name, r, ordered=False).forecast() for r in (rows, turned))
        np.testing.assert_allclose(one.white, other.white, atol=1e-12)
        assert one.order is None or np.array_equal(one.order, other.order)


@pytest.mark.parametrize("name", ["ball", "missing", "groups", "last-draw"])
def test_expected_weights_gain_what_the_exact_mixture_of_the_hypotheses_does(name: str) -> None:
    """The forecast is one conditional Bernoulli law; the mixture of all hypotheses is close to one."""
    expert, exact, made = EXPERTS[name](POWERBALL, ()), 0.0, 0.0
    history = history_of(drawn_rows(200, 13, np.where(np.arange(69) == 8, math.log(4.0), 0.0)), POWERBALL)
    belief: Posterior = expert._belief  # type: ignore[attr-defined]
    seen: list[float] = []
    inner = belief.update

    def watched(ratios: NDArray[np.float64]) -> None:
        seen.append(math.log(float((belief.shares * ratios).sum() + belief.fair)))
        inner(ratios)

    belief.update = watched  # type: ignore[method-assign]
    for t in range(len(history)):
        made += float(expert.forecast().log_ratio(history.draw(t)))
        expert.update(history.draw(t))
    exact = math.fsum(seen)
    assert made == pytest.approx(exact, abs=0.5)


def test_forecasts_can_be_registered() -> None:
    rows = drawn_rows(30, 14)
    for name in EXPERTS:
        forecast = after(name, rows).forecast().rounded()
        assert Forecast.from_record(forecast.to_record()).to_record() == forecast.to_record()
