"""Assessments, and what they ask of the tables."""

import json
import sys
from collections.abc import Sequence

from helios_agent.clock import SECOND_US
from helios_agent.errors import DIVERGED
from helios_agent.journal.journal import Event, Transaction
from helios_agent.store import Reader

DAY_US = 86_400 * SECOND_US
WINDOW_US = 30 * DAY_US
"""How far back an assessment looks for what may leave the database: no younger event does."""
MESSAGES_US = 7 * DAY_US


_NEWEST = (
    "SELECT seq, at_us, boot, kind, cause, payload, hash FROM event WHERE kind = 'assessment.completed'"
    " AND payload->>'game' = ? AND seq < ? ORDER BY seq DESC LIMIT ?"
)


async def newest(store: Reader, game: str, limit: int) -> list[Event]:
    """Return up to `limit` assessments of a game, the last first."""
    return [Event.from_row(row) for row in await store.rows(_NEWEST, (game, sys.maxsize, limit))]


def last(tx: Transaction, game: str, before: int = sys.maxsize) -> Event | None:
    """Return the last assessment of a game before an event, None if there is none."""
    rows = tx.rows(_NEWEST, (game, before, 1))
    return Event.from_row(rows[0]) if rows else None


async def alarm_us(store: Reader, target: str, era: str, since_us: int) -> int | None:
    """Return when an alarm about a target was last raised under some rules, None if not since an instant."""
    rows = await store.rows(
        "SELECT max(at_us) AS at_us FROM choice WHERE action = 'alert' AND target = ? AND era = ?",
        (target, era),
    )
    at_us: int | None = rows[0]["at_us"]
    return at_us if at_us is not None and at_us >= since_us else None


async def successes(store: Reader, game: str, actions: Sequence[str], limit: int) -> list[bool]:
    """Return which of the last measured choices of these actions were of use, the last first."""
    rows = await store.rows(
        "SELECT success FROM choice WHERE game = ? AND success IS NOT NULL"
        " AND action IN (SELECT value FROM json_each(?)) ORDER BY measured_us DESC, id DESC LIMIT ?",
        (game, json.dumps([*actions]), limit),
    )
    return [bool(row["success"]) for row in rows]


async def effects(store: Reader, game: str) -> dict[str, tuple[int, int]]:
    """Return of how many measured choices of each action how many did what they were chosen for."""
    rows = await store.rows(
        "SELECT action, sum(success) AS wins, count(*) AS n FROM choice"
        " WHERE game = ? AND success IS NOT NULL GROUP BY action",
        (game,),
    )
    return {row["action"]: (row["wins"], row["n"]) for row in rows}


async def trainings(store: Reader, game: str) -> list[str]:
    """Return how a game's trainings and searches ended that are in the database, the last asked for first.

    `done`, `failed`, `dead`, or `diverged` where that is why it failed.
    """
    rows = await store.rows(
        "SELECT iif(state = 'failed' AND error GLOB ?, 'diverged', state) AS how FROM intent"
        " WHERE action IN ('train', 'tune') AND target = ? AND state IN ('done', 'failed', 'dead')"
        " ORDER BY seq DESC",
        (f"{DIVERGED}*", game),
    )
    return [row["how"] for row in rows]


async def firings(store: Reader, since_us: int) -> list[tuple[int, int]]:
    """Return when each schedule was last due and when that was seen to, of those seen to since an instant."""
    rows = await store.rows(
        "SELECT last.due_us, (SELECT at_us FROM event WHERE event.seq = last.seq) AS seen_us FROM schedule"
        " CROSS JOIN firing AS last ON last.schedule = schedule.name"
        " AND last.due_us = (SELECT max(f.due_us) FROM firing AS f WHERE f.schedule = schedule.name)"
        " WHERE seen_us >= ?",
        (since_us,),
    )
    return [(row["due_us"], row["seen_us"]) for row in rows]


async def unsent(store: Reader, since_us: int) -> int:
    """Return how many messages about events since an instant failed to be delivered and still are not."""
    rows = await store.rows(
        "SELECT count(*) AS n FROM outbox WHERE state <> 'sent' AND (state = 'dead' OR attempt > 0)"
        " AND (SELECT at_us FROM event WHERE event.seq = outbox.event) >= ?",
        (since_us,),
    )
    return int(rows[0]["n"])


async def drawn(store: Reader, game: str, since: str) -> tuple[dict[int, int], dict[int, int]]:
    """Return how often each main ball, and each bonus ball, was drawn from the day `since` on."""
    whites = await store.rows(
        "SELECT ball.value AS ball, count(*) AS n FROM draw, json_each(draw.whites) AS ball"
        " WHERE game = ? AND day >= ? GROUP BY ball.value",
        (game, since),
    )
    bonus = await store.rows(
        "SELECT bonus AS ball, count(*) AS n FROM draw WHERE game = ? AND day >= ? GROUP BY bonus",
        (game, since),
    )
    return ({row["ball"]: row["n"] for row in whites}, {row["ball"]: row["n"] for row in bonus})


async def stored(store: Reader, game: str, since: str, limit: int) -> list[tuple[str, int]]:
    """Return the day of each of the last draws from the day `since` on, and when it was stored; oldest first.

    Of those only that were forecast before: a draw of days when nobody was there was not late.
    """
    rows = await store.rows(
        "SELECT draw.day, event.at_us FROM draw CROSS JOIN event ON event.seq = draw.seq"
        " WHERE draw.game = ? AND draw.day >= ? AND event.kind = 'draw.ingested' AND EXISTS ("
        "SELECT 1 FROM forecast WHERE forecast.game = draw.game AND forecast.day = draw.day"
        " AND forecast.seq < draw.seq) ORDER BY draw.day DESC LIMIT ?",
        (game, since, limit),
    )
    return [(row["day"], row["at_us"]) for row in reversed(rows)]


async def training_costs(store: Reader, game: str, limit: int) -> dict[str, list[float]]:
    """Return the CPU seconds a draw that each of the last trainings took, by action; oldest first.

    Of trainings only that decisions chose: they tell one kind from the other.
    """
    rows = await store.rows(
        "SELECT choice.action, total(spending.cpu_seconds) / model.draws AS cost FROM model"
        " JOIN choice ON choice.id = model.job JOIN spending ON spending.job = model.job"
        " WHERE model.game = ? GROUP BY model.name, model.version ORDER BY model.seq DESC LIMIT ?",
        (game, limit),
    )
    found: dict[str, list[float]] = {}
    for row in reversed(rows):
        found.setdefault(row["action"], []).append(row["cost"])
    return found
