"""What decisions chose, and what came of it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helios_agent.journal.journal import Transaction


@dataclass(frozen=True, slots=True)
class Choice:
    """What a decision chose to do, with the state and the result of the intent that it asked for.

    state and result are None where the intent has left the database; cpu_seconds is what it has cost so far,
    champion the one that there was when it was made.
    """

    id: str
    decision: int
    game: str
    action: str
    target: str
    context: str
    urgency: float
    at_us: int
    state: str | None
    result: Mapping[str, Any] | None
    cpu_seconds: float
    champion: str | None


def unmeasured(tx: Transaction, game: str) -> list[Choice]:
    """Return a game's choices of which it is not known yet what came of them, the oldest first."""
    rows = tx.rows(
        "SELECT choice.id, decision, game, choice.action, choice.target, context, urgency, at_us,"
        " intent.state, intent.result, (SELECT coalesce(sum(cpu_seconds), 0) FROM spending"
        " WHERE spending.job = choice.id) AS cpu_seconds, champion"
        " FROM choice LEFT JOIN intent ON intent.id = choice.id"
        " WHERE game = ? AND measured_us IS NULL ORDER BY decision, choice.id",
        (game,),
    )
    return [
        Choice(**{**dict(row), "result": json.loads(row["result"]) if row["result"] else None})
        for row in rows
    ]


def outcomes(tx: Transaction, game: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Return how many choices of a game succeeded and how many did not, by action and context."""
    rows = tx.rows(
        "SELECT action, context, sum(success) AS wins, count(*) - sum(success) AS losses FROM choice"
        " WHERE game = ? AND success IS NOT NULL GROUP BY action, context",
        (game,),
    )
    return {(row["action"], row["context"]): (row["wins"], row["losses"]) for row in rows}


def last_us(tx: Transaction, since_us: int) -> dict[tuple[str, str], int]:
    """Return when each action on each target was last chosen since an instant.

    One that was proposed, and refused or not answered, counts from then on.
    """
    rows = tx.rows(
        "SELECT choice.action, choice.target, max(max(at_us, CASE WHEN state IN ('refused', 'expired')"
        " THEN changed_us ELSE 0 END)) AS last_us FROM choice LEFT JOIN intent ON intent.id = choice.id"
        " WHERE at_us >= ? GROUP BY choice.action, choice.target",
        (since_us,),
    )
    return {(row["action"], row["target"]): row["last_us"] for row in rows}


def alerted(tx: Transaction, game: str, era: str | None) -> dict[str, float]:
    """Return the highest evidence, in nats, of which a game's alerts told under some rules, by target."""
    rows = tx.rows(
        "SELECT target, max(peak_nats) AS nats FROM choice WHERE game = ? AND action = 'alert' AND era = ?"
        " GROUP BY target HAVING nats IS NOT NULL",
        (game, era),
    )
    return {row["target"]: row["nats"] for row in rows}


def brought_nothing_since_newest(tx: Transaction, game: str, action: str) -> bool:
    """Return whether a choice that was made since a draw last came in is known to have been of no use."""
    rows = tx.rows(
        "SELECT 1 FROM choice WHERE game = ?1 AND action = ?2 AND success = 0 AND decision >"
        " (SELECT coalesce(max(seq), 0) FROM draw WHERE game = ?1) LIMIT 1",
        (game, action),
    )
    return bool(rows)


def scored_since(tx: Transaction, game: str, seq: int) -> tuple[int, str | None]:
    """Return how many draws of a game were scored after an event, and of which rules the newest is."""
    rows = tx.rows(
        "SELECT count(*) AS draws, (SELECT era FROM score WHERE game = ?1 ORDER BY day DESC LIMIT 1) AS era"
        " FROM score WHERE game = ?1 AND seq > ?2",
        (game, seq),
    )
    return rows[0]["draws"], rows[0]["era"]


def not_over(tx: Transaction) -> list[tuple[str, str]]:
    """Return the action and the game of each choice that waits, is proposed, or runs."""
    rows = tx.rows(
        "SELECT choice.action, game FROM intent JOIN choice ON choice.id = intent.id"
        " WHERE state IN ('proposed', 'ready', 'running', 'paused')"
    )
    return [(row["action"], row["game"]) for row in rows]


COSTS_FROM = 5
"""So many of the latest jobs tell what the next will cost."""


def usual_cost(tx: Transaction, action: str, intent: str, game: str) -> float | None:
    """Return the mean CPU seconds of a game's latest jobs of an action, None if there was none.

    `intent` is what the action is called among intents: those that persons asked for tell it where no
    decision ever chose the action.
    """
    for sql, name in (
        ("SELECT sum(cpu_seconds) AS cost FROM spending JOIN choice ON choice.id = spending.job"
         " WHERE choice.game = ? AND choice.action = ? GROUP BY job ORDER BY max(seq) DESC LIMIT ?", action),
        ("SELECT sum(cpu_seconds) AS cost FROM spending WHERE target = ? AND action = ?"
         " GROUP BY job ORDER BY max(seq) DESC LIMIT ?", intent),
    ):  # fmt: skip
        costs = [row["cost"] for row in tx.rows(sql, (game, name, COSTS_FROM))]
        if costs:
            return float(sum(costs) / len(costs))
    return None


def gains(tx: Transaction, game: str, forecaster: str, after: int) -> dict[str, float]:
    """Return what a forecaster gained on uniform at each draw scored after an event, nats, by day."""
    rows = tx.rows(
        "SELECT day, gain_nats FROM ledger JOIN score USING (game, day)"
        " WHERE game = ? AND forecaster = ? AND score.seq > ? ORDER BY day",
        (game, forecaster, after),
    )
    return {row["day"]: row["gain_nats"] for row in rows}
