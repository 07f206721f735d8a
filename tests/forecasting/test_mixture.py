import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.forecasting import mixture
from helios_agent.forecasting.experts import PRIORS
from helios_agent.forecasting.mixture import Standing


def test_uniform_holds_half_and_something_is_left_for_models() -> None:
    assert PRIORS["uniform"] == 0.5
    assert 1.0 - math.fsum(PRIORS.values()) == pytest.approx(mixture.RESERVE_PRIOR, abs=1e-12)


def test_newcomers_leave_room_for_any_number_of_others() -> None:
    priors = [mixture.newcomer_prior(m) for m in range(1, 1001)]
    reserve = mixture.RESERVE_PRIOR
    assert priors[:3] == [reserve / 2, reserve / 6, reserve / 12]
    assert all(later < earlier for earlier, later in pairwise(priors))
    for m in (1, 2, 10, 1000):
        assert reserve - math.fsum(priors[:m]) == pytest.approx(reserve / (m + 1), rel=1e-9)
    with pytest.raises(ValueError, match="ordinal is 0"):
        mixture.newcomer_prior(0)


def test_posterior_is_prior_times_wealth() -> None:
    standings = {"uniform": Standing(0.5, 0.0), "tilt": Standing(0.25, math.log(3.0))}
    assert mixture.posterior(standings) == pytest.approx(
        {"uniform": 0.5 / 1.5, "tilt": 0.75 / 1.5, "reserve": 0.25 / 1.5}, rel=1e-14
    )
    assert mixture.log_wealth(standings) == pytest.approx(math.log(1.5), rel=1e-14)


@pytest.mark.parametrize("gain", [-1e5, 1e5])
def test_gains_beyond_the_range_of_floats_do_no_harm(gain: float) -> None:
    weights = mixture.posterior({"uniform": Standing(0.5, 0.0), "tilt": Standing(0.25, gain)})
    assert weights["tilt"] == pytest.approx(1.0 if gain > 0 else 0.0, abs=1e-9)
    assert math.fsum(weights.values()) == pytest.approx(1.0, abs=1e-9)


@given(st.lists(st.floats(-500.0, 500.0), min_size=1, max_size=8))
def test_weights_sum_to_one_in_any_order(gains: list[float]) -> None:
    priors = [0.5] + [0.25 / len(gains)] * (len(gains) - 1)
    rows = {f"f{i}": Standing(prior, gain) for i, (prior, gain) in enumerate(zip(priors, gains, strict=True))}
    weights = mixture.posterior(rows)
    assert math.fsum(weights.values()) == pytest.approx(1.0, abs=1e-12)
    assert mixture.posterior(dict(reversed(rows.items()))) == weights


def test_more_prior_weight_than_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"sum to 1\.25; expected at most 1"):
        mixture.posterior({"a": Standing(0.75, 0.0), "b": Standing(0.5, 0.0)})
    with pytest.raises(ValueError, match="prior is 0"):
        Standing(0.0, 0.0)
    with pytest.raises(ValueError, match="gain_nats is nan"):
        Standing(0.5, math.nan)
    with pytest.raises(ValueError, match="'reserve'"):
        mixture.posterior({"reserve": Standing(0.5, 0.0)})


def test_switching_gains_what_its_shares_gain_and_gives_a_part_of_them_out_anew() -> None:
    priors = np.array([0.5, 0.3, 0.2])
    shares = np.array([[0.9, 0.05, 0.05], [0.2, 0.2, 0.6]])
    gains = np.log([[1.0, 2.0, 0.5], [1.0, 1.0, 3.0]])
    gain, moved = mixture.switch(shares, priors, gains)
    np.testing.assert_allclose(np.exp(gain), [0.9 + 0.1 + 0.025, 0.4 + 1.8], rtol=1e-14)
    kept = (1.0 - mixture.SWITCH_RATE) * np.array([0.2, 0.2, 1.8]) / 2.2
    np.testing.assert_allclose(moved[1], kept + mixture.SWITCH_RATE * priors, rtol=1e-14)
    np.testing.assert_allclose(moved.sum(axis=-1), 1.0, rtol=1e-14)


def test_who_was_bad_for_long_has_its_say_soon_after_it_is_good() -> None:
    priors = np.array([0.5, 0.5])
    shares, total = priors, 0.0
    for _ in range(1000):
        _, shares = mixture.switch(shares, priors, np.array([0.0, -1.0]))
    for _ in range(10):
        gain, shares = mixture.switch(shares, priors, np.array([0.0, 1.0]))
        total += float(gain)
    assert shares[1] > 0.9
    assert total > 10.0 - math.log(2.0 / mixture.SWITCH_RATE) - 0.1


def test_what_the_switching_forecaster_holds_is_passed_on_to_those_it_is_made_of() -> None:
    weights = {"uniform": 0.5, "a": 0.2, "switching": 0.2, "reserve": 0.1}
    passed_on = mixture.effective(weights, {"uniform": 0.25, "a": 0.75})
    assert passed_on == pytest.approx({"uniform": 0.55, "a": 0.35, "reserve": 0.1})
    assert mixture.effective({"uniform": 0.5, "a": 0.5}, {}) == {"uniform": 0.5, "a": 0.5}
