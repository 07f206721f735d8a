import itertools
import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from helios_agent.metacognition import analytics, patterns
from helios_agent.metacognition.patterns import KINDS, LEAST_VALUES

Floats = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, int]], Floats]
Found = Callable[[Floats], NDArray[np.bool_]]

SEED, SERIES, LEVEL = 20_260_918, 4_000, 0.05
LAWS: dict[str, Law] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "heavy tails": lambda rng, shape: rng.standard_cauchy(shape),
    "skewed": lambda rng, shape: rng.lognormal(0.0, 1.5, shape),
    "counts": lambda rng, shape: rng.poisson(2.0, shape).astype(np.float64),
    "two values": lambda rng, shape: (rng.random(shape) < 0.2).astype(np.float64),
}


def all_found(values: Floats) -> NDArray[np.bool_]:
    """Tell which series have which pattern, (series, 3)."""
    return patterns.p_values(values) <= LEVEL


def found(kind: str, values: Floats) -> NDArray[np.bool_]:
    return all_found(values)[:, KINDS.index(kind)]


def rule_of_thumb(values: Floats) -> NDArray[np.bool_]:
    """Whoever calls a trend what has a fitted slope of more than 0.01."""
    steps = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    return np.abs(values @ steps) / (steps @ steps) > 0.01


def hold_their_level(detect: Found, law: Law, n: int, slope: float = 0.0) -> NDArray[np.bool_]:
    """Tell whether so many are found in noise, and a line, as LEVEL allows, and four standard errors."""
    made = law(np.random.default_rng((SEED, n)), (SERIES, n)) + slope * np.arange(n)
    alarms = detect(made).sum(axis=0)
    return np.asarray(alarms <= LEVEL * SERIES + 4 * math.sqrt(LEVEL * (1 - LEVEL) * SERIES))


def noise(n: int, seed: int = SEED, series: int = 600) -> Floats:
    return np.random.default_rng(seed).standard_normal((series, n))


# False alarms


@pytest.mark.parametrize("n", [10, 20, 40, 200])
@pytest.mark.parametrize("law", LAWS)
def test_noise_of_any_law_is_seldom_a_pattern(law: str, n: int) -> None:
    assert hold_their_level(all_found, LAWS[law], n).all()


@pytest.mark.parametrize("n", [10, 20, 40])
def test_a_rule_of_thumb_would_not_pass_that_test(n: int) -> None:
    assert not hold_their_level(rule_of_thumb, LAWS["normal"], n)


def test_a_level_of_7_percent_would_not_pass_it_either() -> None:
    assert not hold_their_level(lambda v: patterns.p_values(v)[:, 0] <= 0.07, LAWS["normal"], 40)


@pytest.mark.parametrize("n", [10, 20, 40])
def test_small_p_values_are_as_rare_as_they_say(n: int) -> None:
    p = patterns.p_values(noise(n, series=50_000))
    for level in (0.01, 0.001, 0.0004):
        assert ((p <= level).sum(axis=0) <= level * len(p) + 4 * math.sqrt(level * len(p))).all()


def test_a_look_at_many_series_seldom_finds_anything_where_nothing_is() -> None:
    looks, rng = 200, np.random.default_rng(SEED)
    alarms = 0
    for _ in range(looks):
        rows = [*rng.standard_normal((20, 20)), *rng.poisson(2.0, (20, 30))]
        alarms += bool(patterns.find({str(name): row.tolist() for name, row in enumerate(rows)}).findings)
    assert alarms <= LEVEL * looks + 4 * math.sqrt(LEVEL * (1 - LEVEL) * looks)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e9])
@pytest.mark.parametrize("n", [10, 40, 200])
def test_what_never_changes_has_no_pattern(value: float, n: int) -> None:
    assert (patterns.p_values(np.full((1, n), value)) == 1.0).all()
    assert patterns.find({"still": [value] * n}) == patterns.Patterns((), ())
    assert [d([value] * n) for d in (patterns.trend, patterns.cycle, patterns.cluster)] == [None] * 3


def test_a_line_without_noise_is_a_trend_and_nothing_else() -> None:
    for step in (0.1, -1 / 3, 1e-7):
        values = [1e3 + step * place for place in range(40)]
        assert [one.kind for one in patterns.find({"line": values}).findings] == ["trend"]


# The laws that the p-values come from


@pytest.mark.parametrize("n", [4, 6, 7])
def test_the_law_of_kendalls_s_is_that_of_all_orders(n: int) -> None:
    orders = np.array(list(itertools.permutations(range(n))), dtype=np.float64)
    sizes = np.abs(patterns._kendall(orders))
    for size in np.unique(sizes):
        assert patterns._kendall_p(n, np.array([size]))[0] == pytest.approx((sizes >= size).mean())


@pytest.mark.parametrize("values", [[0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 2, 3, 4, 5], [0, 0, 1, 1, 2, 2, 2]])
def test_ties_make_no_trend_likelier_than_it_says(values: list[int]) -> None:
    orders = np.array(list(itertools.permutations(values)), dtype=np.float64)
    sizes = np.abs(patterns._kendall(orders))
    p = patterns._kendall_p(len(values), sizes)
    for level in np.unique(p):
        assert (p <= level).mean() <= level + 1e-12


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=10, max_size=16))
def test_with_ties_the_p_value_of_a_trend_is_never_less_than_the_exact_one(values: list[int]) -> None:
    _, exact = analytics.rank_trend(values)
    p = patterns.p_values(np.array([values], dtype=np.float64))[0, 0]
    if len(set(values)) == len(values):
        assert p == pytest.approx(exact)
    elif exact is not None and p <= patterns.MOST_LEVEL:
        assert p >= exact - 1e-12


def test_the_normal_law_takes_over_from_the_exact_one_without_a_jump() -> None:
    n = patterns.EXACT_VALUES
    sizes = np.arange(n * (n - 1) // 2 % 2, 2_000, 2)
    exact = patterns._kendall_p(n, sizes)
    scale = math.sqrt(n * (n - 1) * (2 * n + 5) / 9)
    normal = np.array([math.erfc(max(0, int(size) - 1) / scale) for size in sizes])
    assert np.abs(exact - normal).max() < 2e-3
    rare = exact < 0.05
    assert (normal[rare] >= exact[rare]).all()
    assert (normal[exact > 1e-4] / exact[exact > 1e-4]).max() < 1.2


@pytest.mark.parametrize("n", [10, 11, 12, 15])
def test_no_cycle_and_no_cluster_of_few_values_is_likelier_than_it_says(n: int) -> None:
    rng = np.random.default_rng(SEED)
    orders = rng.permuted(np.broadcast_to(patterns._normal_scores(n), (100_000, n)), axis=1)
    cycle_p = patterns._cycle_p(n, patterns._shares(orders))
    cluster_p = patterns._cluster_p(n, patterns._correlations(orders)).min(axis=1)
    for p in (cycle_p, cluster_p):
        for level in (patterns.MOST_LEVEL, 0.05, 0.01, 0.001):
            assert (p <= level).mean() <= level + 4 * math.sqrt(level / len(p))
    assert (cycle_p <= LEVEL).mean() > LEVEL / 3
    assert (cluster_p.min() > LEVEL) == (n < 13)


def test_the_bound_of_a_correlation_is_just_above_its_law() -> None:
    rng = np.random.default_rng(SEED)
    directions = rng.standard_normal((200_000, 19))
    found = np.abs(directions[:, 0]) / np.linalg.norm(directions, axis=1)
    for correlation in (0.4, 0.6, 0.7):
        share = float((found >= correlation).mean())
        bound = float(patterns._correlation_p(20, np.array([correlation]))[0])
        assert share - 4 * math.sqrt(share / len(found)) <= bound <= 1.35 * share


# Power: what docs/explanation/metacognition.md says is found nine times in ten


SIZES = {
    ("trend", 40): 0.046,
    ("trend", 200): 0.0042,
    ("cycle", 40): 1.30,
    ("cycle", 200): 0.59,
    ("cluster", 40): 2.90,
    ("cluster", 200): 1.95,
}
CLUSTER_LENGTH = 10


def shapes(kind: str, n: int, rng: np.random.Generator, series: int) -> Floats:
    places = np.arange(n)
    if kind == "trend":
        return np.broadcast_to(places.astype(np.float64), (series, n))
    if kind == "cycle":
        return np.asarray(np.sin(2 * np.pi * (5.25 / n * places + rng.random((series, 1)))))
    firsts = rng.integers(0, n - CLUSTER_LENGTH + 1, (series, 1))
    return ((places >= firsts) & (places < firsts + CLUSTER_LENGTH)).astype(np.float64)


@pytest.mark.parametrize(("kind", "n"), SIZES)
def test_patterns_of_the_stated_sizes_are_found(kind: str, n: int) -> None:
    rng, series = np.random.default_rng(SEED), 1_000
    made = noise(n, series=series) + SIZES[kind, n] * shapes(kind, n, rng, series)
    assert found(kind, made).sum() >= 0.9 * series - 4 * math.sqrt(0.09 * series)
    half = noise(n, series=series) + SIZES[kind, n] / 2 * shapes(kind, n, rng, series)
    assert found(kind, half).sum() < 0.7 * series


def test_a_trend_hides_neither_a_cycle_nor_a_cluster() -> None:
    rng, n = np.random.default_rng(SEED), 200
    for kind, size in (("cycle", 0.8), ("cluster", 2.5)):
        made = noise(n, series=100) + size * shapes(kind, n, rng, 100) + 0.1 * np.arange(n)
        assert found(kind, made).mean() > 0.9
        assert found("trend", made).all()


@pytest.mark.parametrize("law", ["normal", "heavy tails"])
def test_a_trend_alone_is_seldom_a_cycle_or_a_cluster(law: str) -> None:
    for n in (20, 40):
        assert hold_their_level(lambda values: all_found(values)[:, 1:], LAWS[law], n, slope=2.0).all()


# Sizes


def test_the_slope_and_its_interval_are_those_of_theil_and_sen() -> None:
    values = noise(30, series=1)[0] + 0.2 * np.arange(30)
    slopes = sorted((values[j] - values[i]) / (j - i) for i in range(30) for j in range(i + 1, 30))
    found = patterns.trend(values.tolist())
    assert found is not None
    assert found.size["slope"] == pytest.approx(np.median(slopes))

    def is_significant(slope: float) -> bool:
        return patterns.trend((values - slope * np.arange(30)).tolist()) is not None

    for end, outwards in (("low", -1e-9), ("high", 1e-9)):
        assert is_significant(found.size[end] + outwards)
        assert not is_significant(found.size[end] - outwards)


def test_the_interval_of_the_slope_holds_the_true_one_19_times_in_20() -> None:
    for law in ("normal", "heavy tails"):
        made = LAWS[law](np.random.default_rng(SEED), (2_000, 30))
        ends = np.array([patterns._slopes(row)[1:] for row in made])
        inside = ((ends[:, 0] <= 0.0) & (ends[:, 1] >= 0.0)).mean()
        assert 0.93 < inside < 0.98


def test_period_and_amplitude_are_those_of_the_wave() -> None:
    values = noise(120, series=1)[0] * 0.3 + 2.0 * np.sin(2 * np.pi * np.arange(120) / 8 + 1) + 50.0
    found = patterns.cycle(values.tolist())
    assert found is not None
    assert found.size == {"period": 8.0, "amplitude": pytest.approx(2.0, abs=0.15)}
    assert found.sentence.startswith("The series goes up and down once in 8 steps, by ")


def test_a_cluster_lies_where_it_was_put() -> None:
    values = noise(60, series=1)[0]
    values[20:30] -= 6.0
    found = patterns.cluster(values.tolist())
    assert found is not None
    assert (found.size["first"], found.size["last"], found.size["length"]) == (20, 29, 10)
    others = np.delete(values, np.s_[20:30])
    spread = 1.4826 * np.median(np.abs(others - np.median(others)))
    excess = (np.median(values[20:30]) - np.median(others)) / spread
    assert excess < -5.0
    assert found.size["excess"] == pytest.approx(excess)
    assert "lower than otherwise for 10 of 60 values" in found.sentence


def test_the_excess_of_a_cluster_of_rare_counts_is_in_standard_deviations() -> None:
    values = [0.0] * 100
    values[40:50] = [3.0] * 10
    found = patterns.cluster(values)
    assert found is not None
    assert found.size["excess"] == pytest.approx(3.0 / np.std(values))


# What leaves the answer as it is


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(10, 60))
def test_only_ranks_enter_unless_there_is_a_strong_trend(seed: int, n: int) -> None:
    values = noise(n, seed, series=8)
    p = patterns.p_values(values)
    bent = patterns.p_values(np.exp(2 * values) - 5)
    assert (p[:, 0] == bent[:, 0]).all()
    level = p[:, 0] > patterns.STRONG_TREND
    np.testing.assert_allclose(p[level], bent[level])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(10, 60))
def test_backwards_and_upside_down_are_as_clear(seed: int, n: int) -> None:
    values = noise(n, seed, series=4).round(1)
    p = patterns.p_values(values)
    np.testing.assert_allclose(p, patterns.p_values(-values), rtol=1e-6)
    np.testing.assert_allclose(p, patterns.p_values(values[:, ::-1]), rtol=1e-6)


def test_the_same_series_get_the_same_answer_alone_and_among_others() -> None:
    rng = np.random.default_rng(SEED)
    rows = {f"s{n}": (rng.standard_normal(n) + 0.1 * np.arange(n)).tolist() for n in (10, 40, 40, 41, 90)}
    assert patterns.find(rows) == patterns.find(rows)
    for name, row in rows.items():
        among = patterns.p_values(np.array([row, row[::-1], row]))
        alone = patterns.p_values(np.array([row]))
        np.testing.assert_allclose(among[0], alone[0], rtol=1e-9, err_msg=name)


# A look at many series


def test_too_short_series_are_told_and_missing_values_are_left_out() -> None:
    rising: list[float | None] = [float(value) for value in range(12)]
    found = patterns.find(
        {
            "short": rising[: LEAST_VALUES - 1],
            "gaps": [None, None, *rising, None],
            "none": [None] * 20,
            "": [],
        }
    )
    assert found.too_short == ("short", "none", "")
    assert [(one.series, one.kind, one.values) for one in found.findings] == [("gaps", "trend", 12)]
    assert patterns.trend(range(LEAST_VALUES - 1)) is None


def test_a_cluster_is_placed_among_the_values_that_were_given() -> None:
    values: list[float | None] = list(noise(60, series=1)[0])
    values[17:33] = [-1.0] * 3 + [6.0 + place / 100 for place in range(10)] + [-1.0] * 3
    values[5:5] = [None] * 3
    values[25:25] = [None]
    (found,) = patterns.find({"x": values}).findings
    assert found.kind == "cluster"
    assert (found.size["first"], found.size["last"], found.size["length"]) == (23, 33, 10)


def test_each_of_many_findings_pays_for_those_that_are_left() -> None:
    values = (noise(40, series=1)[0] + 0.25 * np.arange(40)).tolist()
    alone = patterns.trend(values)
    assert alone is not None
    quiet = {str(row): some.tolist() for row, some in enumerate(noise(40, seed=5, series=9))}
    (found,) = patterns.find({"rising": values, **quiet, "still": [1.0] * 40}).findings
    assert found.p == pytest.approx(3 * 10 * alone.p)
    both = patterns.find({"rising": values, "falling": values[::-1]}).findings
    assert [one.p for one in both] == pytest.approx([6 * alone.p] * 2)  # 6 and 5 times, and never less
    assert Counter(one.series for one in both) == {"rising": 1, "falling": 1}


def test_what_is_significant_alone_may_not_be_among_many() -> None:
    values = (noise(40, seed=7, series=1)[0] + 0.035 * np.arange(40)).tolist()
    alone = patterns.trend(values)
    assert alone is not None
    assert 0.05 / 120 < alone.p < 0.05 / 3
    assert patterns.find({"x": values}).findings
    many = {str(row): some.tolist() for row, some in enumerate(noise(40, seed=5, series=39))}
    assert patterns.find({"x": values, **many}).findings == ()


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_refused(wrong: float) -> None:
    values = [*range(12), wrong]
    with pytest.raises(ValueError, match=r"value 13 of skill is (nan|inf); expected a finite number"):
        patterns.find({"skill": values})
    with pytest.raises(ValueError, match="value 13 of the series"):
        patterns.trend(values)


@pytest.mark.parametrize("level", [0.0, 0.11, math.nan])
def test_a_level_at_which_the_p_values_are_no_bounds_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match=r"level is .*; expected more than 0 and at most 0\.1"):
        patterns.find({}, level)
    with pytest.raises(ValueError, match="level is"):
        patterns.cycle(range(20), level)


def test_a_finding_says_what_it_is() -> None:
    (found,) = patterns.find({"skill": [0.5 * place for place in range(20)]}).findings
    assert found.sentence == (
        "skill rises by 0.5 a step over 20 values (slope 0.5 to 0.5, with 95 % confidence); by chance alone "
        "that has a probability of less than 0.000001."
    )
