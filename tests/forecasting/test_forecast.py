import json
import math
from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.errors import DrawInvalid
from helios_agent.forecasting.forecast import Forecast, Repeat, gains
from helios_agent.forecasting.history import Drawn

LOG_WEIGHTS = st.lists(st.floats(-30.0, 30.0), min_size=4, max_size=12)


def small_forecast() -> Forecast:
    return Forecast(np.array([0.4, -0.1, 0.9, -1.0, 0.2, 0.0]), np.array([0.5, -0.7, 0.1]), 3)


def repeat(share: float, draws: int, counts: list[int]) -> Repeat:
    return Repeat(np.array(share), np.array(draws), np.array(counts))


def full_forecast() -> Forecast:
    """All that a forecast can say, with {1, 2, 3} and {2, 4, 6} drawn before."""
    rng = np.random.default_rng(2)
    small = small_forecast()
    return Forecast(small.white, small.bonus, 3, rng.normal(size=(3, 6)), repeat(0.2, 2, [1, 2, 1, 1, 0, 1]))


def test_a_fair_powerball_draw_scores_minus_19_493_nats() -> None:
    fair = Forecast.uniform(69, 26, 5)
    assert fair.log_score([3, 16, 43, 58, 65], 16) == pytest.approx(-19.493, abs=5e-4)
    assert math.exp(-fair.log_score([1, 2, 3, 4, 5], 1)) == pytest.approx(292_201_338)


@given(st.integers(1, 90), st.integers(1, 60), st.data())
def test_uniform_gains_exactly_nothing_on_any_draw(whites: int, bonus: int, data: st.DataObject) -> None:
    pick = data.draw(st.integers(1, min(whites, 7)))
    draw = data.draw(st.lists(st.integers(1, whites), min_size=pick, max_size=pick, unique=True))
    fair = Forecast.uniform(whites, bonus, pick)
    assert fair.gain(draw, data.draw(st.integers(1, bonus))) == 0.0


def test_the_probabilities_of_all_draws_sum_to_one() -> None:
    forecast = small_forecast().rounded()
    draws = [(s, b) for s in combinations(range(1, 7), 3) for b in (1, 2, 3)]
    assert math.fsum(math.exp(forecast.log_score(s, b)) for s, b in draws) == pytest.approx(1.0, abs=1e-12)
    fair = 1.0 / len(draws)
    assert math.fsum(fair * math.exp(forecast.gain(s, b)) for s, b in draws) == pytest.approx(1.0, abs=1e-12)


def test_inclusion_and_bonus_probabilities_agree_with_the_score() -> None:
    forecast = small_forecast()
    draws = [(s, b) for s in combinations(range(1, 7), 3) for b in (1, 2, 3)]
    mass = {(s, b): math.exp(forecast.log_score(s, b)) for s, b in draws}
    balls = [math.fsum(p for (s, _), p in mass.items() if ball in s) for ball in range(1, 7)]
    bonus = [math.fsum(p for (_, b), p in mass.items() if b == ball) for ball in (1, 2, 3)]
    np.testing.assert_allclose(forecast.inclusion(), balls, rtol=1e-12)
    np.testing.assert_allclose(forecast.bonus_probabilities(), bonus, rtol=1e-12)


def test_log_weights_are_centred_and_cannot_be_changed() -> None:
    forecast = Forecast(np.array([1.0, 2.0, 6.0]), np.log([0.5, 0.25, 0.25]), 2)
    assert forecast.white.tolist() == [-2.0, -1.0, 3.0]
    assert forecast.bonus.sum() == pytest.approx(0.0, abs=1e-15)
    np.testing.assert_allclose(forecast.bonus_probabilities(), [0.5, 0.25, 0.25], rtol=1e-15)
    with pytest.raises(ValueError, match="read-only"):
        forecast.white[0] = 1.0


@given(LOG_WEIGHTS, LOG_WEIGHTS)
def test_the_rounded_record_is_the_forecast(white: list[float], bonus: list[float]) -> None:
    forecast = Forecast(np.array(white), np.array(bonus), 3)
    record = forecast.to_record()
    again = Forecast.from_record(json.loads(json.dumps(record)))
    rounded = forecast.rounded()
    assert again.to_record() == rounded.to_record() == record
    np.testing.assert_array_equal(again.white, rounded.white)
    np.testing.assert_array_equal(again.bonus, rounded.bonus)
    assert rounded.rounded().white.tolist() == rounded.white.tolist()
    assert rounded.gain([1, 2, 4], 3) == again.gain([1, 2, 4], 3)
    assert rounded.bonus_probabilities().sum() == pytest.approx(1.0, abs=1e-14)
    assert "-0.0," not in json.dumps(record)


def test_the_order_of_the_balls_does_not_matter() -> None:
    forecast = small_forecast()
    assert len({forecast.gain(order, 2) for order in ([1, 3, 5], [5, 3, 1], [3, 1, 5])}) == 1


def test_forecasts_scored_together_score_as_they_do_alone() -> None:
    rng = np.random.default_rng(3)
    several = [Forecast(rng.normal(size=69), rng.normal(size=26), 5) for _ in range(7)]
    draw = [12, 69, 1, 40, 33]
    assert gains(several, draw, 26).tolist() == [forecast.gain(draw, 26) for forecast in several]
    assert gains([], draw, 26).tolist() == []


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_a_log_weight_that_is_not_finite_is_refused_by_name(bad: float) -> None:
    with pytest.raises(ValueError, match="white of ball 2"):
        Forecast(np.array([0.0, bad, 0.0]), np.zeros(2), 2)
    with pytest.raises(ValueError, match="bonus of ball 1"):
        Forecast.from_record({"white": [0.0, 0.0], "bonus": [bad, 0.0], "pick": 1})


def test_a_record_that_is_not_a_forecast_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="bonus is missing"):
        Forecast.from_record({"white": [0.0], "pick": 1})
    with pytest.raises(ValueError, match=r"pick is 4; expected 1\.\.3"):
        Forecast(np.zeros(3), np.zeros(3), 4)
    with pytest.raises(ValueError, match="white has 2 dimensions"):
        Forecast.from_record({"white": [[0.0]], "bonus": [0.0], "pick": 1})
    with pytest.raises(ValueError, match=r"order has shape \(3, 2\); expected \(2, 3\) at the end"):
        Forecast(np.zeros(3), np.zeros(3), 2, np.zeros((3, 2)))
    for share, draws, message in (
        (1.0, 3, "share of repeat"),
        (math.nan, 3, "share"),
        (0.1, 0, "draws of repeat"),
    ):
        with pytest.raises(ValueError, match=message):
            Forecast(np.zeros(3), np.zeros(3), 2, repeat=repeat(share, draws, [1, 1, 1]))
    with pytest.raises(ValueError, match="expected share, draws and counts"):
        Forecast.from_record({"white": [0.0] * 3, "bonus": [0.0], "pick": 2, "repeat": {"share": 0.1}})
    with pytest.raises(ValueError, match="counts of repeat are not between 0 and its draws"):
        Forecast(np.zeros(3), np.zeros(3), 2, repeat=repeat(0.1, 1, [2, 0, 0]))
    with pytest.raises(ValueError, match="counts of repeat has shape"):
        Forecast(np.zeros(3), np.zeros(3), 2, repeat=repeat(0.1, 1, [1, 1]))


def test_a_draw_or_a_forecast_of_another_game_is_refused() -> None:
    with pytest.raises(DrawInvalid, match=r"different main balls of 1\.\.6"):
        small_forecast().gain([1, 2, 7], 1)
    with pytest.raises(ValueError, match="different games"):
        gains([small_forecast(), Forecast.uniform(7, 3, 3)], [1, 2, 3], 1)


def test_the_probabilities_of_all_ordered_draws_sum_to_one_and_to_those_of_the_sets() -> None:
    forecast, earlier = full_forecast().rounded(), ({1, 2, 3}, {2, 4, 6})
    total = 0.0
    for balls in combinations(range(1, 7), 3):
        again = set(balls) in earlier
        orders = [math.exp(forecast.gain(order, 1, True, again)) / 6 for order in permutations(balls)]
        assert math.fsum(orders) == pytest.approx(math.exp(forecast.gain(balls, 1, False, again)), rel=1e-12)
        total += math.fsum(orders)
    assert total / math.comb(6, 3) * math.exp(-forecast.gain([1, 2, 4], 1)) == pytest.approx(
        math.exp(-Forecast(forecast.white, np.zeros(3), 3, repeat=forecast.repeat).gain([1, 2, 4], 1)),
        rel=1e-12,
    )


def test_an_order_is_drawn_ball_by_ball_from_those_still_to_come() -> None:
    weights = np.arange(1.0, 19.0).reshape(3, 6)
    forecast = Forecast(np.zeros(6), np.zeros(2), 3, np.log(weights))
    first = weights[0, 3] / (weights[0, 3] + weights[0, 0] + weights[0, 5])
    second = weights[1, 0] / (weights[1, 0] + weights[1, 5])
    assert math.exp(forecast.gain([4, 1, 6], 1, ordered=True)) == pytest.approx(6 * first * second, rel=1e-12)
    assert forecast.gain([4, 1, 6], 1) == 0.0


def test_a_repeat_shares_its_probability_between_the_earlier_draws() -> None:
    forecast = Forecast(np.zeros(6), np.zeros(2), 3, repeat=repeat(0.2, 2, [1, 2, 1, 1, 0, 1]))
    assert math.exp(forecast.gain([1, 2, 3], 1, again=True)) == pytest.approx(0.8 + 0.2 * 20 / 2, rel=1e-12)
    assert math.exp(forecast.gain([1, 2, 4], 1)) == pytest.approx(0.8, rel=1e-12)


def test_inclusion_counts_the_repeats_in() -> None:
    forecast, earlier = full_forecast(), ({1, 2, 3}, {2, 4, 6})
    mass = {
        balls: math.exp(forecast.gain(balls, 1, again=set(balls) in earlier))
        for balls in combinations(range(1, 7), 3)
    }
    total = math.fsum(mass.values())
    expected = [math.fsum(p for balls, p in mass.items() if i in balls) / total for i in range(1, 7)]
    np.testing.assert_allclose(forecast.inclusion(), expected, rtol=1e-12)
    assert forecast.inclusion().sum() == pytest.approx(3.0, abs=1e-12)


def test_a_full_record_is_the_forecast() -> None:
    forecast = full_forecast()
    record = json.loads(json.dumps(forecast.to_record()))
    again = Forecast.from_record(record)
    assert again.to_record() == record == forecast.rounded().to_record()
    for ordered, seen in ((True, True), (True, False), (False, True)):
        assert again.gain([2, 4, 6], 2, ordered, seen) == forecast.rounded().gain([2, 4, 6], 2, ordered, seen)


def test_independent_runs_score_as_they_do_alone() -> None:
    rng = np.random.default_rng(4)
    white, bonus, order = rng.normal(size=(5, 9)), rng.normal(size=(5, 4)), rng.normal(size=(5, 3, 9))
    runs = Forecast(white, bonus, 3, order)
    draws = rng.permuted(np.tile(np.arange(1, 10), (5, 1)), axis=1)[:, :3]
    drawn = Drawn(
        draws, np.array([1, 2, 3, 4, 1]), np.array([True, False, True, True, False]), np.zeros(5, dtype=bool)
    )
    alone = [
        Forecast(white[i], bonus[i], 3, order[i]).gain(
            draws[i].tolist(), int(drawn.bonus[i]), bool(drawn.ordered[i])
        )
        for i in range(5)
    ]
    np.testing.assert_allclose(runs.log_ratio(drawn), alone, rtol=1e-12)


def test_what_is_accepted_can_be_registered_and_what_is_too_far_from_the_mean_is_not() -> None:
    with pytest.raises(
        ValueError, match=r"white of ball 1 is 1971\.\d+; expected a finite log-weight within"
    ):
        Forecast(np.array([1000.0, *[-1000.0] * 68]), np.zeros(26), 5)
    far = Forecast(np.array([990.0, *[0.0] * 98]), np.zeros(2), 5)
    assert far.rounded().to_record() == Forecast.from_record(far.to_record()).to_record()


def test_a_repeat_is_scored_whatever_the_weights_say() -> None:
    forecast = Forecast(
        np.array([400.0, 400.0, -400.0, -400.0]), np.zeros(2), 2, repeat=repeat(0.1, 1, [0, 0, 1, 1])
    )
    assert forecast.gain([3, 4], 1, again=True) == pytest.approx(math.log(0.1 * 6), rel=1e-12)
    assert forecast.gain([1, 2], 1) == pytest.approx(math.log(0.9 * 6), rel=1e-12)
    assert forecast.gain([1, 3], 1) < -700.0
