"""Search the journal, archived events included."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from helios_agent.journal import archives, events, exports, snapshot
from helios_agent.journal.archives import Seal
from helios_agent.journal.events import Filters
from helios_agent.journal.exports import Entry
from helios_agent.journal.journal import Event
from helios_agent.store import Connection

LARGEST = 500_000
"""Archived events that one search looks at before it says where to go on, but for one long archive."""
_PART = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """Events, newest first, and before which event the search is to go on; None where nothing is left."""

    events: list[Event]
    before: int | None


def search(connection: Connection, folder: Path | None, filters: Filters, limit: int) -> Found:
    """Return the newest events that pass; with a folder of archives also of those that left the database.

    Raises NotFound for an unknown model, StoreCorrupt where an archive is missing or cannot be read.
    """
    with snapshot.one_moment(connection):  # or what is removed meanwhile would be found twice
        models = [dict(row) for row in connection.execute(events.MODELS)]
        sql, parameters = events.newest(filters, models, limit + 1)
        found = [Event.from_row(row) for row in connection.execute(sql, parameters)]
        sealed = archives.seals(connection) if folder is not None else []
    looked = 0
    for seal in reversed([seal for seal in sealed if _may_hold(seal, filters)]):
        size = seal.purged - seal.first + 1
        if len(found) > limit or folder is None:
            break
        if looked and looked + size > LARGEST:
            return Found(found, seal.purged + 1)
        looked += size
        entries = (entry for entry in exports.read(folder / seal.archive) if entry.seq <= seal.purged)
        sql, parameters = events.newest(filters, models, limit + 1 - len(found))
        found += _newest(entries, sql, parameters)
    shown = found[:limit]
    return Found(shown, shown[-1].seq if len(found) > limit else None)


def _may_hold(seal: Seal, filters: Filters) -> bool:
    """Return whether an archive can hold an event that passes and has left the database."""
    return (
        seal.first <= seal.purged
        and (filters.before is None or seal.first < filters.before)
        and (filters.after is None or seal.purged > filters.after)
        and (filters.since_us is None or seal.at_us >= filters.since_us)
    )


def _newest(entries: Iterator[Entry], sql: str, parameters: dict[str, Any]) -> list[Event]:
    """Return the newest of some events that pass, by the same query by which the database is asked."""
    found: list[Event] = []
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute(
            "CREATE TABLE event (seq INTEGER PRIMARY KEY, at_us, boot, kind, cause, payload, hash)"
        )
        while part := list(islice(entries, _PART)):
            connection.executemany(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?)",
                ((e.seq, e.at_us, e.boot, e.kind, e.cause, e.payload, bytes.fromhex(e.hash)) for e in part),
            )
            found = [Event.from_row(row) for row in connection.execute(sql, parameters)] + found
            del found[parameters["limit"] :]
            connection.execute("DELETE FROM event")
    return found
