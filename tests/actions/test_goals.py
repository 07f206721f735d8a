"""Goals in the journal: taken from the configuration, set by persons, measured by assessments, and ended."""

from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from helios_agent.actions import goals
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.config.decisions import Goal
from helios_agent.errors import ConfigError, NotFound, Refused
from helios_agent.journal import events, rebuild
from helios_agent.journal import goals as stored
from helios_agent.journal.goals import StoredGoal
from helios_agent.journal.journal import Journal

DAY_S = 86_400


def said(goal_id: str = "a", **changes: Any) -> dict[str, Any]:
    return {
        "id": goal_id, "name": f"goal {goal_id}", "game": "powerball", "metric": "skill", "target": 10,
        "direction": "at least", **changes,
    }  # fmt: skip


def configured(*found: dict[str, Any], games: tuple[str, ...] = ("powerball", "megamillions")) -> Config:
    return Config.model_validate(
        {"games": {name: {"feeds": []} for name in games}, "decisions": {"goals": list(found)}}
    )


class Story:
    """A journal, and short names for what a test does with its goals."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal

    async def adopt(self, *found: dict[str, Any]) -> Config:
        config = configured(*found)
        await self.journal.record(lambda tx: goals.adopt(tx, config))
        return config

    async def set(self, config: Config, **changes: Any) -> str:
        wanted = Goal.model_validate(said(**changes))
        return await self.journal.record(lambda tx: goals.set_out(tx, config, wanted, "http"))

    async def withdraw(self, config: Config, goal_id: str) -> None:
        await self.journal.record(lambda tx: goals.withdraw(tx, config, goal_id, "http"))

    async def measure(self, game: str = "powerball", **signals: float | None) -> None:
        await self.journal.record(
            lambda tx: goals.measure(tx, game, signals, tx.append("test.assessed", {}).seq)
        )

    async def now(self, goal_id: str = "a") -> StoredGoal:
        found = await stored.find(self.journal.store, goal_id)
        assert found is not None
        return found

    async def told(self) -> list[tuple[str, str, str | None]]:
        """What was journaled of goals: kind, id, and the state."""
        found = await events.tail(self.journal.store, limit=99, kinds=["goal.*"])
        return [
            (e.kind.removeprefix("goal."), e.payload["id"], e.payload.get("state")) for e in reversed(found)
        ]


@pytest.fixture
def story(journal: Journal) -> Story:
    return Story(journal)


async def test_the_goals_of_the_configuration_are_set_once_however_often_it_is_read(story: Story) -> None:
    for _ in range(3):
        await story.adopt(said(), said("b", after=["a"]))
    assert await story.told() == [("set", "a", None), ("set", "b", None)]
    assert (await story.now("b")).after == ("a",)
    assert {(g.source, g.state) for g in await stored.stored(story.journal.store)} == {
        ("configuration", "waiting")
    }


async def test_a_goal_that_leaves_the_configuration_is_withdrawn_and_anew_if_it_comes_back(
    story: Story,
) -> None:
    await story.adopt(said())
    await story.measure(skill=5.0)
    await story.adopt()
    gone = await story.now()
    assert (gone.state, gone.value) == ("withdrawn", 5.0)
    await story.adopt()
    await story.adopt(said())
    back = await story.now()
    assert (back.state, back.start, back.value, back.progress) == ("waiting", None, None, None)
    assert await story.told() == [
        ("set", "a", None), ("measured", "a", "open"), ("ended", "a", "withdrawn"), ("set", "a", None)
    ]  # fmt: skip


async def test_a_goal_that_is_configured_otherwise_begins_anew(story: Story) -> None:
    await story.adopt(said(), said("b", after=["a"]))
    await story.measure(skill=5.0)
    await story.adopt(said(target=20), said("b", after=["a"]))
    changed = await story.now()
    assert (changed.target, changed.state, changed.start) == (20.0, "waiting", None)
    await story.measure(skill=8.0)
    assert ((await story.now()).start, (await story.now("b")).state) == (8.0, "waiting")


@pytest.mark.parametrize("value", [10.0, 5.0])
async def test_an_end_stands_as_long_as_the_configuration_says_the_same(
    value: float, story: Story, clock: VirtualClock
) -> None:
    goal = said(deadline=date(2026, 9, 18))
    await story.adopt(goal)
    await story.measure(skill=value)
    await clock.advance(DAY_S)
    await story.measure(skill=value)
    ended = await story.now()
    assert ended.state == ("reached" if value == 10 else "missed")
    told = await story.told()
    await story.adopt(goal)
    await story.measure(skill=99.0)
    assert (await story.now(), await story.told()) == (ended, told)


async def test_the_whole_day_of_the_deadline_is_left_to_reach_it(story: Story, clock: VirtualClock) -> None:
    config = await story.adopt()
    await story.set(config, deadline="2026-09-18")
    await clock.advance(DAY_S / 2 - 1)  # the clock stood at noon
    await story.measure(skill=3.0)
    assert (await story.now()).state == "open"
    await clock.advance(1)
    await story.measure(skill=10.0)
    missed = await story.now()
    assert (missed.state, missed.reason, missed.value) == ("missed", "its deadline is over", 3.0)


async def test_only_what_changes_is_journaled(story: Story) -> None:
    config = await story.adopt()
    await story.set(config)
    for value in (2.0, 2.0, None, 6.0, 6.0):
        await story.measure(skill=value)
    await story.measure("megamillions", skill=9.0)
    await story.measure(skill=10.0)
    await story.measure(skill=0.0)
    found = await events.tail(story.journal.store, limit=9, kinds=["goal.measured", "goal.ended"])
    assert [dict(e.payload) for e in reversed(found)] == [
        {"id": "a", "state": "open", "start": 2.0, "value": 2.0, "progress": 0.0},
        {"id": "a", "state": "open", "start": 2.0, "value": 6.0, "progress": 0.5},
        {"id": "a", "state": "open", "start": 2.0, "value": 10.0, "progress": 1.0},
        {"id": "a", "state": "reached", "value": 10.0, "by": "assessment", "reason": None},
    ]
    assert [e.payload for e in await events.tail(story.journal.store, limit=9, kinds=["action.*"])] == [
        {"action": "set-goal", "target": "a", "args": {}, "by": "http"}
    ]


async def test_a_goal_that_comes_after_a_withdrawn_one_is_missed_and_says_why(story: Story) -> None:
    config = await story.adopt()
    await story.set(config)
    await story.set(config, goal_id="b", after=["a"])
    await story.withdraw(config, "a")
    await story.measure(skill=None)
    missed = await story.now("b")
    assert (missed.state, missed.reason) == ("missed", "it comes after a, which was withdrawn")
    with pytest.raises(Refused, match="The goal b is missed: there is nothing to withdraw"):
        await story.withdraw(config, "b")


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"goal_id": "fixed"}, "id is 'fixed', which is that of a goal of the configuration"),
        ({"goal_id": "own"}, "id is 'own', which is that of a goal that is waiting"),
        ({"after": ["nobody"]}, "after names 'nobody', which is no goal"),
        ({"after": ["a"]}, "after makes a wait for itself"),
        ({"deadline": "2026-09-17"}, "deadline is over already"),
        ({"game": "simulated"}, "game is 'simulated'; expected one that is watched: powerball, megamillions"),
    ],
)
async def test_a_goal_that_cannot_be_set_leaves_no_trace(
    changes: dict[str, Any], refused: str, story: Story
) -> None:
    config = await story.adopt(said("fixed"))
    await story.set(config, goal_id="own", after=["fixed"])
    before = await events.head(story.journal.store)
    with pytest.raises(Refused, match=refused):
        await story.set(config, **changes)
    assert await events.head(story.journal.store) == before


async def test_no_goal_can_be_set_anew_after_one_that_waits_for_it(story: Story) -> None:
    config = await story.adopt()
    await story.set(config)
    await story.set(config, goal_id="b", after=["a"])
    await story.withdraw(config, "a")
    with pytest.raises(Refused, match="after makes a wait for itself: b would come after it"):
        await story.set(config, after=["b"])
    await story.set(config)
    await story.measure(skill=10.0)
    assert (await story.now("b")).state == "reached"


async def test_what_cannot_be_withdrawn_is_refused(story: Story) -> None:
    config = await story.adopt(said())
    with pytest.raises(NotFound, match="There is no goal 'nobody'"):
        await story.withdraw(config, "nobody")
    with pytest.raises(Refused, match="The goal a stands in the configuration"):
        await story.withdraw(config, "a")


async def test_a_persons_goal_gives_way_to_one_of_the_configuration_under_its_id(story: Story) -> None:
    config = await story.adopt()
    await story.set(config)
    await story.measure(skill=5.0)
    await story.adopt(said())
    assert [(g.source, g.state, g.start) for g in await stored.stored(story.journal.store)] == [
        ("configuration", "waiting", None)
    ]
    found = await events.latest(story.journal.store, "goal.ended")
    assert found is not None
    assert (found.payload["state"], found.payload["by"]) == ("withdrawn", "configuration")


def test_a_goal_of_what_is_not_measured_is_no_goal() -> None:
    with pytest.raises(ValidationError, match=r"goals\.0\.metric\n  Input should be 'evidence', "):
        configured(said(metric="luck"))


def test_a_goal_of_the_configuration_ends_in_a_year_that_can_be_reckoned_with() -> None:
    configured(said(deadline=date(2200, 1, 1)))
    with pytest.raises(ValidationError, match=r"goals\.0\.deadline\n  Input should be less .* 2200-01-01"):
        configured(said(deadline=date(9999, 12, 31)))


def test_goals_of_games_that_are_not_watched_are_refused_all_at_once() -> None:
    wrong = configured(said(game="simulated"), said("b", game="simulated"), said("c"))
    with pytest.raises(ConfigError) as refusal:
        goals.check(wrong)
    assert str(refusal.value).splitlines() == [
        f"decisions.goals: {name}: game is 'simulated', which is not among games" for name in "ab"
    ]
    goals.check(configured(said()))


async def test_goals_are_listed_by_how_pressing_they_are(story: Story) -> None:
    config = await story.adopt()
    for goal_id, changes in {
        "later": {"deadline": "2027-01-01"},
        "sooner": {"deadline": "2026-12-01"},
        "some-day": {},
        "low": {"priority": "low", "deadline": "2026-10-01"},
        "critical": {"priority": "critical", "game": "megamillions"},
    }.items():
        await story.set(config, goal_id=goal_id, **changes)
    store = story.journal.store
    assert [g.id for g in await stored.stored(store)] == ["critical", "sooner", "later", "some-day", "low"]
    assert [g.id for g in await stored.stored(store, "megamillions")] == ["critical"]
    assert await stored.stored(store, "megamillions", "open") == []


async def test_the_table_is_what_the_journal_says(story: Story) -> None:
    config = await story.adopt(said("fixed", target=1))
    await story.set(config, after=["fixed"], deadline="2026-09-18")
    await story.measure(skill=2.0)
    await story.withdraw(config, "a")
    await story.set(config)
    await story.adopt()
    path = story.journal.store.path
    rebuild.check(path, path.parent / "archives")
