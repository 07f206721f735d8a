"""The kill switch: whether the agent decides for itself."""

from dataclasses import dataclass

from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader


@dataclass(frozen=True, slots=True)
class Autonomy:
    """Whether the agent decides for itself, and who said so when; nobody if it was never switched."""

    is_on: bool = True
    by: str | None = None
    at_us: int | None = None


_SQL = "SELECT is_on, by, at_us FROM autonomy"


def is_on(tx: Transaction) -> bool:
    """Return whether the agent decides for itself."""
    return all(row["is_on"] for row in tx.rows(_SQL))


_NOT_BEGUN = """
    SELECT intent.id, intent.action FROM intent JOIN choice USING (id)
    WHERE intent.state = 'ready' AND intent.expires_us IS NULL AND intent.action NOT IN ('alert', 'ask')
"""
"""What decisions chose and nobody approved, but for what only tells a person."""


def switch(tx: Transaction, on: bool, by: str) -> None:
    """Have the agent decide for itself, or stop that; journaled where it changes anything.

    Stopped, what decisions chose and what has not begun is cancelled. What runs goes on, and what is proposed
    or was approved is a person's to answer for.
    """
    if on == is_on(tx):
        return
    switched = tx.append("autonomy.switched", {"is_on": on, "by": by})
    for row in () if on else tx.rows(_NOT_BEGUN):
        tx.append("intent.cancelled", {"id": row["id"], "action": row["action"]}, switched.seq)


async def standing(store: Reader) -> Autonomy:
    """Return whether the agent decides for itself, since when, and who said so."""
    rows = await store.rows(_SQL)
    return Autonomy(bool(rows[0]["is_on"]), rows[0]["by"], rows[0]["at_us"]) if rows else Autonomy()
