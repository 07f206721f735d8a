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


def switch(tx: Transaction, on: bool, by: str) -> None:
    """Have the agent decide for itself, or stop that; journaled where it changes anything."""
    if on != is_on(tx):
        tx.append("autonomy.switched", {"is_on": on, "by": by})


async def standing(store: Reader) -> Autonomy:
    """Return whether the agent decides for itself, since when, and who said so."""
    rows = await store.rows(_SQL)
    return Autonomy(bool(rows[0]["is_on"]), rows[0]["by"], rows[0]["at_us"]) if rows else Autonomy()
