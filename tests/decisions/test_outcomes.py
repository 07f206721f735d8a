"""What a choice was worth is judged from what was measured after it, and not before it can be told."""

from typing import Any

import pytest

from helios_agent.decisions import outcomes
from helios_agent.decisions.outcomes import Facts, Outcome

DRAWS = 4


def used(before: int, after: int) -> dict[str, Any]:
    return {"before": {"used_bytes": before}, "after": {"used_bytes": after}}


def facts(action: str, **known: Any) -> Facts:
    settled: dict[str, Any] = {
        "urgency": 2.0, "state": "done", "result": {}, "cpu_seconds": 0.0, "price": 0.0
    }  # fmt: skip
    return Facts(action=action, **(settled | known))


def judged(action: str, **known: Any) -> Outcome:
    outcome = outcomes.judge(facts(action, **known), DRAWS)
    assert outcome is not None
    return outcome


@pytest.mark.parametrize("state", ["proposed", "ready", "running", "paused"])
def test_what_is_not_over_is_not_judged(state: str) -> None:
    assert outcomes.judge(facts("backup", state=state), DRAWS) is None


@pytest.mark.parametrize("state", ["cancelled", "refused", "expired", None])
def test_what_a_person_ended_says_nothing_of_its_worth(state: str | None) -> None:
    outcome = judged("train", state=state)
    assert (outcome.success, outcome.impact, outcome.regret) == (None, None, None)
    assert "nothing can be said" in outcome.sentence


@pytest.mark.parametrize("state", ["failed", "dead"])
def test_what_failed_was_not_worth_it_and_its_cost_is_regretted(state: str) -> None:
    outcome = judged("train", state=state, price=0.25, cpu_seconds=9.0)
    assert (outcome.success, outcome.regret) == (False, 1.25)
    assert outcome.sentence == "It was not worth it: it failed and took 9.0 s of processor time."


def test_a_network_is_judged_once_it_has_forecast_enough_draws() -> None:
    assert outcomes.judge(facts("train", gains=[1.0] * (DRAWS - 1)), DRAWS) is None
    helped = judged("train", gains=[0.1] * DRAWS + [-99.0])
    assert helped.success is True
    assert helped.impact == pytest.approx(0.1)
    assert helped.unit == "nats per draw"
    assert helped.regret == 0.0
    useless = judged("train-warm", gains=[0.0] * DRAWS)
    assert (useless.success, useless.impact, useless.regret) == (False, 0.0, 1.0)


def test_a_network_that_forecasts_no_more_is_judged_by_what_it_has_forecast() -> None:
    assert judged("train", gains=[0.3], over=True).success is True
    assert judged("train", gains=[-0.3], over=True).success is False
    for few in ([], [0.2]):
        cut_short = judged("tune", gains=few, over=True)
        assert (cut_short.success, cut_short.regret) == (None, None)
        assert cut_short.sentence.startswith(f"Its network forecast only {len(few)} draw")


def test_where_no_network_came_of_it_nothing_was_gained() -> None:
    assert judged("tune", gains=None).as_record() == {
        "impact": 0.0, "unit": "nats per draw", "success": 0, "regret": 1.0,
        "sentence": "It was not worth it: no new network came of it.",
    }  # fmt: skip


def test_a_champion_is_worth_it_that_does_not_lose_to_chance() -> None:
    assert outcomes.judge(facts("promote", gains=[0.1]), DRAWS) is None
    assert judged("promote", gains=[0.1, -0.1, 0.0, 0.0]).success is True
    assert judged("promote", gains=[0.1, -0.2, 0.0, 0.0]).success is False
    assert judged("promote", gains=[0.1], over=True).success is True
    assert judged("promote", gains=None, over=True).success is False


@pytest.mark.parametrize(
    ("action", "result", "impact", "unit", "success"),
    [
        ("ingest", {"new": 2}, 2.0, "draws", True),
        ("ingest", {"new": 0}, 0.0, "draws", False),
        ("backtest", {"found": ["ball"]}, 1.0, "forecasters", True),
        ("backtest", {"found": []}, 0.0, "forecasters", False),
        ("backtest", {"found": ["ball"], "stopped": True}, 1.0, "forecasters", True),
        ("compact", used(9000, 4904), 4096.0, "bytes", True),
        ("compact", used(9000, 9100), -100.0, "bytes", False),
        ("compact", used(9000, 9000) | {"freed_bytes": 4096}, 0.0, "bytes", False),
        ("backup", {}, None, None, True),
        ("alert", {}, None, None, True),
    ],
)
def test_other_actions_are_judged_by_their_result(
    action: str, result: dict[str, Any], impact: float | None, unit: str | None, success: bool
) -> None:
    outcome = judged(action, result=result)
    assert (outcome.impact, outcome.unit, outcome.success) == (impact, unit, success)


@pytest.mark.parametrize("action", ["backup", "verify", "adjust", "alert", "ask", "retire", "rollback"])
def test_of_what_cannot_be_measured_it_is_said_that_it_was_done_and_not_that_it_was_worth_it(
    action: str,
) -> None:
    outcome = judged(action)
    assert (outcome.success, outcome.regret) == (True, None)
    assert outcome.sentence == "It was done; what that was worth is not measured."


def test_a_person_who_stops_a_backtest_says_nothing_of_its_worth() -> None:
    outcome = judged("backtest", result={"found": [], "stopped": True})
    assert (outcome.success, outcome.regret) == (None, None)


def test_to_ask_for_the_same_draw_in_vain_again_is_not_counted_again() -> None:
    again = judged("ingest", result={"new": 0}, in_vain=True)
    assert (again.success, again.regret) == (None, None)
    assert judged("ingest", result={"new": 1}, in_vain=True).success is True


def test_a_success_that_cost_more_than_it_was_worth_is_regretted() -> None:
    outcome = judged("ingest", result={"new": 1}, urgency=1.2, price=0.5)
    assert outcome.success is True
    assert outcome.regret == pytest.approx(0.3)
    assert outcome.sentence.startswith("It was not worth it")
