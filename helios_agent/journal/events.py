"""Read the journal."""

import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from helios_agent.clock import to_us
from helios_agent.errors import NotFound, Refused
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
    cause: int | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
    model: str | None = None,
    text: str | None = None,
) -> list[Event]:
    """Return up to `limit` events that pass every filter, newest first.

    `before` and `after` are exclusive bounds on seq; `kinds` are glob patterns ("draw.*"), any of which
    may match; `cause` is the seq of the event they followed from; `since_us` is an inclusive, `until_us`
    an exclusive bound on the time; `text` is a part of the payload's JSON (a to z in either case).

    `model` is a model's name, version or name@version. An event concerns a model when its payload names
    it as name@version, as forecasts, scores and incidents do, when it is a `model.*` of that model, or when
    it is of the job that trained it: `training.*`, and the job's `intent.*`. Raises NotFound for an
    unknown model.
    """
    filters: list[tuple[str, tuple[Any, ...]]] = [
        ("seq < ?", () if before is None else (before,)),
        ("seq > ?", () if after is None else (after,)),
        (" OR ".join(["kind GLOB ?"] * len(kinds)), tuple(kinds)),
        ("cause = ?", () if cause is None else (cause,)),
        ("at_us >= ?", () if since_us is None else (since_us,)),
        ("at_us < ?", () if until_us is None else (until_us,)),
        ("payload LIKE ? ESCAPE '\\'", () if text is None else (f"%{_LITERAL.sub(_ESCAPED, text)}%",)),
        (_CONCERNS, () if model is None else await _of_model(store, model)),
    ]
    chosen = [(sql, parameters) for sql, parameters in filters if parameters]
    where = " AND ".join(f"({sql})" for sql, _ in chosen) or "1"
    parameters = [parameter for _, some in chosen for parameter in some]
    sql = f"SELECT {COLUMNS} FROM event WHERE {where} ORDER BY seq DESC LIMIT ?"  # noqa: S608
    return [Event.from_row(row) for row in await store.rows(sql, (*parameters, limit))]


_LITERAL, _ESCAPED = re.compile(r"[%_\\]"), r"\\\g<0>"
_CONCERNS = (
    "instr(payload, ?) OR CASE WHEN kind GLOB 'training.*'"
    " THEN payload->>'job' IN (SELECT value FROM json_each(?))"
    " WHEN kind GLOB 'intent.*' THEN payload->>'id' IN (SELECT value FROM json_each(?))"
    " WHEN kind GLOB 'model.*' THEN EXISTS (SELECT 1 FROM json_each(?) WHERE value"
    " IN (payload->>'version', payload->>'in_place_of', payload->>'back_to')) END"
)


async def _of_model(store: Reader, model: str) -> tuple[str, str, str, str]:
    """Return what `_CONCERNS` is to look for."""
    rows = await store.rows("SELECT name, version, job FROM model ORDER BY seq")
    for text, matches in (
        ("{name}@", lambda row: model == row["name"]),
        ("@{version}", lambda row: model == row["version"]),
        ("{name}@{version}", lambda row: model == f"{row['name']}@{row['version']}"),
    ):
        found = [row for row in rows if matches(row)]
        if found:
            jobs = json.dumps([row["job"] for row in found])
            versions = json.dumps([row["version"] for row in found])
            return text.format(**dict(found[0])), jobs, jobs, versions
    known = ", ".join(f"{row['name']}@{row['version']}" for row in rows[-3:]) or "none"
    raise NotFound(
        f"model is {model!r}; expected a name, a version or name@version of one that was trained: {known}"
    )


def instant_us(name: str, text: str | None) -> int | None:
    """Return a time in ISO 8601 as microseconds since 1970; UTC where it names no zone. Raises Refused."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            f"{name} is {text!r}; expected a time such as 2026-09-16 or 2026-09-16T04:00:00Z"
        ) from None
    return to_us(instant if instant.tzinfo else instant.replace(tzinfo=UTC))


async def latest(store: Reader, kind: str) -> Event | None:
    """Return the newest event of one kind."""
    sql = f"SELECT {COLUMNS} FROM event WHERE kind = ? ORDER BY seq DESC LIMIT 1"  # noqa: S608
    rows = await store.rows(sql, (kind,))
    return Event.from_row(rows[0]) if rows else None


async def oldest(store: Reader) -> Event | None:
    """Return the oldest event that the database still holds."""
    rows = await store.rows(f"SELECT {COLUMNS} FROM event ORDER BY seq LIMIT 1")  # noqa: S608
    return Event.from_row(rows[0]) if rows else None


async def find(store: Reader, seq: int) -> Event | None:
    """Return the event with this seq."""
    rows = await store.rows(f"SELECT {COLUMNS} FROM event WHERE seq = ?", (seq,))  # noqa: S608
    return Event.from_row(rows[0]) if rows else None


async def head(store: Reader) -> chain.Head:
    """Return seq and hash of the newest event."""
    rows = await store.rows("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1")
    return chain.Head(rows[0]["seq"], rows[0]["hash"].hex()) if rows else chain.Head(0, chain.GENESIS.hex())
