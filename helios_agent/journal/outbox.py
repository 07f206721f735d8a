"""Webhook messages: queued with the event they tell of, sent at least once."""

from dataclasses import dataclass

from helios_agent.journal.journal import Event, Transaction
from helios_agent.store import Reader


@dataclass(frozen=True, slots=True)
class Message:
    """A message that waits to be sent. `id` is the same on every attempt."""

    id: str
    endpoint: str
    event: int
    attempt: int


def queue(tx: Transaction, endpoint: str, event: Event) -> None:
    """Queue a message about an event to an endpoint, in the event's own transaction."""
    message_id = f"msg_{event.hash[:24]}_{endpoint}"
    tx.append("webhook.queued", {"id": message_id, "endpoint": endpoint, "event": event.seq}, event.seq)


async def due(store: Reader, now_us: int, limit: int) -> list[Message]:
    """Return the messages that are due, the longest waiting first."""
    rows = await store.rows(
        "SELECT id, endpoint, event, attempt FROM outbox WHERE state = 'pending' AND next_us <= ?"
        " ORDER BY next_us, event LIMIT ?",
        (now_us, limit),
    )
    return [Message(**dict(row)) for row in rows]


async def next_due_us(store: Reader) -> int | None:
    """Return when the next waiting message is due."""
    due_us: int | None = (await store.rows("SELECT min(next_us) AS n FROM outbox WHERE state = 'pending'"))[
        0
    ]["n"]
    return due_us


async def counts(store: Reader) -> dict[str, int]:
    """Return the number of messages in each state."""
    rows = await store.rows("SELECT state, count(*) AS n FROM outbox GROUP BY state")
    return {"pending": 0, "sent": 0, "dead": 0} | {row["state"]: row["n"] for row in rows}
