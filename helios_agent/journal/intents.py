"""Intents: what is to be done and why. The only way to make the agent act.

`ready → running → done | failed | dead`; a running intent whose daemon stopped returns to `ready`. On request
an intent is `paused`, which counts as waiting, or `cancelled`, which is an end. A running one is asked to: it
remembers in `wanted` what is to become of it, whatever ends its run. At most one intent waits and at most
one runs for each (action, target).

What the agent may not do by itself is `proposed`, which counts as waiting, too: `proposed → ready | refused |
expired`. A person approves or refuses it; whoever asks for the same approves it; and it expires unanswered.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helios_agent.clock import iso
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import chain
from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader, Row

MAX_ATTEMPT = 3
OPEN_STATES = ("proposed", "ready", "running", "paused")
UNANSWERED = "nobody approved it in time, so that it counts as rejected"
REQUESTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "pause": (("ready", "running"), "paused"),
    "resume": (("paused",), "resumed"),
    "stop": (OPEN_STATES, "stopped"),
    "retry": (("ready", "failed", "dead", "refused", "expired", "cancelled"), "tried again"),
    "priority": (OPEN_STATES, "given another priority"),
    "approve": (("proposed",), "approved"),
    "refuse": (("proposed",), "refused"),
}
"""What can be asked of an intent, in which states, and how a refusal calls it."""
# The + before `action`, where this is used, keeps SQLite to the index of those that are ready: they are few.
_CLAIMABLE = (
    "state = 'ready' AND NOT EXISTS (SELECT 1 FROM intent AS running WHERE running.state = 'running'"
    " AND running.action = intent.action AND running.target = intent.target)"
)


@dataclass(frozen=True, slots=True)
class Intent:
    """A row that says what is to be done. `seq` is the event that asked for it.

    `expires_us` is until when what was proposed can be approved; None where nobody needs to.
    """

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
    priority: int
    wanted: str | None
    expires_us: int | None

    @classmethod
    def from_row(cls, row: Row) -> "Intent":
        return cls(
            id=row["id"], action=row["action"], target=row["target"], args=json.loads(row["args"]),
            state=row["state"], attempt=row["attempt"], max_attempt=row["max_attempt"], due_us=row["due_us"],
            created_us=row["created_us"], changed_us=row["changed_us"], error=row["error"],
            result=json.loads(row["result"]) if row["result"] else None, seq=row["seq"],
            priority=row["priority"], wanted=row["wanted"], expires_us=row["expires_us"],
        )  # fmt: skip


def request(
    tx: Transaction,
    action: str,
    target: str,
    args: Mapping[str, Any],
    cause: int,
    due_us: int | None = None,
    priority: int = 0,
) -> str:
    """Ask for an action; return the intent's id.

    When the same (action, target) is already waiting or paused that one's id is returned; it is brought
    forward if it was due later, and gets the higher of both priorities, but what is paused stays so. Where
    it is only proposed, asking for it now is approving it; asking for it otherwise, or for later, takes
    the proposal's place. The id is a digest of cause, action, target and arguments, so asking twice for the
    same reason is asking once.
    """
    due_us = tx.now_us() if due_us is None else due_us
    waiting = _waiting(tx, action, target)
    if waiting and waiting[0].state == "proposed":
        waiting = _asked_for_anyway(tx, waiting[0], args, cause, due_us)
    if waiting:
        intent = waiting[0]
        if intent.due_us > due_us:
            tx.append("intent.hastened", {"id": intent.id, "due_us": due_us}, cause)
        if intent.priority < priority:
            tx.append("intent.prioritised", {"id": intent.id, "priority": priority}, cause)
        return intent.id
    intent_id = _name(cause, action, target, args)
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
                "priority": priority,
            },
            cause,
        )
    return intent_id


def propose(
    tx: Transaction,
    action: str,
    target: str,
    args: Mapping[str, Any],
    cause: int,
    *,
    expires_us: int,
    reason: str,
    priority: int = 0,
) -> str:
    """Propose an action, for a person to approve before `expires_us`; return the intent's id.

    When the same (action, target) is already proposed, waiting or paused that one's id is returned, and all
    stays as it was. The id is made as that of a request.
    """
    waiting = _waiting(tx, action, target)
    if waiting:
        return waiting[0].id
    intent_id = _name(cause, action, target, args)
    if not tx.rows("SELECT 1 FROM intent WHERE id = ?", (intent_id,)):
        tx.append(
            "intent.proposed",
            {
                "id": intent_id,
                "action": action,
                "target": target,
                "args": args,
                "max_attempt": MAX_ATTEMPT,
                "due_us": tx.now_us(),
                "priority": priority,
                "expires_us": expires_us,
                "reason": reason,
            },
            cause,
        )
    return intent_id


def approve(tx: Transaction, intent_id: str, by: str) -> None:
    """Let what was proposed be done, due now. Raises NotFound, and Refused where it is answered already."""
    intent = _answered(tx, intent_id, "approve")
    tx.append("intent.approved", {"id": intent.id, "by": by}, intent.seq)


def refuse(tx: Transaction, intent_id: str, by: str, reason: str) -> None:
    """Let what was proposed not be done. Raises NotFound, and Refused where it is answered already."""
    intent = _answered(tx, intent_id, "refuse")
    tx.append("intent.refused", {"id": intent.id, "by": by, "reason": reason}, intent.seq)


def expire_proposals(tx: Transaction) -> int:
    """Expire what was proposed and not answered in time; return how many."""
    rows = tx.rows(
        "SELECT * FROM intent WHERE state = 'proposed' AND expires_us <= ? ORDER BY expires_us, seq",
        (tx.now_us(),),
    )
    for intent in map(Intent.from_row, rows):
        tx.append("intent.expired", {"id": intent.id, "reason": UNANSWERED}, intent.seq)
    return len(rows)


def known(tx: Transaction, intent_id: str) -> Intent:
    """Return one intent as it stands in this transaction. Raises NotFound."""
    return _one(tx.rows("SELECT * FROM intent WHERE id = ?", (intent_id,)), intent_id)


def pause(tx: Transaction, intent_id: str, cause: int) -> None:
    """Let a waiting intent wait until it is resumed; ask a running one to. Raises NotFound, Refused."""
    intent = _asked(tx, intent_id, "pause")
    if intent.wanted == "stop":
        raise Refused(f"{intent.action} {intent.id} is being stopped: it cannot be paused.")
    if intent.state != "running":
        tx.append("intent.paused", {"id": intent.id, "action": intent.action}, cause)
    elif intent.wanted is None:
        tx.append("intent.pausing", {"id": intent.id, "action": intent.action}, cause)


def resume(tx: Transaction, intent_id: str, cause: int) -> None:
    """Let a paused intent wait again, due now. Raises NotFound, Refused."""
    intent = _asked(tx, intent_id, "resume")
    tx.append("intent.resumed", {"id": intent.id, "action": intent.action, "due_us": tx.now_us()}, cause)


def stop(tx: Transaction, intent_id: str, cause: int) -> None:
    """Cancel an intent that waits or is paused; ask a running one to end. Raises NotFound, Refused."""
    intent = _asked(tx, intent_id, "stop")
    if intent.state != "running":
        tx.append("intent.cancelled", {"id": intent.id, "action": intent.action}, cause)
    elif intent.wanted != "stop":
        tx.append("intent.stopping", {"id": intent.id, "action": intent.action}, cause)


def prioritise(tx: Transaction, intent_id: str, cause: int, priority: int) -> None:
    """Have an intent begun before all that are due and have a lower priority. Raises NotFound, Refused."""
    intent = _asked(tx, intent_id, "priority")
    if intent.priority != priority:
        tx.append("intent.prioritised", {"id": intent.id, "priority": priority}, cause)


def again(tx: Transaction, intent_id: str, cause: int) -> str:
    """Try again now; return the id of the intent that does so. Raises NotFound, Refused.

    One that waits for another attempt is due now; for one that ended without being done another is created.
    """
    intent = _asked(tx, intent_id, "retry")
    if intent.state == "ready":
        if intent.due_us > tx.now_us():
            tx.append("intent.hastened", {"id": intent.id, "due_us": tx.now_us()}, cause)
        return intent.id
    return request(tx, intent.action, intent.target, intent.args, cause, priority=intent.priority)


def _answered(tx: Transaction, intent_id: str, what: str) -> Intent:
    """Return a proposal that this answers, in time. Raises NotFound, Refused."""
    intent = known(tx, intent_id)
    told = tx.rows(
        "SELECT at_us, payload->>'by' AS by FROM event WHERE kind = 'intent.approved' AND payload->>'id' = ?",
        (intent.id,),
    )
    if told:
        when, who = iso(told[0]["at_us"]), told[0]["by"]
        raise Refused(
            f"{intent.action} {intent.id} was approved already, at {when} by {who}: it is {intent.state}."
        )
    intent = _asked(tx, intent_id, what)
    if _is_late(tx, intent):
        raise Refused(f"{intent.action} {intent.id} expired at {iso(intent.expires_us or 0)}: {UNANSWERED}.")
    return intent


def _is_late(tx: Transaction, intent: Intent) -> bool:
    """Return whether it is too late to approve a proposal, though that is not journaled yet."""
    return intent.expires_us is not None and intent.expires_us <= tx.now_us()


def _asked_for_anyway(
    tx: Transaction, proposed: Intent, args: Mapping[str, Any], cause: int, due_us: int
) -> list[Intent]:
    """Approve what was proposed, if it is the very thing that is asked for now, and return it.

    Else it expires, and makes room.
    """
    is_same = chain.canonical(proposed.args) == chain.canonical(args) and due_us <= tx.now_us()
    if is_same and not _is_late(tx, proposed):
        sql = "SELECT coalesce(payload->>'by', kind) AS by FROM event WHERE seq = ?"
        who = tx.rows(sql, (cause,))[0]["by"]
        tx.append("intent.approved", {"id": proposed.id, "by": who}, cause)
        return [known(tx, proposed.id)]
    reason = UNANSWERED if _is_late(tx, proposed) else "the same was asked for otherwise, or for later"
    tx.append("intent.expired", {"id": proposed.id, "reason": reason}, cause)
    return []


def _name(cause: int, action: str, target: str, args: Mapping[str, Any]) -> str:
    """Return the id of an intent: a digest of what it is for."""
    text = chain.canonical([cause, action, target, args])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _asked(tx: Transaction, intent_id: str, what: str) -> Intent:
    """Return an intent of which this may be asked. Raises NotFound, Refused."""
    intent, (states, called) = known(tx, intent_id), REQUESTS[what]
    if intent.state not in states:
        raise Refused(f"{intent.action} {intent.id} is {intent.state}: it cannot be {called}.")
    return intent


def claim(tx: Transaction, actions: tuple[str, ...]) -> Intent | None:
    """Move the first due intent of these actions to running and return it, or None.

    Of those that are due the one with the highest priority is the first, then the one that has been due for
    the longest time. One whose twin is running waits until that has ended.
    """
    marks = ", ".join("?" * len(actions))
    rows = tx.rows(
        f"SELECT * FROM intent WHERE {_CLAIMABLE} AND due_us <= ? AND +action IN ({marks})"  # noqa: S608
        " ORDER BY priority DESC, due_us, seq LIMIT 1",
        (tx.now_us(), *actions),
    )
    if not rows:
        return None
    tx.append("intent.started", {"id": rows[0]["id"], "action": rows[0]["action"]}, rows[0]["seq"])
    return known(tx, rows[0]["id"])


def finish(tx: Transaction, intent: Intent, result: Mapping[str, Any]) -> None:
    """Record that a running intent did what was asked."""
    tx.append("intent.done", {"id": intent.id, "action": intent.action, "result": result}, intent.seq)


def fail(tx: Transaction, intent: Intent, error: str) -> None:
    """Record that an intent cannot be carried out, and that trying again would not help.

    If it was to be stopped, it is. One that was to be paused has failed: to go on would not help either.
    """
    if known(tx, intent.id).wanted == "stop":
        _obey(tx, intent)
    else:
        tx.append("intent.failed", {"id": intent.id, "action": intent.action, "error": error}, intent.seq)


def retry(tx: Transaction, intent: Intent, error: str, due_us: int) -> bool:
    """Put a running intent back for another attempt, or bury it after its last; return whether it waits.

    If it was to be paused or stopped, it is.
    """
    if _obey(tx, intent):
        return False
    if intent.attempt >= intent.max_attempt:
        tx.append("intent.dead", {"id": intent.id, "action": intent.action, "error": error}, intent.seq)
        return False
    _make_room(tx, intent)
    tx.append("intent.retried", {"id": intent.id, "error": error, "due_us": due_us}, intent.seq)
    return True


def put_back(tx: Transaction, intent: Intent) -> None:
    """Put a running intent back without counting the attempt. If it was to be paused or stopped, it is."""
    if not _obey(tx, intent):
        _make_room(tx, intent)
        tx.append("intent.released", {"id": intent.id, "action": intent.action}, intent.seq)


def release(
    tx: Transaction,
    actions: Collection[str] | None = None,
    before: Callable[[Intent], object] = lambda intent: None,
) -> int:
    """Put back what this boot runs of these actions (None: of all), each after `before`; return how many."""
    rows = tx.rows("SELECT * FROM intent WHERE state = 'running' AND boot = ?", (tx.boot,))
    rows = [row for row in rows if actions is None or row["action"] in actions]
    for intent in map(Intent.from_row, rows):
        before(intent)
        put_back(tx, intent)
    return len(rows)


def recover(tx: Transaction) -> int:
    """Put back in its place, or bury, what an earlier boot left running when it died; return how many."""
    rows = tx.rows("SELECT * FROM intent WHERE state = 'running' AND boot <> ?", (tx.boot,))
    for intent in map(Intent.from_row, rows):
        retry(tx, intent, "the daemon ended while this was running", intent.due_us)
    return len(rows)


def expire_unwatched(tx: Transaction, games: Collection[str]) -> None:
    """Expire what waits, is proposed or paused for games that are no longer watched."""
    rows = tx.rows("SELECT id, target, seq FROM intent WHERE state IN ('proposed', 'ready', 'paused')")
    for row in rows:
        game = row["target"].partition("/")[0]
        if game not in games and game != "journal":
            reason = f"{game} is no longer watched"
            tx.append("intent.expired", {"id": row["id"], "reason": reason}, row["seq"])


def expire_proposal(tx: Transaction, action: str, target: str, reason: str, cause: int) -> None:
    """Expire the proposal of an action on a target, if there is one."""
    for waiting in _waiting(tx, action, target):
        if waiting.state == "proposed":
            tx.append("intent.expired", {"id": waiting.id, "reason": reason}, cause)


def _obey(tx: Transaction, intent: Intent) -> bool:
    """Do with a running intent what was wanted of it; return whether anything was."""
    wanted = known(tx, intent.id).wanted
    if wanted == "stop":
        tx.append("intent.cancelled", {"id": intent.id, "action": intent.action}, intent.seq)
    elif wanted == "pause":
        _make_room(tx, intent)
        tx.append("intent.paused", {"id": intent.id, "action": intent.action}, intent.seq)
    return wanted is not None


def _make_room(tx: Transaction, intent: Intent) -> None:
    """Expire a waiting twin, so that the one put back is the one that waits, at the higher priority of both.

    That of one that is only proposed does not count.
    """
    for twin in _waiting(tx, intent.action, intent.target):
        reason = f"intent {intent.id} waits again for the same"
        tx.append("intent.expired", {"id": twin.id, "reason": reason}, intent.seq)
        if twin.state != "proposed" and twin.priority > known(tx, intent.id).priority:
            tx.append("intent.prioritised", {"id": intent.id, "priority": twin.priority}, intent.seq)


def _waiting(tx: Transaction, action: str, target: str) -> list[Intent]:
    """Return the intent that is proposed, waits or is paused, if any is."""
    rows = tx.rows(
        "SELECT * FROM intent WHERE action = ? AND target = ? AND state IN ('proposed', 'ready', 'paused')",
        (action, target),
    )
    return [Intent.from_row(row) for row in rows]


def _one(rows: Sequence[Row], intent_id: str) -> Intent:
    if not rows:
        raise NotFound(f"There is no intent {intent_id!r}.")
    return Intent.from_row(rows[0])


async def find(store: Reader, intent_id: str) -> Intent:
    """Return one intent. Raises NotFound."""
    return _one(await store.rows("SELECT * FROM intent WHERE id = ?", (intent_id,)), intent_id)


async def latest(store: Reader, action: str, target: str | None = None) -> Intent | None:
    """Return the newest intent of an action."""
    rows = await store.rows(
        "SELECT * FROM intent WHERE action = ? AND (? IS NULL OR target = ?) ORDER BY seq DESC LIMIT 1",
        (action, target, target),
    )
    return Intent.from_row(rows[0]) if rows else None


async def open_ones(store: Reader) -> list[Intent]:
    """Return every intent that runs, waits, is proposed or paused, in this order, the next one first."""
    rows = await store.rows(
        "SELECT * FROM intent WHERE state IN ('proposed', 'ready', 'running', 'paused')"
        " ORDER BY state DESC, priority DESC, due_us, seq"
    )
    return [Intent.from_row(row) for row in rows]


async def asked_for(
    store: Reader, actions: Collection[str], *, target: str | None = None, before: int | None, limit: int
) -> list[Intent]:
    """Return the intents of these actions, the newest first; with `before` only those of a lower seq."""
    marks = ", ".join("?" * len(actions))
    rows = await store.rows(
        f"SELECT * FROM intent WHERE action IN ({marks}) AND (? IS NULL OR target = ?)"  # noqa: S608
        " AND (? IS NULL OR seq < ?) ORDER BY seq DESC LIMIT ?",
        (*actions, target, target, before, before, limit),
    )
    return [Intent.from_row(row) for row in rows]


def queue(found: Iterable[Intent], now_us: int) -> list[str]:
    """Return the ids of those that wait in the order in which they will be begun.

    What is not due yet stands behind all that is.
    """
    waiting = [intent for intent in found if intent.state == "ready"]
    waiting.sort(
        key=lambda i: (i.due_us if i.due_us > now_us else 0, -i.priority, i.due_us, i.seq),
    )
    return [intent.id for intent in waiting]


async def next_due_us(store: Reader, actions: tuple[str, ...]) -> int | None:
    """Return when the next of these actions' intents that could be claimed is due."""
    marks = ", ".join("?" * len(actions))
    sql = f"SELECT min(due_us) AS due_us FROM intent WHERE {_CLAIMABLE} AND +action IN ({marks})"  # noqa: S608
    due: int | None = (await store.rows(sql, actions))[0]["due_us"]
    return due


async def next_expiry_us(store: Reader) -> int | None:
    """Return when the next proposal expires."""
    rows = await store.rows("SELECT min(expires_us) AS expires_us FROM intent WHERE state = 'proposed'")
    expires_us: int | None = rows[0]["expires_us"]
    return expires_us
