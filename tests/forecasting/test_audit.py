import math
from collections.abc import Callable
from itertools import combinations, permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from helios_agent.feeds import packaged
from helios_agent.forecasting import audit, subsets
from helios_agent.forecasting.history import History
from helios_agent.lottery import games

Ints = NDArray[np.int64]

TESTS = ["whites", "bonus", "pairs", "repeats", "positions"]

# Game, first draw of the era's rules, draws; whites X², p; bonus X², df, p; pairs X², df, p;
# repeats, their expectation and z.
REFERENCE = """
powerball    2009-01-07  204  69.8 .137  30.8 38 .791  1658 1652 .455   95  86.0  1.05
powerball    2012-01-18  388  39.9 .967  32.5 34 .539  1611 1652 .762  169 164.0   .42
powerball    2015-10-07 1408  85.7 .072  23.5 25 .548  2187 2277 .909  494 509.8  -.75
megamillions 2002-05-17  162  52.0 .434  54.3 51 .348  1228 1274 .819   82  77.4   .57
megamillions 2005-06-24  869  55.1 .472  25.6 45 .991  1526 1484 .217  362 387.5 -1.41
megamillions 2013-10-22  420  81.2 .266  11.0 14 .686  2755 2700 .225  154 139.7  1.29
megamillions 2017-10-31  776  67.5 .528  23.4 24 .499  2217 2345 .971  278 276.8   .08
megamillions 2025-04-08  145  69.9 .447  23.7 23 .423  2300 2345 .743   58  51.4   .98
"""


def history_of(
    whites: Ints,
    white_count: int,
    bonus: Ints | None = None,
    bonus_count: int = 1,
    ordered: NDArray[np.bool_] | None = None,
) -> History:
    """Return draws whose order is known, unless `ordered` says of which it is."""
    ones = np.ones(len(whites), dtype=np.int64)
    known = np.ones(len(whites), dtype=np.bool_) if ordered is None else ordered
    return History(np.asarray(whites), ones if bonus is None else bonus, white_count, bonus_count, known)


def run(history: History) -> dict[str, audit.Result]:
    return {result.name: result for result in audit.audit(history)}


def p_of(history: History) -> dict[str, float]:
    return {name: result.p for name, result in run(history).items()}


def fair_draws(rng: np.random.Generator, draws: int, n: int, k: int) -> Ints:
    """Draw k of n balls without replacement, in the order drawn, shape (draws, k)."""
    return rng.permuted(np.tile(np.arange(1, n + 1), (draws, 1)), axis=1)[:, :k]


# The real histories


@pytest.mark.parametrize("row", REFERENCE.strip().splitlines())
def test_the_real_eras_give_the_reference_values(row: str) -> None:
    name, start, *values = row.split()
    game = games.game(name)
    drawn = [draw for draw in packaged.read(game).draws if game.era_at(draw.day).name == start]
    era = game.era_at(drawn[0].day)
    rows, ordered = [[*d.whites, d.bonus] for d in drawn], [d.ordered for d in drawn]
    results = audit.audit(History.from_rows(rows, era.pick, era.white, era.bonus, ordered))
    whites, bonus, pairs, repeats, positions = results

    assert [result.name for result in results] == TESTS
    assert {result.draws for result in results} == {len(drawn)}
    assert (whites.df, repeats.df, positions.df) == (era.white - 1, None, 4 * (era.white - 1))
    shared = repeats.largest
    assert [float(value) for value in values] == [
        len(drawn),
        *(round(whites.statistic, 1), round(whites.p, 3)),
        *(round(bonus.statistic, 1), bonus.df, round(bonus.p, 3)),
        *(round(pairs.statistic), pairs.df, round(pairs.p, 3)),
        *(shared.observed, round(shared.expected, 1), round(repeats.statistic, 2)),
    ]
    assert shared.z == repeats.statistic
    assert repeats.p == pytest.approx(2 * stats.norm.sf(abs(shared.z)), rel=1e-12)


def test_no_real_era_is_significant_after_holm() -> None:
    p_values = {}
    for game in (games.POWERBALL, games.MEGAMILLIONS):
        drawn = packaged.read(game).draws
        for era in game.eras:
            rows = [[*d.whites, d.bonus] for d in drawn if game.era_at(d.day) == era]
            results = run(History.from_rows(rows, era.pick, era.white, era.bonus, [True] * len(rows)))
            p_values |= {f"{game.name} {era.name} {name}": result.p for name, result in results.items()}
    assert len(p_values) == 8 * 5
    assert set(audit.holm(p_values).values()) == {1.0}


# Exact laws, by enumeration


@pytest.mark.parametrize(("n", "k"), [(4, 2), (5, 2), (6, 3), (5, 3), (6, 4)])
def test_statistics_average_to_their_degrees_of_freedom_over_all_fair_draws(n: int, k: int) -> None:
    draws = [np.array(two) for two in product(combinations(range(1, n + 1), k), repeat=2)]
    found = [run(history_of(two, n)) for two in draws]
    for name, df in (("whites", n - 1), ("pairs", n * (n - 3) // 2)):
        assert {results[name].df for results in found} == {df}
        assert np.mean([results[name].statistic for results in found]) == pytest.approx(df, rel=1e-12)
    z = [results["repeats"].statistic for results in found]
    assert (np.mean(z), np.var(z)) == (pytest.approx(0.0, abs=1e-12), pytest.approx(1.0, rel=1e-12))


@pytest.mark.parametrize(
    ("sets", "rank"),
    [
        ([(1, 2, 3)], 2),
        ([(1, 2, 3), (3, 4, 5)], 4),
        ([(1, 2, 3), (4, 5, 6)], 4),  # nothing connects them
        ([(1, 2, 3), (3, 4, 5), (5, 6, 1)], 5),
        ([(1, 2, 3), (1, 2, 3), (2, 3, 4)], 3),
    ],
)
def test_positions_average_to_their_degrees_of_freedom_over_all_orders(
    sets: list[tuple[int, ...]], rank: int
) -> None:
    orders = [np.array(rows) for rows in product(*(permutations(balls) for balls in sets))]
    found = [run(history_of(rows, 6))["positions"] for rows in orders]
    assert {result.df for result in found} == {2 * rank}
    assert np.mean([result.statistic for result in found]) == pytest.approx(2 * rank, rel=1e-12)


def test_positions_are_measured_by_the_covariance_of_the_places_over_all_orders() -> None:
    sets = [(1, 2, 3), (3, 4, 5), (1, 3, 6)]
    orders = [np.array(rows) for rows in product(*(permutations(balls) for balls in sets))]
    tables = [np.array([np.bincount(place, minlength=7)[1:] for place in rows.T]).ravel() for rows in orders]
    deviations = np.array(tables) - np.mean(tables, axis=0)
    inverse = np.linalg.pinv(np.cov(np.array(tables), rowvar=False, bias=True), rcond=1e-9)
    found = [run(history_of(rows, 6))["positions"].statistic for rows in orders]
    np.testing.assert_allclose(found, ((deviations @ inverse) * deviations).sum(axis=1), rtol=1e-9)


def test_positions_of_complete_draws_are_andersons_statistic() -> None:
    orders = fair_draws(np.random.default_rng(3), 40, 4, 4)
    counts = np.array([np.bincount(place - 1, minlength=4) for place in orders.T])
    result = run(history_of(orders, 4))["positions"]
    assert result.statistic == pytest.approx(3 / 4 * ((counts - 10) ** 2 / 10).sum(), rel=1e-12)
    assert result.df == 9


def test_pairs_are_the_residual_of_least_squares_over_its_covariance() -> None:
    n, k = 7, 3
    rng = np.random.default_rng(5)
    whites = fair_draws(rng, 60, n, k)
    index = list(combinations(range(1, n + 1), 2))
    counts = np.array([sum({i, j} <= set(row) for row in whites.tolist()) for i, j in index], dtype=float)
    design = np.array([[ball in pair for ball in range(1, n + 1)] for pair in index], dtype=float)
    fitted = design @ np.linalg.lstsq(design, counts, rcond=None)[0]
    every = np.array(
        [[set(pair) <= set(draw) for pair in index] for draw in combinations(range(1, n + 1), k)]
    )
    outside_rows = np.eye(len(index)) - design @ np.linalg.pinv(design)
    values = np.linalg.eigvalsh(outside_rows @ np.cov(every.T.astype(float), bias=True) @ outside_rows)
    df = n * (n - 3) // 2
    np.testing.assert_allclose(values[-df:], values[-1], rtol=1e-9)

    result = run(history_of(whites, n))["pairs"]
    assert result.statistic == pytest.approx(((counts - fitted) ** 2).sum() / (60 * values[-1]), rel=1e-9)
    at = index.index((result.largest.balls[0], result.largest.balls[1]))
    assert abs(counts - fitted)[at] == pytest.approx(abs(counts - fitted).max(), rel=1e-9)
    assert result.largest.observed == counts[at]
    assert result.largest.expected == pytest.approx(fitted[at], rel=1e-9)
    sd = math.sqrt(60 * values[-1] * df / len(index))
    assert result.largest.z == pytest.approx((counts[at] - fitted[at]) / sd, rel=1e-9)


def test_the_largest_deviation_names_the_ball_and_its_count() -> None:
    whites = np.array([[1, 2], [3, 1], [1, 4], [5, 1]])
    results = run(history_of(whites, 6, np.array([2, 2, 2, 1]), 3))
    ball = results["whites"].largest
    assert (ball.balls, ball.place, ball.observed) == ((1,), None, 4)
    assert ball.expected == pytest.approx(4 / 3)
    assert ball.z == pytest.approx((4 - 4 / 3) / math.sqrt(4 * 1 / 3 * 2 / 3))
    bonus = results["bonus"]
    assert (bonus.largest.balls, bonus.largest.observed) == ((2,), 3)
    assert bonus.largest.z == pytest.approx((3 - 4 / 3) / math.sqrt(4 * 1 / 3 * 2 / 3))
    assert bonus.statistic == pytest.approx(stats.chisquare([1, 3, 0]).statistic)
    assert bonus.p == pytest.approx(stats.chisquare([1, 3, 0]).pvalue)
    place = results["positions"].largest
    assert (place.balls, place.place, place.observed, place.expected) == ((2,), 1, 0, 0.5)
    assert place.z == pytest.approx((0 - 0.5) / math.sqrt(1 / 2 * 1 / 2))


# What is counted, and what is not


def test_only_positions_look_at_the_order_and_only_where_it_is_known() -> None:
    rng = np.random.default_rng(17)
    whites = fair_draws(rng, 50, 10, 3)
    bonus = rng.integers(1, 5, 50)
    ordered = rng.random(50) < 0.6
    altered = np.where(ordered[:, np.newaxis], whites, np.sort(whites, axis=1))
    results = audit.audit(history_of(whites, 10, bonus, 4, ordered))
    assert audit.audit(history_of(altered, 10, bonus, 4, ordered)) == results
    assert results[-1] == audit.positions(history_of(whites[ordered], 10))
    assert results[-1].draws == ordered.sum() < 50
    resorted = np.sort(whites, axis=1)
    assert audit.audit(history_of(resorted, 10, bonus, 4))[:-1] == results[:-1]
    assert audit.audit(history_of(resorted, 10, bonus, 4, np.zeros(50, np.bool_))) == results[:-1]


@pytest.mark.parametrize(
    ("n", "k", "bonus_count", "draws", "names"),
    [
        (6, 2, 3, 0, []),
        (6, 2, 3, 1, ["whites", "bonus", "pairs", "positions"]),
        (6, 2, 1, 2, ["whites", "pairs", "repeats", "positions"]),
        (6, 1, 3, 2, ["whites", "bonus", "repeats"]),
        (6, 5, 1, 2, ["whites", "repeats", "positions"]),
        (6, 6, 3, 2, ["bonus", "positions"]),
    ],
)
def test_a_test_without_room_is_left_out(
    n: int, k: int, bonus_count: int, draws: int, names: list[str]
) -> None:
    whites = fair_draws(np.random.default_rng(1), draws, n, k)
    assert list(run(history_of(whites, n, np.ones(draws, dtype=np.int64), bonus_count))) == names


# Fair machines


def assert_uniform(p_values: list[float]) -> None:
    """Hold the mean to four standard errors and the distance of Kolmogorov and Smirnov to its 0.1 % point."""
    assert np.mean(p_values) == pytest.approx(0.5, abs=4 / math.sqrt(12 * len(p_values)))
    assert stats.kstest(p_values, "uniform").statistic < 1.95 / math.sqrt(len(p_values))


def test_p_values_of_a_fair_machine_are_uniform() -> None:
    rng = np.random.default_rng(20)
    runs, draws = 1000, 400
    whites = fair_draws(rng, runs * draws, 20, 4).reshape(runs, draws, 4)
    bonus = rng.integers(1, 9, (runs, draws))
    found = [p_of(history_of(whites[r], 20, bonus[r], 8)) for r in range(runs)]
    for name in TESTS:
        assert_uniform([p_values[name] for p_values in found])


def test_positions_are_uniform_however_unequal_the_balls() -> None:
    rng = np.random.default_rng(21)
    runs, draws = 600, 200
    theta = np.log(np.r_[np.full(4, 8.0), np.ones(12)])
    whites = subsets.sample(np.broadcast_to(theta, (runs * draws, 16)), 4, rng)
    whites = rng.permuted(whites, axis=1).reshape(runs, draws, 4)
    found = [run(history_of(whites[r], 16)) for r in range(runs)]
    assert max(results["whites"].p for results in found) < 1e-6
    assert_uniform([results["positions"].p for results in found])
    statistics = [results["positions"].statistic for results in found]
    assert np.mean(statistics) == pytest.approx(45, abs=4 * math.sqrt(2 * 45 / runs))
    assert np.var(statistics) == pytest.approx(2 * 45, rel=0.2)


@pytest.mark.parametrize("draws", [1, 5, 40])
def test_p_values_are_exact_far_out_in_the_tails(draws: int) -> None:
    same = np.tile(np.array([4, 1, 6, 2]), (draws, 1))
    results = run(history_of(same, 20, np.full(draws, 3), 8))
    for result in results.values():
        if result.df is None:
            assert result.p == pytest.approx(2 * stats.norm.sf(abs(result.statistic)), rel=1e-9)
        else:
            assert result.p == pytest.approx(stats.chi2.sf(result.statistic, result.df), rel=1e-9)
    assert draws < 40 or max(results[name].p for name in TESTS) < 1e-20


# Machines that are not fair: 1,408 draws of 5 of 69 and 1 of 26


def heavy_ball(rng: np.random.Generator, rows: Ints) -> None:
    """Ball 13 weighs three times as much as any other."""
    theta = np.zeros((len(rows), 69))
    theta[:, 12] = math.log(3.0)
    rows[:, :5] = rng.permuted(subsets.sample(theta, 5, rng), axis=1)


def heavy_bonus(rng: np.random.Generator, rows: Ints) -> None:
    """Bonus ball 13 weighs three times as much as any other."""
    rows[:, 5] = rng.choice(np.r_[1:27, 13, 13], len(rows))


def sticky(rng: np.random.Generator, rows: Ints) -> None:
    """In one draw of five a ball of the draw before replaces one of the balls."""
    for t in range(1, len(rows)):
        ball = rng.choice(rows[t - 1, :5])
        if rng.random() < 0.2 and ball not in rows[t, :5]:
            rows[t, rng.integers(5)] = ball


def coupled(rng: np.random.Generator, rows: Ints) -> None:
    """Ball 14 comes with ball 13 half of the time; every ball comes as often as from a fair machine."""
    has_13, has_14 = ((rows[:, :5] == ball).any(axis=1) for ball in (13, 14))
    to, source = np.flatnonzero(has_13 & ~has_14)[::2], np.flatnonzero(has_14 & ~has_13)
    for t, s in zip(to, source, strict=False):
        free = [place for place in range(5) if rows[t, place] not in {13, *rows[s, :5]}]
        there, here = rng.choice(free), list(rows[s, :5]).index(14)
        rows[t, there], rows[s, here] = 14, rows[t, there]


def early(rng: np.random.Generator, rows: Ints) -> None:
    """When ball 13 is drawn, then mostly first."""
    for t in np.flatnonzero((rows[:, :5] == 13).any(axis=1) & (rng.random(len(rows)) < 0.75)):
        place = list(rows[t, :5]).index(13)
        rows[t, 0], rows[t, place] = 13, rows[t, 0]


@pytest.mark.parametrize(
    ("machine", "guilty", "balls", "place"),
    [
        (heavy_ball, "whites", (13,), None),
        (heavy_bonus, "bonus", (13,), None),
        (coupled, "pairs", (13, 14), None),
        (sticky, "repeats", (), None),
        (early, "positions", (13,), 1),
    ],
)
def test_each_kind_of_unfairness_is_found_by_its_own_test_alone(
    machine: Callable[[np.random.Generator, Ints], None],
    guilty: str,
    balls: tuple[int, ...],
    place: int | None,
) -> None:
    found = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        rows = np.column_stack([fair_draws(rng, 1408, 69, 5), rng.integers(1, 27, 1408)])
        machine(rng, rows)
        found.append(run(History.from_rows(rows.tolist(), 5, 69, 26, [True] * 1408)))
    for results in found:
        largest = results[guilty].largest
        assert results[guilty].p < 1e-4
        assert (largest.balls, largest.place) == (balls, place)
        assert largest.observed > largest.expected
    for name in set(TESTS) - {guilty}:
        p_values = [results[name].p for results in found]
        assert np.mean(p_values) > 0.3
        assert min(p_values) > 1e-4


# Many tests


def test_holm_adjusts_step_by_step() -> None:
    adjusted = audit.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert list(adjusted) == ["a", "b", "c", "d"]
    assert list(adjusted.values()) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert audit.holm({"a": 0.4, "b": 0.9, "c": 0.0}) == {"a": 0.8, "b": 0.9, "c": 0.0}
    assert audit.holm({"a": 0.7, "b": 0.6}) == {"a": 1.0, "b": 1.0}
    assert audit.holm({}) == {}


@pytest.mark.parametrize("p", [-0.1, 1.5, math.nan])
def test_holm_refuses_what_is_no_probability(p: float) -> None:
    with pytest.raises(ValueError, match=f"p-value of 'bonus' is {p}; expected a probability"):
        audit.holm({"whites": 0.3, "bonus": p})
