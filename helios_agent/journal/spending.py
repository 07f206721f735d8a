"""The processor time that attempts have taken in workers, CPU seconds.

What was under way when the daemon died is not known, and so is not in any of these sums.
"""

from collections.abc import Sequence
from typing import Any

from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader, Row

_DECIDED = (
    "SELECT total(cpu_seconds) AS spent FROM spending WHERE at_us >= ? AND job IN (SELECT id FROM choice)"
)
_ALL = "SELECT total(cpu_seconds) AS spent FROM spending WHERE at_us >= ?"
_OF_JOB = "SELECT total(cpu_seconds) AS spent FROM spending WHERE job = ?"
DIGITS = 6
"""To the microsecond, as the system counts."""


def account(tx: Transaction, intent: Intent, cpu_seconds: float) -> None:
    """Record what the jobs of a running intent's attempt have taken, if anything.

    To be called in the transaction that ends the attempt, and before it ends it: whoever reacts to the end
    knows what it cost.
    """
    rounded = round(cpu_seconds, DIGITS)
    if rounded > 0.0:
        spent = {
            "job": intent.id,
            "action": intent.action,
            "target": intent.target,
            "attempt": intent.attempt,
            "cpu_seconds": rounded,
        }
        tx.append("work.spent", spent, intent.seq)


def since(tx: Transaction, us: int) -> float:
    """Return what was spent from that moment on by what decisions have chosen."""
    return _spent(tx.rows(_DECIDED, (us,)))


async def total_since(store: Reader, us: int) -> float:
    """Return what was spent from that moment on by whatever was done."""
    return _spent(await store.rows(_ALL, (us,)))


def of_job(tx: Transaction, job: str) -> float:
    """Return what all attempts at one intent have spent."""
    return _spent(tx.rows(_OF_JOB, (job,)))


def _spent(rows: Sequence[Row]) -> float:
    spent: Any = rows[0]["spent"]
    return float(spent)
