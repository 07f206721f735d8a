"""Everything is weighed, what is past its limit is chosen unless something forbids it, and it says why."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from statistics import mean
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent import wording
from helios_agent.config.decisions import Chosen
from helios_agent.decisions import catalogue, engine, situation
from helios_agent.decisions.catalogue import CATALOGUE
from helios_agent.decisions.engine import Candidate, Decision
from helios_agent.decisions.policy import Policy, QuietHours
from helios_agent.decisions.situation import Belief, OpenGoal, Situation

GAME = "powerball"
NOW = datetime(2026, 9, 18, 12, 0, tzinfo=UTC)
POLICY = Policy(
    retrain_after_draws=13, tune_after_draws=312, backtest_after_draws=156, evaluation_draws=13,
    ingest_after_hours=8.0, backup_after_hours=36.0, verify_after_hours=240.0, compact_at=0.9,
    alarm_level=0.01, change_alarm_nats=8.0, fewest_draws=100, cooldown_hours=24.0,
    cpu_seconds_per_day=7200.0, cpu_seconds_per_month=72_000.0, cpu_price=0.1, disk_price=0.1,
    approval_hours=168.0,
)  # fmt: skip
QUIET: dict[str, float | None] = {
    "staleness": 0.0, "draws_known": 1400.0, "backup_age": 1.0, "verification_age": 1.0, "evidence": 0.0,
    "evidence_peak": 0.0, "change": 0.0, "change_clearest": 0.0, "change_age": 0.0, "challenger": 0.0,
    "challenger_trial": 1.0, "challenger_loss": 0.0, "champion_loss": 0.0, "draw_overdue": 0.0,
    "storage_used": 0.1, "disk_free": 50.0, "failed_trainings": 0.0, "diverged_trainings": 0.0,
    "draws_since_search": 10.0, "draws_since_backtest": 10.0,
}  # fmt: skip
NAMES = sorted(QUIET)


def stands(signals: Mapping[str, float | None] | None = None, **others: Any) -> Situation:
    """Return a quiet situation, but for what is given."""
    settled = {
        "champion": "powerballnet@aaa",
        "challenger": "powerballnet@bbb",
        "now_us": round(NOW.timestamp() * 1e6),
        "seed": 7,
    }
    return Situation(game=GAME, signals=QUIET | dict(signals or {}), **(settled | others))


def decide(signals: Mapping[str, float | None], policy: Policy = POLICY, **others: Any) -> Decision:
    return engine.decide(stands(signals, **others), policy)


def wanted(name: str, metric: str, priority: str, direction: str = "at most") -> OpenGoal:
    return OpenGoal(name, metric, priority, direction)


def named(decision: Decision, action: str, target: str = GAME) -> Candidate:
    (found,) = [c for c in decision.candidates if (c.action, c.target) == (action, target)]
    return found


def sure(*actions: str) -> dict[tuple[str, str], Belief]:
    """Beliefs by which bets are as good as certain to help."""
    return {(action, "quiet"): Belief(1e9, 0.0) for action in actions}


def test_there_is_an_action_for_every_name_a_policy_may_use() -> None:
    assert set(CATALOGUE) == set(get_args(Chosen))


def test_in_a_quiet_situation_it_waits() -> None:
    decision = decide({})
    assert decision.chosen == ()
    assert named(decision, "wait").chosen
    assert decision.rationale.startswith("Chose wait (nothing that may be done is worth more). Not ")
    assert decision.without == ()
    assert decision.context == "quiet"


@pytest.mark.parametrize(
    ("signal", "action", "target", "said"),
    [
        ("change", "alert", f"{GAME}/change", wording.titles(["change"])),
        ("change_clearest", "alert", f"{GAME}/change", "clearest evidence for a change"),
        ("challenger", "promote", f"{GAME}/powerballnet@bbb", "evidence for the challenger"),
    ],
)
def test_what_is_unknown_is_not_taken_for_nothing(signal: str, action: str, target: str, said: str) -> None:
    decision = decide({signal: None})
    candidate = named(decision, action, target)
    assert (candidate.blocked, candidate.reason) == ("it cannot be weighed", f"not known: {said}")
    assert decision.without == (signal,)
    assert decision.rationale.endswith(f" Decided without knowing: {said}.")


def test_before_its_first_scored_draw_there_is_no_parting_with_a_model() -> None:
    decision = decide({"champion_loss": None, "challenger_loss": None})
    assert {"rollback", "retire"}.isdisjoint(c.action for c in decision.candidates)
    assert decision.without == ()


DUE: list[tuple[str, str, dict[str, float | None]]] = [
    ("alert", f"{GAME}/evidence", {"evidence_peak": 4.6052}),
    ("alert", f"{GAME}/change", {"change": 8.0, "change_clearest": 3.0}),
    ("ask", f"{GAME}/feeds", {"draw_overdue": 24.0}),
    ("ask", f"{GAME}/training", {"failed_trainings": 3.0}),
    ("ask", "journal/storage", {"storage_used": 1.0}),
    ("promote", f"{GAME}/powerballnet@bbb", {"challenger": 5.11}),
    ("rollback", f"{GAME}/powerballnet@aaa", {"champion_loss": 4.6052}),
    ("retire", f"{GAME}/powerballnet@bbb", {"challenger_loss": 4.6052}),
    ("adjust", f"{GAME}/learning_rate", {"diverged_trainings": 1.0}),
    ("backup", "journal", {"backup_age": 36.0}),
    ("verify", "journal", {"verification_age": 240.0}),
]


@pytest.mark.parametrize(("action", "target", "signals"), DUE)
def test_a_duty_is_chosen_at_its_limit_and_not_before(
    action: str, target: str, signals: dict[str, float | None]
) -> None:
    chosen = named(decide(signals), action, target)
    assert chosen.chosen
    assert chosen.score is not None
    assert 1.0 <= chosen.score < 1.01
    below = named(decide({name: value and value * 0.99 for name, value in signals.items()}), action, target)
    assert not below.chosen
    assert below.blocked == "waiting scores higher"


def test_before_the_disk_is_full_a_person_is_asked() -> None:
    asked = {free: named(decide({"disk_free": free}), "ask", "journal/disk") for free in (0.0, 1.0, 1.01)}
    assert [asked[free].chosen for free in (0.0, 1.0, 1.01)] == [True, True, False]
    assert asked[0.0].score == 100.0
    assert decide({"disk_free": None}).without == ("disk_free",)
    earlier = stands()
    signals = {name: value for name, value in earlier.signals.items() if name != "disk_free"}
    before_it_was_measured = engine.decide(replace(earlier, signals=signals), POLICY)
    assert "journal/disk" not in {c.target for c in before_it_was_measured.candidates}


BETS: list[tuple[str, dict[str, float | None]]] = [
    ("train", {"staleness": 13.1}),
    ("train-warm", {"staleness": 13.1}),
    ("tune", {"draws_since_search": 330.0}),
    ("backtest", {"draws_since_backtest": 157.0}),
    ("ingest", {"draw_overdue": 8.1}),
    ("compact", {"storage_used": 0.95}),
]


@pytest.mark.parametrize(("action", "signals"), BETS)
def test_a_bet_that_always_helped_is_made_at_its_limit(action: str, signals: dict[str, float]) -> None:
    target = "journal" if action == "compact" else GAME
    assert named(decide(signals, beliefs=sure(action)), action, target).chosen
    before = {name: 0.9 * value for name, value in signals.items()}
    assert not named(decide(before, beliefs=sure(action)), action, target).chosen


@pytest.mark.parametrize(("action", "signals"), BETS)
def test_a_bet_is_put_off_the_longer_the_less_often_it_helped(action: str, signals: dict[str, float]) -> None:
    ((signal, limit),) = signals.items()
    target = "journal" if action == "compact" else GAME

    def put_off(losses: int) -> float:
        """Return how many times its limit a bet waits until it is made, on average over seeds."""

        def until(seed: int) -> float:
            source, at = random.Random(seed), 1.0  # noqa: S311
            while True:
                beliefs = {(action, "quiet"): Belief(0.0, losses)}
                it = {signal: at * limit}
                weighed = named(decide(it, beliefs=beliefs, seed=source.randrange(2**32)), action, target)
                if weighed.score >= 1.0:  # type: ignore[operator]
                    return at
                at *= 1.1

        return mean(until(seed) for seed in range(30))

    waits = [put_off(losses) for losses in (0, 5, 20, 80)]
    assert waits == sorted(waits)
    assert waits[-1] > 4.0 * waits[0]


def test_what_a_bet_was_worth_elsewhere_does_not_count_here() -> None:
    useless = {("train", "quiet"): Belief(0.0, 200.0)}
    quiet = named(decide({"staleness": 40.0}, beliefs=useless), "train")
    alarmed = named(decide({"staleness": 40.0, "evidence": 5.0}, beliefs=useless), "train")
    assert quiet.mean < 0.01
    assert alarmed.mean == 0.5
    assert alarmed.urgency == pytest.approx(4 * quiet.urgency)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("signals", "context"),
    [
        ({}, "quiet"),
        ({"evidence": 2.2, "evidence_peak": 2.2}, "quiet"),
        ({"evidence": 2.4, "evidence_peak": 2.4}, "suspicious"),
        ({"evidence": 0.0, "evidence_peak": 2.4}, "quiet"),
        ({"change": 8.0, "change_clearest": 1.5}, "suspicious"),
        ({"evidence": 4.7, "evidence_peak": 4.7}, "alarmed"),
        ({"evidence": 0.0, "evidence_peak": 4.7}, "quiet"),
        ({"change": 8.0, "change_clearest": 3.0}, "alarmed"),
        ({"evidence": None, "evidence_peak": None, "change": None}, "quiet"),
    ],
)
def test_the_context_is_how_things_stand_with_fairness(
    signals: dict[str, float | None], context: str
) -> None:
    assert situation.context(stands(signals), POLICY) == context


@pytest.mark.parametrize(("hours", "context"), [(0.0, "alarmed"), (2159.0, "alarmed"), (2160.0, "quiet")])
def test_after_an_alert_it_is_alarmed_for_ninety_days(hours: float, context: str) -> None:
    for about in ("evidence", "change"):
        since = {("alert", f"{GAME}/{about}"): hours}
        assert situation.context(stands(hours_since=since), POLICY) == context
    assert situation.context(stands(hours_since={("alert", "megamillions/change"): 0.0}), POLICY) == "quiet"


def test_an_alert_on_the_evidence_is_repeated_when_that_is_ten_times_as_strong() -> None:
    key, day = ("alert", f"{GAME}/evidence"), {("alert", f"{GAME}/evidence"): 24.0}
    told = {key[1]: 5.0}
    again = {peak: named(decide({"evidence_peak": peak}, hours_since=day, alerted=told), *key).chosen
             for peak in (5.0, 7.2, 7.31)}  # fmt: skip
    assert again == {5.0: False, 7.2: False, 7.31: True}
    stricter = replace(POLICY, alarm_level=1e-3)
    louder = decide({"evidence_peak": 7.31}, stricter, hours_since=day, alerted=told)
    assert named(louder, *key).chosen, "it is the evidence that must have grown, not its part of the alarm"


def test_a_cooldown_blocks_until_it_is_over() -> None:
    signals = {"backup_age": 50.0}
    blocked = named(decide(signals, hours_since={("backup", "journal"): 23.9}), "backup", "journal")
    assert blocked.blocked == "it was decided 23.9 h ago; the cooldown is 24 h"
    assert named(decide(signals, hours_since={("backup", "journal"): 24.0}), "backup", "journal").chosen
    short = replace(POLICY, cooldowns_hours={"backup": 2.0})
    assert named(decide(signals, short, hours_since={("backup", "journal"): 2.5}), "backup", "journal").chosen


def test_trainings_of_either_kind_have_one_cooldown_and_never_go_together() -> None:
    signals, beliefs = {"staleness": 26.0}, sure("train", "train-warm")
    decision = decide(signals, beliefs=beliefs)
    assert [c.action for c in decision.chosen] == ["train-warm"], "it costs less"
    assert named(decision, "train").blocked == "train-warm scores higher, and one of the two is enough"
    cooling = decide(signals, beliefs=beliefs, hours_since={("train-warm", GAME): 1.0})
    assert cooling.chosen == ()
    assert named(cooling, "train").blocked == "train-warm was decided 1 h ago; the cooldown is 24 h"


def test_the_cooldown_of_one_training_does_not_bind_another_for_longer_than_they_have_in_common() -> None:
    policy = replace(POLICY, cooldowns_hours={"tune": 720.0})
    signals, beliefs = {"draws_since_search": 400.0}, sure("tune")
    after = {hours: named(decide(signals, policy, beliefs=beliefs, hours_since={("train", GAME): hours}),
                          "tune").chosen for hours in (23.0, 25.0)}  # fmt: skip
    assert after == {23.0: False, 25.0: True}


def test_nothing_is_trained_while_the_newest_network_is_on_trial() -> None:
    signals = {"staleness": 99.0, "draws_since_search": 999.0}
    decision = decide(signals, beliefs=sure("train", "train-warm", "tune"), on_trial=4)
    assert decision.chosen == ()
    for action in ("train", "train-warm", "tune"):
        assert named(decision, action).blocked == "the newest network is on trial for 4 more draws"


def test_a_challenger_on_its_way_to_promotion_is_not_replaced() -> None:
    beliefs = sure("train")
    promising = decide({"staleness": 90.0, "challenger": 1.4}, beliefs=beliefs)
    assert named(promising, "train").blocked is not None
    assert "on its way to promotion" in str(named(promising, "train").blocked)
    for others in ({"challenger": 1.2}, {"challenger": 1.4, "staleness": 104.0}):
        assert named(decide({"staleness": 90.0} | others, beliefs=beliefs), "train").chosen


def test_where_the_champion_before_is_gone_the_losing_one_is_retired() -> None:
    decision = decide({"champion_loss": 5.0}, can_roll_back=False)
    assert [(c.action, c.target) for c in decision.chosen] == [("retire", f"{GAME}/powerballnet@aaa")]


def test_no_goal_lowers_what_a_promotion_has_to_show() -> None:
    goals = (wanted("a", "skill", "critical", "at least"), wanted("b", "champion_loss", "critical"))
    decision = decide({"challenger": 5.0, "champion_loss": 4.6}, goals=goals)
    assert decision.chosen == ()


def test_no_decision_holds_two_that_contradict_each_other() -> None:
    signals = {"challenger": 9.0, "champion_loss": 9.0, "challenger_loss": 8.0}
    chosen = decide(signals).chosen
    assert [c.action for c in chosen] == ["rollback"]


def test_what_is_under_way_is_not_asked_for_again() -> None:
    decision = decide(
        {"staleness": 26.0}, beliefs=sure("train", "train-warm"), under_way=frozenset({("train", GAME)})
    )
    assert (
        named(decision, "train").blocked
        == named(decision, "train-warm").blocked
        == ("it is already under way")
    )


@pytest.mark.parametrize(("day", "month"), [(7195.0, 7195.0), (0.0, 71_995.0)])
def test_what_the_budget_has_no_room_for_is_not_done(day: float, month: float) -> None:
    decision = decide({"staleness": 26.0}, beliefs=sure("train"), spent_day=day, spent_month=month)
    left = "of the 2 h of a day" if day else "of the 20 h of a month"
    assert named(decision, "train").blocked == (
        f"it takes about 20 s of processor time, and 5.0 s is left {left}, what is under way counted"
    )
    costs = {"train": 4.0}
    assert named(
        decide({"staleness": 26.0}, beliefs=sure("train"), spent_day=day, spent_month=month, costs=costs),
        "train",
    ).chosen


def test_what_is_chosen_together_has_to_fit_into_the_budget_together() -> None:
    signals = {"staleness": 50.0, "draws_since_backtest": 160.0}
    it = {"beliefs": sure("train", "backtest"), "costs": {"train": 100.0, "backtest": 100.0}}
    policy = replace(POLICY, cpu_seconds_per_day=150.0)
    assert [c.action for c in decide(signals, policy, **it).chosen] == ["train"]
    assert len(decide(signals, **it).chosen) == 2


def test_no_long_computation_is_begun_in_quiet_hours() -> None:
    quiet = QuietHours("22:00", "06:00", "Europe/Berlin")
    policy = replace(POLICY, quiet_hours=quiet)
    signals, beliefs = {"staleness": 26.0, "backup_age": 50.0}, sure("train", "train-warm")

    def at(hour: int) -> set[str]:
        """Return what is chosen at an hour of UTC in September, two hours behind Berlin."""
        now_us = round(NOW.replace(hour=hour).timestamp() * 1e6)
        return {c.action for c in decide(signals, policy, beliefs=beliefs, now_us=now_us).chosen}

    assert at(19) == at(4) == {"train-warm", "backup"}
    assert at(20) == at(3) == {"backup"}


@given(st.times(), st.times(), st.times())
def test_quiet_hours_are_those_between_start_and_end(start: time, end: time, at: time) -> None:
    quiet = QuietHours(start.strftime("%H:%M"), end.strftime("%H:%M"), "UTC")
    instant = datetime.combine(NOW, at, UTC)
    begins = NOW.replace(hour=start.hour, minute=start.minute, second=0, microsecond=0)
    since = (instant - begins) % timedelta(days=1)
    ends = NOW.replace(hour=end.hour, minute=end.minute, second=0, microsecond=0)
    length = (ends - begins) % timedelta(days=1) or timedelta(days=1)
    assert quiet.contain(instant) == (since < length)


def test_the_switch_stops_everything_but_telling() -> None:
    decision = decide({"evidence_peak": 9.0, "backup_age": 99.0, "staleness": 99.0}, is_on=False)
    assert [c.action for c in decision.chosen] == ["alert"]
    assert named(decision, "backup", "journal").blocked == "a person has switched decisions off"


def test_what_may_only_be_observed_is_weighed_but_not_done() -> None:
    policy = replace(POLICY, autonomy={"train": "observe", "backup": "act"})
    decision = decide({"staleness": 26.0}, policy, beliefs=sure("train"))
    assert named(decision, "train").blocked == "its autonomy is observe"
    assert named(decision, "wait").chosen


def test_who_only_observes_stands_in_nobody_s_way() -> None:
    policy = replace(POLICY, autonomy={"train-warm": "observe"})
    decision = decide({"staleness": 26.0}, policy, beliefs=sure("train", "train-warm"))
    assert [c.action for c in decision.chosen] == ["train"]


def test_what_is_to_be_approved_is_proposed() -> None:
    policy = replace(POLICY, autonomy={"promote": "propose"})
    decision = decide({"challenger": 9.0}, policy)
    assert [(c.action, c.proposed) for c in decision.chosen] == [("promote", True)]
    assert decision.rationale.startswith("Chose to propose promote (")


def test_a_signal_that_cannot_be_said_presses_for_nothing_and_the_decision_says_so() -> None:
    decision = decide(dict.fromkeys(NAMES, None))
    assert decision.chosen == ()
    assert set(decision.without) >= {"staleness", "backup_age", "draw_overdue", "failed_trainings"}
    assert "Decided without knowing: " in decision.rationale
    train = named(decision, "train")
    assert (train.score, train.blocked) == (None, "it cannot be weighed")
    assert train.reason.startswith("not known: draws the network has not seen;")
    only = decide({"storage_used": None, "backup_age": 50.0})
    assert only.rationale.endswith(" Decided without knowing: storage used.")
    assert [c.action for c in only.chosen] == ["backup"]


def test_too_few_draws_forbid_a_training() -> None:
    decision = decide({"staleness": 60.0, "draws_known": 60.0}, beliefs=sure("train"))
    assert named(decision, "train").blocked == "this era has too few draws to train on: 60 of 100"


def test_too_few_draws_forbid_a_search_even_in_an_alarm() -> None:
    policy = replace(POLICY, fewest_draws_to_search=387)
    signals = {"evidence": 9.0, "evidence_peak": 9.0, "draws_since_search": 150.0}
    few = named(decide(signals | {"draws_known": 150.0}, policy, beliefs=sure("tune")), "tune")
    assert few.blocked == "this era has too few draws to search on: 150 of 387"
    enough = decide(signals | {"draws_known": 387.0}, policy, beliefs=sure("tune"))
    assert named(enough, "tune").chosen


def test_a_learning_rate_that_was_lowered_at_a_time_nobody_remembers_is_raised() -> None:
    decision = decide({}, factors={"learning_rate": 0.5})
    raised = named(decision, "adjust", f"{GAME}/learning_rate")
    assert raised.chosen
    assert raised.reason == "no training diverged since the learning rate was lowered, long ago"
    assert raised.as_record()["urgency"] == pytest.approx(400 / 90, abs=1e-6)


def test_without_a_network_none_is_improved_and_none_is_promoted() -> None:
    decision = decide({"staleness": 1400.0, "draws_since_search": 1400.0}, champion=None, challenger=None)
    assert {c.action for c in decision.candidates}.isdisjoint({"train-warm", "promote", "rollback", "retire"})
    assert named(decision, "tune").blocked == "there is no network yet"
    assert named(decision, "train").chosen


def test_trainings_that_diverge_lower_the_learning_rate_and_then_ask_a_person() -> None:
    def diverged(times: float) -> dict[str, float | None]:
        return {"failed_trainings": times, "diverged_trainings": times}

    once = decide({**diverged(1), "staleness": 26.0})
    assert named(once, "adjust", f"{GAME}/learning_rate").args["factor"] == 0.5
    again = decide(diverged(2), factors={"learning_rate": 0.5})
    assert named(again, "adjust", f"{GAME}/learning_rate").args["factor"] == 0.25
    answered = decide({**diverged(1), "staleness": 26.0}, factors={"learning_rate": 0.5},
                      beliefs=sure("train"))  # fmt: skip
    assert [c.action for c in answered.chosen] == ["train"], "it is halved once"
    assert named(once, "train").blocked == "its learning rate is to be lowered first"
    many = {**diverged(3), "staleness": 99.0, "draws_since_search": 999.0}
    thrice = decide(many, beliefs=sure("train", "tune"), hours_since={("train", GAME): 719.0})
    assert named(thrice, "ask", f"{GAME}/training").chosen
    lowering = frozenset({("adjust", f"{GAME}/learning_rate")})
    for mode, under_way in (("observe", frozenset()), ("propose", frozenset()), ("propose", lowering)):
        policy = replace(POLICY, autonomy={"adjust": mode})
        failed = decide({**diverged(1), "staleness": 26.0}, policy, under_way=under_way)
        waits = named(failed, "train").blocked == "its learning rate is to be lowered first"
        assert waits is bool(under_way), "it waits for what may be done, and for an answer"
    told = "the last 3 trainings failed, which is for a person to look at; it is tried again after 30 d"
    for action in ("train", "train-warm", "tune"):
        assert named(thrice, action).blocked == told
    tried = {"learning_rate": 0.125}
    later = decide(many, beliefs=sure("train", "tune"), hours_since={("train", GAME): 720.0}, factors=tried)
    assert {c.action for c in later.chosen} >= {"ask", "train"}


def test_a_worker_that_was_lost_says_nothing_of_the_learning_rate() -> None:
    lost = decide({"failed_trainings": 1.0, "staleness": 26.0}, beliefs=sure("train"))
    assert [c.action for c in lost.chosen] == ["train"]


def test_a_learning_rate_is_raised_again_once_all_has_gone_well_for_long() -> None:
    key = ("adjust", f"{GAME}/learning_rate")
    offered = {
        hours: [
            c.args["factor"]
            for c in decide({}, factors={"learning_rate": 0.25}, hours_since={key: hours}).chosen
        ]
        for hours in (2159.0, 2160.0)
    }
    assert offered == {2159.0: [], 2160.0: [0.5]}


def test_the_cadence_follows_what_trainings_were_worth() -> None:
    target = f"{GAME}/retrain_after_draws"
    useless = {("train", "quiet"): Belief(0.0, 4.0), ("train-warm", "quiet"): Belief(1.0, 3.0)}
    slower = named(decide({}, beliefs=useless), "adjust", target)
    assert slower.chosen
    assert slower.args["factor"] == 2.0
    as_before = decide({}, beliefs=useless, factors={"retrain_after_draws": 2.0})
    assert not any(c.target == target and c.chosen for c in as_before.candidates), "nothing new was learned"
    useful = {("train", "quiet"): Belief(3.0, 5.0)}
    assert not named(decide({}, beliefs=useful), "adjust", target).chosen
    suspicious = decide({"evidence": 3.0, "evidence_peak": 3.0}, factors={"retrain_after_draws": 8.0})
    faster = named(suspicious, "adjust", target)
    assert faster.chosen
    assert faster.args["factor"] == 1.0


def test_the_evaluation_is_widened_where_it_cannot_tell_and_narrowed_in_an_alarm() -> None:
    target = f"{GAME}/evaluation_draws"
    wide = named(decide({}, beliefs={("train", "quiet"): Belief(6.0, 6.0)}), "adjust", target)
    assert wide.chosen
    assert wide.args["factor"] == 2.0
    clear = decide({}, beliefs={("train", "quiet"): Belief(10.0, 2.0)})
    assert not any(c.target == target and c.chosen for c in clear.candidates)
    narrow = decide({"evidence": 9.0, "evidence_peak": 9.0}, factors={"evaluation_draws": 4.0})
    assert named(narrow, "adjust", target).args["factor"] == 1.0


def test_a_goal_makes_what_serves_it_more_pressing_and_says_so() -> None:
    signals = {"backup_age": 30.0}
    goals = (wanted("fresh", "backup_age", "high"), wanted("other", "skill", "critical", "at least"))
    with_goal = named(decide(signals, goals=goals), "backup", "journal")
    assert with_goal.chosen
    assert with_goal.urgency == pytest.approx(1.5 * 30 / 36)
    assert with_goal.reason.endswith("it serves a goal: fresh")
    assert not named(decide(signals), "backup", "journal").chosen


def test_a_goal_presses_for_what_moves_its_signal_its_way_alone() -> None:
    away = (wanted("stale", "staleness", "critical", "at least"), wanted("dull", "skill", "critical"))
    for goals in (away, ()):
        assert named(decide({"staleness": 10.0}, goals=goals), "train").urgency == pytest.approx(10 / 13)
    near = (wanted("near", "staleness", "critical"),)
    assert named(decide({"staleness": 10.0}, goals=near), "train").urgency == pytest.approx(20 / 13)
    assert catalogue.serving("smallest_visible_factor", "at most") == ["ingest"]
    assert catalogue.serving("smallest_visible_factor", "at least") == []


def test_what_an_action_serves_are_signals() -> None:
    for spec in CATALOGUE.values():
        assert spec.serves.keys() <= wording.TITLES.keys()
        assert set(spec.serves.values()) <= {"at least", "at most"}


def test_what_costs_much_has_to_promise_more() -> None:
    signals, beliefs = {"draws_since_search": 330.0}, sure("tune")
    assert named(decide(signals, beliefs=beliefs), "tune").chosen
    dear = replace(POLICY, cpu_price=1.0)
    assert not named(decide(signals, dear, beliefs=beliefs), "tune").chosen
    assert named(decide(signals, dear, beliefs=beliefs, costs={"tune": 60.0}), "tune").chosen


def test_a_record_says_all_there_is_to_say_about_a_candidate() -> None:
    assert named(decide({"backup_age": 54.0}), "backup", "journal").as_record() == {
        "action": "backup", "target": "journal", "type": "maintenance", "priority": "medium", "args": {},
        "urgency": 1.5, "effectiveness": 1.0, "confidence": 1.0, "cpu_seconds": 0.0, "price": 0.0,
        "score": 1.5, "expected": 1.5, "reason": "the last backup is 54 h old; the limit is 36 h",
        "chosen": True, "proposed": False, "blocked": None,
    }  # fmt: skip


def test_alerts_and_questions_carry_their_reason() -> None:
    alert = named(decide({"evidence_peak": 6.0}), "alert", f"{GAME}/evidence")
    assert alert.args == {
        "reason": "the evidence against the fairness of powerball reached 6.00 nats; the alarm is at 4.61, "
        "which a fair machine ever reaches with a probability of at most 0.01"
    }


amounts = st.none() | st.floats(0, 1e4)
hours = st.floats(0, 1e5)
targets = st.sampled_from([GAME, "journal", f"{GAME}/learning_rate", f"{GAME}/evidence"])
keys = st.tuples(st.sampled_from(sorted(CATALOGUE)), targets)
contexts = st.tuples(st.sampled_from(sorted(CATALOGUE)), st.sampled_from(["quiet", "suspicious", "alarmed"]))
counts = st.integers(0, 50).map(float)
situations = st.builds(
    stands,
    st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, amounts)),
    champion=st.none() | st.just("powerballnet@aaa"),
    can_roll_back=st.booleans(),
    on_trial=st.none() | st.integers(1, 50),
    alerted=st.dictionaries(targets, st.integers(1, 9).map(float)),
    challenger=st.none() | st.just("powerballnet@bbb"),
    seed=st.integers(0, 2**40),
    is_on=st.booleans(),
    hours_since=st.dictionaries(keys, hours.map(lambda h: round(h, 6))),
    under_way=st.frozensets(st.tuples(st.sampled_from(["train", "backup", "ingest"]), targets)),
    beliefs=st.dictionaries(contexts, st.builds(Belief, counts, counts)),
    costs=st.dictionaries(st.sampled_from(["train", "tune"]), st.integers(0, 9000).map(float)),
    spent_day=st.integers(0, 9000).map(float),
    spent_month=st.integers(0, 90_000).map(float),
    factors=st.dictionaries(
        st.sampled_from(["learning_rate", "retrain_after_draws", "evaluation_draws"]),
        st.sampled_from([0.25, 0.5, 1.0, 2.0, 8.0]),
    ),
    goals=st.lists(
        st.builds(
            OpenGoal,
            st.sampled_from("abc"),
            st.sampled_from(NAMES),
            st.sampled_from(sorted(catalogue.WEIGHTS)),
        )
    ).map(tuple),
)
modes = st.sampled_from(["observe", "propose", "act"])
policies = st.builds(
    replace,
    st.just(POLICY),
    retrain_after_draws=st.integers(1, 100),
    cooldown_hours=st.floats(0, 1000),
    cpu_seconds_per_day=st.floats(0, 1e4),
    autonomy=st.dictionaries(st.sampled_from(sorted(CATALOGUE)), modes),
    cooldowns_hours=st.dictionaries(st.sampled_from(sorted(CATALOGUE)), st.floats(0, 100)),
    quiet_hours=st.none() | st.just(QuietHours("10:00", "13:00", "UTC")),
)


@given(situations, policies)
def test_whatever_the_situation_the_decision_keeps_its_rules(it: Situation, policy: Policy) -> None:
    decision = engine.decide(it, policy)
    chosen = decision.chosen
    assert named(decision, "wait").chosen == (not chosen)
    assert len({(CATALOGUE[c.action].intent, c.target) for c in chosen}) == len(chosen)
    learning = [c for c in chosen if CATALOGUE[c.action].group in ("training", "champion")]
    assert len({CATALOGUE[c.action].group for c in learning}) == len(learning)
    assert it.spent_day + sum(c.cpu_seconds for c in chosen) <= max(policy.cpu_seconds_per_day, it.spent_day)
    for candidate in chosen:
        mode = policy.autonomy.get(candidate.action, "act")
        assert candidate.score is not None
        assert candidate.score >= 1.0
        assert candidate.blocked is None
        assert mode != "observe"
        assert candidate.proposed == (mode == "propose")
        assert it.is_on or candidate.action in ("alert", "ask")
        assert (CATALOGUE[candidate.action].intent, candidate.target) not in it.under_way
        key = (candidate.action, candidate.target)
        assert it.hours_since.get(key, math.inf) >= policy.cooldown_of(candidate.action)
    for candidate in decision.candidates:
        assert (candidate.blocked is None) == (candidate.chosen or candidate.action == "wait")


@given(situations, policies)
def test_a_decision_can_be_made_again_from_what_is_journaled_of_it(it: Situation, policy: Policy) -> None:
    again = Situation.from_record(it.to_record())
    assert again == it
    assert Policy.from_record(policy.to_record()) == policy
    assert Policy.from_record(policy.to_record()).digest() == policy.digest()
    assert engine.decide(again, policy) == engine.decide(it, policy)


def test_a_policy_that_was_journaled_before_a_limit_was_thought_of_had_none() -> None:
    record = POLICY.to_record()
    assert Policy.from_record({**record, "of_a_later_release": 1}) == POLICY
    del record["quiet_hours"]
    assert Policy.from_record(record) == replace(POLICY, quiet_hours=None)
    del record["alarm_level"]
    with pytest.raises(TypeError, match="alarm_level"):
        Policy.from_record(record)


def test_what_other_games_lend_counts_as_cases_and_is_said_apart() -> None:
    signals, lent = {"staleness": 26.0}, {("train", "quiet"): Belief(0.5, 3.5)}
    alone, advised = (named(decide(signals, lent=given), "train") for given in ({}, lent))
    both = named(decide(signals, lent=lent, beliefs={("train", "quiet"): Belief(1.0, 0.0)}), "train")
    own = CATALOGUE["train"].prior
    assert own is not None
    assert advised.mean == (own.wins + 0.5) / (own.wins + own.losses + 4)
    assert both.mean == (own.wins + 1.5) / (own.wins + own.losses + 5)
    assert alone.reason.endswith("; whether it helps has not been measured yet")
    assert advised.reason == f"{alone.reason}; what other games measured counts as 0.5 more of 4"
    assert both.reason.endswith(
        "; it helped in 1 of 1 case; what other games measured counts as 0.5 more of 4"
    )
    assert named(decide(signals | {"evidence": 9.0}, lent=lent), "train").mean == alone.mean


@pytest.mark.parametrize(("learned", "limit"), [(None, 8.0), (2.5, 8.0), (12.5, 12.5), (30.0, 16.0)])
def test_a_missing_draw_is_waited_for_as_long_as_the_feeds_usually_take(
    learned: float | None, limit: float
) -> None:
    for overdue, asked in ((limit + 0.1, True), (limit - 0.1, False)):
        due = decide({"draw_overdue": overdue}, told_within_hours=learned, beliefs=sure("ingest"))
        ingest = named(due, "ingest")
        assert ingest.urgency == overdue / limit
        assert ingest.chosen is asked
        assert f"the feeds are asked after {limit:g} h" in ingest.reason
        assert ("nine draws in ten have been told of" in ingest.reason) is (limit == learned)
        assert named(due, "ask", f"{GAME}/feeds").urgency == overdue / (3 * limit)


def test_a_situation_with_what_was_learned_comes_back_from_its_record_and_so_does_one_without() -> None:
    it = stands(lent={("train", "quiet"): Belief(1 / 3, 11 / 3)}, told_within_hours=30.5)
    assert Situation.from_record(it.to_record()) == it
    earlier = it.to_record()
    del earlier["lent"], earlier["told_within_hours"]
    assert Situation.from_record(earlier) == stands()
