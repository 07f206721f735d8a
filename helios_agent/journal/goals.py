"""Goals as the journal holds them: read, set, measured, ended."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helios_agent.journal.journal import Event, Transaction
from helios_agent.store import Reader, Row

# What must be reached first comes first; then what ends first.
_ORDER = (
    "ORDER BY CASE priority WHEN 'critical' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2 ELSE 3 END,"
    " deadline_us IS NULL, deadline_us, id"
)


@dataclass(frozen=True, slots=True)
class StoredGoal:
    """A goal, and how far it is: see `metacognition.goals`. Times in microseconds since 1970 UTC."""

    id: str
    game: str
    name: str
    metric: str
    target: float
    direction: str
    priority: str
    deadline_us: int | None
    after: tuple[str, ...]
    source: str
    state: str
    start: float | None
    value: float | None
    progress: float | None
    reason: str | None
    set_us: int
    changed_us: int
    seq: int

    @classmethod
    def from_row(cls, row: Row) -> "StoredGoal":
        return cls(**{**dict(row), "after": tuple(json.loads(row["after"]))})


async def stored(store: Reader, game: str | None = None, state: str | None = None) -> list[StoredGoal]:
    """Return the goals, or only those of a game or in a state, the most pressing first."""
    rows = await store.rows(
        f"SELECT * FROM goal WHERE (?1 IS NULL OR game = ?1) AND (?2 IS NULL OR state = ?2) {_ORDER}",  # noqa: S608
        (game, state),
    )
    return [StoredGoal.from_row(row) for row in rows]


async def find(store: Reader, goal_id: str) -> StoredGoal | None:
    """Return the goal with this id, None where there is none."""
    rows = await store.rows("SELECT * FROM goal WHERE id = ?", (goal_id,))
    return StoredGoal.from_row(rows[0]) if rows else None


def every(tx: Transaction) -> list[StoredGoal]:
    """Return all goals, the most pressing first."""
    return [StoredGoal.from_row(row) for row in tx.rows(f"SELECT * FROM goal {_ORDER}")]  # noqa: S608


def set_out(tx: Transaction, definition: Mapping[str, Any], cause: int | None) -> Event:
    """Journal a goal. It takes the place of one with the same id that has ended."""
    return tx.append("goal.set", definition, cause)


def measured(tx: Transaction, goal_id: str, standing: Mapping[str, Any], cause: int) -> None:
    """Journal how far a goal is: `state` (waiting or open), `start`, `value` and `progress`."""
    tx.append("goal.measured", {"id": goal_id, **standing}, cause)


def end(
    tx: Transaction,
    goal_id: str,
    state: str,
    by: str,
    cause: int | None,
    value: float | None = None,
    reason: str | None = None,
) -> None:
    """Journal that a goal was reached, missed (`reason` says why) or withdrawn, and by whom or what."""
    ended = {"id": goal_id, "state": state, "value": value, "by": by, "reason": reason}
    tx.append("goal.ended", ended, cause)


DEFINITION: Sequence[str] = (
    "id", "game", "name", "metric", "target", "direction", "priority", "deadline_us", "after", "source",
)  # fmt: skip
"""What `goal.set` says of a goal."""


def definition(goal: StoredGoal) -> dict[str, Any]:
    """Return what a goal was set to be, as `goal.set` says it."""
    said = {name: getattr(goal, name) for name in DEFINITION}
    return said | {"after": list(goal.after)}
