"""Read-only connections, so that a long query never holds up a commit."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from sqlite3 import Row
from typing import Any, Protocol

import aiosqlite

from helios_agent.errors import StoreError
from helios_agent.store import failures, migrations

READERS = 2
CACHE_KIB = 256
"""Page cache of one reader: the system's own cache is behind it, and the daemon is to stay small."""


class Reader(Protocol):
    """Whatever can be asked a read-only query."""

    async def rows(self, sql: str, parameters: Iterable[Any] | dict[str, Any] = ()) -> list[Row]:
        """Return all rows of one query."""


class Readers:
    """A fixed set of read-only connections, lent one query at a time."""

    def __init__(self, connections: list[aiosqlite.Connection]) -> None:
        self._connections = connections
        self._free: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        for connection in connections:
            self._free.put_nowait(connection)

    @classmethod
    async def open(cls, path: Path) -> "Readers":
        """Open the readers of the database at `path`, which must exist.

        Raises StoreError when it cannot be read, or has a schema before the present one.
        """
        readers = cls([])
        try:
            for _ in range(READERS):
                connection = await aiosqlite.connect(
                    read_only(path), uri=True, timeout=failures.OPENING_WAIT_S
                )
                connection.row_factory = Row
                readers._connections.append(connection)
                await connection.execute_fetchall(f"PRAGMA cache_size = -{CACHE_KIB}")
                readers._free.put_nowait(connection)
            [[present]] = await connection.execute_fetchall("PRAGMA user_version")
        except sqlite3.Error as error:
            await readers.close()
            raise StoreError(f"{path} cannot be read: {error}.") from error
        if present < (newest := migrations.newest()):
            await readers.close()
            raise StoreError(
                f"{path} has schema {present}; this Helios reads schema {newest}. Start Helios once to bring "
                "it up to date."
            )
        return readers

    async def rows(self, sql: str, parameters: Iterable[Any] | dict[str, Any] = ()) -> list[Row]:
        """Return all rows of one query.

        Raises StoreError where the database cannot be read, StoreCorrupt where it is damaged.
        """
        connection = await self._free.get()
        try:
            return await _Lent(connection).rows(sql, parameters)
        finally:
            self._free.put_nowait(connection)

    @asynccontextmanager
    async def moment(self) -> AsyncIterator[Reader]:
        """Lend a reader whose every query sees the database as it is at the first one. Raises as `rows`."""
        connection = await self._free.get()
        try:
            await connection.execute("BEGIN")
            yield _Lent(connection)
        finally:
            await connection.rollback()
            self._free.put_nowait(connection)

    async def close(self) -> None:
        """Close every reader. Safe to call twice."""
        while self._connections:
            await self._connections.pop().close()


class _Lent:
    """One connection, while it is lent."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, parameters: Iterable[Any] | dict[str, Any] = ()) -> list[Row]:
        try:
            return list(await self._connection.execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            raise failures.as_ours(error, "The database cannot be read") or error from error


def read_only(path: Path) -> str:
    """Return the URI under which SQLite opens a database for reading only."""
    return f"{path.resolve().as_uri()}?mode=ro"
