"""What an assessment says of its signals: gaps, strategy, patterns, recommendations."""

import math
import random
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from helios_agent.config import Config
from helios_agent.metacognition import gaps, recommendations, signals, strategy
from helios_agent.metacognition.gaps import Seen
from tests.metacognition.facts import FACTS, NOTHING

FAIR = Seen(1408, [102] * 69, [54] * 26, {"on a Monday": [0.01, -0.01] * 200, "replayed": [0.0] * 9})
KNOWING = replace(FACTS, gains=[0.0] * 1408, networks=replace(FACTS.networks, newest_gains=[0.1] * 13))


def found(facts: signals.Facts = KNOWING, seen: Seen = FAIR, fewest_draws: int = 100) -> list[gaps.Gap]:
    return gaps.find(facts, seen, signals.assess(facts), fewest_draws, 0.01)


def test_the_smallest_bias_that_would_have_shown_is_always_told() -> None:
    assert found() == [
        gaps.Gap(
            "a ball that is less than 1.59 times as heavy as any other",
            "after 1,408 scored draws it would on average not have shown",
        )
    ]


def test_with_nothing_known_everything_is_a_gap() -> None:
    assert [gap.what for gap in found(NOTHING, Seen(0, [0] * 69, [0] * 26, {}))] == [
        "a ball that is too heavy", "what a network can learn", "whether forecasts promise too much",
    ]  # fmt: skip


@pytest.mark.parametrize(("draws", "told"), [(3, "3 draws"), (1, "1 draw")])
def test_a_network_that_has_hardly_been_scored_is_a_gap(draws: int, told: str) -> None:
    facts = replace(KNOWING, networks=replace(FACTS.networks, newest_gains=[0.1] * draws))
    assert found(facts)[1:] == [
        gaps.Gap("whether the newest network keeps what it promised", f"it was scored on {told}; it takes 6")
    ]


def test_a_ball_far_from_its_share_is_a_gap_and_one_a_little_off_is_none() -> None:
    far = replace(FAIR, whites=[170, *FAIR.whites[1:-1], 50])
    assert [gap.what for gap in found(seen=far)[1:]] == [
        "why white ball 1 comes so often", "why white ball 69 comes so rarely",
    ]  # fmt: skip
    assert found(seen=far)[1].why == (
        "it was drawn 170 times in 1,408 draws; a fair machine draws it 102 times on average; that it ever "
        "is so far off has a probability of 1 in 9,700 at most"
    )
    assert found(seen=replace(FAIR, whites=[125, *FAIR.whites[1:]]))[1:] == []
    assert [g.what for g in found(seen=replace(FAIR, bonus=[0, *FAIR.bonus[1:]]))[1:]] == [
        "why bonus ball 1 comes so rarely"
    ]


def test_a_condition_under_which_forecasts_lose_is_a_gap() -> None:
    losing = replace(FAIR, gains={"on a Monday": [-0.02, -0.01] * 200})
    assert found(seen=losing)[1:] == [
        gaps.Gap(
            "why forecasts of draws on a Monday are worse than chance",
            "over 400 of them the mixture gained -0.0150 nats a draw",
        )
    ]


def test_a_game_without_a_bonus_ball_has_no_gap_about_it() -> None:
    assert found(seen=replace(FAIR, bonus=[1408]))[1:] == []


def test_the_evidence_about_a_ball_is_a_mean_of_likelihood_ratios() -> None:
    """Over all outcomes of a few fair draws its exponential has the mean 1, so Ville's inequality holds."""
    draws, fair = 12, 5 / 69
    mean = sum(
        math.comb(draws, n)
        * fair**n
        * (1 - fair) ** (draws - n)
        * math.exp(gaps.share_evidence(n, draws, fair))
        for n in range(draws + 1)
    )
    assert mean == pytest.approx(1.0, abs=1e-12)


def test_in_fair_lives_a_ball_is_hardly_ever_called_a_gap() -> None:
    """At 69 + 26 balls and level 0.01, looked at after every 50th of 1,000 draws, in 40 lives."""
    rng = random.Random(5)  # noqa: S311
    called = 0
    for _ in range(40):
        whites, bonus, is_called = [0] * 69, [0] * 26, False
        for draw in range(1, 1001):
            for ball in rng.sample(range(69), 5):
                whites[ball] += 1
            bonus[rng.randrange(26)] += 1
            if draw % 50 == 0:
                is_called |= len(found(seen=Seen(draw, whites, bonus, {}))) > 1
        called += is_called
    assert called <= 2


CALM: dict[str, float | None] = signals.assess(KNOWING) | {
    "draws_known": 1408.0, "evidence": 0.1, "evidence_peak": 0.3, "change": 1.0, "change_clearest": 0.5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "unhealthy", "name", "why"),
    [
        ({}, [], "conservative", "Nothing says that these draws can be predicted"),
        ({"draws_known": 99.0, "evidence_peak": 9.0}, [], "active learning", "have 99 draws"),
        ({"evidence_peak": 9.0}, ["compute_left_day", "regret"], "conservative", ": little is left of the"),
        ({}, ["failed_trainings", "draw_overdue"], "conservative", ": trainings fail, a draw is overdue."),
        ({"change": 8.5, "change_clearest": 3.5, "evidence_peak": 9.0}, [], "adaptive", "(3.50 nats for"),
        ({"change": 8.5, "change_clearest": 2.0}, [], "balanced", " nats; 2.00 for a change) proves"),
        ({"change": 7.5, "change_clearest": 0.5}, [], "conservative", "Nothing says"),
        ({"evidence_peak": 4.7}, [], "aggressive", "4.70 nats"),
        ({"evidence": 2.4, "evidence_peak": 2.4}, [], "balanced", "2.40 nats"),
        ({"evidence": None}, [], "conservative", "was not measured. Not known: evidence against fairness."),
        ({"change": None, "draw_overdue": None}, [], "conservative", "all moments, oldest missing draw."),
    ],
)  # fmt: skip
def test_the_strategy_follows_from_what_was_measured(
    changes: dict[str, Any], unhealthy: list[str], name: str, why: str
) -> None:
    chosen = strategy.choose(
        CALM | changes, unhealthy, fewest_draws=100, alarm_level=0.01, change_alarm_nats=8.0, alarmed_on=None
    )
    assert chosen.name == name
    assert why in chosen.why


def test_while_an_alarm_stands_it_adapts_though_the_watch_has_begun_anew() -> None:
    chosen = strategy.choose(
        CALM, [], fewest_draws=100, alarm_level=0.01, change_alarm_nats=8.0, alarmed_on=date(2026, 9, 18)
    )
    assert (chosen.name, chosen.why[:28]) == ("adaptive", "On 2026-09-18 an alarm was r")


def test_whatever_makes_trying_more_useless_is_a_signal() -> None:
    assert set(strategy.WRONG) <= signals.BY_NAME.keys()


def advice(changes: dict[str, float | None], effects: dict[str, tuple[int, int]]) -> dict[str, Any]:
    none = ("diverged_trainings", "draw_overdue", "change_clearest", "staleness", "storage_used", "live_gap")
    some = {"validation_gap": 0.01, "learning_progress": 0.0, "compute_left_month": 9e3}
    measured = signals.assess(KNOWING) | dict.fromkeys(none, 0.0) | some | changes
    unhealthy = signals.unhealthy(measured, {signal.name: signal.healthy for signal in signals.SIGNALS})
    return {r.about: r for r in recommendations.make(measured, unhealthy, effects)}


def test_where_all_is_well_nothing_is_to_be_changed() -> None:
    made = advice({}, {"tune": (1, 2)})
    assert [*made] == ["learning rate", "focus", "exploration", "memory", "evaluation frequency"]
    assert {(r.action, r.effect) for r in made.values()} == {(None, "nothing is to be done")}


def test_what_is_not_known_is_not_called_well() -> None:
    unknown = ("storage_used", "disk_free", "live_gap", "validation_gap")
    made = advice(dict.fromkeys(unknown), {})
    assert made["memory"].advice == "nothing can be said; not known: storage used, room left on the disk"
    assert made["evaluation frequency"].advice == (
        "leave it: what is foretold is about what comes, as far as is known; "
        "not known: gap from validation to new draws"
    )
    assert made["learning rate"].advice == (
        "leave it: no training diverged, as far as is known; not known: gap from training to validation"
    )


@pytest.mark.parametrize(
    ("about", "signal", "value", "action"),
    [
        ("learning rate", "diverged_trainings", 2.0, "adjust"),
        ("learning rate", "validation_gap", None, None),
        ("focus", "draw_overdue", 30.0, "ingest"),
        ("focus", "change_clearest", 3.5, "train"),
        ("focus", "staleness", 50.0, "train-warm"),
        ("exploration", "learning_progress", -0.2, "tune"),
        ("exploration", "compute_left_day", -1.0, None),
        ("memory", "storage_used", 0.95, "compact"),
        ("evaluation frequency", "calibration_error", 0.02, "backtest"),
        ("evaluation frequency", "live_gap", 0.2, "backtest"),
    ],
)
def test_a_recommendation_rests_on_a_signal_and_on_what_its_action_has_achieved(
    about: str, signal: str, value: float | None, action: str | None
) -> None:
    for effects, effect in (
        ({}, "nothing measured yet"),
        ({str(action): (3, 8)}, f"{action} did what it was chosen for in 3 of 8 measured cases"),
    ):
        made = advice({signal: value}, effects)[about]
        assert made.action == action
        assert made.signals[signal] == value
        assert made.effect == (effect if action else "nothing is to be done")
        assert made.as_record()["about"] == about


def test_room_on_a_disk_is_for_a_person_to_make() -> None:
    made = advice({"disk_free": 0.5}, {})["memory"]
    assert (made.advice, made.effect) == (
        "make room on the disk: it has less than the database may take", "only a person can do that"
    )  # fmt: skip


def test_what_no_decision_can_do_is_left_to_a_person_who_is_told_which_setting_it_is() -> None:
    made = advice({"validation_gap": 0.2, "learning_progress": None}, {"adjust": (3, 8)})["learning rate"]
    assert made.action is None
    assert made.effect == "only a person can do that"
    setting, _, why = made.advice.removeprefix("set ").partition(" lower: ")
    assert why == "the newest network knows its draws by heart"
    value: Any = Config.model_validate({"games": {"powerball": {}}})
    for name in setting.split("."):
        value = getattr(value, name)
    assert value > 0
