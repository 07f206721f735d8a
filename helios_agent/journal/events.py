"""Read the journal."""

import asyncio
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypedDict, Unpack

from helios_agent.clock import to_us
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import chain
from helios_agent.journal.journal import Event
from helios_agent.store import Reader

COLUMNS = "seq, at_us, boot, kind, cause, payload, hash"
WINDOW = 10_000
"""So many events a page looks through where no index tells which of them are meant."""


class Asked(TypedDict, total=False):
    """What is asked of events: see `tail`."""

    kinds: Sequence[str]
    cause: int | None
    since_us: int | None
    until_us: int | None
    model: str | None
    text: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Events, newest first, and the `before` with which to look on; None where there is nothing left."""

    events: list[Event]
    following: int | None


async def page(
    store: Reader,
    *,
    limit: int,
    before: int | None = None,
    after: int | None = None,
    **filters: Unpack[Asked],
) -> Page:
    """Return events as `tail` does, but look through so many at the most.

    Where they are sought by cause, model or text, these are the newest `WINDOW` before `before`: there may be
    none of those that are meant among them, and some further back.
    """
    lowest = max(after or 0, await _oldest_seq(store) - 1)
    floor = lowest
    if any(filters.get(name) is not None for name in ("cause", "model", "text")):
        newest = (await head(store)).seq if before is None else before - 1
        floor = max(lowest, newest - WINDOW)
    found = await tail(store, limit=limit, before=before, after=floor, **filters)
    reached = found[-1].seq if len(found) == limit else floor + 1
    return Page(found, reached if reached > lowest + 1 else None)


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
    filters = Filters(before, after, tuple(kinds), cause, since_us, until_us, model, text)
    models = [] if model is None else [dict(row) for row in await store.rows(MODELS)]
    sql, parameters = newest(filters, models, limit)
    rows = await store.rows(sql, parameters)
    return await asyncio.to_thread(lambda: [Event.from_row(row) for row in rows])


@dataclass(frozen=True, slots=True)
class Filters:
    """What events must pass, as `tail` explains it; what is None or empty is not asked about."""

    before: int | None = None
    after: int | None = None
    kinds: tuple[str, ...] = ()
    cause: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    model: str | None = None
    text: str | None = None


def newest(filters: Filters, models: Sequence[Mapping[str, Any]], limit: int) -> tuple[str, dict[str, Any]]:
    """Return the query, with its parameters, for the newest events that pass.

    `models` are as `MODELS` finds them. Raises NotFound for one that is not among them.
    """
    text = None if filters.text is None else f"%{_LITERAL.sub(_ESCAPED, filters.text)}%"
    conditions: list[tuple[str, Mapping[str, Any]]] = [
        (sql, {name: value})
        for sql, name, value in (
            ("seq < :before", "before", filters.before),
            ("seq > :after", "after", filters.after),
            ("cause = :cause", "cause", filters.cause),
            ("at_us >= :since", "since", filters.since_us),
            ("at_us < :until", "until", filters.until_us),
            ("payload LIKE :text ESCAPE '\\'", "text", text),
        )
        if value is not None
    ]
    if filters.kinds:
        conditions.append(of_kinds("kind", filters.kinds))
    if filters.model is not None:
        conditions.append(concerning(models, filters.model))
    where = " AND ".join(f"({sql})" for sql, _ in conditions) or "1"
    parameters = {name: value for _, some in conditions for name, value in some.items()}
    sql = f"SELECT {COLUMNS} FROM event WHERE {where} ORDER BY seq DESC LIMIT :limit"  # noqa: S608
    return sql, parameters | {"limit": limit}


_LITERAL, _ESCAPED = re.compile(r"[%_\\]"), r"\\\g<0>"
CONCERNS = (
    "instr(payload, :forecaster) OR CASE"
    " WHEN kind GLOB 'training.*' THEN payload->>'job' IN (SELECT value FROM json_each(:jobs))"
    " WHEN kind GLOB 'intent.*' THEN payload->>'id' IN (SELECT value FROM json_each(:jobs))"
    " WHEN kind GLOB 'model.*' THEN EXISTS (SELECT 1 FROM json_each(:versions) WHERE value"
    " IN (payload->>'version', payload->>'in_place_of', payload->>'back_to')) END"
)
MODELS = "SELECT name, version, job FROM model ORDER BY seq"


def of_kinds(kind: str, patterns: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Return the condition, with its parameters, that `kind`, which is SQL, matches any of the patterns."""
    parameters = {f"kind{n}": pattern for n, pattern in enumerate(patterns)}
    return " OR ".join(f"{kind} GLOB :{name}" for name in parameters), parameters


def concerning(models: Sequence[Mapping[str, Any]], model: str) -> tuple[str, dict[str, str]]:
    """Return the condition, with its parameters, of events that concern a model (see `tail`).

    `models` are as `MODELS` finds them. Raises NotFound for one that is not among them.
    """
    found = versions_meant(models, model)
    name, version = found[0]["name"], found[0]["version"]
    forecaster = f"{name}@" if model == name else f"@{version}" if model == version else model
    jobs = json.dumps([row["job"] for row in found])
    return CONCERNS, {
        "forecaster": forecaster, "jobs": jobs, "versions": json.dumps([row["version"] for row in found])
    }  # fmt: skip


def versions_meant(models: Sequence[Mapping[str, Any]], model: str) -> list[Mapping[str, Any]]:
    """Return the models that a name, version or name@version means. Raises NotFound where there is none."""
    for form in ("{name}", "{version}", "{name}@{version}"):
        found = [row for row in models if model == form.format(**dict(row))]
        if found:
            return found
    known = ", ".join(f"{row['name']}@{row['version']}" for row in models[-3:]) or "none"
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


async def _oldest_seq(store: Reader) -> int:
    return int((await store.rows("SELECT coalesce(min(seq), 1) AS seq FROM event"))[0]["seq"])


async def find(store: Reader, seq: int) -> Event | None:
    """Return the event with this seq."""
    rows = await store.rows(f"SELECT {COLUMNS} FROM event WHERE seq = ?", (seq,))  # noqa: S608
    return Event.from_row(rows[0]) if rows else None


async def head(store: Reader) -> chain.Head:
    """Return seq and hash of the newest event."""
    rows = await store.rows("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1")
    return chain.Head(rows[0]["seq"], rows[0]["hash"].hex()) if rows else chain.Head(0, chain.GENESIS.hex())
