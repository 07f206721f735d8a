import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.decisions import engine
from helios_agent.decisions.engine import Candidate, Decision, Policy

GAME = "powerball"
POLICY = Policy(
    retrain_after_draws=13, backup_after_hours=36, alarm_level=0.01, change_alarm_nats=8.0, cooldown_hours=24,
    fewest_draws=87, autonomy={},
)  # fmt: skip
QUIET = {
    "draws_known": 1408.0, "staleness": 3.0, "backup_age": 9.0,
    "evidence_peak": 0.5, "change": 0.0, "change_clearest": -1.0, "change_age": 1.0,
    "challenger": None, "challenger_trial": None,
}  # fmt: skip
KEYS = [
    ("train", GAME),
    ("alert", f"{GAME}/evidence"),
    ("alert", f"{GAME}/change"),
    ("promote", GAME),
    ("backup", "journal"),
]


def decide(
    hours_since: Mapping[tuple[str, str], float] | None = None,
    under_way: frozenset[tuple[str, str]] = frozenset(),
    policy: Policy = POLICY,
    **signals: float | None,
) -> Decision:
    return engine.decide(GAME, QUIET | signals, policy, hours_since or {}, under_way)


def named(decision: Decision, action: str, target: str = GAME) -> Candidate:
    return next(c for c in decision.candidates if (c.action, c.target) == (action, target))


def test_when_nothing_is_past_its_limit_it_waits() -> None:
    decision = decide()
    assert decision.chosen == ()
    assert named(decision, "wait").chosen
    assert {c.blocked for c in decision.candidates if c.action != "wait"} == {"waiting scores higher"}
    assert decision.rationale.startswith(
        "Chose wait (nothing that may be done is past its limit). Not backup: "
    )


def test_a_score_is_how_far_a_signal_has_gone_towards_its_limit() -> None:
    decision = decide(staleness=26.0, backup_age=9.0, evidence_peak=math.log(100) / 2)
    assert {(c.action, c.target): c.score for c in decision.candidates} == {
        ("train", GAME): 2.0,
        ("alert", f"{GAME}/evidence"): pytest.approx(0.5, rel=1e-12),
        ("alert", f"{GAME}/change"): 0.0,
        ("promote", GAME): 0.0,
        ("backup", "journal"): 0.25,
        ("wait", GAME): 1.0,
    }
    assert [c.score for c in decision.candidates] == sorted(
        (c.score for c in decision.candidates), reverse=True
    )


@pytest.mark.parametrize(
    ("signal", "limit", "key"),
    [
        ("staleness", 13.0, KEYS[0]),
        ("evidence_peak", math.log(1 / 0.01), KEYS[1]),
        ("backup_age", 36.0, KEYS[4]),
    ],
)
def test_what_is_at_its_limit_outscores_waiting_and_what_is_below_does_not(
    signal: str, limit: float, key: tuple[str, str]
) -> None:
    at = decide(**{signal: limit})
    assert [(c.action, c.target) for c in at.chosen] == [key]
    assert not named(at, "wait").chosen
    below = decide(**{signal: limit * 0.999})
    assert below.chosen == ()
    assert named(below, *key).blocked == "waiting scores higher"


def test_several_things_may_be_done_at_once_the_most_pressing_first() -> None:
    decision = decide(staleness=26.0, backup_age=360.0, evidence_peak=6.0)
    assert [c.action for c in decision.chosen] == ["backup", "train", "alert"]
    assert decision.rationale == (
        "Chose backup (the last backup is 360.0 h old; the limit is 36 h); "
        f"train ({named(decision, 'train').reason}); "
        "alert (the evidence against fairness reached 6.00 nats; the alarm is at 4.61). "
        f"Not alert: waiting scores higher ({named(decision, 'alert', f'{GAME}/change').reason})."
    )
    assert "26" in named(decision, "train").reason


def test_a_cooldown_blocks_until_it_is_over() -> None:
    since = {("train", GAME): 23.9}
    blocked = named(decide(since, staleness=20.0), "train")
    assert not blocked.chosen
    assert blocked.blocked == "it was decided 23.9 h ago; the cooldown is 24 h"
    assert named(decide({("train", GAME): 24.0}, staleness=20.0), "train").chosen
    assert named(decide({("train", "megamillions"): 0.0}, staleness=20.0), "train").chosen


def test_what_is_under_way_is_not_asked_for_again() -> None:
    blocked = named(decide(under_way=frozenset({("train", GAME)}), staleness=20.0), "train")
    assert blocked.blocked == "it is already under way"


def test_what_may_only_be_observed_is_weighed_but_not_done() -> None:
    decision = decide(policy=replace(POLICY, autonomy={"train": "observe", "backup": "act"}), staleness=20.0)
    assert named(decision, "train").blocked == "its autonomy is observe"
    assert named(decision, "train").score == pytest.approx(20 / 13)
    assert named(decision, "wait").chosen
    assert decision.rationale.startswith(
        "Chose wait (nothing that may be done is past its limit). Not train: its"
    )


def test_a_signal_that_cannot_be_said_presses_for_nothing() -> None:
    assert decide(**dict.fromkeys(QUIET, None)).chosen == ()


def test_a_record_says_all_there_is_to_say_about_a_candidate() -> None:
    assert named(decide(backup_age=50.0), "backup", "journal").as_record() == {
        "action": "backup",
        "target": "journal",
        "score": 1.388889,
        "reason": "the last backup is 50.0 h old; the limit is 36 h",
        "chosen": True,
        "blocked": None,
    }


amounts = st.none() | st.floats(0, 1e6)
hours = st.dictionaries(st.sampled_from(KEYS), st.floats(0, 100))
policies = st.builds(
    Policy,
    retrain_after_draws=st.integers(1, 100),
    backup_after_hours=st.floats(0.1, 1000),
    alarm_level=st.floats(1e-6, 0.49),
    change_alarm_nats=st.floats(0.1, 20),
    cooldown_hours=st.floats(0, 100),
    fewest_draws=st.integers(1, 2_000_000),
    autonomy=st.dictionaries(
        st.sampled_from(["train", "alert", "backup"]), st.sampled_from(["observe", "act"])
    ),
)


@given(
    st.fixed_dictionaries(dict.fromkeys(QUIET, amounts)),
    policies,
    hours,
    st.frozensets(st.sampled_from(KEYS)),
)
def test_the_reckoning_adds_up_whatever_is_measured(
    signals: dict[str, float | None],
    policy: Policy,
    since: dict[tuple[str, str], float],
    under_way: frozenset[tuple[str, str]],
) -> None:
    decision = engine.decide(GAME, signals, policy, since, under_way)
    assert engine.decide(
        GAME, dict(reversed(signals.items())), policy, dict(reversed(since.items())), under_way
    ) == (decision)
    candidates = decision.candidates
    assert sorted((c.action, c.target) for c in candidates) == sorted([*KEYS, ("wait", GAME)])
    assert [c.score for c in candidates] == sorted((c.score for c in candidates), reverse=True)
    for candidate in candidates:
        key = (candidate.action, candidate.target)
        if candidate.action == "wait":
            assert candidate.chosen == (not decision.chosen)
            continue
        assert candidate.chosen == (candidate.blocked is None)
        enough = candidate.action != "train" or (signals["draws_known"] or 0) >= policy.fewest_draws
        allowed = (
            candidate.score >= 1
            and enough
            and key not in under_way
            and since.get(key, math.inf) >= policy.cooldown_hours
            and policy.autonomy.get(candidate.action) != "observe"
        )
        assert candidate.chosen == allowed
    assert all(c.action in decision.rationale for c in candidates if c.chosen)


def test_a_new_era_is_not_trained_on_before_it_has_enough_draws() -> None:
    blocked = named(decide(staleness=86.0, draws_known=86.0), "train")
    assert not blocked.chosen
    assert blocked.blocked == "this era has too few draws to train on: 86 of 87"
    assert named(decide(staleness=87.0, draws_known=87.0), "train").chosen


@pytest.mark.parametrize(
    ("change", "clearest", "score"),
    [(8.0, 3.0, 1.0), (9.0, 2.9, 2.9 / 3), (7.0, 6.0, 7 / 8), (None, None, 0.0)],
)
def test_a_change_alarms_when_it_is_both_likely_and_clear(
    change: float | None, clearest: float | None, score: float
) -> None:
    decision = decide(change=change, change_clearest=clearest, change_age=40.0)
    alert = named(decision, "alert", f"{GAME}/change")
    assert alert.score == pytest.approx(score)
    assert alert.chosen == (score >= 1.0)
    assert "most likely 40 draws ago" in alert.reason


@pytest.mark.parametrize("trial", [1, 5])
def test_a_challenger_is_promoted_when_its_trial_has_shown_enough_and_later_trials_need_more(
    trial: int,
) -> None:
    needed = math.log(100 * (math.pi * trial) ** 2 / 6)
    at = decide(challenger=needed, challenger_trial=float(trial))
    assert [(c.action, c.target) for c in at.chosen] == [("promote", GAME)]
    below = decide(challenger=needed * 0.999, challenger_trial=float(trial))
    assert below.chosen == ()
    assert f"this trial needs {needed:.2f}" in named(below, "promote").reason
