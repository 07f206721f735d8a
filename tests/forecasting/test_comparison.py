import json
import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helios_agent.errors import DrawInvalid
from helios_agent.forecasting import comparison, subsets
from helios_agent.forecasting.comparison import STAKES, Comparison, Trial
from helios_agent.forecasting.forecast import Forecast

N, B, K = 5, 2, 2
DRAWS = [(list(s), b) for s in combinations(range(1, N + 1), K) for b in range(1, B + 1)]
FAIR = Forecast.uniform(N, B, K)

Game = tuple[int, int, int]


def some_forecast(rng: np.random.Generator, spread: float, game: Game = (N, B, K)) -> Forecast:
    return Forecast(rng.normal(0.0, spread, game[0]), rng.normal(0.0, spread, game[1]), game[2]).rounded()


def differences(challenger: Forecast, champion: Forecast) -> list[float]:
    """Return the log-score difference of every draw of the game of 2 of 5 and 1 of 2."""
    return [challenger.gain(*draw) - champion.gain(*draw) for draw in DRAWS]


def law(machine: Forecast) -> list[float]:
    return [math.exp(machine.log_score(*draw)) for draw in DRAWS]


def watch(found: list[float], lowest: float) -> Comparison:
    state = Comparison()
    for difference in found:
        state = comparison.update(state, difference, lowest)
    return state


# The bound


@settings(max_examples=60)
@given(
    st.integers(0, 2**32),
    st.floats(0.0, 8.0),
    st.sampled_from([(5, 2, 2), (4, 1, 1), (6, 3, 5), (3, 4, 3), (1, 1, 1)]),
)
def test_the_lowest_difference_is_the_least_over_all_draws(seed: int, spread: float, game: Game) -> None:
    rng = np.random.default_rng(seed)
    challenger, champion = some_forecast(rng, spread, game), some_forecast(rng, spread / 2, game)
    n, b, k = game
    least = min(
        challenger.gain(whites, bonus) - champion.gain(whites, bonus)
        for whites in combinations(range(1, n + 1), k)
        for bonus in range(1, b + 1)
    )
    assert comparison.lowest_difference(challenger, champion) == pytest.approx(least, abs=1e-9)
    assert comparison.lowest_difference(challenger, champion) <= 0.0
    assert comparison.lowest_difference(champion, champion) == 0.0


@settings(max_examples=60)
@given(st.integers(0, 2**32), st.floats(0.0, 300.0), st.sampled_from(DRAWS))
def test_no_draw_takes_more_than_nine_tenths_of_a_stake(
    seed: int, spread: float, draw: tuple[list[int], int]
) -> None:
    rng = np.random.default_rng(seed)
    challenger, champion = some_forecast(rng, min(spread, 200.0)), some_forecast(rng, min(spread, 200.0))
    state = comparison.score(Comparison(), challenger, champion, *draw)
    assert min(state.wealths_nats) >= math.log(0.1) - 1e-9
    assert state.draws == 1


def test_forecasts_of_different_games_are_not_compared() -> None:
    with pytest.raises(ValueError, match=r"of games \(5, 2, 2\) and \(5, 2, 3\); expected equal numbers"):
        comparison.lowest_difference(FAIR, Forecast.uniform(5, 2, 3))
    with pytest.raises(ValueError, match="different games"):
        comparison.score(Comparison(), FAIR, Forecast.uniform(5, 2, 3), [1, 2], 1)
    with pytest.raises(DrawInvalid):
        comparison.score(Comparison(), FAIR, FAIR, [1, 6], 1)


# What it computes


# The lowest difference a; differences d; log wealth of each stake in the end; log E after each draw.
# By confseq 0.0.11, betting.betting_mart(x, m, lambdas_fn_positive=bet, theta=1, trunc_scale=0.9) and, with
# all four bets, betting.diversified_betting_mart, which averages, for x = (d - a)/(2.5 - a), m = -a/(2.5 - a)
# and constant bets stake (2.5 - a).
REFERENCE = [
    (
        -1.5,
        [0.4, -0.3, 1.1, -1.5, 0.7, 0.05, -0.2, 2.0, 0.6, -0.9],
        [0.172674139, -0.351125669, -1.207311477, -1.207311477],
        [
            *(0.167630841, 0.015928712, 0.423036807, -0.87534904, -0.67889195),
            *(-0.66223799, -0.732257541, -0.22751096, -0.020472918, -0.473861385),
        ],
    ),
    (
        -0.2,
        [0.4, -0.2, 1.1, -0.2, 0.7, 0.05, -0.2, 2.0, 0.6, -0.2],
        [0.461928051, 1.479443075, 3.0763091696, -1.1603626444],
        [
            *(0.537954291, -0.143942544, 0.688199414, 0.199302137, 0.803870966),
            *(0.880506253, 0.478865128, 1.728850117, 2.437340862, 1.944811234),
        ],
    ),
]


@pytest.mark.parametrize(("lowest", "found", "wealths", "log_e"), REFERENCE)
def test_wealth_is_that_of_a_published_betting_martingale(
    lowest: float, found: list[float], wealths: list[float], log_e: list[float]
) -> None:
    states = [watch(found[:draws], lowest) for draws in range(1, 11)]
    assert states[-1].wealths_nats == pytest.approx(wealths, abs=1e-8)
    assert [state.log_e() for state in states] == pytest.approx(log_e, abs=1e-8)
    assert states[-1].peak_nats == max(state.log_e() for state in states)


def test_the_peak_begins_at_nothing_gained_and_is_never_forgotten() -> None:
    lost = watch([-0.5], -1.0)
    assert lost.log_e() < 0.0 == lost.peak_nats
    best = watch([-0.5, 1.0, 1.0], -1.0)
    after = comparison.update(best, -1.0, -1.0)
    assert after.log_e() < best.log_e() == best.peak_nats == after.peak_nats


def test_equal_forecasts_gain_and_lose_nothing() -> None:
    rng = np.random.default_rng(3)
    champion = some_forecast(rng, 2.0)
    state = Comparison()
    for draw in DRAWS:
        state = comparison.score(state, champion, champion, *draw)
    assert state == Comparison((0.0,) * len(STAKES), 0.0, len(DRAWS))


def test_a_comparison_survives_its_record() -> None:
    state = watch([0.5, -0.9, 1.7], -1.1)
    assert Comparison.from_record(json.loads(json.dumps(state.to_record()))) == state
    assert Comparison.from_record(json.loads(json.dumps(Comparison().to_record()))) == Comparison()


@pytest.mark.parametrize("wealths", [(0.0,), (0.0, 0.0, 0.0, math.nan), (0.0, 0.0, 0.0, -math.inf)])
def test_a_record_with_other_stakes_is_refused(wealths: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected 4 finite numbers, one per stake"):
        Comparison.from_record({"wealths_nats": wealths, "peak_nats": 0.0, "draws": 1})


@pytest.mark.parametrize(
    ("difference", "lowest", "message"),
    [
        (0.0, 0.1, r"lowest_nats is 0\.1; expected a finite number, at most 0"),
        (0.0, -math.inf, "lowest_nats is -inf"),
        (0.0, math.nan, "lowest_nats is nan"),
        (
            -1.1,
            -1.0,
            r"difference_nats is -1\.1; expected a finite number, at least lowest_nats, which is -1\.0",
        ),
        (math.inf, -1.0, "difference_nats is inf"),
        (math.nan, -1.0, "difference_nats is nan"),
    ],
)
def test_a_difference_that_could_not_be_is_refused(difference: float, lowest: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        comparison.update(Comparison(), difference, lowest)


# Under the null hypothesis


def expected_factors(challenger: Forecast, champion: Forecast, machine: Forecast) -> list[float]:
    """Return by what each stake's wealth is multiplied on average over all draws."""
    after = [comparison.score(Comparison(), challenger, champion, *draw).wealths_nats for draw in DRAWS]
    chances = np.array(law(machine))
    return [float(mean) for mean in chances @ np.exp(after)]


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(0.0, 5.0))
def test_no_stake_gains_on_average_against_a_champion_that_is_right(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    challenger, champion = some_forecast(rng, spread), some_forecast(rng, spread)
    assert max(expected_factors(challenger, champion, champion)) <= 1.0 + 1e-8


@settings(max_examples=40)
@given(st.integers(0, 2**32), st.floats(0.0, 5.0))
def test_each_factor_is_one_plus_the_stake_times_the_expected_difference(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    challenger, champion, machine = (some_forecast(rng, spread) for _ in range(3))
    mean = float(np.dot(law(machine), differences(challenger, champion)))
    most = -0.9 / min(comparison.lowest_difference(challenger, champion), -1e-300)
    stakes = [min(stake, most) for stake in STAKES]
    found = expected_factors(challenger, champion, machine)
    assert found == pytest.approx([1.0 + stake * mean for stake in stakes], abs=1e-7)


def mirrored(forecast: Forecast) -> Forecast:
    """Return the forecast with the balls numbered from the other end: to a fair machine, an equal."""
    return Forecast(forecast.white[::-1], forecast.bonus[::-1], forecast.pick)


def test_between_equals_the_e_value_is_one_on_average_though_they_learn() -> None:
    """All 20 x 20 courses of two draws of a fair machine; the first decides who is compared in the second."""
    rng = np.random.default_rng(8)
    first = some_forecast(rng, 1.0)
    e_values = []
    for index, draw in enumerate(DRAWS):
        state = comparison.score(Comparison(), first, mirrored(first), *draw)
        second = some_forecast(np.random.default_rng(index), 0.3 + 0.2 * index)
        lowest = comparison.lowest_difference(second, mirrored(second))
        e_values += [
            math.exp(comparison.update(state, difference, lowest).log_e())
            for difference in differences(second, mirrored(second))
        ]
    assert len(e_values) == 400
    assert math.fsum(e_values) / 400 == pytest.approx(1.0, abs=1e-7)


def mild() -> Forecast:
    return Forecast(np.array([0.3, 0.1, 0.0, -0.1, -0.2]), np.array([0.2, 0.0]), K)


def bold() -> Forecast:
    return Forecast(np.array([2.5, 0.5, 0.0, -1.0, -3.0]), np.array([1.5, 0.0]), K)


@pytest.mark.parametrize("forecast", [mild, bold])
def test_between_equals_false_alarms_are_as_rare_as_promised(forecast: Callable[[], Forecast]) -> None:
    """300 courses of 200 draws of a fair machine, watched after every draw."""
    challenger, champion = forecast(), mirrored(forecast())
    possible = differences(challenger, champion)
    assert math.fsum(possible) == pytest.approx(0.0, abs=1e-9)
    lowest = comparison.lowest_difference(challenger, champion)
    rng = np.random.default_rng(2)
    peaks = [watch(rng.choice(possible, 200).tolist(), lowest).peak_nats for _ in range(300)]
    for alpha in (0.05, 0.2):
        crossed = np.mean(np.array(peaks) >= -math.log(alpha))
        assert crossed <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / 300)


def test_small_gains_do_not_hide_rare_large_losses() -> None:
    """The challenger holds ball 1 for all but impossible, and gains in the 92 draws of 100 without it.

    If differences were cut at -1 it would gain on average, and a test of that would promote it.
    """
    challenger = Forecast(np.array([-12.0, 0.0, 0.0, 0.0, 0.0]), np.zeros(B), K)
    possible = np.array(differences(challenger, FAIR))
    lowest = comparison.lowest_difference(challenger, FAIR)
    assert lowest == pytest.approx(min(possible), rel=1e-12)
    assert lowest < -10.0
    rng = np.random.default_rng(4)
    loses = possible < 0.0
    chances = np.where(loses, 0.08 / loses.sum(), 0.92 / (~loses).sum())
    assert np.dot(chances, possible) < -0.4
    assert np.dot(chances, np.maximum(possible, -1.0)) > 0.3
    peaks = [watch(rng.choice(possible, 200, p=chances).tolist(), lowest).peak_nats for _ in range(100)]
    assert np.mean(np.array(peaks) >= math.log(20.0)) <= 0.05


# Under the alternative


def test_a_better_challenger_is_found_and_a_worse_one_is_not() -> None:
    """Ball 13 of 69 weighs four times as much. Who knows it gains .13 nats a draw, and its best stake .03."""
    theta = np.zeros(69)
    theta[12] = math.log(4.0)
    knows, fair = Forecast(theta, np.zeros(26), 5), Forecast.uniform(69, 26, 5)
    lowest = comparison.lowest_difference(knows, fair)
    hit, miss = knows.gain([13, 1, 2, 3, 4], 1), knows.gain([1, 2, 3, 4, 5], 1)
    share = knows.inclusion()[12]
    growth = max(
        share * math.log1p(stake * hit) + (1 - share) * math.log1p(stake * miss) for stake in (0.5, 2.0)
    )
    rng = np.random.default_rng(1)
    delays, against = [], []
    for _ in range(30):
        better = Comparison()
        while better.log_e() < math.log(100.0):
            better = comparison.update(better, hit if rng.random() < share else miss, lowest)
        delays.append(better.draws)
        turned = np.where(rng.random(200) < share, -hit, -miss).tolist()
        against.append(watch(turned, comparison.lowest_difference(fair, knows)).peak_nats)
    assert np.mean(delays) == pytest.approx((math.log(100.0) + math.log(len(STAKES))) / growth, rel=0.25)
    assert max(against) < math.log(100.0)


def test_a_whole_comparison_on_draws_of_a_known_machine() -> None:
    rng = np.random.default_rng(6)
    machine = some_forecast(rng, 0.5, (12, 4, 3))
    fair = Forecast.uniform(12, 4, 3)
    whites = subsets.sample(np.broadcast_to(machine.white, (150, 12)), 3, rng)
    bonus = rng.choice(np.arange(1, 5), 150, p=machine.bonus_probabilities())
    forwards, backwards = Comparison(), Comparison()
    for balls, ball in zip(whites.tolist(), bonus.tolist(), strict=True):
        forwards = comparison.score(forwards, machine, fair, balls, ball)
        backwards = comparison.score(backwards, fair, machine, balls, ball)
    assert forwards.peak_nats > math.log(100.0)
    assert backwards.peak_nats < math.log(3.0)
    assert forwards.draws == backwards.draws == 150


@pytest.mark.parametrize(
    ("share", "best"),
    [
        (1.0, 1 / 2),
        (0.5, 3 / 2),
        (2 / 3, 1.0),
        (4 / 7, 5 / 4),
        (4 / 3, 1 / 4),
        (16 / 13, 5 / 16),
        (1.6, 1 / 8),
    ],
)
def test_one_of_the_stakes_grows_nearly_as_fast_as_the_best(share: float, best: float) -> None:
    """The challenger's log-weights are a share of the truth's: all of it, less if timid, more if bold."""
    rng = np.random.default_rng(9)
    machine = some_forecast(rng, 0.01)
    challenger = Forecast(share * machine.white, share * machine.bonus, K)
    chances, possible = np.array(law(machine)), np.array(differences(challenger, FAIR))
    grid = np.linspace(0.01, 4.0, 400)
    growth = np.log1p(np.outer(grid, possible)) @ chances
    assert grid[growth.argmax()] == pytest.approx(best, rel=0.05)
    of_stakes = np.log1p(np.outer(STAKES, possible)) @ chances
    assert of_stakes.max() > 0.63 * growth.max()
    if share == 1.0:
        assert growth.max() == pytest.approx(np.dot(chances, possible) / 4, rel=0.02)


# Promotions


def test_the_levels_of_all_promotions_add_up_to_alpha() -> None:
    levels = [comparison.promotion_alpha(m, 0.05) for m in range(1, 20_001)]
    assert levels[:2] == pytest.approx([0.0303963551, 0.0303963551 / 4])
    assert levels == sorted(levels, reverse=True)
    beyond = 6 * 0.05 / (math.pi**2 * 20_000.5)  # the integral of the rest
    assert math.fsum(levels) + beyond == pytest.approx(0.05, rel=1e-9)


@pytest.mark.parametrize(
    ("ordinal", "alpha", "message"),
    [
        (0, 0.05, "ordinal is 0; expected 1"),
        (1, 0.0, r"alpha is 0\.0; expected"),
        (1, 1.0, r"alpha is 1\.0"),
        (1, math.nan, "alpha is nan"),
    ],
)
def test_a_level_that_can_not_be_is_refused(ordinal: int, alpha: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        comparison.promotion_alpha(ordinal, alpha)


def test_forecasts_of_order_or_repeats_are_not_compared() -> None:
    with pytest.raises(ValueError, match="expected main balls and bonus ball alone"):
        comparison.lowest_difference(FAIR, Forecast(np.zeros(N), np.zeros(B), K, np.zeros((K, N))))


# Trials of one challenger after the other


def test_a_trial_goes_on_until_another_challenger_or_champion_comes() -> None:
    rng = np.random.default_rng(3)
    made = {name: Forecast(rng.normal(size=N), rng.normal(size=B), K) for name in ("one", "two")}
    first = comparison.try_out(None, "one", "uniform", made, [1, 2], 1)
    again = comparison.try_out(first, "one", "uniform", made, [2, 3], 1)
    alone = comparison.score(Comparison(), made["one"], FAIR, [1, 2], 1)
    assert (first.ordinal, again.ordinal) == (1, 1)
    assert first.comparison == alone
    assert again.comparison == comparison.score(alone, made["one"], FAIR, [2, 3], 1)
    other = comparison.try_out(again, "two", "one", made, [1, 3], 1)
    assert (other.challenger, other.champion, other.ordinal) == ("two", "one", 2)
    assert other.comparison == comparison.score(Comparison(), made["two"], made["one"], [1, 3], 1)
    absent = comparison.try_out(other, "two", "gone", made, [1, 3], 1)
    assert absent.comparison == comparison.score(Comparison(), made["two"], FAIR, [1, 3], 1)
    assert Trial.from_record(json.loads(json.dumps(absent.to_record()))) == absent
