import math
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from helios_agent.forecasting import subsets
from helios_agent.forecasting.history import Matrix
from helios_agent.lottery.games import MEGAMILLIONS, POWERBALL, SIMULATED
from helios_agent.simulation import drums, generators
from helios_agent.simulation.laws import CONDITIONAL_BERNOULLI, PLACKETT_LUCE, Floats, Law
from helios_agent.simulation.machines import ChangePoint, Drawn, Machine
from helios_agent.simulation.scenarios import scenarios

BIG = Matrix(69, 26, 5)
SMALL = Matrix(white=6, bonus=4, pick=3)
ONE_OF_FOUR = Matrix(white=4, bonus=1, pick=1)
THETA = np.array([1.0, -0.5, -np.inf, 0.3, 0.0, -1.2])
LAWS = pytest.mark.parametrize("law", [CONDITIONAL_BERNOULLI, PLACKETT_LUCE], ids=lambda law: law.name)


def in_order(law: Law, theta: Floats, k: int) -> dict[tuple[int, ...], float]:
    """Return by brute force the probability of every order of k balls."""
    weights = np.exp(theta).tolist()
    orders = list(permutations(range(1, theta.size + 1), k))
    if law is CONDITIONAL_BERNOULLI:
        found = {order: math.prod(weights[ball - 1] for ball in order) for order in orders}
    else:
        found = {}
        for order in orders:
            left, found[order] = math.fsum(weights), 1.0
            for ball in order:
                found[order] *= weights[ball - 1] / left
                left -= weights[ball - 1]
    total = math.fsum(found.values())
    return {order: p / total for order, p in found.items() if p > 0.0}


def divergence(law: Law, theta: Floats, k: int) -> float:
    """Return by brute force KL(law ‖ fair) of the set drawn, nats."""
    found: dict[tuple[int, ...], float] = {}
    for order, p in in_order(law, theta, k).items():
        found[tuple(sorted(order))] = found.get(tuple(sorted(order)), 0.0) + p
    return math.fsum(p * math.log(p * math.comb(theta.size, k)) for p in found.values())


def draw(machine: Machine, runs: int, draws: int, seed: int = 1) -> Drawn:
    return machine.draw(np.random.default_rng(seed), runs, draws)


def known(values: Floats | None) -> Floats:
    assert values is not None
    return values


def agrees(rows: NDArray[np.int64], law: dict[tuple[int, ...], float]) -> bool:
    """Return whether rows ((n, m)) come as often as `law` says, and no others do."""
    found, counts = np.unique(rows, axis=0, return_counts=True)
    if [tuple(row) for row in found.tolist()] != sorted(law):
        return False
    expected = np.array([len(rows) * p for _, p in sorted(law.items())])
    return bool(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), max(len(law) - 1, 1)) > 0.001)


def fair_sets(rows: NDArray[np.int64], matrix: Matrix) -> bool:
    """Return whether rows of white balls ((n, k)) come as sets of a fair machine do."""
    every = list(combinations(range(1, matrix.white + 1), matrix.pick))
    return agrees(np.sort(rows, axis=-1), {subset: 1 / len(every) for subset in every})


def fair_balls(balls: NDArray[np.int64], count: int) -> bool:
    return agrees(balls.reshape(-1, 1), {(ball,): 1 / count for ball in range(1, count + 1)})


@LAWS
def test_orders_come_with_the_frequencies_of_the_law(law: Law) -> None:
    machine = drums.Weighted(SMALL, THETA, np.zeros(4), law)
    assert agrees(draw(machine, 4, 10_000).whites.reshape(-1, 3), in_order(law, THETA, 3))


@LAWS
def test_several_laws_at_once_are_drawn_each_with_its_own_frequencies(law: Law) -> None:
    theta = np.stack([THETA, -0.5 * np.arange(6.0), np.zeros(6)])
    drawn = law.sample(theta, 2, np.random.default_rng(3), 10_000)
    assert drawn.shape == (3, 10_000, 2)
    assert all(agrees(drawn[each], in_order(law, theta[each], 2)) for each in range(3))


@LAWS
@pytest.mark.parametrize("theta", [[0.0, -np.inf, -np.inf], [0.0, np.nan, 0.0], [0.0, np.inf, 0.0]])
def test_a_law_of_too_few_balls_or_of_no_weights_is_refused(law: Law, theta: list[float]) -> None:
    with pytest.raises(ValueError, match="theta"):
        law.sample(np.array(theta), 2, np.random.default_rng(1), 5)


def test_the_bonus_ball_comes_by_weight_and_the_white_balls_do_not_matter() -> None:
    bonus = np.log([1.0, 2.0, 3.0, 4.0])
    drawn = draw(drums.Weighted(SMALL, THETA, bonus), 10, 4_000)
    assert agrees(drawn.bonus.reshape(-1, 1), {(ball,): ball / 10 for ball in range(1, 5)})
    first = drawn.whites[..., 0] == 1
    assert agrees(drawn.bonus[first].reshape(-1, 1), {(ball,): ball / 10 for ball in range(1, 5)})


@LAWS
@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_divergence_equals_brute_force(law: Law, k: int) -> None:
    assert float(known(law.kl_nats(THETA, k))) == pytest.approx(divergence(law, THETA, k), rel=1e-9)


@LAWS
def test_divergences_of_white_and_bonus_balls_add_up(law: Law) -> None:
    bonus = np.log([1.0, 2.0, 3.0, 4.0])
    expected = divergence(law, THETA, 3) + divergence(law, bonus, 1)
    assert drums.Weighted(SMALL, THETA, bonus, law).kl_nats == pytest.approx(expected, rel=1e-9)


@LAWS
def test_divergences_of_5_of_69_with_few_different_weights_are_known_under_both_laws(law: Law) -> None:
    one = drums.weighted_balls(BIG, [7], 3.0, law).kl_nats
    assert one is not None
    if law is CONDITIONAL_BERNOULLI:
        assert one == pytest.approx(3 * 5 / 79 * math.log(3.0) - math.log(79 / 69), rel=1e-9)
    else:  # the ball is drawn or is not, and then all sets are equally likely
        p = 1.0 - math.prod((68 - t) / (71 - t) for t in range(5))
        assert one == pytest.approx(
            p * math.log(p * 69 / 5) + (1 - p) * math.log((1 - p) * 69 / 64), rel=1e-9
        )
    assert drums.missing_ball(BIG, 36, law).kl_nats == pytest.approx(math.log(69 / 64), rel=1e-9)


@pytest.mark.parametrize(
    ("machine", "nats"),
    [
        (drums.weighted_balls(BIG, [1], 1.5), 0.0069),
        (drums.weighted_balls(BIG, [69], 2.0), 0.024),
        (drums.weighted_balls(BIG, [30], 3.0), 0.073),
        (drums.weighted_balls(BIG, [1], 5.0), 0.198),
        (drums.missing_ball(BIG, 36), 0.075),
        (drums.weighted_balls(BIG, range(1, 35), 1.3), 0.040),
        (drums.weighted_bonus(BIG, [9], 2.0), 0.0136),
        (drums.fair(BIG), 0.0),
    ],
)
def test_divergences_match_the_known_ones_of_powerball(machine: drums.Weighted, nats: float) -> None:
    assert machine.kl_nats == pytest.approx(nats, rel=0.02, abs=1e-12)


def test_a_law_of_many_different_weights_has_no_known_divergence_under_plackett_luce() -> None:
    assert drums.tilted(BIG, 1.0, PLACKETT_LUCE).kl_nats is None
    assert draw(drums.tilted(BIG, 1.0, PLACKETT_LUCE), 2, 3).kl_nats is None
    assert drums.tilted(BIG, 1.0).kl_nats is not None


def test_who_knows_the_weights_gains_the_divergence_per_draw() -> None:
    machine = drums.weighted_balls(BIG, range(1, 35), 1.3)
    drawn = draw(machine, 20, 1_000)
    gains = subsets.log_probability(machine.white, drawn.whites) + math.log(math.comb(69, 5))
    assert gains.mean() == pytest.approx(
        known(drawn.kl_nats).mean(), abs=4 * gains.std() / math.sqrt(gains.size)
    )


def test_a_fair_machine_draws_every_set_and_every_bonus_ball_equally_often() -> None:
    drawn = draw(drums.fair(SMALL), 20, 1_000)
    assert fair_sets(drawn.whites.reshape(-1, 3), SMALL)
    assert fair_balls(drawn.bonus, 4)
    assert fair_balls(drawn.whites[..., 0], 6)
    assert not known(drawn.kl_nats).any()


@LAWS
def test_a_missing_ball_never_comes_and_all_others_do(law: Law) -> None:
    drawn = draw(drums.missing_ball(BIG, 36, law), 20, 500).whites
    assert sorted(set(drawn.ravel().tolist())) == [ball for ball in range(1, 70) if ball != 36]


def test_balls_with_nearly_all_the_weight_nearly_always_come() -> None:
    drawn = draw(drums.weighted_balls(Matrix(10, 1, 1), [4, 6], 1_000.0), 1, 5_000).whites
    assert np.isin(drawn, [4, 6]).mean() == pytest.approx(2_000 / 2_008, abs=0.005)


@pytest.mark.parametrize("log_range", [1.0, -1.0])
def test_a_tilt_favours_one_end(log_range: float) -> None:
    low = (draw(drums.tilted(BIG, log_range), 10, 1_000).whites <= 34).mean()
    expected = (
        subsets.inclusion_probabilities(np.linspace(-log_range / 2, log_range / 2, 69), 5)[:34].sum() / 5
    )
    assert low == pytest.approx(float(expected), abs=0.01)


@LAWS
def test_random_weights_are_others_in_each_run_and_their_divergence_is_that_of_the_run(law: Law) -> None:
    drawn = draw(drums.RandomWeights(ONE_OF_FOUR, 1.0, law=law), 8, 20_000)
    kl = known(drawn.kl_nats)
    for run in range(8):
        shares = np.bincount(drawn.whites[run].ravel(), minlength=5)[1:] / 20_000
        assert stats.entropy(shares, np.full(4, 0.25)) == pytest.approx(kl[run, 0], abs=0.02)
        assert (kl[run] == kl[run, 0]).all()
    assert len(set(kl[:, 0].tolist())) == 8


def test_random_weights_diverge_as_their_spread_squared() -> None:
    # To second order KL = ½ λ Σ theta² with λ = k(N-k)/(N(N-1)); centring takes one of N degrees of freedom.
    kl = known(draw(drums.RandomWeights(BIG, 0.05), 400, 1).kl_nats)
    assert kl.mean() == pytest.approx(0.5 * 5 * 64 / (69 * 68) * 68 * 0.05**2, rel=0.05)
    with_bonus = known(draw(drums.RandomWeights(BIG, 0.0, bonus_log_sd=0.05), 400, 1).kl_nats)
    assert with_bonus.mean() == pytest.approx(0.5 / 26 * 25 * 0.05**2, rel=0.05)


@LAWS
def test_what_drift_favours_is_favoured_soon_after_and_not_much_later(law: Law) -> None:
    drawn = draw(drums.Drift(ONE_OF_FOUR, 1.0, half_life_draws=10.0, law=law), 4_000, 200)
    ball = drawn.whites[..., 0]
    one, other = np.random.default_rng(0).standard_normal((2, 100_000, 4))
    for lag, correlation in ((1, 0.5**0.1), (10, 0.5), (20, 0.25), (190, 0.0)):
        later = correlation * one + math.sqrt(1.0 - correlation**2) * other
        p, q = (np.exp(theta) / np.exp(theta).sum(axis=1, keepdims=True) for theta in (one, later))
        again = (ball[:, :-lag] == ball[:, lag:]).mean()
        assert float(again) == pytest.approx(float((p * q).sum(axis=1).mean()), abs=0.008)


def test_drift_is_as_strong_at_all_times_and_moves_only_when_it_should() -> None:
    kl = known(draw(drums.Drift(ONE_OF_FOUR, 0.5, half_life_draws=10.0, every_draws=5), 4_000, 43).kl_nats)
    assert kl.shape == (4_000, 43)
    assert kl[:, 0].mean() == pytest.approx(kl[:, 42].mean(), rel=0.1)
    moves = (np.diff(kl, axis=1) != 0.0).all(axis=0)
    assert np.flatnonzero(moves).tolist() == [4, 9, 14, 19, 24, 29, 34, 39]
    assert not np.diff(kl, axis=1)[:, ~moves].any()


@LAWS
def test_ball_sets_take_turns(law: Law) -> None:
    sets = np.stack([THETA, np.zeros(6), -0.2 * np.arange(6.0)])
    drawn = draw(drums.BallSets(SMALL, sets, every_draws=2, law=law), 2_500, 14)
    for each in range(3):
        here = [draw for draw in range(14) if draw // 2 % 3 == each]
        assert agrees(drawn.whites[:, here].reshape(-1, 3), in_order(law, sets[each], 3))
        kl = known(drawn.kl_nats)[:, here]
        np.testing.assert_allclose(kl, divergence(law, sets[each], 3), rtol=1e-9, atol=1e-12)


@LAWS
@pytest.mark.parametrize("factor", [0.0, 0.4, 3.0])
def test_balls_of_the_draw_before_come_by_their_factor(law: Law, factor: float) -> None:
    machine = generators.Lagged(SMALL, factor, law)
    whites = draw(machine, 500, 40).whites
    theta = np.log(np.maximum([factor] * 3 + [1.0] * 3, 1e-300))
    overlaps: dict[tuple[int, ...], float] = {}
    for order, p in in_order(law, theta, 3).items():
        shared = (sum(ball <= 3 for ball in order),)
        overlaps[shared] = overlaps.get(shared, 0.0) + p
    shared = (whites[:, 1:, :, np.newaxis] == whites[:, :-1, np.newaxis]).any(axis=-1).sum(axis=-1)
    assert agrees(shared.reshape(-1, 1), {j: p for j, p in overlaps.items() if p > 1e-200})
    assert machine.kl_nats == pytest.approx(divergence(law, theta, 3), rel=1e-9)


def test_stickiness_favours_no_ball_at_any_time() -> None:
    whites = draw(generators.Lagged(SMALL, 3.0), 20_000, 4).whites
    assert all(fair_sets(whites[:, draw], SMALL) for draw in (0, 1, 3))


def test_repeats_are_a_share_of_all_draws_but_the_first_and_copy_the_whole_draw() -> None:
    drawn = draw(generators.Repeats(BIG, 0.1), 100, 300)
    rows = np.concatenate([drawn.whites, drawn.bonus[..., np.newaxis]], axis=-1)
    again = sum(300 - len(np.unique(run, axis=0)) for run in rows)
    assert again / (100 * 299) == pytest.approx(0.1, abs=0.006)
    assert len(np.unique(rows[:, 0], axis=0)) == 100
    assert drawn.kl_nats is None
    everything = draw(generators.Repeats(BIG, 1.0), 3, 50)
    assert (everything.whites == everything.whites[:, :1]).all()
    assert (everything.bonus == everything.bonus[:, :1]).all()


def test_every_earlier_draw_is_as_likely_to_be_repeated() -> None:
    whites = draw(generators.Repeats(BIG, 0.3), 30_000, 4).whites
    same = (whites[:, 3, np.newaxis] == whites[:, :3]).all(axis=-1)
    new = ~(whites[:, 2, np.newaxis] == whites[:, :2]).all(axis=-1).any(axis=1)
    new &= ~(whites[:, 1] == whites[:, 0]).all(axis=-1)
    counts = same[new].sum(axis=0)
    assert counts.sum() / new.sum() == pytest.approx(0.3, abs=0.015)
    assert stats.chisquare(counts).pvalue > 0.001


def test_repeats_leave_every_draw_fair_by_itself() -> None:
    whites = draw(generators.Repeats(SMALL, 0.5), 20_000, 5).whites
    assert all(fair_sets(whites[:, draw], SMALL) for draw in (0, 4))


@pytest.mark.parametrize("place", [1, 3])
def test_position_effects_leave_the_sets_fair(place: int) -> None:
    never = np.array([0.0, 0.0, 0.0, math.log(3.0), -np.inf, -np.inf])
    machine = generators.Positional(SMALL, never, place)
    whites = draw(machine, 20, 1_000).whites.reshape(-1, 3)
    assert fair_sets(whites, SMALL)
    assert machine.kl_nats == 0.0
    assert set(whites[:, place - 1].tolist()) == {1, 2, 3, 4}
    four_of_three = whites[(np.sort(whites, axis=1) == [1, 2, 4]).all(axis=1)]
    orders = {order: (0.3 if order[place - 1] == 4 else 0.1) for order in permutations((1, 2, 4))}
    assert agrees(four_of_three, orders)


def test_a_unique_generator_never_draws_a_bonus_ball_twice_and_each_is_as_frequent() -> None:
    machine = generators.Unique(SMALL)
    drawn = draw(machine, 20, 1_000)
    assert not (drawn.whites == drawn.bonus[..., np.newaxis]).any()
    assert fair_sets(drawn.whites.reshape(-1, 3), SMALL)
    assert fair_balls(drawn.bonus, 4)
    left = [4 - sum(ball <= 4 for ball in subset) for subset in combinations(range(1, 7), 3)]
    assert machine.kl_nats == pytest.approx(math.fsum(math.log(4 / j) for j in left) / len(left), rel=1e-12)
    two = drawn.bonus[(np.sort(drawn.whites, axis=-1) == [1, 3, 6]).all(axis=-1)]
    assert agrees(two.reshape(-1, 1), {(2,): 0.5, (4,): 0.5})


def test_on_its_dates_a_generator_draws_from_a_short_list() -> None:
    drawn = draw(generators.Dated(BIG, every_draws=10, outcomes=3), 50, 205)
    kl = known(drawn.kl_nats)
    dates = np.arange(9, 205, 10)
    assert np.flatnonzero(kl[0]).tolist() == dates.tolist()
    np.testing.assert_allclose(kl[:, dates], math.log(math.comb(69, 5) * 26 / 3), rtol=1e-12)
    lists = [
        np.unique(np.column_stack([drawn.whites[r, dates], drawn.bonus[r, dates]]), axis=0) for r in range(50)
    ]
    assert {len(each) for each in lists} <= {2, 3}
    assert len(np.unique(np.concatenate(lists), axis=0)) == sum(len(each) for each in lists)
    others = np.delete(drawn.whites, dates, axis=1).reshape(-1, 5)
    assert len(np.unique(others, axis=0)) > 0.99 * len(others)


def test_a_list_with_a_draw_twice_diverges_more() -> None:
    drawn = draw(generators.Dated(Matrix(3, 1, 1), every_draws=1, outcomes=2), 200, 60)
    for whites, kl in zip(drawn.whites, known(drawn.kl_nats), strict=True):
        assert kl[0] == pytest.approx(math.log(3.0 / len(set(whites.ravel().tolist()))), rel=1e-12)


def test_a_machine_is_another_from_the_change_on() -> None:
    machine = ChangePoint(drums.fair(SMALL), drums.missing_ball(SMALL, 5), 7)
    drawn = draw(machine, 5_000, 12)
    assert fair_sets(drawn.whites[:, 6], SMALL)
    assert (drawn.whites[:, :7] == 5).any(axis=(0, 2)).all()
    assert not (drawn.whites[:, 7:] == 5).any()
    kl = known(drawn.kl_nats)
    assert not kl[:, :7].any()
    np.testing.assert_allclose(kl[:, 7:], math.log(6 / 3), rtol=1e-9)


@pytest.mark.parametrize(("at", "missing"), [(0, True), (12, False), (99, False)])
def test_a_change_may_come_at_once_or_never(at: int, missing: bool) -> None:
    drawn = draw(ChangePoint(drums.fair(SMALL), drums.missing_ball(SMALL, 5), at), 100, 12)
    assert drawn.whites.shape == (100, 12, 3)
    assert (drawn.whites == 5).any() != missing


def test_a_change_of_the_matrix_brings_balls_that_there_were_not() -> None:
    machine = ChangePoint(drums.fair(SMALL), drums.fair(Matrix(9, 5, 3)), 3)
    drawn = draw(machine, 500, 6)
    assert machine.matrix == SMALL
    assert int(drawn.whites[:, :3].max()) == 6
    assert int(drawn.bonus[:, :3].max()) == 4
    assert fair_balls(drawn.whites[:, 3:], 9)
    assert fair_balls(drawn.bonus[:, 3:], 5)
    assert drawn.kl_nats is None


@pytest.mark.parametrize("white", [False, True])
def test_a_misread_draw_differs_in_one_ball_and_is_still_a_possible_draw(white: bool) -> None:
    machine = generators.Misread(SMALL, (2, 5, 99), white)
    drawn = draw(machine, 5_000, 8)
    assert drawn.truth is not None
    balls = (drawn.whites != drawn.truth.whites).sum(axis=-1)
    bonus = (drawn.bonus != drawn.truth.bonus).astype(int)
    expected = np.zeros((5_000, 8), dtype=int)
    expected[:, [2, 5]] = 1
    np.testing.assert_array_equal(balls, expected if white else 0)
    np.testing.assert_array_equal(bonus, 0 if white else expected)
    assert fair_sets(drawn.whites[:, 2], SMALL)
    assert fair_balls(drawn.bonus[:, 2], 4)
    assert machine.kl_nats == 0.0


def test_what_was_really_drawn_is_told_across_a_change() -> None:
    drawn = draw(ChangePoint(drums.fair(SMALL), generators.Misread(SMALL, (1,)), 3), 4, 6)
    assert drawn.truth is not None
    assert np.argwhere((drawn.bonus != drawn.truth.bonus).any(axis=0)).tolist() == [[4]]
    np.testing.assert_array_equal(drawn.truth.whites, drawn.whites)


@pytest.mark.parametrize("game", [POWERBALL, MEGAMILLIONS, SIMULATED], ids=lambda game: game.name)
def test_every_scenario_draws_what_its_matrix_allows_and_the_same_from_the_same_seed(game: Any) -> None:
    era = game.eras[-1]
    matrix = Matrix(era.white, era.bonus, era.pick)
    for name, machine in scenarios(matrix, change_at=20).items():
        one, two, other = (draw(machine, 3, 60, seed) for seed in (5, 5, 6))
        np.testing.assert_array_equal(one.whites, two.whites, err_msg=name)
        np.testing.assert_array_equal(one.bonus, two.bonus, err_msg=name)
        assert (one.whites != other.whites).any(), name
        assert (one.whites[0] != one.whites[1]).any(), name
        assert one.whites.shape == (3, 60, matrix.pick), name
        assert (one.whites.dtype, one.bonus.dtype) == (np.int64, np.int64), name
        assert (np.diff(np.sort(one.whites, axis=-1), axis=-1) > 0).all(), name
        most = matrix.white + (name == "changed matrix")
        assert 1 <= one.whites.min() <= one.whites.max() <= most, name
        assert 1 <= one.bonus.min() <= one.bonus.max() <= matrix.bonus, name
        if one.kl_nats is not None:
            assert one.kl_nats.shape == (3, 60), name
            assert (one.kl_nats >= 0.0).all(), name
        if machine.kl_nats is not None:
            np.testing.assert_allclose(known(one.kl_nats), machine.kl_nats, atol=1e-15, err_msg=name)
        assert draw(machine, 2, 0).whites.shape == (2, 0, matrix.pick), name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Matrix(0, 1, 1), "white is 0; expected 1 or more balls"),
        (lambda: Matrix(6, 0, 3), "bonus is 0; expected 1 or more balls"),
        (lambda: Matrix(6, 1, 7), r"pick is 7; expected 1\.\.6"),
        (lambda: draw(drums.fair(SMALL), 0, 1), "runs is 0; expected 1 or more"),
        (lambda: draw(generators.Lagged(SMALL, 2.0), 1, -1), "draws is -1; expected 0 or more"),
        (
            lambda: drums.Weighted(SMALL, np.zeros(5), np.zeros(4)),
            r"white's shape is \(5,\); expected \(6,\)",
        ),
        (
            lambda: drums.Weighted(SMALL, np.zeros(6), np.full(4, np.nan)),
            "bonus of ball 1 is nan; expected a log",
        ),
        (
            lambda: drums.Weighted(SMALL, np.full(6, -np.inf), np.zeros(4)),
            "can come is 0; expected 3 or more",
        ),
        (lambda: drums.weighted_balls(SMALL, [7], 2.0), r"balls is \[7\]; expected balls of 1\.\.6"),
        (lambda: drums.weighted_balls(SMALL, [1], 0.0), "factor is 0.0; expected a positive number"),
        (lambda: drums.weighted_bonus(SMALL, [1], math.nan), "factor is nan; expected a finite number"),
        (lambda: drums.missing_ball(SMALL, 0), r"ball is \[0\]; expected balls of 1\.\.6"),
        (lambda: drums.missing_ball(Matrix(3, 1, 3), 1), "can come is 2; expected 3 or more"),
        (lambda: drums.tilted(SMALL, math.inf), "log_range is inf; expected a finite number"),
        (lambda: drums.RandomWeights(SMALL, -0.1), "log_sd is -0.1; expected a standard deviation"),
        (lambda: drums.RandomWeights(SMALL, 0.1, math.nan), "bonus_log_sd is nan; expected"),
        (lambda: drums.Drift(SMALL, 0.1, 0.0), "half_life_draws is 0.0; expected a positive number"),
        (lambda: drums.Drift(SMALL, 0.1, 1.0, 0), "every_draws is 0; expected 1 or more draws"),
        (lambda: drums.BallSets(SMALL, np.zeros((2, 5))), r"white's shape is \(5,\); expected \(6,\)"),
        (
            lambda: drums.BallSets(SMALL, np.zeros((0, 6))),
            "white is .*; expected the log-weights of 1 or more",
        ),
        (lambda: drums.BallSets(SMALL, np.zeros((2, 6)), 0), "every_draws is 0; expected 1 or more draws"),
        (lambda: generators.Repeats(SMALL, 1.5), "probability is 1.5; expected a number from 0 to 1"),
        (lambda: generators.Lagged(SMALL, -1.0), "factor is -1.0; expected a finite number, 0 or more"),
        (lambda: generators.Lagged(Matrix(5, 1, 3), 0.0), "can come is 2; expected 3 or more"),
        (lambda: generators.Positional(SMALL, np.zeros(6), 4), r"place is 4; expected 1\.\.3"),
        (
            lambda: generators.Positional(SMALL, np.repeat([0.0, -np.inf], 3)),
            "white's number of balls that can come is 3; expected 4 or more",
        ),
        (lambda: generators.Unique(Matrix(6, 3, 3)), r"expected a matrix with 4\.\.6 bonus balls"),
        (lambda: generators.Unique(Matrix(6, 7, 3)), r"expected a matrix with 4\.\.6 bonus balls"),
        (lambda: generators.Dated(SMALL, 0, 1), "every_draws is 0; expected 1 or more draws"),
        (lambda: generators.Dated(SMALL, 1, 0), "outcomes is 0; expected 1 or more draws on the list"),
        (lambda: generators.Misread(SMALL, (-1,)), r"at is \(-1,\); expected numbers of draws, from 0"),
        (lambda: generators.Misread(Matrix(6, 1, 3), (1,)), "expected a matrix with a ball left over"),
        (
            lambda: generators.Misread(Matrix(3, 4, 3), (1,), white=True),
            "expected a matrix with a ball left over",
        ),
        (
            lambda: ChangePoint(drums.fair(SMALL), drums.fair(SMALL), -1),
            "at is -1; expected the number of draws",
        ),
        (
            lambda: ChangePoint(drums.fair(SMALL), drums.fair(BIG), 1),
            "after is .*expected a matrix with pick 3",
        ),
    ],
)
def test_a_machine_that_cannot_be_is_refused_by_field_value_and_expectation(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
