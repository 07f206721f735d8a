import math
from dataclasses import replace

import pytest

from helios_agent.forecasting import evidence
from helios_agent.forecasting.comparison import Comparison, Trial
from helios_agent.forecasting.detection import Detector
from helios_agent.forecasting.experts import single_ball_hypotheses
from helios_agent.forecasting.mixture import Standing
from helios_agent.metacognition import signals
from helios_agent.metacognition.signals import Facts

HOUR_US = 3_600_000_000
NOW_US = 1_789_732_800_000_000
FACTS = Facts(
    now_us=NOW_US,
    white_count=69,
    pick=5,
    gains=[0.3, -0.1, 0.05, 0.2, -0.25],
    registered_gains=[0.2, -0.25],
    peak_nats=0.45,
    weights={"uniform": 0.5, "reserve": 0.125, "recency": 0.25, "shrinkage": 0.125},
    standings={"uniform": Standing(0.5, 0.0), "ball": Standing(0.24, 0.75), "bonus": Standing(0.1, -2.0)},
    detector=Detector(2.5, 1.25, 17, 5),
    trial=Trial("net@2", "net@1", 3, Comparison((0.0, 1.0, 0.0, -2.0), 0.875, 9)),
    draws=1408,
    draws_trained_on=1400,
    missing_since_us=(NOW_US - 10 * HOUR_US, NOW_US - 58 * HOUR_US),
    feed_read_us=NOW_US - HOUR_US // 2,
    open_incidents=3,
    backup_us=NOW_US - 36 * HOUR_US,
)
NOTHING = Facts(
    now_us=NOW_US,
    white_count=69,
    pick=5,
    gains=[],
    registered_gains=[],
    peak_nats=0.0,
    weights={"uniform": 0.75, "reserve": 0.25},
    standings={"uniform": Standing(0.5, 0.0)},
    detector=Detector(),
    trial=None,
    draws=0,
    draws_trained_on=None,
    missing_since_us=(),
    feed_read_us=None,
    open_incidents=0,
    backup_us=NOW_US,
)


def half_width() -> float:
    """Return the half-width of the confidence sequence of FACTS' gains, for T = 5 and α = 0.05."""
    rho2 = (2 * math.log(20) + math.log(1 + 2 * math.log(20))) / 500
    variance = sum((g - 0.04) ** 2 for g in FACTS.gains) / 5
    return math.sqrt(variance * 2 * (5 * rho2 + 1) / (25 * rho2) * math.log(math.sqrt(5 * rho2 + 1) / 0.05))


EXPECTED = {
    "evidence": 0.2,
    "evidence_peak": 0.45,
    "fairness_p": math.exp(-0.45),
    "evidence_registered": -0.05,
    "draws_known": 1408.0,
    "draws_scored": 5.0,
    "draws_registered": 2.0,
    "skill": 0.04,
    "skill_low": 0.04 - half_width(),
    "skill_high": 0.04 + half_width(),
    "confidence": 0.375,
    "regret": 0.55,
    "change": 2.5,
    "change_clearest": 1.25,
    "change_age": 17.0,
    "challenger": 0.875,
    "challenger_trial": 3.0,
    "smallest_visible_factor": None,  # see the test of its own
    "staleness": 8.0,
    "missing_draws": 2.0,
    "draw_overdue": 58.0,
    "feed_silence": 0.5,
    "open_incidents": 3.0,
    "backup_age": 36.0,
}


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "smallest_visible_factor"])
def test_a_signal_is_what_its_definition_says(name: str) -> None:
    assert signals.assess(FACTS)[name] == pytest.approx(EXPECTED[name], abs=1e-9)


def test_every_signal_has_a_name_a_unit_and_a_definition_of_its_own() -> None:
    assert [signal.name for signal in signals.SIGNALS] == list(EXPECTED)
    assert len({signal.definition for signal in signals.SIGNALS}) == len(signals.SIGNALS)
    assert all(signal.unit and signal.definition.endswith(".") for signal in signals.SIGNALS)


def test_the_smallest_visible_factor_is_that_of_the_served_mixture() -> None:
    facts = replace(FACTS, gains=[0.0] * 1000)
    late = replace(facts, standings={"ball": Standing(0.01, 0.0)})
    assert signals.assess(late)["smallest_visible_factor"] == pytest.approx(
        evidence.smallest_visible_factor(1000, 69, 5, 0.01, single_ball_hypotheses(69, 0.01))
    )
    assert signals.assess(replace(facts, standings={}))["smallest_visible_factor"] is None
    assert signals.assess(facts)["smallest_visible_factor"] == pytest.approx(
        evidence.smallest_visible_factor(1000, 69, 5, 0.01, single_ball_hypotheses(69))
    )


def test_what_cannot_be_said_yet_is_not_made_up() -> None:
    measured = signals.assess(NOTHING)
    unknown = {name for name, value in measured.items() if value is None}
    assert unknown == {
        "skill", "skill_low", "skill_high", "change", "change_clearest", "change_age",
        "challenger", "challenger_trial",
        "smallest_visible_factor", "feed_silence",
    }  # fmt: skip
    assert measured["fairness_p"] == 1.0
    assert measured["confidence"] == 0.0
    assert {name: value for name, value in measured.items() if value and name != "fairness_p"} == {}


def test_without_a_network_every_draw_is_one_that_it_has_not_seen() -> None:
    assert signals.assess(replace(FACTS, draws_trained_on=None))["staleness"] == 1408.0


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    measured = signals.assess(replace(FACTS, now_us=NOW_US - 1000 * HOUR_US))
    assert [measured[name] for name in ("draw_overdue", "feed_silence", "backup_age")] == [0.0, 0.0, 0.0]


def test_a_tiny_probability_is_not_rounded_to_none() -> None:
    assert signals.assess(replace(FACTS, peak_nats=50.0))["fairness_p"] == pytest.approx(
        math.exp(-50), rel=1e-8
    )
    assert signals.assess(replace(FACTS, peak_nats=0.1))["fairness_p"] == round(math.exp(-0.1), 9)


def verdict(facts: Facts, alarm_level: float = 0.01) -> str:
    return signals.verdict("Powerball", signals.assess(facts), alarm_level)


def test_before_the_first_draw_nothing_can_be_said() -> None:
    assert verdict(NOTHING) == "No draw of Powerball has been scored yet, so nothing can be said."


def test_without_a_sign_it_says_so_and_what_could_have_been_seen() -> None:
    assert verdict(replace(FACTS, gains=[0.0] * 1408)) == (
        "No sign that Powerball can be predicted, after 1,408 scored draws. "
        "A single ball 1.59 times as heavy as each other would on average have shown by now."
    )


def test_where_not_even_the_heaviest_ball_could_have_been_seen_it_promises_nothing() -> None:
    assert (
        verdict(replace(FACTS, gains=[0.1]))
        == "No sign that Powerball can be predicted, after 1 scored draw. "
        "So few draws hardly show anything: not even a ball that comes every time."
    )


def test_an_alarm_says_how_improbable_it_is() -> None:
    alarmed = verdict(replace(FACTS, gains=[0.005] * 1200, peak_nats=6.0))
    assert alarmed == (
        "Powerball shows signs of not being fair: over 1,200 draws the forecasts gained 6.00 nats on chance "
        "at their best; a fair machine does that with probability at most 0.0025."
    )
    assert "at most 1.9e-22" in verdict(replace(FACTS, peak_nats=50.0))


def test_the_alarm_is_raised_exactly_where_its_level_is_reached() -> None:
    assert "shows signs" in verdict(replace(FACTS, peak_nats=math.log(100)))
    assert "No sign" in verdict(replace(FACTS, peak_nats=math.log(100) - 1e-6))
