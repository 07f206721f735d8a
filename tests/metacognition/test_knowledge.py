"""What the agent learns from its facts, when it says so again, and what is made of it and forgotten."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from helios_agent.metacognition import knowledge
from helios_agent.metacognition.knowledge import YEAR_US, Fragment, Lesson, is_news

ERA = "2015-10-07"
QUIET: dict[str, float | None] = {
    "draws_scored": 1408.0, "fairness_p": 0.9, "evidence_peak": 0.1, "smallest_visible_factor": 1.6,
}  # fmt: skip
counts = st.integers(0, 60)


def known(lesson: Lesson | None, fragment_id: str = "k", game: str = "powerball", **said: Any) -> Fragment:
    assert lesson is not None
    return Fragment(fragment_id, game, lesson, **({"learned_us": 0, "used_us": None} | said))


def effect(wins: int, losses: int, action: str = "train", context: str = "quiet") -> Lesson | None:
    return knowledge.effect(action, context, wins, losses, range(wins + losses))


def cost(*seconds: float) -> Lesson | None:
    return knowledge.cost("train", seconds, range(len(seconds)))


def test_an_effect_is_said_in_one_sentence_with_its_numbers_and_decisions() -> None:
    lesson = knowledge.effect("train", "quiet", 1, 8, [3, 5, 9])
    assert lesson == Lesson(
        "effect", "train/quiet", "Training from scratch while nothing was suspected helped in 1 of 9 cases.",
        0.978516, {"wins": 1, "losses": 8, "decisions": [3, 5, 9]},
    )  # fmt: skip
    assert effect(1, 1) is None
    assert effect(2, 1) is not None


@given(counts, counts)
def test_the_relevance_of_an_effect_is_how_sure_its_posterior_is(wins: int, losses: int) -> None:
    lesson = effect(wins, losses)
    if lesson is not None:
        helpful = beta.sf(0.5, 1 + wins, 1 + losses)
        assert lesson.relevance == pytest.approx(2 * abs(helpful - 0.5), abs=1e-6)


@pytest.mark.parametrize(
    ("before", "now", "news"),
    [
        ((0, 3), (0, 3), False),
        ((0, 3), (0, 5), False),
        ((0, 3), (0, 6), True),
        ((0, 3), (2, 3), False),
        ((0, 3), (4, 3), True),
        ((3, 2), (3, 3), True),
        ((8, 4), (8, 7), False),
        ((8, 4), (8, 8), True),
    ],
)
def test_an_effect_is_said_again_once_its_answer_changes_or_its_cases_have_doubled(
    before: tuple[int, int], now: tuple[int, int], news: bool
) -> None:
    lesson = effect(*now)
    assert lesson is not None
    assert is_news(lesson, known(effect(*before))) is news
    assert is_news(lesson, None)


@given(st.lists(st.booleans(), max_size=200))
def test_what_is_known_of_an_effect_is_never_old_by_more_than_half_of_its_cases(outcomes: list[bool]) -> None:
    fragment, said = None, set()
    for n in range(1, len(outcomes) + 1):
        wins = sum(outcomes[:n])
        lesson = effect(wins, n - wins)
        if lesson is not None and is_news(lesson, fragment):
            assert lesson.content not in said
            said.add(lesson.content)
            fragment = known(lesson)
        if fragment is not None:
            evidence = fragment.lesson.evidence
            assert n < 2 * (evidence["wins"] + evidence["losses"])
            assert (evidence["wins"] > evidence["losses"]) == (wins > n - wins)


def test_a_whole_year_without_a_sign_is_a_lesson_and_says_what_would_have_shown() -> None:
    assert knowledge.fairness(ERA, QUIET, 0, 0.01) is None
    lesson = knowledge.fairness(ERA, QUIET, 1, 0.01)
    assert lesson is not None
    assert lesson.content == (
        "In a year of draws under the rules from 2015-10-07 no sign of unfairness was found; a single ball "
        "1.60 times as heavy as any other would on average have shown."
    )
    assert (lesson.relevance, lesson.evidence["smallest_visible_factor"]) == (0.625, 1.6)
    assert knowledge.fairness(ERA, QUIET | {"draws_scored": 0.0}, 1, 0.01) is None
    assert knowledge.fairness(ERA, QUIET | {"fairness_p": None}, 1, 0.01) is None
    blind = knowledge.fairness(ERA, QUIET | {"smallest_visible_factor": None}, 2, 0.01)
    assert blind is not None
    assert blind.relevance == 0
    assert "In 2 years" in blind.content
    assert "anything could have hidden" in blind.content


def test_an_alarm_is_a_lesson_at_once_and_takes_the_place_of_the_quiet_years() -> None:
    loud = QUIET | {"fairness_p": 0.004, "evidence_peak": 5.5}
    lesson = knowledge.fairness(ERA, loud, 0, 0.01)
    assert lesson is not None
    assert lesson.content == (
        "Over 1,408 draws under the rules from 2015-10-07 the forecasts gained 5.50 nats on chance at their "
        "best; a fair machine does that with probability at most 0.004."
    )
    assert lesson.relevance == 1
    quiet, later = (knowledge.fairness(ERA, QUIET, years, 0.01) for years in (3, 4))
    assert is_news(lesson, known(quiet))
    assert later is not None
    assert is_news(later, known(quiet))
    for peak, news in ((10.9, False), (11.0, True)):
        louder = knowledge.fairness(ERA, loud | {"evidence_peak": peak}, 9, 0.01)
        assert louder is not None
        assert is_news(louder, known(lesson)) is news
    same = knowledge.fairness(ERA, QUIET | {"smallest_visible_factor": 1.55}, 3, 0.01)
    assert same is not None
    assert not is_news(same, known(quiet))


def test_who_takes_the_lead_of_the_mixture_is_named_with_its_gain_and_so_is_the_end_of_it() -> None:
    def lesson(before: str | None = None, **weights: float) -> Lesson | None:
        standings = {name: (weight, 7.25) for name, weight in weights.items()}
        return knowledge.leader(ERA, "2026-09-16", standings, before)

    assert lesson(uniform=0.9, ball=0.1) is None
    assert lesson(ball=0.5, uniform=0.5) is None
    took = lesson(ball=0.625, uniform=0.375)
    assert took is not None
    assert took.content == (
        "The forecaster ball leads the mixture under the rules from 2015-10-07: at the draw of 2026-09-16 it "
        "had the weight 0.62, after +7.25 nats against chance."
    )
    assert took.relevance == 0.625
    stays, other = lesson("ball", ball=0.9), lesson("ball", drift=0.75)
    lost = lesson("ball", ball=0.25, uniform=0.75)
    assert stays is not None
    assert other is not None
    assert lost is not None
    assert not is_news(stays, known(took))
    assert is_news(other, known(took))
    assert is_news(lost, known(took))
    assert lost.content.startswith("The forecaster ball no longer leads the mixture")
    assert not is_news(lost, known(lost))
    assert is_news(took, known(lost))
    gone = lesson("powerballnet@aaa", uniform=1.0)
    assert gone is not None
    assert gone.relevance == 0


def test_what_a_feed_usually_takes_is_said_of_twenty_draws_and_again_when_it_moved_clearly() -> None:
    def lesson(*hours: float) -> Lesson | None:
        return knowledge.feed("texas", hours, range(len(hours)))

    assert lesson(*[1.0] * 19) is None
    found = lesson(*[0.5] * 10, *[1.5] * 8, 9.0, 10.0)
    assert found is not None
    assert found.content == (
        "The feed texas usually tells of a draw 60 min after it, nine times in ten within 90 min."
    )
    assert (found.evidence["median_hours"], found.evidence["within_hours"]) == (1.0, 1.5)
    assert found.relevance == pytest.approx(2 / 3, abs=1e-6)
    for hours, news in ((1.25, False), (1.5, True), (0.7, False), (0.6, True)):
        moved = lesson(*[hours] * 18, 1.5, 1.5)
        assert moved is not None
        late = {"within_hours": 1.5}
        same_end = Lesson(
            moved.kind, moved.subject, moved.content, moved.relevance, {**moved.evidence, **late}
        )
        assert is_news(same_end, known(found)) is news
    quick, quicker = lesson(*[0.1] * 20), lesson(*[0.01] * 20)
    assert quicker is not None
    assert not is_news(quicker, known(quick)), "six minutes are nothing to speak of"


def test_what_an_action_costs_is_said_of_three_attempts_and_again_when_it_moved_clearly() -> None:
    assert cost(1, 2) is None
    found = cost(30.0, 90.0, 7200.0)
    assert found is not None
    assert found.content == (
        "Training from scratch usually takes 90 s of processor time, nine times in ten at most 2 h."
    )
    assert found.relevance == 0.0125
    for seconds, news in ((134.0, False), (135.0, True), (61.0, False), (60.0, True)):
        lesson = cost(seconds, seconds, seconds)
        assert lesson is not None
        assert is_news(lesson, known(found)) is news
    free = cost(0.0, 0.0, 0.0)
    assert free is not None
    assert free.relevance == 1
    assert not is_news(free, known(free))


def test_other_games_lend_what_they_have_measured_up_to_four_outcomes_together() -> None:
    own = known(effect(9, 0), "own")
    other = known(effect(1, 2), "b", "megamillions")
    third = known(effect(0, 9), "a", "simulated")
    elsewhere = known(effect(9, 0, context="alarmed"), "c", "simulated")
    assert knowledge.priors([own], "powerball", "train", "quiet") == (0, 0, ())
    assert knowledge.priors([own, other, elsewhere], "powerball", "train", "quiet") == (1, 2, ("b",))
    wins, losses, used = knowledge.priors([other, own, third], "powerball", "train", "quiet")
    assert (wins, losses, used) == (pytest.approx(1 / 3), pytest.approx(11 / 3), ("a", "b"))
    assert knowledge.priors([own, other], "powerball", "tune", "quiet") == (0, 0, ())


@given(st.lists(st.tuples(counts, counts), max_size=5))
def test_what_is_lent_never_counts_for_more_than_four_and_keeps_its_proportion(
    outcomes: list[tuple[int, int]],
) -> None:
    lessons = [lesson for wins, losses in outcomes if (lesson := effect(wins, losses)) is not None]
    lent = [known(lesson, str(n), "simulated") for n, lesson in enumerate(lessons)]
    wins, losses, used = knowledge.priors(lent, "powerball", "train", "quiet")
    assert wins + losses <= 4 + 1e-9
    assert len(used) == len(lent)
    all_wins, all_losses = (sum(lesson.evidence[name] for lesson in lessons) for name in ("wins", "losses"))
    assert wins * all_losses == pytest.approx(losses * all_wins)


def test_the_expected_cost_is_this_games_own_or_else_the_median_of_the_others() -> None:
    lent = [known(cost(n, n, n), name, name) for n, name in ((10, "x"), (20, "y"), (90, "z"))]
    assert knowledge.costs([], "powerball", "train") == (None, ())
    assert knowledge.costs(lent, "powerball", "train") == (20, ("x", "y", "z"))
    assert knowledge.costs(lent, "z", "train") == (90, ("z",))
    assert knowledge.costs(lent, "powerball", "tune") == (None, ())


def test_the_quickest_feed_of_a_game_tells_how_long_a_draw_may_be_missing() -> None:
    slow = known(knowledge.feed("a", [9.0] * 20, range(20)), "slow")
    quick = known(knowledge.feed("b", [4.0] * 20, range(20)), "quick")
    assert knowledge.telling([slow, quick], "powerball") == (4.0, ("quick",))
    assert knowledge.telling([slow], "powerball") == (9.0, ("slow",))
    assert knowledge.telling([slow, quick], "simulated") == (None, ())


def test_only_what_a_decision_can_use_bears_on_it() -> None:
    fair = knowledge.fairness(ERA, QUIET, 3, 0.01)
    fragments = [
        known(effect(1, 2), "own effect"), known(effect(1, 2), "effect", "simulated"),
        known(effect(1, 2, context="alarmed"), "other context", "simulated"),
        known(effect(1, 2, "tune"), "other action", "simulated"),
        known(cost(1, 1, 1), "cost"), known(cost(1, 1, 1), "lent cost", "simulated"), known(fair, "fair"),
        known(knowledge.feed("a", [1.0] * 20, range(20)), "feed"),
        known(knowledge.feed("a", [1.0] * 20, range(20)), "other feed", "simulated"),
    ]  # fmt: skip
    found = knowledge.bearing(fragments, "powerball", "quiet", ["train", "backup"])
    assert [f.id for f in found] == ["own effect", "effect", "cost", "lent cost", "feed"]


@pytest.mark.parametrize(
    ("relevance", "learned", "used", "years", "forgotten"),
    [
        (0.19, 0, None, 0.99, False),
        (0.19, 0, None, 1.01, True),
        (0.2, 0, None, 2.99, False),
        (1.0, 0, None, 3.01, True),
        (0.19, 0, 0.5, 1.01, False),
        (0.19, 0.5, None, 1.01, False),
        (0.0, 0.5, 0.2, 1.51, True),
        (1.0, 0, 2.0, 4.9, False),
        (1.0, 0, 2.0, 5.01, True),
        (1.0, 2.5, None, 5.4, False),
    ],
)
def test_what_was_of_no_use_for_long_is_forgotten_sooner_if_it_says_little(
    relevance: float, learned: float, used: float | None, years: float, forgotten: bool
) -> None:
    lesson = Lesson("effect", "train/quiet", "It helped.", relevance, {})
    used_us = None if used is None else round(used * YEAR_US)
    fragment = Fragment("k", "powerball", lesson, round(learned * YEAR_US), used_us)
    found = knowledge.forgettable([fragment], round(years * YEAR_US), {})
    assert [fragment_id for fragment_id, _ in found] == (["k"] if forgotten else [])
    assert all("neither used nor renewed" in reason for _, reason in found)


@pytest.mark.parametrize("relevance", [0.0, 1.0])
def test_what_still_holds_is_kept_however_old_it_is(relevance: float) -> None:
    def of(kind: str, era: str, leads: bool = True) -> Fragment:
        return known(Lesson(kind, era, "It is so.", relevance, {"leads": leads}), f"{kind} {era} {leads}")

    kept = [of("fairness", ERA), of("leader", ERA)]
    gone = [of("fairness", "2012-01-15"), of("leader", "2012-01-15"), of("leader", ERA, leads=False)]
    found = knowledge.forgettable([*kept, *gone], 9 * YEAR_US, {"powerball": ERA, "simulated": "2012-01-15"})
    assert [fragment_id for fragment_id, _ in found] == [fragment.id for fragment in gone]
