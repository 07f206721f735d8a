"""Decisions as they are shown: what was weighed, chosen and proposed, what became of it, what is believed."""

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from helios_agent.actions import decide
from helios_agent.clock import SECOND_US, Clock, iso
from helios_agent.config import Config
from helios_agent.config.decisions import Chosen
from helios_agent.errors import NotFound
from helios_agent.journal import autonomy, intents, spending
from helios_agent.journal.intents import Intent
from helios_agent.lottery.games import Game
from helios_agent.store import Reader, Row
from helios_agent.web import told, views

Status = Literal["pending", "executing", "completed", "failed", "cancelled"]
STATUS_OF: Mapping[str, Status] = {
    "proposed": "pending", "ready": "pending", "paused": "pending", "running": "executing",
    "done": "completed", "failed": "failed", "dead": "failed",
    "cancelled": "cancelled", "refused": "cancelled", "expired": "cancelled",
}  # fmt: skip
"""How an intent's state is called where what was decided is shown."""
STATUSES: tuple[Status, ...] = get_args(Status)
WAIT = "wait"
ACTIONS: tuple[str, ...] = (*get_args(Chosen), WAIT)
"""What can be a candidate."""
LONGEST_REASON = 500
"""Characters of the reason why what was proposed is not to be done."""
WINDOW = 1000
"""So many decisions are looked at for one answer."""
MOST = 200
"""So many are in an answer."""
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


@dataclass(frozen=True, slots=True)
class Page:
    """Decisions, newest first, and the `before` with which to look on; None where there is nothing left."""

    decisions: list[dict[str, Any]]
    following: int | None


async def history(store: Reader, wanted: Wanted, limit: int) -> Page:
    """Return decisions, each chosen candidate with what became of it: of the newest `WINDOW` that are meant.

    `action` and `chosen` are of one and the same candidate; one with a `status` was chosen. By game and
    candidates none is found but among those `WINDOW`, and there may be some further back.
    """
    looked_at = await _looked_at(store, wanted)
    rows = await _made(store, wanted, looked_at, limit)
    linked = await _linked(store, rows)
    shown = [{name: value for name, value in made.items() if name != "inputs"} for made in linked]
    is_over = len(rows) < limit and len(looked_at) < WINDOW
    reached = rows[-1]["seq"] if len(rows) == limit else looked_at[-1] if looked_at else 0
    return Page(await _with_outcomes(store, shown), None if is_over else reached)


async def newest(store: Reader, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
    """Return decisions as `history` does, however far it has to look."""
    page = await history(store, wanted, limit)
    found = page.decisions
    while len(found) < limit and page.following is not None:
        page = await history(store, replace(wanted, before=page.following), limit - len(found))
        found += page.decisions
    return found


async def decision(store: Reader, seq: int) -> dict[str, Any]:
    """Return one decision whole: with everything that it was made from, too. Raises NotFound."""
    rows = await store.rows(
        "SELECT seq, at_us, payload FROM event WHERE seq = ? AND kind = 'decision.made'", (seq,)
    )
    if not rows:
        raise NotFound(f"There is no decision {seq}; it is the seq of a decision.made that is not archived.")
    return (await _with_outcomes(store, await _linked(store, rows)))[0]


async def status(store: Reader, config: Config, rules: Game, clock: Clock) -> dict[str, Any]:
    """Return how decisions stand: autonomy, budget, open proposals, the latest of a game, and its beliefs."""
    latest = await newest(store, Wanted(game=rules.name), 1)
    return {
        **await control(store, config, clock),
        "latest": latest[0] if latest else None,
        "beliefs": await _beliefs(store, rules),
    }


async def control(store: Reader, config: Config, clock: Clock) -> dict[str, Any]:
    """Return what a person has a say in: autonomy, budget and open proposals, of all games."""
    return {
        "autonomy": switch_record(await autonomy.standing(store)),
        "budget": await _budget(store, config, clock.now_us()),
        "proposals": await _proposals(store),
    }


def switch_record(standing: autonomy.Autonomy) -> dict[str, Any]:
    """Return the kill switch as it is shown outside."""
    return {"is_on": standing.is_on, "by": standing.by, "since": _iso(standing.at_us)}


async def _looked_at(store: Reader, wanted: Wanted) -> list[int]:
    """Return the next decisions of which no more is asked than time and status, newest first."""
    states = [state for state, called in STATUS_OF.items() if called == wanted.status]
    rows = await store.rows(
        "SELECT seq FROM event WHERE kind = 'decision.made' AND (:before IS NULL OR seq < :before)"  # noqa: S608
        " AND (:since_us IS NULL OR at_us >= :since_us) AND (:until_us IS NULL OR at_us < :until_us)"
        f" AND (:states = '[]' OR seq IN ({_STANDING})) ORDER BY seq DESC LIMIT :window",
        {
            "before": wanted.before, "since_us": wanted.since_us, "until_us": wanted.until_us,
            "states": json.dumps(states), "action": wanted.action, "window": WINDOW,
        },
    )  # fmt: skip
    return [row["seq"] for row in rows]


# Decisions of earlier builds are not among the choices: what they chose are the intents that they caused.
_STANDING = (
    "SELECT choice.decision FROM choice JOIN intent ON intent.id = choice.id"
    " WHERE intent.state IN (SELECT value FROM json_each(:states))"
    " AND (:action IS NULL OR choice.action = :action)"
    " UNION SELECT asked.cause FROM intent JOIN event AS asked ON asked.seq = intent.seq"
    " WHERE intent.seq < coalesce((SELECT min(decision) FROM choice), intent.seq + 1)"
    " AND intent.state IN (SELECT value FROM json_each(:states)) AND asked.cause IS NOT NULL"
    " AND (:action IS NULL OR intent.action = :action)"
)


async def _made(store: Reader, wanted: Wanted, among: Sequence[int], limit: int) -> Sequence[Row]:
    """Return those of some decisions that are of the wanted game and candidates, newest first."""
    return await store.rows(
        "SELECT seq, at_us, payload FROM event WHERE seq IN (SELECT value FROM json_each(:among))"
        " AND (:game IS NULL OR payload->>'game' = :game)"
        " AND EXISTS (SELECT 1 FROM json_each(payload, '$.candidates') AS c"
        " WHERE (:action IS NULL OR c.value->>'action' = :action)"
        " AND (NOT :chosen OR (c.value->>'chosen' AND (:action IS NOT NULL OR c.value->>'action' <> :wait))))"
        " ORDER BY seq DESC LIMIT :limit",
        {
            "among": json.dumps(list(among)), "game": wanted.game, "action": wanted.action,
            "chosen": wanted.chosen, "wait": WAIT, "limit": limit,
        },
    )  # fmt: skip


async def _linked(store: Reader, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return decisions in which every chosen candidate names its intent as `choice`."""
    found = await asyncio.to_thread(lambda: [_read(row) for row in rows])
    asking = [made["seq"] for made in found if _acting(made)]
    chosen = await store.rows(
        "SELECT decision, id, action, target FROM choice WHERE decision IN (SELECT value FROM json_each(?))",
        (json.dumps(asking),),
    )
    earlier = sorted(set(asking) - {row["decision"] for row in chosen})
    caused = await store.rows(
        "SELECT event.cause AS decision, intent.id, intent.action, intent.target FROM json_each(?1) AS made"
        " CROSS JOIN intent ON intent.seq BETWEEN made.value AND made.value + ?2"
        " CROSS JOIN event ON event.seq = intent.seq AND event.cause = made.value",
        (json.dumps(earlier), NEAR),
    )
    ids = {(row["decision"], row["action"], row["target"]): row["id"] for row in [*chosen, *caused]}
    for made in found:
        for candidate in _acting(made):
            candidate["choice"] = ids.get((made["seq"], candidate["action"], candidate["target"]))
    return found


def _read(row: Row) -> dict[str, Any]:
    return {"seq": row["seq"], "at": iso(row["at_us"]), **json.loads(row["payload"])}


def _acting(made: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [c for c in made["candidates"] if c["chosen"] and c["action"] != WAIT]


def _ids(found: Iterable[Mapping[str, Any]]) -> str:
    return json.dumps([c["choice"] for made in found for c in _acting(made) if c["choice"]])


async def _intents(store: Reader, found: Iterable[Mapping[str, Any]]) -> dict[str, Intent]:
    sql = "SELECT * FROM intent WHERE id IN (SELECT value FROM json_each(?))"
    return {row["id"]: Intent.from_row(row) for row in await store.rows(sql, (_ids(found),))}


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
        success, regret = (row["success"], row["regret"]) if row else (None, None)
        return {
            "measured_at": _iso(row["measured_us"] if row else None),
            "impact": row["impact"] if row else None,
            "unit": row["unit"] if row else None,
            "success": None if success is None else bool(success),
            "regret": regret,
            "worth_it": None if regret is None else regret == 0.0,
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
    spent = await spending.known_since(store, since_us)
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
        views.intent_record(intent)
        | {"what": told.what(intent), "reason": row["reason"], "decision": row["cause"]}
        for row in rows
        for intent in [Intent.from_row(row)]
    ]


async def _beliefs(store: Reader, rules: Game) -> list[dict[str, Any]]:
    """Return how often each action was chosen in each context, and how many of them succeeded."""
    rows = await store.rows(
        "SELECT action, context, count(*) AS chosen, count(success) AS measured,"
        " coalesce(sum(success), 0) AS successes FROM choice WHERE game = ? GROUP BY action, context",
        (rules.name,),
    )
    return [dict(row) for row in rows]
