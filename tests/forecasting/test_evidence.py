import math
from itertools import combinations

import numpy as np
import pytest

from helios_agent.forecasting import evidence, subsets
from helios_agent.forecasting.evidence import SkillInterval


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


def test_divergence_of_one_heavy_ball_equals_brute_force() -> None:
    theta = np.array([math.log(3.0), 0, 0, 0, 0, 0, 0])
    balls = np.array(list(combinations(range(1, 8), 3)))
    log_p = subsets.log_probability(theta, balls)
    expected = float((np.exp(log_p) * (log_p + math.log(35))).sum())
    assert evidence.divergence_of_one_ball(3.0, 7, 3) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("factor", "nats", "draws"), [(1.5, 0.0069, 664), (2.0, 0.024, 194), (3.0, 0.073, 63), (5.0, 0.198, 23)]
)
def test_visible_factors_match_the_known_delays_of_5_of_69(factor: float, nats: float, draws: int) -> None:
    divergence = evidence.divergence_of_one_ball(factor, 69, 5)
    assert divergence == pytest.approx(nats, rel=0.03)
    assert round(math.log(100) / divergence) == draws
    assert evidence.smallest_visible_factor(draws, 69, 5, 0.01) == pytest.approx(factor, rel=0.02)


def test_more_draws_show_smaller_factors() -> None:
    previous = math.inf
    for draws in (10, 100, 1408, 100_000):
        factor = evidence.smallest_visible_factor(draws, 69, 5, 0.01)
        assert factor is not None
        assert 1.0 < factor < previous
        assert draws * evidence.divergence_of_one_ball(factor, 69, 5) == pytest.approx(
            math.log(100), rel=1e-9
        )
        previous = factor


def test_with_a_single_draw_nothing_could_be_seen() -> None:
    assert evidence.smallest_visible_factor(0, 69, 5, 0.01) is None
    assert evidence.smallest_visible_factor(1, 69, 5, 0.01) is None
    assert evidence.smallest_visible_factor(2, 69, 5, 0.01) is not None
    with pytest.raises(ValueError, match="alpha is 0"):
        evidence.smallest_visible_factor(100, 69, 5, 0.0)
