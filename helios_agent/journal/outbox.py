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


async def due(store: Reader, now_us: int, limit: int, endpoint: str | None = None) -> list[Message]:
    """Return the messages that are due, the longest waiting first: of one endpoint, or of all."""
    rows = await store.rows(
        "SELECT id, endpoint, event, attempt FROM outbox"
        " WHERE state = 'pending' AND next_us <= ?1 AND (?2 IS NULL OR endpoint = ?2)"
        " ORDER BY next_us, event LIMIT ?3",
        (now_us, endpoint, limit),
    )
    return [Message(**dict(row)) for row in rows]


async def next_due_us(store: Reader, endpoint: str | None = None) -> int | None:
    """Return when the next waiting message is due: of one endpoint, or of all."""
    rows = await store.rows(
        "SELECT min(next_us) AS n FROM outbox WHERE state = 'pending' AND (?1 IS NULL OR endpoint = ?1)",
        (endpoint,),
    )
    due_us: int | None = rows[0]["n"]
    return due_us


async def endpoints(store: Reader) -> set[str]:
    """Return the endpoints for which messages wait."""
    rows = await store.rows("SELECT DISTINCT endpoint FROM outbox WHERE state = 'pending'")
    return {row["endpoint"] for row in rows}


async def counts(store: Reader) -> dict[str, int]:
    """Return the number of messages in each state."""
    rows = await store.rows("SELECT state, count(*) AS n FROM outbox GROUP BY state")
    return {"pending": 0, "sent": 0, "dead": 0} | {row["state"]: row["n"] for row in rows}
