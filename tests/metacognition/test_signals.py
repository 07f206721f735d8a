import math
from dataclasses import replace
from datetime import date
from typing import Any, get_args

import pytest

from helios_agent.actions import assess, decide
from helios_agent.clock import from_us
from helios_agent.config import Config
from helios_agent.config.decisions import SignalName
from helios_agent.forecasting import evidence
from helios_agent.forecasting.detection import Detector
from helios_agent.forecasting.experts import single_ball_hypotheses
from helios_agent.forecasting.mixture import Standing
from helios_agent.lottery.games import game
from helios_agent.metacognition import measures, signals
from helios_agent.metacognition import verdict as verdicts
from helios_agent.metacognition.facts import Facts
from tests.metacognition.facts import FACTS, HOUR_US, NOTHING, NOW_US


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
    "calibration_error": 0.001,
    "confidence": 0.375,
    "leader_weight": 0.25,
    "expert_disagreement": 0.004,
    "regret": 0.55,
    "change": 2.5,
    "change_clearest": 1.25,
    "change_age": 17.0,
    "challenger": 0.875,
    "challenger_trial": 3.0,
    "challenger_gain": 0.125,
    "champion_gain": 0.375,
    "challenger_loss": 0.5,
    "champion_loss": -0.25,
    "validation_gap": 0.25,
    "live_gap": 0.125,
    "learning_progress": -0.125,
    "smallest_visible_factor": None,  # see the test of its own
    "staleness": 8.0,
    "failed_trainings": 2.0,
    "diverged_trainings": 1.0,
    "draws_since_search": 4.0,
    "draws_since_backtest": 2.0,
    "decision_effectiveness": 0.75,
    "missing_draws": 2.0,
    "draw_overdue": 58.0,
    "feed_silence": 0.5,
    "feed_disagreement": 1.0,
    "open_incidents": 3.0,
    "compute_day": 100.0,
    "compute_month": 2500.0,
    "compute_left_day": 7100.0,
    "compute_left_month": -500.0,
    "storage_used": 0.25,
    "disk_free": 2.5,
    "schedule_lateness": 3.0,
    "webhook_failures": 2.0,
    "backup_age": 36.0,
    "verification_age": 300.0,
}


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "smallest_visible_factor"])
def test_a_signal_is_what_its_definition_says(name: str) -> None:
    assert signals.assess(FACTS)[name] == pytest.approx(EXPECTED[name], abs=1e-9)


def test_every_signal_has_a_name_a_unit_and_a_definition_of_its_own() -> None:
    assert [signal.name for signal in signals.SIGNALS] == list(EXPECTED)
    assert len({signal.definition for signal in signals.SIGNALS}) == len(signals.SIGNALS)
    for signal in signals.SIGNALS:
        assert signal.unit
        assert signal.definition.endswith(".")
        assert signal.source.endswith(".")
        low, high = signal.healthy
        assert low is None or high is None or low < high


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
        "skill", "skill_low", "skill_high", "calibration_error", "leader_weight", "expert_disagreement",
        "change", "change_clearest", "change_age", "challenger", "challenger_trial", "challenger_gain",
        "champion_gain", "challenger_loss", "champion_loss",
        "validation_gap", "live_gap", "learning_progress", "smallest_visible_factor",
        "decision_effectiveness", "feed_silence", "schedule_lateness", "disk_free",
    }  # fmt: skip
    assert measured["fairness_p"] == 1.0
    assert measured["confidence"] == 0.0
    assert {name: value for name, value in measured.items() if value and name != "fairness_p"} == {}


def test_without_a_network_every_draw_is_one_that_it_has_not_seen() -> None:
    assert signals.assess(replace(FACTS, draws_trained_on=None))["staleness"] == 1408.0


def test_a_clock_that_was_set_back_makes_no_time_negative() -> None:
    measured = signals.assess(replace(FACTS, now_us=NOW_US - 1000 * HOUR_US))
    assert {measured[n] for n in ("draw_overdue", "feed_silence", "backup_age", "verification_age")} == {0.0}
    early = replace(FACTS.upkeep, firings_us=((NOW_US, NOW_US - HOUR_US),))
    assert signals.assess(replace(FACTS, upkeep=early))["schedule_lateness"] == 0.0


RANGES = {signal.name: signal.healthy for signal in signals.SIGNALS}


def test_what_is_outside_its_range_is_unhealthy_and_what_is_not_known_is_not() -> None:
    assert signals.unhealthy(signals.assess(FACTS), RANGES) == [
        "validation_gap", "live_gap", "learning_progress", "failed_trainings", "diverged_trainings",
        "missing_draws", "draw_overdue", "feed_disagreement", "open_incidents", "compute_left_month",
        "schedule_lateness", "webhook_failures", "verification_age",
    ]  # fmt: skip
    assert signals.unhealthy(signals.assess(NOTHING), RANGES) == ["compute_left_day", "compute_left_month"]


def test_the_ranges_of_the_registry_are_those_of_the_limits_that_decisions_have_by_default() -> None:
    config = Config.model_validate({"games": {"powerball": {"feeds": []}}})
    limits = decide.policy(config, game("powerball"), from_us(NOW_US))
    assert signals.healthy(assess.limits_of(limits, {})) == RANGES
    adjusted = signals.healthy(assess.limits_of(limits, {"retrain_after_draws": 4.0}))
    assert adjusted["staleness"] == (None, 156.0)


def test_what_is_healthy_follows_from_the_limits_of_decisions() -> None:
    measured = {
        "fairness_p": 0.005, "challenger_loss": 5.0, "champion_loss": 5.0, "staleness": 121.0,
        "draw_overdue": 100.0, "storage_used": 0.95, "backup_age": 730.0, "verification_age": 4340.0,
    }  # fmt: skip
    assert signals.unhealthy(measured, RANGES) == [*measured]
    patient = signals.Limits(40, 24 * 3, 24 * 30, 24 * 180, 0.99, 0.001, 7200, 72_000)
    assert signals.unhealthy(measured, signals.healthy(patient)) == ["staleness"]


@pytest.mark.parametrize(
    ("budget", "left", "is_healthy"),
    [
        (7200, 360, True),
        (7200, 359, False),
        (7200, -1, False),
        (600, 30, True),
        (600, 29, False),
        (0, 0, False),
    ],
)
def test_a_budget_is_unhealthy_once_less_than_a_twentieth_of_it_is_left(
    budget: float, left: float, is_healthy: bool
) -> None:
    limits = signals.Limits(13, 8, 36, 240, 0.9, 0.01, budget, 10 * budget)
    ranges = signals.healthy(limits)
    named = signals.unhealthy({"compute_left_day": left, "compute_left_month": 10 * left}, ranges)
    assert named == ([] if is_healthy else ["compute_left_day", "compute_left_month"])


def test_too_few_draws_say_nothing_of_a_network_or_of_promises() -> None:
    early = replace(FACTS.networks, newest_gains=[0.125] * 5)
    measured = signals.assess(replace(FACTS, networks=early, overstated=[0.003] * 29))
    assert (measured["live_gap"], measured["calibration_error"]) == (None, None)


def test_a_network_that_was_trained_before_its_training_was_measured_has_no_gap() -> None:
    old = replace(FACTS.networks, newest={"validation_gain_nats": 0.25})
    assert signals.assess(replace(FACTS, networks=old))["validation_gap"] is None


@pytest.mark.parametrize(
    ("ended", "failed", "diverged"),
    [
        (["done"], 0, 0), (["failed"], 1, 0), (["dead", "failed", "diverged"], 3, 1),
        (["diverged", "diverged", "done", "diverged"], 2, 2), (["done", "dead"], 0, 0),
    ],
)  # fmt: skip
def test_failed_trainings_are_counted_back_to_the_last_that_succeeded(
    ended: list[str], failed: int, diverged: int
) -> None:
    measured = signals.assess(replace(FACTS, trainings=ended))
    assert (measured["failed_trainings"], measured["diverged_trainings"]) == (failed, diverged)


def test_one_unlucky_draw_of_a_network_is_not_unhealthy() -> None:
    unlucky = replace(FACTS.networks, champion_gains=[-1.0], challenger_gains=[-1.0])
    found = signals.unhealthy(signals.assess(replace(FACTS, networks=unlucky, successes=[False] * 9)), RANGES)
    assert {"champion_gain", "challenger_gain", "decision_effectiveness"}.isdisjoint(found)


def test_the_leader_is_whom_the_mixture_believes_most_besides_uniform() -> None:
    assert measures.leader(FACTS.weights) == "recency"
    assert measures.leader(NOTHING.weights) is None
    assert measures.leader({"uniform": 0.5, "b": 0.25, "a": 0.25}) == "a"


def test_a_tiny_probability_is_not_rounded_to_none() -> None:
    assert signals.assess(replace(FACTS, peak_nats=50.0))["fairness_p"] == pytest.approx(
        math.exp(-50), rel=1e-8
    )
    assert signals.assess(replace(FACTS, peak_nats=0.1))["fairness_p"] == round(math.exp(-0.1), 9)


def verdict(facts: Facts, alarm_level: float = 0.01, alarmed_on: date | None = None) -> str:
    return verdicts.of("Powerball", signals.assess(facts), alarm_level, 8.0, alarmed_on)


def test_before_the_first_draw_nothing_can_be_said() -> None:
    assert verdict(NOTHING) == "No draw of Powerball has been scored yet, so nothing can be said."


def test_without_a_sign_it_says_so_and_what_could_have_been_seen() -> None:
    assert verdict(replace(FACTS, gains=[0.0] * 1408)) == (
        "No sign that Powerball can be predicted, after 1,408 scored draws. "
        "A single ball 1.59 times as heavy as any other would on average have shown by now."
    )


def test_a_change_that_was_found_is_not_left_out_beside_the_absence_of_signs() -> None:
    def end(*detected: Any) -> str:
        return verdict(replace(FACTS, gains=[0.0] * 1408, detector=Detector(*detected))).partition("now.")[2]

    assert end(8.0, 3.0, 1250, 1408) == (
        " But its machine seems to have changed, most likely 1,250 draws ago."
    )
    assert end(9.0, 4.0, 1, 1408).endswith("most likely 1 draw ago.")
    assert [end(7.9, 3.0, 1250, 1408), end(8.0, 2.9, 1250, 1408), end()] == [""] * 3
    quiet = replace(FACTS, gains=[0.0] * 1408, detector=Detector())
    told = " now. But on 2026-09-18 an alarm was raised: its machine seems to have changed."
    assert verdict(quiet, alarmed_on=date(2026, 9, 18)).endswith(told)


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


def test_a_goal_can_be_about_every_signal_and_about_nothing_else() -> None:
    assert get_args(SignalName) == tuple(signal.name for signal in signals.SIGNALS)
