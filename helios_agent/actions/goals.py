"""Goals: taken from the configuration, set and withdrawn by persons, measured by assessments."""

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

from loguru import logger

from helios_agent.clock import to_us
from helios_agent.config import Config
from helios_agent.config.decisions import Goal as Setting
from helios_agent.errors import ConfigError, NotFound, Refused
from helios_agent.journal import goals as stored
from helios_agent.journal.goals import StoredGoal
from helios_agent.journal.journal import Transaction
from helios_agent.metacognition import goals
from helios_agent.metacognition.goals import Goal
from helios_agent.metacognition.signals import SIGNALS

CONFIGURATION, PERSON = "configuration", "person"
ASSESSMENT = "assessment"


def check(config: Config) -> None:
    """Raise ConfigError, naming every mistake, for goals of no watched game."""
    mistakes = [
        f"{goal.id}: game is {goal.game!r}, which is not among games"
        for goal in config.decisions.goals
        if goal.game not in config.games
    ]
    if mistakes:
        raise ConfigError("\n".join(f"decisions.goals: {mistake}" for mistake in mistakes))


def adopt(tx: Transaction, config: Config, cause: int | None = None) -> None:
    """Let the configured goals be those that the configuration names now.

    One that it names no more is withdrawn; so is one that it names otherwise, and the new one is set in its
    place, to begin anew. Where a person has set a goal under the same id, the configured one takes its place.
    """
    settings = {goal.id: _definition(goal, CONFIGURATION) for goal in config.decisions.goals}
    held = {goal.id: goal for goal in stored.every(tx)}
    for goal_id, goal in held.items():
        gone = goal_id not in settings and goal.source == CONFIGURATION
        changed = goal_id in settings and stored.definition(goal) != settings[goal_id]
        if (gone or changed) and goal.state in goals.LIVE:
            stored.end(tx, goal_id, goals.WITHDRAWN, CONFIGURATION, cause)
    for goal_id, definition in settings.items():
        known = held.get(goal_id)
        same = known is not None and stored.definition(known) == definition
        if not same or (known is not None and known.state == goals.WITHDRAWN):
            stored.set_out(tx, definition, cause)


def set_out(tx: Transaction, config: Config, setting: Setting, by: str) -> str:
    """Set a goal on behalf of a person; return its id. Raises Refused, naming every fault, and NotFound."""
    definition = _definition(setting, PERSON)
    if setting.game not in config.games:
        raise NotFound(f"game is {setting.game!r}; expected one that is watched: {', '.join(config.games)}")
    held = stored.every(tx)
    names = [signal.name for signal in SIGNALS]
    found = goals.faults(_pure(definition), map(_of, held), names, tx.now_us())
    if _is_configured(config, setting.id):
        found = [f"id is {setting.id!r}, which is that of a goal of the configuration"]
    if found:
        raise Refused("; ".join(found))
    asked = {"action": "set-goal", "target": setting.id, "args": {}, "by": by}
    stored.set_out(tx, definition, tx.append("action.requested", asked).seq)
    return setting.id


def withdraw(tx: Transaction, config: Config, goal_id: str, by: str) -> None:
    """Withdraw a goal on behalf of a person. Raises NotFound and Refused."""
    goal = next((goal for goal in stored.every(tx) if goal.id == goal_id), None)
    if goal is None:
        raise NotFound(f"There is no goal {goal_id!r}.")
    if goal.state not in goals.LIVE:
        raise Refused(f"The goal {goal_id} is {goal.state}: there is nothing to withdraw.")
    if _is_configured(config, goal_id):
        raise Refused(
            f"The goal {goal_id} stands in the configuration: take it out of decisions.goals and reload."
        )
    asked = {"action": "withdraw-goal", "target": goal_id, "args": {}, "by": by}
    cause = tx.append("action.requested", asked).seq
    stored.end(tx, goal_id, goals.WITHDRAWN, by, cause, goal.value)


def measure(tx: Transaction, game: str, signals: Mapping[str, float | None], cause: int) -> None:
    """Journal what an assessment of a game, which is the event `cause`, says of its goals."""
    before = {goal.id: _of(goal) for goal in stored.every(tx)}
    for goal in goals.measure(list(before.values()), game, signals, tx.now_us()):
        standing = {"start": goal.start, "value": goal.value, "progress": goal.progress}
        if any(getattr(before[goal.id], name) != value for name, value in standing.items()):
            stored.measured(tx, goal.id, {"state": goals.OPEN, **standing}, cause)
        if goal.state not in goals.LIVE:
            stored.end(tx, goal.id, goal.state, ASSESSMENT, cause, goal.value, goal.reason)
            logger.bind(action="assess", game=game).info("the goal {} is {}", goal.id, goal.state)


def _definition(setting: Setting, source: str) -> dict[str, Any]:
    over_us = None
    if setting.deadline is not None:  # the whole day is left to reach it
        over_us = to_us(datetime.combine(setting.deadline + timedelta(days=1), time(), UTC))
    said = setting.model_dump(mode="json", exclude={"deadline"})
    return said | {"deadline_us": over_us, "source": source}


def _is_configured(config: Config, goal_id: str) -> bool:
    return any(goal.id == goal_id for goal in config.decisions.goals)


def _pure(definition: Mapping[str, Any]) -> Goal:
    return Goal(
        id=definition["id"], game=definition["game"], metric=definition["metric"],
        target=definition["target"], direction=definition["direction"],
        deadline_us=definition["deadline_us"], after=tuple(definition["after"]),
    )  # fmt: skip


def _of(goal: StoredGoal) -> Goal:
    return Goal(
        id=goal.id, game=goal.game, metric=goal.metric, target=goal.target, direction=goal.direction,
        deadline_us=goal.deadline_us, after=goal.after, state=goal.state, start=goal.start, value=goal.value,
        progress=goal.progress, reason=goal.reason,
    )  # fmt: skip
