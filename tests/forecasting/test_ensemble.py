"""An ensemble that is built and scored: it sees the past alone, and its gains are those of a mixture."""

import math

import numpy as np
import pytest

from helios_agent.forecasting import ensemble


@pytest.mark.parametrize("members", [1, 2, 3, 7, 14, ensemble.MOST_MEMBERS])
def test_every_hypothesis_is_a_set_of_weights_and_none_comes_twice(members: int) -> None:
    weights = ensemble.hypotheses(members)
    assert weights.shape[1] == members
    assert len(np.unique(weights, axis=0)) == len(weights) <= ensemble.MOST_HYPOTHESES + members
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    np.testing.assert_array_equal(weights[:members], np.eye(members))


def test_the_first_draw_is_met_with_equal_weights_and_the_second_with_bayes_rule() -> None:
    gains = np.log([[1.5, 0.5], [1.5, 0.5]])
    walk = ensemble.walk(gains)
    weights = ensemble.hypotheses(2)
    prior = np.array([0.25, 0.25, *[0.5 / 19] * 19])
    first = weights @ [1.5, 0.5]
    assert walk.gains[0] == pytest.approx(math.log(prior @ first))
    assert walk.gains[0] == pytest.approx(0.0)  # half of 1.5 and half of 0.5 is what uniform says
    assert walk.gains[1] == pytest.approx(math.log((prior * first) @ first / (prior @ first)))
    posterior = prior * first**2
    np.testing.assert_allclose(walk.weights, posterior @ weights / posterior.sum())
    assert walk.hindsight.tolist() == [1.0, 0.0]
    assert walk.hindsight_nats == pytest.approx(2 * math.log(1.5))


def test_what_comes_later_changes_nothing_that_was_said_before(seed: int) -> None:
    rng = np.random.default_rng(seed)
    gains = rng.normal(0, 0.3, (40, 3))
    later = gains.copy()
    later[25:] = rng.normal(0, 3, (15, 3))
    np.testing.assert_array_equal(ensemble.walk(gains).gains[:25], ensemble.walk(later).gains[:25])


def test_no_hypothesis_is_ever_ahead_by_more_than_its_prior_allows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for members in (1, 2, 3, 6):
        gains = rng.normal(0, 1.0, (60, members))
        walk = ensemble.walk(gains)
        weights = ensemble.hypotheses(members)
        totals = np.log(np.exp(gains) @ weights.T).cumsum(axis=0)
        made = walk.gains.cumsum()
        behind = (totals - made[:, None]).max(axis=0)
        single = math.log(2 * members) if members > 1 else 0.0
        assert behind[:members].max() <= single + 1e-9
        if members > 1:
            assert behind[members:].max() <= math.log(2 * (len(weights) - members)) + 1e-9
        assert totals[-1].max() == pytest.approx(walk.hindsight_nats)


def test_over_fair_draws_its_wealth_is_a_martingale(seed: int) -> None:
    # Two forecasters of a fair coin; the mean of exp(gain) over all that can come is 1 at every draw.
    rng = np.random.default_rng(seed)
    said = rng.uniform(0.1, 0.9, (6, 2))
    wealth = []
    for code in range(2**6):
        came = np.array([code >> t & 1 for t in range(6)])[:, None]
        gains = np.log(2 * np.where(came == 1, said, 1 - said))
        wealth.append(math.exp(ensemble.walk(gains).gains.sum()))
    assert np.mean(wealth) == pytest.approx(1.0)


def test_a_member_that_held_a_draw_for_all_but_impossible_costs_what_it_was_trusted_with() -> None:
    walk = ensemble.walk([[0.0, -800.0]])
    assert math.isfinite(walk.gains[0])
    assert walk.gains[0] == pytest.approx(math.log(0.5), abs=1e-6)
    assert walk.weights[1] < 0.5


def test_gains_that_are_no_numbers_and_too_many_members_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        ensemble.walk([[0.0, math.inf]])
    with pytest.raises(ValueError, match="members are 21; expected 1 to 20"):
        ensemble.hypotheses(21)
