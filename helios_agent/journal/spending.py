"""The processor time that attempts have taken in workers, CPU seconds.

What was under way when the daemon died is not known, and so is not in any of these sums.
"""

from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader

_DECIDED = (
    "SELECT total(cpu_seconds) AS spent FROM spending WHERE at_us >= ? AND job IN (SELECT id FROM choice)"
)
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
    return float(tx.rows(_DECIDED, (us,))[0]["spent"])


async def known_since(store: Reader, us: int) -> float:
    """Return the same to whoever only reads."""
    return float((await store.rows(_DECIDED, (us,)))[0]["spent"])
