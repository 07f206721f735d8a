"""The stored draws, the state of their feeds, and open incidents."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from helios_agent.journal.journal import Transaction
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import GAMES
from helios_agent.store import Reader, Row


@dataclass(frozen=True, slots=True)
class StoredDraw:
    """A draw, who told of it, and the event that stored it."""

    draw: Draw
    source: str
    seq: int

    def as_record(self) -> dict[str, Any]:
        return to_payload(self.draw, self.source) | {"seq": self.seq}


def to_payload(draw: Draw, source: str) -> dict[str, Any]:
    """Return a draw as the payload of the event that stores it."""
    return {
        "game": draw.game, "day": draw.day.isoformat(), "whites": list(draw.whites), "bonus": draw.bonus,
        "multiplier": draw.multiplier, "ordered": draw.ordered, "source": source,
    }  # fmt: skip


def _from_row(row: Row) -> StoredDraw:
    draw = Draw(
        game=row["game"], day=date.fromisoformat(row["day"]), whites=tuple(json.loads(row["whites"])),
        bonus=row["bonus"], multiplier=row["multiplier"], ordered=bool(row["ordered"]),
    )  # fmt: skip
    return StoredDraw(draw, row["source"], row["seq"])


async def stored(store: Reader, game: str, *, since: str = "") -> list[StoredDraw]:
    """Return the draws of a game from the day `since` on, oldest first."""
    rows = await store.rows("SELECT * FROM draw WHERE game = ? AND day >= ? ORDER BY day", (game, since))
    return [_from_row(row) for row in rows]


async def newest(store: Reader, game: str, limit: int, before: str | None = None) -> list[StoredDraw]:
    """Return up to `limit` draws, newest first; `before` is an exclusive bound on the day."""
    rows = await store.rows(
        "SELECT * FROM draw WHERE game = ? AND day < ? ORDER BY day DESC LIMIT ?",
        (game, before or "9999", limit),
    )
    return [_from_row(row) for row in rows]


async def count(store: Reader, game: str, since: str = "") -> int:
    """Return how many draws of a game from the day `since` on are stored."""
    sql = "SELECT count(*) AS n FROM draw WHERE game = ? AND day >= ?"
    return int((await store.rows(sql, (game, since)))[0]["n"])


async def feeds(store: Reader, game: str) -> dict[str, Mapping[str, Any]]:
    """Return the state of each feed of a game that was ever asked, by its name."""
    rows = await store.rows("SELECT * FROM feed WHERE game = ? ORDER BY source", (game,))
    return {row["source"]: dict(row) for row in rows}


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that is wrong and has not been put right."""

    seq: int
    key: str
    kind: str
    message: str
    opened_us: int


async def open_incidents(store: Reader) -> list[Incident]:
    """Return the open incidents, oldest first."""
    rows = await store.rows(
        "SELECT seq, key, kind, message, opened_us FROM incident WHERE closed_us IS NULL ORDER BY seq"
    )
    return [Incident(**dict(row)) for row in rows]


def open_keys(tx: Transaction) -> list[str]:
    """Return the keys of the open incidents."""
    return [row["key"] for row in tx.rows("SELECT key FROM incident WHERE closed_us IS NULL")]


def open_incident(tx: Transaction, key: str, kind: str, message: str, cause: int | None) -> int | None:
    """Open an incident, unless one with this key is open already; return its event, None if it was."""
    if tx.rows("SELECT 1 FROM incident WHERE key = ? AND closed_us IS NULL", (key,)):
        return None
    return tx.append("incident.opened", {"key": key, "kind": kind, "message": message}, cause).seq


def close_unwatched(tx: Transaction, games: Collection[str]) -> None:
    """Close the incidents of games that are no longer watched."""
    unwatched = GAMES.keys() - set(games)
    for key in open_keys(tx):
        if unwatched.intersection(re.split("[:/]", key)):
            close_incident(tx, key, None)


def close_incident(tx: Transaction, key: str, cause: int | None) -> None:
    """Close the incident with this key, if it is open."""
    if tx.rows("SELECT 1 FROM incident WHERE key = ? AND closed_us IS NULL", (key,)):
        tx.append("incident.closed", {"key": key}, cause)
