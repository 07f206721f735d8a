"""Read the journal."""

from collections.abc import Sequence

from helios_agent.journal import chain
from helios_agent.journal.journal import Event
from helios_agent.store import Reader

COLUMNS = "seq, at_us, boot, kind, cause, payload, hash"


async def tail(
    store: Reader,
    *,
    limit: int,
    before: int | None = None,
    after: int | None = None,
    kinds: Sequence[str] = (),
) -> list[Event]:
    """Return up to `limit` events, newest first.

    `before` and `after` are exclusive bounds on seq; `kinds` are glob patterns ("draw.*"), any of
    which may match.
    """
    where, parameters = ["1"], []
    if before is not None:
        where.append("seq < ?")
        parameters.append(str(before))
    if after is not None:
        where.append("seq > ?")
        parameters.append(str(after))
    if kinds:
        where.append(f"({' OR '.join(['kind GLOB ?'] * len(kinds))})")
        parameters.extend(kinds)
    sql = f"SELECT {COLUMNS} FROM event WHERE {' AND '.join(where)} ORDER BY seq DESC LIMIT ?"  # noqa: S608
    return [Event.from_row(row) for row in await store.rows(sql, (*parameters, limit))]


async def latest(store: Reader, kind: str) -> Event | None:
    """Return the newest event of one kind."""
    sql = f"SELECT {COLUMNS} FROM event WHERE kind = ? ORDER BY seq DESC LIMIT 1"  # noqa: S608
    rows = await store.rows(sql, (kind,))
    return Event.from_row(rows[0]) if rows else None


async def find(store: Reader, seq: int) -> Event | None:
    """Return the event with this seq."""
    rows = await store.rows(f"SELECT {COLUMNS} FROM event WHERE seq = ?", (seq,))  # noqa: S608
    return Event.from_row(rows[0]) if rows else None


async def head(store: Reader) -> chain.Head:
    """Return seq and hash of the newest event."""
    rows = await store.rows("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1")
    return chain.Head(rows[0]["seq"], rows[0]["hash"].hex()) if rows else chain.Head(0, chain.GENESIS.hex())
