"""Intents: what is to be done and why. The only way to make the agent act.

`ready → running → done | failed | dead`; a running intent whose daemon stopped returns to `ready`.
At most one intent waits and at most one runs for each (action, target).
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from helios_agent.errors import NotFound
from helios_agent.journal import chain
from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader, Row

MAX_ATTEMPT = 3
OPEN_STATES = ("proposed", "ready", "running")
# The + before `action`, where this is used, keeps SQLite to the index of those that are ready: they are few.
_CLAIMABLE = (
    "state = 'ready' AND NOT EXISTS (SELECT 1 FROM intent AS running WHERE running.state = 'running'"
    " AND running.action = intent.action AND running.target = intent.target)"
)


@dataclass(frozen=True, slots=True)
class Intent:
    """A row that says what is to be done. `seq` is the event that asked for it."""

    id: str
    action: str
    target: str
    args: Mapping[str, Any]
    state: str
    attempt: int
    max_attempt: int
    due_us: int
    created_us: int
    changed_us: int
    error: str | None
    result: Mapping[str, Any] | None
    seq: int

    @classmethod
    def from_row(cls, row: Row) -> "Intent":
        return cls(
            id=row["id"], action=row["action"], target=row["target"], args=json.loads(row["args"]),
            state=row["state"], attempt=row["attempt"], max_attempt=row["max_attempt"], due_us=row["due_us"],
            created_us=row["created_us"], changed_us=row["changed_us"], error=row["error"],
            result=json.loads(row["result"]) if row["result"] else None, seq=row["seq"],
        )  # fmt: skip


def request(
    tx: Transaction, action: str, target: str, args: Mapping[str, Any], cause: int, due_us: int | None = None
) -> str:
    """Ask for an action; return the intent's id.

    When the same (action, target) is already waiting that one's id is returned, and it is brought
    forward if it was due later. The id is a digest of cause, action, target and arguments, so asking
    twice for the same reason is asking once.
    """
    due_us = tx.now_us() if due_us is None else due_us
    waiting = tx.rows(
        "SELECT id, due_us FROM intent WHERE action = ? AND target = ? AND state IN ('proposed', 'ready')",
        (action, target),
    )
    if waiting:
        if waiting[0]["due_us"] > due_us:
            tx.append("intent.hastened", {"id": waiting[0]["id"], "due_us": due_us}, cause)
        return str(waiting[0]["id"])
    text = chain.canonical([cause, action, target, args])
    intent_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    if not tx.rows("SELECT 1 FROM intent WHERE id = ?", (intent_id,)):
        tx.append(
            "intent.created",
            {
                "id": intent_id,
                "action": action,
                "target": target,
                "args": args,
                "max_attempt": MAX_ATTEMPT,
                "due_us": due_us,
            },
            cause,
        )
    return intent_id


def claim(tx: Transaction, actions: tuple[str, ...]) -> Intent | None:
    """Move the first due intent of these actions to running and return it, or None.

    One whose twin is running waits until that has ended.
    """
    marks = ", ".join("?" * len(actions))
    rows = tx.rows(
        f"SELECT * FROM intent WHERE {_CLAIMABLE} AND due_us <= ? AND +action IN ({marks})"  # noqa: S608
        " ORDER BY due_us, seq LIMIT 1",
        (tx.now_us(), *actions),
    )
    if not rows:
        return None
    tx.append("intent.started", {"id": rows[0]["id"], "action": rows[0]["action"]}, rows[0]["seq"])
    return Intent.from_row(tx.rows("SELECT * FROM intent WHERE id = ?", (rows[0]["id"],))[0])


def finish(tx: Transaction, intent: Intent, result: Mapping[str, Any]) -> None:
    """Record that a running intent did what was asked."""
    tx.append("intent.done", {"id": intent.id, "action": intent.action, "result": result}, intent.seq)


def fail(tx: Transaction, intent: Intent, error: str) -> None:
    """Record that an intent cannot be carried out, and that trying again would not help."""
    tx.append("intent.failed", {"id": intent.id, "action": intent.action, "error": error}, intent.seq)


def retry(tx: Transaction, intent: Intent, error: str, due_us: int) -> bool:
    """Put a running intent back for another attempt, or bury it after its last; return whether it waits."""
    if intent.attempt >= intent.max_attempt:
        tx.append("intent.dead", {"id": intent.id, "action": intent.action, "error": error}, intent.seq)
        return False
    _make_room(tx, intent)
    tx.append("intent.retried", {"id": intent.id, "error": error, "due_us": due_us}, intent.seq)
    return True


def release(tx: Transaction, actions: Collection[str] | None = None) -> int:
    """Put back, without counting an attempt, what this boot runs of these actions (None: of all).

    Returns how many.
    """
    rows = tx.rows("SELECT * FROM intent WHERE state = 'running' AND boot = ?", (tx.boot,))
    rows = [row for row in rows if actions is None or row["action"] in actions]
    for intent in map(Intent.from_row, rows):
        _make_room(tx, intent)
        tx.append("intent.released", {"id": intent.id, "action": intent.action}, intent.seq)
    return len(rows)


def recover(tx: Transaction) -> int:
    """Put back in its place, or bury, what an earlier boot left running when it died; return how many."""
    rows = tx.rows("SELECT * FROM intent WHERE state = 'running' AND boot <> ?", (tx.boot,))
    for intent in map(Intent.from_row, rows):
        retry(tx, intent, "the daemon ended while this was running", intent.due_us)
    return len(rows)


def expire_unwatched(tx: Transaction, games: Collection[str]) -> None:
    """Expire what waits for games that are no longer watched."""
    for row in tx.rows("SELECT id, target, seq FROM intent WHERE state IN ('proposed', 'ready')"):
        game = row["target"].partition("/")[0]
        if game not in games and game != "journal":
            reason = f"{game} is no longer watched"
            tx.append("intent.expired", {"id": row["id"], "reason": reason}, row["seq"])


def _make_room(tx: Transaction, intent: Intent) -> None:
    """Expire a waiting twin, so that the one put back is the one that waits."""
    twins = tx.rows(
        "SELECT id FROM intent WHERE action = ? AND target = ? AND state IN ('proposed', 'ready')",
        (intent.action, intent.target),
    )
    for twin in twins:
        reason = f"intent {intent.id} waits again for the same"
        tx.append("intent.expired", {"id": twin["id"], "reason": reason}, intent.seq)


async def find(store: Reader, intent_id: str) -> Intent:
    """Return one intent. Raises NotFound."""
    rows = await store.rows("SELECT * FROM intent WHERE id = ?", (intent_id,))
    if not rows:
        raise NotFound(f"There is no intent {intent_id!r}.")
    return Intent.from_row(rows[0])


async def latest(store: Reader, action: str, target: str | None = None) -> Intent | None:
    """Return the newest intent of an action."""
    rows = await store.rows(
        "SELECT * FROM intent WHERE action = ? AND (? IS NULL OR target = ?) ORDER BY seq DESC LIMIT 1",
        (action, target, target),
    )
    return Intent.from_row(rows[0]) if rows else None


async def open_ones(store: Reader) -> list[Intent]:
    """Return every intent that waits or runs, the next to be done first."""
    rows = await store.rows(
        "SELECT * FROM intent WHERE state IN ('proposed', 'ready', 'running')"
        " ORDER BY state DESC, due_us, seq"
    )
    return [Intent.from_row(row) for row in rows]


async def next_due_us(store: Reader, actions: tuple[str, ...]) -> int | None:
    """Return when the next of these actions' intents that could be claimed is due."""
    marks = ", ".join("?" * len(actions))
    sql = f"SELECT min(due_us) AS due_us FROM intent WHERE {_CLAIMABLE} AND +action IN ({marks})"  # noqa: S608
    due: int | None = (await store.rows(sql, actions))[0]["due_us"]
    return due
