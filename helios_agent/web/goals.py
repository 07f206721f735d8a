"""What the API and the command line show of goals."""

from datetime import timedelta
from typing import Any, Literal, get_args

from helios_agent.clock import from_us, iso
from helios_agent.decisions import catalogue
from helios_agent.errors import NotFound
from helios_agent.journal import goals
from helios_agent.journal.goals import StoredGoal
from helios_agent.store import Reader
from helios_agent.web import views

State = Literal["waiting", "open", "reached", "missed", "withdrawn"]


async def listed(store: Reader, game: str | None, state: str | None) -> list[dict[str, Any]]:
    """Return goals, the most pressing first, also of a game that is watched no more.

    Raises Refused or NotFound where there is no such state or game.
    """
    known = views.one_of("state", state, get_args(State))
    return [_record(goal) for goal in await goals.stored(store, views.known_game(game), known)]


async def shown(store: Reader, goal_id: str) -> dict[str, Any]:
    """Return a goal. Raises NotFound."""
    goal = await goals.find(store, goal_id)
    if goal is None:
        raise NotFound(f"There is no goal {goal_id!r}.")
    return _record(goal)


def _record(goal: StoredGoal) -> dict[str, Any]:
    last_day = None if goal.deadline_us is None else from_us(goal.deadline_us) - timedelta(days=1)
    return {
        "id": goal.id,
        "game": goal.game,
        "name": goal.name,
        "metric": goal.metric,
        "direction": goal.direction,
        "target": goal.target,
        "priority": goal.priority,
        "served_by": catalogue.serving(goal.metric, goal.direction),
        "deadline": last_day.date().isoformat() if last_day else None,
        "after": list(goal.after),
        "source": goal.source,
        "state": goal.state,
        "reason": goal.reason,
        "start": goal.start,
        "value": goal.value,
        "progress": goal.progress,
        "set_at": iso(goal.set_us),
        "changed_at": iso(goal.changed_us),
        "seq": goal.seq,
    }
