import json
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helios_agent.forecasting import detection
from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting.detection import Detector
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.ledger import Ledger

# Multiples of 1/8 add up exactly, so that ties are ties.
GAINS = st.lists(st.integers(-24, 24).map(lambda eighths: eighths / 8), min_size=1, max_size=40)


def watch(gains: list[float]) -> Detector:
    detector = Detector()
    for gain in gains:
        detector = detection.update(detector, gain)
    return detector


def from_every_beginning(gains: list[float]) -> list[float]:
    """Return what has been gained since each draw, the first first, in nats."""
    return [math.fsum(gains[begin:]) for begin in range(len(gains))]


def gain_of_ball(factor: float, share: float) -> tuple[float, float, float]:
    """Return the gain of one who knows the weight of a ball if it is drawn, if not, and how often it is."""
    total = 1.0 + share * (factor - 1.0)
    return math.log(factor / total), -math.log(total), factor * share / total


# What it computes


@given(GAINS)
def test_shiryaev_roberts_is_the_sum_over_all_beginnings(gains: list[float]) -> None:
    total = watch(gains).shiryaev_roberts_nats
    assert total == pytest.approx(np.logaddexp.reduce(from_every_beginning(gains)), abs=1e-9 * len(gains))


@given(GAINS)
@example([1.0, -1.0, 0.5])  # since the first draw and since the third it gained as much
def test_cusum_is_the_largest_over_all_beginnings_and_names_the_latest_of_them(gains: list[float]) -> None:
    since = from_every_beginning(gains)
    detector = watch(gains)
    assert detector.cusum_nats == max(since)
    assert detector.suspected_draws == since[::-1].index(max(since)) + 1
    assert detector.draws == len(gains)


@given(st.lists(st.floats(-30.0, 30.0), min_size=1, max_size=60))
def test_shiryaev_roberts_lies_between_cusum_and_cusum_times_the_draws(gains: list[float]) -> None:
    detector = watch(gains)
    total, largest = detector.shiryaev_roberts_nats, detector.cusum_nats
    assert total is not None
    assert largest is not None
    slack = 1e-9 * len(gains)
    assert largest - slack <= total <= largest + math.log(len(gains)) + slack


def test_known_answer_by_hand() -> None:
    """L = 2, 1/4, 3: M = 2, 3/4, 21/4 and C = 2, 1/2, 3."""
    detector = Detector()
    found = []
    for factor in (2.0, 0.25, 3.0):
        detector = detection.update(detector, math.log(factor))
        assert detector.shiryaev_roberts_nats is not None
        assert detector.cusum_nats is not None
        found.append((math.exp(detector.shiryaev_roberts_nats), math.exp(detector.cusum_nats)))
    assert found == [pytest.approx(pair, rel=1e-8) for pair in ((2.0, 2.0), (0.75, 0.5), (5.25, 3.0))]
    assert (detector.suspected_draws, detector.draws) == (1, 3)


@pytest.mark.parametrize("gains", [[], [0.3, -2.0, 1.7], [800.0, 800.0], [-800.0, -800.0]])
def test_a_detector_survives_its_record(gains: list[float]) -> None:
    detector = watch(gains)
    assert Detector.from_record(json.loads(json.dumps(detector.to_record()))) == detector


@pytest.mark.parametrize("gain", [math.nan, math.inf, -math.inf])
def test_a_gain_that_is_no_number_is_refused(gain: float) -> None:
    with pytest.raises(ValueError, match=f"gain_nats is {gain}; expected a finite number"):
        detection.update(Detector(), gain)


# A fair machine


def test_under_a_fair_machine_the_sum_less_the_draws_is_a_martingale() -> None:
    """All 12^3 courses of three draws of 2 of 4 and 1 of 2, forecast by a mixture that learns from them."""
    draws = [([i, j], b) for i in range(1, 5) for j in range(i + 1, 5) for b in (1, 2)]
    forecasts = {
        "a": Forecast(np.array([1.0, 0.2, -0.4, 0.0]), np.array([0.3, 0.0]), 2),
        "b": Forecast(np.array([-0.9, 0.0, 0.0, 2.0]), np.array([0.0, 1.5]), 2),
    }

    def expected(ledger: Ledger, detector: Detector, left: int) -> float:
        before = 0.0 if detector.shiryaev_roberts_nats is None else math.exp(detector.shiryaev_roberts_nats)
        if left == 0:
            return before
        after = []
        for whites, bonus in draws:
            gains = {name: forecast.gain(whites, bonus) for name, forecast in forecasts.items()}
            moved, scored = ledgers.score(ledger, gains)
            after.append(expected(moved, detection.update(detector, scored.mixture_gain), left - 1))
        mean = math.fsum(after) / len(after)
        assert mean == pytest.approx(before + left, abs=1e-7)
        return mean

    ledger = Ledger.start({"uniform": 0.5, "a": 0.125, "b": 0.125})
    assert expected(ledger, Detector(), 3) == pytest.approx(3.0, abs=1e-7)


@pytest.mark.parametrize("factor", [1.5, 4.0, 0.2])
def test_a_fair_machine_raises_a_false_alarm_after_the_threshold_on_average_or_later(factor: float) -> None:
    """By optional stopping the draws until the alarm are on average as many as M is then: c or more."""
    threshold, runs = 25.0, 600
    hit, miss, _ = gain_of_ball(factor, 0.3)
    rng = np.random.default_rng(5)
    until, reached = [], []
    for _ in range(runs):
        detector = Detector()
        while (detector.shiryaev_roberts_nats or -math.inf) < math.log(threshold):
            detector = detection.update(detector, hit if rng.random() < 0.3 else miss)
        assert detector.shiryaev_roberts_nats is not None
        until.append(detector.draws)
        reached.append(math.exp(detector.shiryaev_roberts_nats))
    assert min(reached) >= threshold - 1e-6
    assert np.mean(until) >= threshold - 4 * np.std(until) / math.sqrt(runs)
    assert abs(np.mean(np.subtract(until, reached))) < 4 * np.std(np.subtract(until, reached)) / math.sqrt(
        runs
    )


def test_shiryaev_roberts_is_never_later_than_cusum() -> None:
    hit, miss, share = gain_of_ball(3.0, 5 / 69)
    level = math.log(50.0)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        detector = Detector()
        while detector.cusum_nats is None or detector.cusum_nats < level:
            detector = detection.update(detector, hit if rng.random() < share else miss)
        assert detector.shiryaev_roberts_nats is not None
        assert detector.shiryaev_roberts_nats >= level


def test_where_nothing_is_gained_the_passing_of_time_alone_raises_no_alarm() -> None:
    detector = watch([0.0] * 5_000)
    assert detector.shiryaev_roberts_nats == pytest.approx(math.log(5_000), abs=1e-4)
    assert (detector.cusum_nats, detector.suspected_draws) == (0.0, 1)
    assert detection.alarm(math.log(5_000), 0.0, math.log(3_130)) == 0.0


def test_an_alarm_is_both_likely_and_clear() -> None:
    assert detection.alarm(8.0, 3.0, 8.0) == 1.0
    assert detection.alarm(8.0, 1.5, 8.0) == 0.5
    assert detection.alarm(4.0, 9.0, 8.0) == 0.5
    assert detection.alarm(4.0, -2.0, 8.0) == 0.0


# A machine that changes


def alarms(detector: Detector, threshold: float) -> bool:
    total, largest = detector.shiryaev_roberts_nats, detector.cusum_nats
    return total is not None and largest is not None and detection.alarm(total, largest, threshold) >= 1.0


def test_a_change_after_a_long_fair_past_is_found_and_dated() -> None:
    """After 1,500 fair draws of 5 of 69 ball 13 weighs four times as much.

    One who forecast that from the first draw lost so much that a test counting from there sees nothing yet.
    """
    hit, miss, share = gain_of_ball(4.0, 5 / 69)
    threshold = detection.threshold_nats(20, 156.5)
    delays, errors, wealth = [], [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        gains = np.where(rng.random(1500) < 5 / 69, hit, miss).tolist()
        detector = Detector()
        for gain in gains:
            detector = detection.update(Detector() if alarms(detector, threshold) else detector, gain)
        before = detector.draws
        while not alarms(detector, threshold):
            gains.append(hit if rng.random() < share else miss)
            detector = detection.update(detector, gains[-1])
        delays.append(detector.draws - before)
        errors.append(abs(detector.suspected_draws - delays[-1]))
        wealth.append(math.fsum(gains))
    assert max(wealth) < 0.0
    assert np.mean(delays) < threshold / (share * hit + (1 - share) * miss)
    assert np.median(errors) < 10


# The threshold


def test_one_false_alarm_in_twenty_years_of_powerball() -> None:
    assert detection.threshold_nats(20, 156.5) == pytest.approx(8.049, abs=5e-4)
    assert math.exp(detection.threshold_nats(20, 156.5)) == pytest.approx(3130)


@pytest.mark.parametrize(
    ("years", "draws_per_year", "message"),
    [
        (0.0, 156.5, r"years is 0\.0; expected a finite number above 0"),
        (math.nan, 156.5, "years is nan; expected a finite number above 0"),
        (20.0, math.inf, "draws_per_year is inf; expected a finite number above 0"),
        (0.01, 100.0, r"years is 0\.01; expected more than 0\.01, the years from draw to draw"),
    ],
)
def test_a_threshold_of_no_draws_is_refused(years: float, draws_per_year: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detection.threshold_nats(years, draws_per_year)
