"""Fold the whole journal anew, archives included: the tables must come out as they stand."""

import heapq
import math
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from helios_agent.clock import Clock
from helios_agent.errors import Refused, StoreCorrupt
from helios_agent.journal import archives, chain, exports, snapshot
from helios_agent.journal.chain import Head
from helios_agent.journal.exports import Entry
from helios_agent.journal.journal import Transaction, project
from helios_agent.store import Connection, migrations
from helios_agent.store.store import connect

NO_PROJECTIONS = ("event", "schema_step")
FOREVER = 1 << 62
SHOWN = 10
"""Differences that are told of; where there are more, one cause has many effects."""
ROUNDING = 1e-12
"""Versions of SQLite read decimal fractions differently in the last bit."""


STANDS, TOLD = "stands", "told"
_Row = tuple[tuple[Any, ...], str, tuple[Any, ...]]
"""A row of a table: its key, whether it stands in the database or is what the journal tells, and the rest."""


def check(database: Path, folder: Path) -> Head:
    """Fold the journal beside the database and compare; return the journal's head.

    The database may be in use: it is read at one moment and not changed. Raises StoreCorrupt where the
    journal is damaged, or naming table, key, column and both values of the first differences; Refused where
    the database has an earlier schema.
    """
    with snapshot.opened(database) as live, _blank() as fresh:
        _verify(live)
        fresh.execute("BEGIN")
        head = _fold(fresh, archives.everything(live, folder, 1, FOREVER))
        found = list(islice(_differences(live, fresh), SHOWN))
    if found:
        raise StoreCorrupt(
            "The tables are not what the journal says. Stop the daemon and run `helios journal rebuild`.\n"
            + "\n".join(found)
        )
    return head


def replace(database: Path, folder: Path, clock: Clock, boot: str) -> Head:
    """Put what the journal says in the place of all tables, in one transaction; return the head before.

    Nobody else may have the database open for writing. Raises StoreCorrupt, having changed nothing, where
    the journal or an archive is damaged, Refused where the database has an earlier schema.
    """
    with snapshot.opened(database) as before:
        _verify(before)
    with _blank() as fresh:
        tables = _tables(fresh)
    with closing(connect(database)) as connection, snapshot.opened(database) as before:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("PRAGMA defer_foreign_keys = ON")
        for table in tables:
            connection.execute(f"DELETE FROM {table}")  # noqa: S608
        head = _fold(connection, archives.everything(before, folder, 1, FOREVER))
        Transaction(connection, clock, boot, ()).append("journal.rebuilt", {"events": head.seq})
        connection.execute("COMMIT")
    return head


def _verify(connection: Connection) -> None:
    """Verify the journal in the database: the fold alone sees neither a cut end nor what a seal says."""
    schema, newest = migrations.version(connection), migrations.newest()
    if schema < newest:
        raise Refused(
            f"The database has schema {schema}, and this Helios builds the tables of schema {newest}. "
            "Start Helios once to bring it up to date."
        )
    chain.verify_database(connection)


@contextmanager
def _blank() -> Iterator[Connection]:
    """Lend a database with no event yet, that is gone afterwards."""
    with closing(sqlite3.connect("", isolation_level=None)) as connection:
        migrations.apply(connection)
        yield connection


def _fold(target: Connection, entries: Iterable[Entry]) -> Head:
    """Fold events into the tables of `target`; verify their chain on the way and return its head."""

    def folding() -> Iterator[Entry]:
        for entry in entries:
            try:
                project(
                    target, entry.kind, seq=entry.seq, at_us=entry.at_us, boot=entry.boot, cause=entry.cause,
                    payload=entry.payload,
                )  # fmt: skip
            except sqlite3.Error as error:
                raise StoreCorrupt(f"Event {entry.seq} cannot be folded into the tables: {error}.") from error
            yield entry

    return exports.verify(folding())


def _tables(connection: Connection) -> list[str]:
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    return sorted(name for (name,) in rows if name not in NO_PROJECTIONS)


def _differences(live: Connection, fresh: Connection) -> Iterator[str]:
    """Compare every table, row by row in the order of its key."""
    for table in _tables(fresh):
        columns = fresh.execute(f"SELECT name, pk FROM pragma_table_info('{table}') ORDER BY pk").fetchall()  # noqa: S608
        keys = [name for name, place in columns if place]
        others = [name for name, place in columns if not place]
        sql = f"SELECT {', '.join(keys + others)} FROM {table} ORDER BY {', '.join(keys)}"  # noqa: S608
        stand, told = _keyed(live, sql, len(keys), STANDS), _keyed(fresh, sql, len(keys), TOLD)
        rows = heapq.merge(stand, told, key=lambda row: row[0])
        for key, pair in groupby(rows, key=lambda row: row[0]):
            named = f"{table} {', '.join(f'{name} {part!r}' for name, part in zip(keys, key, strict=True))}"
            values = {side: rest for _, side, rest in pair}
            if TOLD not in values:
                yield f"{named} is there, but the journal does not know it"
            elif STANDS not in values:
                yield f"{named} is not there, but the journal knows it"
            else:
                for column, found, expected in zip(others, values[STANDS], values[TOLD], strict=True):
                    if not _same(found, expected):
                        yield f"{named}: {column} is {found!r}, the journal says {expected!r}"


def _keyed(database: Connection, sql: str, size: int, side: str) -> Iterator[_Row]:
    for row in map(tuple, database.execute(sql)):
        yield row[:size], side, row[size:]


def _same(one: Any, two: Any) -> bool:
    if isinstance(one, float) and isinstance(two, float):
        return math.isclose(one, two, rel_tol=ROUNDING)
    return bool(one == two)
