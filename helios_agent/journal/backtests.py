"""Backtests: how far each is, and what it found. Their reports are files in the state folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helios_agent.store import Reader, Row


@dataclass(frozen=True, slots=True)
class Backtest:
    """A backtest that has begun. `job` is its intent; `gains` are in nats, by forecaster.

    done, total: draws foretold, each counted once for the experts together and once for each network.
    summary, report, sha256: what was found, the name of the report's file, and its digest; None until then.
    completed: the event of its end.
    """

    job: str
    game: str
    era: str
    first: str
    last: str
    forecasters: Sequence[str]
    done: int
    total: int
    gains: Mapping[str, float]
    eta_seconds: float | None
    summary: Mapping[str, Any] | None
    report: str | None
    sha256: str | None
    changed_us: int
    seq: int
    completed: int | None

    @classmethod
    def from_row(cls, row: Row) -> "Backtest":
        return cls(
            **{
                **dict(row),
                "forecasters": json.loads(row["forecasters"]),
                "gains": json.loads(row["gains"]),
                "summary": json.loads(row["summary"]) if row["summary"] else None,
            }
        )


async def find(store: Reader, job: str) -> Backtest | None:
    """Return the backtest of a job, None before it has begun."""
    rows = await store.rows("SELECT * FROM backtest WHERE job = ?", (job,))
    return Backtest.from_row(rows[0]) if rows else None


async def newest(store: Reader, game: str, limit: int, before: int | None = None) -> list[str]:
    """Return the jobs of up to `limit` backtests of a game, newest first, those that still wait included.

    With `before`, only those of a lower seq: of the intent, or, where that has left the database, their own.
    """
    rows = await store.rows(
        "SELECT id FROM (SELECT id, seq FROM intent WHERE action = 'backtest'"
        " AND (target = ?1 OR target LIKE ?1 || '/%')"
        " UNION SELECT job, seq FROM backtest WHERE game = ?1 AND job NOT IN (SELECT id FROM intent))"
        " WHERE ?3 IS NULL OR seq < ?3 ORDER BY seq DESC LIMIT ?2",
        (game, limit, before),
    )
    return [row["id"] for row in rows]


async def last_completed(store: Reader, game: str) -> int | None:
    """Return the event in which the last backtest of a game came to its end."""
    rows = await store.rows("SELECT max(completed) AS seq FROM backtest WHERE game = ?", (game,))
    seq: int | None = rows[0]["seq"]
    return seq
