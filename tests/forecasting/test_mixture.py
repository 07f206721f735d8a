import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_agent.forecasting import mixture
from helios_agent.forecasting.mixture import PRIORS, Standing


def test_prior_weights_are_a_half_a_quarter_and_a_quarter() -> None:
    assert PRIORS == {"uniform": 0.5, "static": 0.25, "reserve": 0.25}
    assert mixture.static_priors(["uniform", "tilt", "recency"]) == {
        "uniform": 0.5,
        "tilt": 0.125,
        "recency": 0.125,
    }


def test_uniform_holds_its_half_even_when_nobody_names_it() -> None:
    assert mixture.static_priors([]) == {"uniform": 0.5}
    assert mixture.static_priors(["tilt", "tilt"]) == {"uniform": 0.5, "tilt": 0.25}


def test_newcomers_leave_room_for_any_number_of_others() -> None:
    priors = [mixture.newcomer_prior(m) for m in range(1, 1001)]
    assert priors[:3] == [0.125, 0.25 / 6, 0.25 / 12]
    assert all(later < earlier for earlier, later in pairwise(priors))
    for m in (1, 2, 10, 1000):
        assert 0.25 - math.fsum(priors[:m]) == pytest.approx(0.25 / (m + 1), rel=1e-12)
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


@settings(deadline=None)
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
