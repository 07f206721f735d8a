import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.forecasting import evidence, subsets
from helios_agent.forecasting.evidence import SkillInterval
from helios_agent.forecasting.experts import single_ball_hypotheses


def test_anytime_p_is_one_over_the_peak_wealth_and_never_above_one() -> None:
    assert evidence.anytime_p(0.0) == 1.0
    assert evidence.anytime_p(math.log(100)) == pytest.approx(0.01)
    assert evidence.anytime_p(-0.3) == 1.0


def test_skill_interval_follows_the_closed_form() -> None:
    gains = [0.3, -0.1, 0.05, 0.2, -0.25]
    rho2 = (2 * math.log(20) + math.log(1 + 2 * math.log(20))) / 500
    sd = math.sqrt(np.mean(np.square(gains)) - 0.04**2)
    width = sd * math.sqrt(2 * (5 * rho2 + 1) / (25 * rho2) * math.log(math.sqrt(5 * rho2 + 1) / 0.05))
    assert evidence.skill_interval(gains, 0.05) == pytest.approx(
        (0.04, 0.04 - width, 0.04 + width), rel=1e-12
    )


# Half the width of the interval times T at sd 1, by confseq 0.0.11: boundaries.normal_mixture_bound(T, alpha,
# v_opt=500, alpha_opt=alpha, is_one_sided=False).
@pytest.mark.parametrize(
    ("alpha", "draws", "bound"),
    [
        (0.05, 2, 19.786192532730833),
        (0.05, 30, 24.360685301926214),
        (0.05, 500, 67.86933628399808),
        (0.05, 5000, 229.2244418845569),
        (0.01, 2, 20.48765993979891),
        (0.01, 500, 79.86407405341919),
        (0.01, 5000, 265.4046958830002),
    ],
)
def test_skill_interval_is_as_wide_as_a_published_normal_mixture(
    alpha: float, draws: int, bound: float
) -> None:
    mean, low, high = evidence.skill_interval([-1.0, 1.0] * (draws // 2), alpha)
    assert (mean, low, high) == pytest.approx((0.0, -bound / draws, bound / draws), rel=1e-12)


def test_with_too_few_draws_there_is_no_interval() -> None:
    assert evidence.skill_interval([], 0.05) == SkillInterval(None, None, None)
    assert evidence.skill_interval([0.2], 0.05) == SkillInterval(0.2, None, None)


def test_rho_makes_the_interval_tightest_at_500_draws() -> None:
    def width(tightest: int) -> float:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(evidence, "TIGHTEST_AT_DRAWS", tightest)
            low, high = evidence.skill_interval([-1.0, 1.0] * 250, 0.05)[1:]
        assert low is not None
        assert high is not None
        return high - low

    best = min(width(tightest) for tightest in range(50, 5000, 10))
    assert width(500) == pytest.approx(best, rel=0.001)


def test_skill_intervals_hold_the_truth_at_all_times_at_once() -> None:
    rng = np.random.default_rng(11)
    missed = 0
    for _ in range(100):
        gains = rng.normal(0.02, 0.3, 1000)
        intervals = (evidence.skill_interval(gains[:t], 0.05) for t in range(30, 1000, 10))
        missed += any(
            low > 0.02 or high < 0.02 for _, low, high in intervals if low is not None and high is not None
        )
    assert missed <= 8


def test_predictability_is_the_weight_of_those_who_claim_to_know() -> None:
    weights = {"uniform": 0.5, "tilt": 0.2, "recency": 0.05, "reserve": 0.25}
    assert evidence.predictability(weights) == pytest.approx(0.25)
    assert evidence.predictability({"uniform": 0.666666667, "reserve": 0.333333334}) == 0.0


def mean_gain(weight: float, factor: float) -> float:
    """Return what believing in `factor` gains a draw of 3 of 7 when ball 1 weighs `weight`."""
    theta, believed = np.zeros(7), np.zeros(7)
    theta[0], believed[0] = math.log(weight), math.log(factor)
    balls = np.array(list(combinations(range(1, 8), 3)))
    log_p = subsets.log_probability(theta, balls)
    return float((np.exp(log_p) * (subsets.log_probability(believed, balls) + math.log(35))).sum())


def test_the_smallest_visible_factor_gains_on_average_what_the_alarm_needs() -> None:
    hypotheses = {0.5: 0.1, 2.0: 0.02, 4.0: 0.03}
    for draws in (60, 200, 2_000):
        factor = evidence.smallest_visible_factor(draws, 7, 3, 0.01, hypotheses)
        assert factor is not None
        wealths = [
            math.log(prior) + draws * mean_gain(factor, believed)
            for believed, prior in hypotheses.items()
            if believed > 1
        ]
        assert max(wealths) == pytest.approx(math.log(100), rel=1e-9)


@pytest.mark.parametrize(
    ("factor", "nats", "oracle"), [(1.5, 0.0069, 664), (2.0, 0.024, 194), (3.0, 0.073, 63), (5.0, 0.198, 23)]
)
def test_who_knows_ball_and_factor_sees_them_after_the_known_delays_of_5_of_69(
    factor: float, nats: float, oracle: int
) -> None:
    theta = np.zeros(69)
    theta[0] = math.log(factor)
    chance = float(subsets.inclusion_probabilities(theta, 5)[0])
    divergence = chance * theta[0] - math.log(1 + 5 / 69 * (factor - 1))
    assert divergence == pytest.approx(nats, rel=0.03)
    assert round(math.log(100) / divergence) == oracle
    assert evidence.smallest_visible_factor(oracle, 69, 5, 0.01, {factor: 1.0}) == pytest.approx(
        factor, rel=0.02
    )


def test_more_draws_show_smaller_factors() -> None:
    hypotheses = single_ball_hypotheses(69)
    seen = [evidence.smallest_visible_factor(draws, 69, 5, 0.01, hypotheses) for draws in (50, 500, 5_000)]
    assert seen == sorted(filter(None, seen), reverse=True)
    assert seen[-1] is not None
    assert 1.0 < seen[-1] < 1.5


def test_in_few_draws_nothing_could_be_seen() -> None:
    hypotheses = single_ball_hypotheses(69)
    assert [evidence.smallest_visible_factor(draws, 69, 5, 0.01, hypotheses) for draws in (0, 1, 3)] == [
        None
    ] * 3
    assert evidence.smallest_visible_factor(1_000, 69, 5, 0.01, {0.5: 1.0}) is None
    with pytest.raises(ValueError, match="alpha is 0"):
        evidence.smallest_visible_factor(100, 69, 5, 0.0, hypotheses)


def test_e_bh_rejects_step_by_step() -> None:
    """Of K = 4 at alpha = 1/10 the k-th largest e-value must reach 40/k: 40, 20, 13.3, 10."""
    e_values = {"a": 13.0, "b": 25.0, "c": 0.0, "d": 30.0}
    log_e = {name: math.log(e) if e else -math.inf for name, e in e_values.items()}
    assert evidence.e_bh(log_e, 0.1) == ["d", "b"]
    assert evidence.e_bh(log_e | {"a": math.log(14.0)}, 0.1) == ["d", "b", "a"]
    assert evidence.e_bh(log_e | {"b": math.log(19.0)}, 0.1) == []
    assert evidence.e_bh({"b": 9.0, "a": 9.0, "c": math.inf}, 0.1) == ["c", "a", "b"]
    assert evidence.e_bh({}, 0.1) == []


LOG_E_VALUES = st.lists(st.floats(-5.0, 12.0) | st.just(-math.inf), min_size=1, max_size=8)


@given(LOG_E_VALUES, st.floats(0.001, 0.999))
def test_e_bh_rejects_the_largest_set_of_which_each_e_value_is_large_enough_for_it(
    values: list[float], alpha: float
) -> None:
    """Of all sets R with e >= K/(|R| alpha) throughout the largest is rejected."""
    log_e = {f"game-{index}": value for index, value in enumerate(values)}
    rejected = evidence.e_bh(log_e, alpha)
    sets = [
        chosen
        for size in range(len(values) + 1)
        for chosen in combinations(log_e, size)
        if all(log_e[name] >= math.log(len(values) / (size * alpha)) for name in chosen)
    ]
    assert set(rejected) == set().union(*sets)
    assert [log_e[name] for name in rejected] == sorted((log_e[name] for name in rejected), reverse=True)


@given(LOG_E_VALUES, st.floats(0.001, 0.999), st.floats(0.0, 3.0), st.integers(0, 7))
def test_e_bh_rejects_no_less_when_evidence_or_level_rise(
    values: list[float], alpha: float, more: float, which: int
) -> None:
    log_e = {f"game-{index}": value for index, value in enumerate(values)}
    raised = log_e | {f"game-{which % len(values)}": values[which % len(values)] + more}
    before = set(evidence.e_bh(log_e, alpha))
    assert before <= set(evidence.e_bh(raised, alpha))
    assert before <= set(evidence.e_bh(log_e, alpha + (1 - alpha) / 2))


@pytest.mark.parametrize("together", [1, 2, 4])
def test_the_share_of_false_discoveries_is_bounded_however_e_values_depend_on_each_other(
    together: int,
) -> None:
    """Of 4 null hypotheses `together` have the e-value 4/(together alpha) at once, its inverse as the chance.

    Whenever they have it they are rejected, all of them falsely: the bound alpha is reached at together = 4.
    """
    alpha = 0.1
    e = 4 / (together * alpha) * (1 + 1e-12)
    log_e = {name: math.log(e) if index < together else 0.0 for index, name in enumerate("abcd")}
    assert len(evidence.e_bh(log_e, alpha)) == together
    assert 1 / e <= alpha + 1e-12
    assert 1 / e == pytest.approx(alpha * together / 4)
    assert evidence.e_bh(dict.fromkeys("abcd", 0.0), alpha) == []


def test_e_bh_on_games_of_which_two_are_fair_and_two_are_not() -> None:
    """Expert gains of a ball that weighs four times as much: of 5 of 69, watched for 300 draws."""
    total = 1 + 5 / 69 * 3
    hit, miss, share = math.log(4 / total), -math.log(total), 4 * 5 / 69 / total
    rng = np.random.default_rng(3)
    false, missed = [], []
    for _ in range(300):
        drawn = rng.random((4, 300)) < np.array([[5 / 69], [5 / 69], [share], [share]])
        gains = np.where(drawn, hit, miss).sum(axis=1)
        rejected = evidence.e_bh(dict(zip("abcd", gains.tolist(), strict=True)), 0.1)
        false.append(len({"a", "b"} & set(rejected)) / max(len(rejected), 1))
        missed.append(2 - len({"c", "d"} & set(rejected)))
    assert np.mean(false) <= 0.05  # half of the hypotheses are true
    assert np.mean(missed) < 0.02


@pytest.mark.parametrize(
    ("value", "alpha", "message"),
    [
        (math.nan, 0.1, "log_e_values of 'b' is nan; expected a number of nats"),
        (0.0, 0.0, r"alpha is 0\.0; expected a probability"),
        (0.0, 1.0, r"alpha is 1\.0"),
        (0.0, math.nan, "alpha is nan"),
    ],
)
def test_e_bh_refuses_what_is_no_e_value_or_level(value: float, alpha: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evidence.e_bh({"a": 1.0, "b": value}, alpha)
