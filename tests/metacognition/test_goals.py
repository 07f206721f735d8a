"""Goals: how far they are, when they open, and how they end."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.metacognition import goals
from helios_agent.metacognition.goals import Goal, faults, measure, progress

GAME, NOW = "powerball", 1_000
numbers = st.floats(-1e9, 1e9)
directions = st.sampled_from(["at least", "at most"])


def goal(goal_id: str = "a", **said: Any) -> Goal:
    defaults: dict[str, Any] = {"game": GAME, "metric": "skill", "target": 10.0, "direction": "at least"}
    return Goal(goal_id, **(defaults | said))


def after(found: list[Goal]) -> dict[str, tuple[str, float | None, float | None, float | None]]:
    return {g.id: (g.state, g.start, g.value, g.progress) for g in found}


def live(known: list[Goal], *values: float | None, now_us: int = NOW) -> list[Goal]:
    """Measure the same goals again and again, with each of these values of the signal."""
    for value in values:
        changed = {g.id: g for g in measure(known, GAME, {"skill": value}, now_us)}
        known = [changed.get(g.id, g) for g in known]
    return known


@pytest.mark.parametrize(
    ("start", "value", "target", "direction", "share"),
    [
        (0.0, 0.0, 10.0, "at least", 0.0),
        (0.0, 2.5, 10.0, "at least", 0.25),
        (-10.0, 0.0, 10.0, "at least", 0.5),
        (0.0, -5.0, 10.0, "at least", 0.0),
        (0.0, 10.0, 10.0, "at least", 1.0),
        (0.0, 99.0, 10.0, "at least", 1.0),
        (4.0, 3.0, 2.0, "at most", 0.5),
        (4.0, 2.0, 2.0, "at most", 1.0),
        (4.0, 1.0, 2.0, "at most", 1.0),
        (4.0, 5.0, 2.0, "at most", 0.0),
        (-1.0, -3.0, -5.0, "at most", 0.5),
        (None, 5.0, 10.0, "at least", 0.0),
        (None, 10.0, 10.0, "at least", 1.0),
        (3.0, 2.0, 2.5, "at least", 0.0),  # the start was beyond the target: no way was made
    ],
)
def test_progress_is_the_share_of_the_way_from_the_start(
    start: float | None, value: float, target: float, direction: str, share: float
) -> None:
    assert progress(start, value, target, direction) == share


@given(numbers, numbers, numbers, directions)
def test_progress_is_a_share_and_1_says_that_the_target_is_reached(
    start: float, value: float, target: float, direction: str
) -> None:
    share = progress(start, value, target, direction)
    assert 0 <= share <= 1
    if goals.is_reached(value, target, direction):
        assert share == 1


@given(numbers, numbers, numbers, numbers)
def test_at_most_is_at_least_in_a_mirror_and_who_is_nearer_has_no_less(
    start: float, value: float, other: float, target: float
) -> None:
    assert progress(start, value, target, "at least") == progress(-start, -value, -target, "at most")
    low, high = sorted((value, other))
    assert progress(start, low, target, "at least") <= progress(start, high, target, "at least")


def test_a_goal_opens_with_the_value_of_its_first_measurement_and_keeps_that_as_its_start() -> None:
    (first,) = live([goal()], 2.0)
    (second,) = live([first], 6.0)
    (back,) = live([second], -3.0)
    (there,) = live([back], 10.0)
    assert after([first, second, back, there]) == {"a": ("reached", 2.0, 10.0, 1.0)}
    assert after([first]) == {"a": ("open", 2.0, 2.0, 0.0)}
    assert after([second]) == {"a": ("open", 2.0, 6.0, 0.5)}
    assert after([back]) == {"a": ("open", 2.0, -3.0, 0.0)}


def test_what_is_reached_when_it_opens_is_reached_at_once_and_for_good() -> None:
    reached = live([goal(target=2.0, direction="at most")], 1.5)
    assert after(reached) == {"a": ("reached", 1.5, 1.5, 1.0)}
    assert measure(reached, GAME, {"skill": 99.0}, NOW) == []


@pytest.mark.parametrize("state", ["waiting", "open"])
def test_a_metric_that_is_unknown_or_the_same_leaves_its_goal_as_it_is(state: str) -> None:
    known = live([goal()], *([] if state == "waiting" else [3.0]))
    assert known[0].state == state
    assert measure(known, GAME, {"skill": None}, NOW) == []
    assert measure(known, GAME, {}, NOW) == []
    if state == "open":
        assert measure(known, GAME, {"skill": 3.0}, NOW) == []


def test_an_assessment_changes_no_goal_of_another_game() -> None:
    assert measure([goal(game="megamillions")], GAME, {"skill": 99.0}, NOW) == []


@pytest.mark.parametrize("value", [None, 3.0, 10.0])
def test_a_goal_is_missed_once_its_deadline_is_over_whatever_is_measured_then(value: float | None) -> None:
    known = live([goal(deadline_us=NOW)], 4.0, now_us=NOW - 1)
    (missed,) = measure(known, GAME, {"skill": value}, NOW)
    assert after([missed]) == {"a": ("missed", 4.0, 4.0, 0.0)}
    assert missed.reason == "its deadline is over"
    assert measure([missed], GAME, {"skill": value}, NOW + 1) == []


def test_a_goal_that_was_reached_before_its_deadline_is_not_missed_after_it() -> None:
    reached = live([goal(deadline_us=NOW)], 4.0, 10.0, now_us=NOW - 1)
    assert measure(reached, GAME, {"skill": 0.0}, NOW + 1) == []


def test_a_goal_waits_for_all_it_comes_after_and_takes_its_start_when_the_last_is_reached() -> None:
    known = [goal("c", target=30.0, after=("a", "b")), goal("b", target=20.0), goal("a", target=10.0)]
    known = live(known, 5.0, 12.0)
    assert after(known) == {
        "c": ("waiting", None, None, None), "b": ("open", 5.0, 12.0, 0.466666667),
        "a": ("reached", 5.0, 12.0, 1.0),
    }  # fmt: skip
    known = live(known, 22.0)
    assert after(known)["c"] == ("open", 22.0, 22.0, 0.0)
    assert after(live(known, 26.0))["c"] == ("open", 22.0, 26.0, 0.5)


def test_a_whole_chain_can_be_reached_in_one_assessment_in_the_order_of_the_chain() -> None:
    chain = [goal("c", after=("b",)), goal("b", after=("a",)), goal("a")]
    found = measure(chain, GAME, {"skill": 11.0}, NOW)
    assert [(g.id, g.state) for g in found] == [("a", "reached"), ("b", "reached"), ("c", "reached")]


def test_a_goal_that_comes_after_one_of_another_game_opens_in_its_own_games_next_assessment() -> None:
    first = goal("a", game="megamillions", target=1.0)
    second = goal("b", after=("a",))
    (reached,) = measure([second, first], "megamillions", {"skill": 1.0}, NOW)
    assert reached.id == "a"
    assert after(measure([second, reached], GAME, {"skill": 4.0}, NOW)) == {"b": ("open", 4.0, 4.0, 0.0)}


@pytest.mark.parametrize("state", ["missed", "withdrawn"])
def test_what_comes_after_a_goal_that_can_be_reached_no_more_is_missed_and_so_on_down(state: str) -> None:
    chain = [goal("c", after=("b",)), goal("b", after=("a",)), goal("a", state=state)]
    found = measure(chain, GAME, {"skill": None}, NOW)
    assert [(g.id, g.state, g.reason) for g in found] == [
        ("b", "missed", f"it comes after a, which was {state}"),
        ("c", "missed", "it comes after b, which was missed"),
    ]


def test_a_goal_that_is_open_does_not_mind_what_becomes_of_those_before_it() -> None:
    known = [goal("b", after=("a",), state="open", start=0.0), goal("a", state="withdrawn")]
    assert after(measure(known, GAME, {"skill": 5.0}, NOW)) == {"b": ("open", 0.0, 5.0, 0.5)}


@given(st.lists(st.one_of(st.none(), st.floats(-20, 20)), max_size=8), st.integers(0, 8))
def test_an_end_is_an_end_and_measuring_the_same_twice_changes_nothing(
    values: list[float | None], deadline: int
) -> None:
    known = [goal("b", after=("a",), target=15.0), goal("a", deadline_us=deadline)]
    for now_us, value in enumerate(values):
        changed = {g.id: g for g in measure(known, GAME, {"skill": value}, now_us)}
        for old in known:
            new = changed.get(old.id, old)
            assert new == old or old.state in goals.LIVE
            assert (new.reason is not None) == (new.state == "missed")
            assert (new.start is None) <= (new.state in ("waiting", "missed"))
        known = [changed.get(g.id, g) for g in known]
        assert measure(known, GAME, {"skill": value}, now_us) == []


KNOWN = [goal("a"), goal("b", after=("a",), state="open"), goal("done", state="reached"),
         goal("lost", state="missed")]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({}, None),
        ({"after": ("a", "done")}, None),
        ({"deadline_us": NOW + 1}, None),
        ({"goal_id": "lost"}, None),
        ({"goal_id": "a"}, "id is 'a', which is that of a goal that is waiting"),
        ({"goal_id": "b"}, "id is 'b', which is that of a goal that is open"),
        ({"metric": "luck"}, "metric is 'luck'; expected a signal: skill, regret"),
        ({"deadline_us": NOW}, "deadline is over already"),
        ({"after": ("z",)}, "after names 'z', which is no goal"),
        ({"after": ("lost",)}, "after names 'lost', which was missed: it would never come to it"),
        ({"after": ("new",)}, "after makes new wait for itself: new would come after it"),
    ],
)
def test_a_goal_that_cannot_be_set_is_refused_by_its_fault(
    said: Mapping[str, Any], fault: str | None
) -> None:
    wanted = goal(**({"goal_id": "new"} | said))
    assert faults(wanted, KNOWN, ("skill", "regret"), NOW) == ([] if fault is None else [fault])


def test_every_fault_is_named_at_once() -> None:
    wanted = goal("a", metric="luck", after=("y", "z"), deadline_us=0)
    assert len(faults(wanted, KNOWN, ("skill",), NOW)) == 5


def test_a_goal_that_is_set_anew_can_close_a_cycle_through_those_that_wait_for_it() -> None:
    known = [goal("a", state="reached"), goal("b", after=("a",)), goal("c", after=("b",))]
    assert faults(goal("a", after=("c",)), known, ("skill",), NOW) == [
        "after makes a wait for itself: c would come after it"
    ]
    assert faults(replace(known[0], state="waiting"), known, ("skill",), NOW) == []
