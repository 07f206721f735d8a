"""The open database: one writer, a few readers, one place to close both."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from helios_agent.errors import StoreCorrupt, StoreError
from helios_agent.store import migrations
from helios_agent.store.readers import Readers
from helios_agent.store.writer import Writer

T = TypeVar("T")

BUSY_TIMEOUT_S = 30


class Store:
    """A Helios database that is open for reading and writing."""

    def __init__(self, path: Path, connection: sqlite3.Connection, readers: Readers) -> None:
        self.path = path
        self._connection = connection
        self._writer = Writer(connection)
        self._readers = readers

    @classmethod
    async def open(cls, path: Path) -> "Store":
        """Open the database at `path`, creating it or bringing it to the present schema.

        Raises StoreNewer when a later Helios wrote it, StoreCorrupt when it is not a sound database,
        StoreError when the file cannot be opened for writing.
        """
        connection = await asyncio.to_thread(connect, path)
        try:
            readers = await Readers.open(path)
        except BaseException:
            connection.close()
            raise
        return cls(path, connection, readers)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function of the connection as one durable transaction (see `Writer.write`)."""
        return await self._writer.write(work)

    async def rows(self, sql: str, parameters: Iterable[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of one read-only query."""
        return await self._readers.rows(sql, parameters)

    @property
    def trouble(self) -> str | None:
        """Say why the last change was not taken (a full disk, a lock); None if it was."""
        return self._writer.trouble

    async def close(self) -> None:
        """Commit what is queued and close every connection. Safe to call twice."""
        await self._writer.close()
        await self._readers.close()
        self._connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """Open the writing connection of the database at `path` and migrate it. Raises as `Store.open`."""
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        _prepare(connection)
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: the database cannot be opened: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"{path} is damaged: {error}.") from error
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.row_factory = sqlite3.Row
    try:
        migrations.version(connection)  # before anything is set: a later Helios may have set it otherwise
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA journal_size_limit = 16777216")
        migrations.apply(connection)
    except BaseException:
        connection.close()
        raise
