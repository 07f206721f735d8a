"""Decisions as they are shown: what was weighed, chosen and proposed, what became of it, what is believed."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from helios_agent.actions import decide
from helios_agent.clock import SECOND_US, Clock, iso
from helios_agent.config import Config
from helios_agent.errors import NotFound
from helios_agent.journal import autonomy, intents
from helios_agent.journal.intents import Intent
from helios_agent.lottery.games import Game
from helios_agent.store import Reader, Row
from helios_agent.web import views

Status = Literal["pending", "executing", "completed", "failed", "cancelled"]
STATUS_OF: Mapping[str, Status] = {
    "proposed": "pending", "ready": "pending", "paused": "pending", "running": "executing",
    "done": "completed", "failed": "failed", "dead": "failed",
    "cancelled": "cancelled", "refused": "cancelled", "expired": "cancelled",
}  # fmt: skip
"""How an intent's state is called where what was decided is shown."""
WAIT = "wait"
CHUNK = 100
"""Decisions that are looked at together."""
NEAR = 1000
"""A decision asks for what it chose within so many events, for it does so in its own transaction."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which decisions are meant; None and False stand for all. Times in microseconds, seqs exclusive."""

    game: str | None = None
    action: str | None = None
    chosen: bool = False
    status: Status | None = None
    since_us: int | None = None
    until_us: int | None = None
    before: int | None = None


async def history(store: Reader, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """Return decisions, newest first, each chosen candidate with what became of it.

    `action` and `chosen` are of one and the same candidate; one with a `status` was chosen.
    """
    found: list[dict[str, Any]] = []
    before = wanted.before
    while len(found) < limit:
        rows = await _made(store, wanted, before)
        linked = [await _linked(store, row) for row in rows]
        of_ids = await _intents(store, linked)
        found += [made for made in linked if _has_status(made, wanted, of_ids)]
        if len(rows) < CHUNK:
            break
        before = rows[-1]["seq"]
    shown = [{name: value for name, value in made.items() if name != "inputs"} for made in found[:limit]]
    return await _with_outcomes(store, shown)


async def decision(store: Reader, seq: int) -> dict[str, Any]:
    """Return one decision whole: with everything that it was made from, too. Raises NotFound."""
    rows = await store.rows(
        "SELECT seq, at_us, payload FROM event WHERE seq = ? AND kind = 'decision.made'", (seq,)
    )
    if not rows:
        raise NotFound(f"There is no decision {seq}; it is the seq of a decision.made that is not archived.")
    return (await _with_outcomes(store, [await _linked(store, rows[0])]))[0]


async def status(store: Reader, config: Config, rules: Game, clock: Clock) -> dict[str, Any]:
    """Return how decisions stand: autonomy, budget, open proposals, the latest of a game, and its beliefs."""
    latest = await history(store, Wanted(game=rules.name), 1)
    return {
        "autonomy": switch_record(await autonomy.standing(store)),
        "budget": await _budget(store, config, clock.now_us()),
        "proposals": await _proposals(store),
        "latest": latest[0] if latest else None,
        "beliefs": await _beliefs(store, rules),
    }


def switch_record(standing: autonomy.Autonomy) -> dict[str, Any]:
    """Return the kill switch as it is shown outside."""
    return {"is_on": standing.is_on, "by": standing.by, "since": _iso(standing.at_us)}


async def _made(store: Reader, wanted: Wanted, before: int | None) -> Sequence[Row]:
    """Return the next decisions that pass every filter but that of the status, newest first."""
    return await store.rows(
        "SELECT seq, at_us, payload FROM event WHERE kind = 'decision.made'"
        " AND (:game IS NULL OR payload->>'game' = :game) AND (:before IS NULL OR seq < :before)"
        " AND (:since_us IS NULL OR at_us >= :since_us) AND (:until_us IS NULL OR at_us < :until_us)"
        " AND EXISTS (SELECT 1 FROM json_each(payload, '$.candidates') AS c"
        " WHERE (:action IS NULL OR c.value->>'action' = :action)"
        " AND (NOT :chosen OR (c.value->>'chosen' AND (:action IS NOT NULL OR c.value->>'action' <> :wait))))"
        " ORDER BY seq DESC LIMIT :chunk",
        {
            "game": wanted.game, "before": before, "since_us": wanted.since_us, "until_us": wanted.until_us,
            "action": wanted.action, "chosen": wanted.chosen, "wait": WAIT, "chunk": CHUNK,
        },
    )  # fmt: skip


async def _linked(store: Reader, row: Row) -> dict[str, Any]:
    """Return a decision in which every chosen candidate names its intent as `choice`.

    Those of earlier builds are not among the choices: theirs are the intents that they caused.
    """
    made: dict[str, Any] = {"seq": row["seq"], "at": iso(row["at_us"]), **json.loads(row["payload"])}
    if acting := _acting(made):
        chose = "SELECT id, action, target FROM choice WHERE decision = ?"
        found = await store.rows(chose, (row["seq"],)) or await store.rows(
            "SELECT intent.id, intent.action, intent.target FROM intent JOIN event ON event.seq = intent.seq"
            " WHERE intent.seq BETWEEN ?1 AND ?1 + ?2 AND event.cause = ?1",
            (row["seq"], NEAR),
        )
        ids = {(r["action"], r["target"]): r["id"] for r in found}
        for candidate in acting:
            candidate["choice"] = ids.get((candidate["action"], candidate["target"]))
    return made


def _acting(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [c for c in made["candidates"] if c["chosen"] and c["action"] != WAIT]


def _ids(found: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps([c["choice"] for made in found for c in _acting(made) if c["choice"]])


async def _intents(store: Reader, found: Iterable[Mapping[str, Any]]) -> dict[str, Intent]:
    sql = "SELECT * FROM intent WHERE id IN (SELECT value FROM json_each(?))"
    return {row["id"]: Intent.from_row(row) for row in await store.rows(sql, (_ids(found),))}


def _has_status(made: Mapping[str, Any], wanted: Wanted, known: Mapping[str, Intent]) -> bool:
    if wanted.status is None:
        return True
    states = [
        known[c["choice"]].state
        for c in _acting(made)
        if wanted.action in (None, c["action"]) and c["choice"] in known
    ]
    return any(STATUS_OF[state] == wanted.status for state in states)


async def _with_outcomes(store: Reader, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return decisions, each chosen candidate with its `outcome`, every other with None."""
    ids = _ids(found)
    named = "payload->>'id' IN (SELECT value FROM json_each(?))"
    known = await _intents(store, found)
    since = min((intent.seq for intent in known.values()), default=0)
    begun = await store.rows(
        "SELECT payload->>'id' AS id, max(at_us) AS at_us FROM event"  # noqa: S608
        f" WHERE kind = 'intent.started' AND seq > ? AND {named} GROUP BY 1",
        (since, ids),
    )
    told = await store.rows(
        "SELECT payload->>'id' AS id, payload->>'sentence' AS sentence FROM event"  # noqa: S608
        f" WHERE kind = 'decision.measured' AND seq > ? AND {named}",
        (since, ids),
    )
    spent = await store.rows(
        "SELECT job, sum(cpu_seconds) AS cpu_seconds FROM spending"
        " WHERE job IN (SELECT value FROM json_each(?)) GROUP BY job",
        (ids,),
    )
    choices = await store.rows("SELECT * FROM choice WHERE id IN (SELECT value FROM json_each(?))", (ids,))
    facts = _Facts(
        known,
        {row["id"]: row["at_us"] for row in begun},
        {row["id"]: row["sentence"] for row in told},
        {row["job"]: row["cpu_seconds"] for row in spent},
        {row["id"]: row for row in choices},
    )
    for made in found:
        acting = [id(candidate) for candidate in _acting(made)]
        for candidate in made["candidates"]:
            candidate["outcome"] = facts.outcome(candidate) if id(candidate) in acting else None
    return list(found)


@dataclass(frozen=True, slots=True)
class _Facts:
    """What became of choices, by the ids of their intents."""

    intents: Mapping[str, Intent]
    begun_us: Mapping[str, int]
    sentences: Mapping[str, str]
    cpu_seconds: Mapping[str, float]
    choices: Mapping[str, Row]

    def outcome(self, candidate: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what became of a chosen candidate; None where its intent is not known any more."""
        choice: str | None = candidate["choice"]
        intent = self.intents.get(choice or "")
        if choice is None or intent is None:
            return None
        begun_us, ended = self.begun_us.get(choice), intent.state not in intents.OPEN_STATES
        return {
            "status": STATUS_OF[intent.state],
            "state": intent.state,
            "expires_at": _iso(intent.expires_us if intent.state == "proposed" else None),
            "begun_at": _iso(begun_us),
            "ended_at": _iso(intent.changed_us if ended else None),
            # Of the last attempt.
            "execution_seconds": (
                (intent.changed_us - begun_us) / SECOND_US if ended and begun_us is not None else None
            ),
            "cpu_seconds": self.cpu_seconds.get(choice),
            "result": intent.result,
            "error": intent.error,
            **self._measured(choice),
        }

    def _measured(self, choice: str) -> dict[str, Any]:
        row = self.choices.get(choice)
        success = row["success"] if row else None
        return {
            "measured_at": _iso(row["measured_us"] if row else None),
            "impact": row["impact"] if row else None,
            "unit": row["unit"] if row else None,
            "regret": row["regret"] if row else None,
            "worth_it": None if success is None else bool(success),
            "sentence": self.sentences.get(choice),
        }


def _iso(at_us: int | None) -> str | None:
    return None if at_us is None else iso(at_us)


async def _budget(store: Reader, config: Config, now_us: int) -> dict[str, Any]:
    """Return the processor time that what was chosen took in workers, and what is left of the limits.

    A day and a month are those that end now, as they are where it is decided.
    """
    limits = config.decisions.budget
    return {
        "day": await _spent(store, now_us - decide.DAY_US, limits.cpu_per_day),
        "month": await _spent(store, now_us - decide.MONTH_US, limits.cpu_per_month),
    }


async def _spent(store: Reader, since_us: int, limit_s: float) -> dict[str, Any]:
    rows = await store.rows(
        "SELECT coalesce(sum(cpu_seconds), 0.0) AS spent FROM spending"
        " WHERE at_us >= ? AND job IN (SELECT id FROM choice)",
        (since_us,),
    )
    spent: float = rows[0]["spent"]
    return {
        "since": iso(since_us),
        "limit_cpu_seconds": limit_s,
        "spent_cpu_seconds": spent,
        "left_cpu_seconds": max(0.0, limit_s - spent),
    }


async def _proposals(store: Reader) -> list[dict[str, Any]]:
    """Return what waits for a person's answer, the first to expire first."""
    rows = await store.rows(
        "SELECT intent.*, event.cause, event.payload->>'reason' AS reason FROM intent"
        " LEFT JOIN event ON event.seq = intent.seq WHERE state = 'proposed' ORDER BY expires_us, intent.seq"
    )
    return [
        views.intent_record(Intent.from_row(row)) | {"reason": row["reason"], "decision": row["cause"]}
        for row in rows
    ]


async def _beliefs(store: Reader, rules: Game) -> list[dict[str, Any]]:
    """Return how often each action was chosen in each context, and how many of them were worth it."""
    rows = await store.rows(
        "SELECT action, context, count(*) AS chosen, count(success) AS measured,"
        " coalesce(sum(success), 0) AS successes FROM choice WHERE game = ? GROUP BY action, context",
        (rules.name,),
    )
    return [dict(row) for row in rows]
