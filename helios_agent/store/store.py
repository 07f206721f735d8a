"""The open database: one writer, a few readers, one place to close both."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from helios_agent.clock import Clock
from helios_agent.errors import StoreCorrupt, StoreError
from helios_agent.store import backup, failures, migrations
from helios_agent.store.pace import Pace
from helios_agent.store.readers import Reader, Readers
from helios_agent.store.writer import Tip, Writer

T = TypeVar("T")

VACUUM_PAGES = 256
"""How many free pages are given back at a time, at most."""
ANALYSIS_ROWS = 400
"""How many rows of an index are looked at to learn how it is best used."""


class OpenReaders(Reader, Protocol):
    """Whatever can be asked read-only queries until it is closed."""

    def moment(self) -> AbstractAsyncContextManager[Reader]:
        """Lend a reader whose every query sees the same moment."""

    async def close(self) -> None:
        """Close it. Safe to call twice."""


class Store:
    """A Helios database that is open for reading and writing."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, readers: OpenReaders, executor: Executor, own: bool
    ) -> None:
        self.path = path
        self._connection = connection
        self._readers = readers
        self._executor = executor
        self._own = own
        self._closed = False
        self._writer = Writer(path, connection, executor)

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        executor: Executor | None = None,
        readers: Callable[[Path], Awaitable[OpenReaders]] | None = None,
    ) -> "Store":
        """Open the database at `path`, creating it or bringing it to the present schema.

        `executor` is to run whatever uses the writing connection, one thing at a time: by default a
        thread of the store's own. `readers` opens what reads. Raises StoreNewer when a later Helios wrote the
        database, StoreCorrupt when it is not sound, StoreError when it is another program's or cannot be
        opened for writing.
        """
        async with AsyncExitStack() as undo:
            writing = executor or undo.enter_context(
                ThreadPoolExecutor(1, thread_name_prefix="helios-writer")
            )
            loop = asyncio.get_running_loop()
            connection = await loop.run_in_executor(writing, connect, path)
            undo.push_async_callback(loop.run_in_executor, writing, connection.close)
            store = cls(path, connection, await (readers or Readers.open)(path), writing, executor is None)
            undo.pop_all()
            return store

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function of the connection as one durable transaction (see `Writer.write`)."""
        return await self._writer.write(work)

    async def timed(self, work: Callable[[sqlite3.Connection], T], clock: Clock, pace: Pace) -> T:
        """Run `work` as a transaction, and tell the pace how long it took from its begin to its commit."""
        begun_us = 0

        def begin(connection: sqlite3.Connection) -> T:
            nonlocal begun_us
            begun_us = clock.mono_us()
            return work(connection)

        outcome = await self.write(begin)
        pace.took(clock.mono_us() - begun_us)
        return outcome

    async def rows(self, sql: str, parameters: Iterable[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of one read-only query."""
        return await self._readers.rows(sql, parameters)

    def moment(self) -> AbstractAsyncContextManager[Reader]:
        """Lend a reader whose every query sees the database as it is at the first one."""
        return self._readers.moment()

    @property
    def trouble(self) -> str | None:
        """Say why changes are not taken now (a full disk, a lock); None if they are."""
        return self._writer.trouble

    @property
    def answers(self) -> int:
        """Return how often the writer got an answer, be it that the database is locked or the disk full."""
        return self._writer.answers

    @property
    def foreign_writes(self) -> int:
        """Return how often another connection was found to have written, or to have emptied the log."""
        return self._writer.foreign_writes

    @property
    def tip(self) -> Tip:
        """Return what the journal's newest event is within the open transaction."""
        return self._writer.tip

    @property
    def listeners(self) -> dict[asyncio.Event, None]:
        """Return the events that are set after every commit that appended to the journal."""
        return self._writer.listeners

    def wal_bytes(self) -> int:
        """Return the size of the write-ahead log."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return log.stat().st_size if log.exists() else 0

    async def tidy(self, clock: Clock) -> int:
        """Give free pages back, refresh the planner's statistics, empty the log; return the bytes given back.

        Takes short steps by this clock, so that other changes go between them. A reader in the midst of a
        long query keeps the log from being emptied; then the next tidying does it.
        """
        freed, pace = 0, Pace(VACUUM_PAGES)
        while step := await self.timed(partial(_give_back, pages=pace.size), clock, pace):
            freed += step
        await self.write(_optimize)
        await asyncio.get_running_loop().run_in_executor(self._executor, _empty_log, self._connection)
        return freed

    async def close(self) -> None:
        """Commit what is queued and close every connection. Safe to call twice.

        Where another process locks the database, waits a few seconds and then gives up what is queued.
        """
        await self._writer.close()
        await self._readers.close()
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._executor, self._connection.close)
            if self._own:
                self._executor.shutdown()


def _give_back(connection: sqlite3.Connection, pages: int) -> int:
    """Give some free pages back to the file system; return how many bytes."""
    before: int = connection.execute("PRAGMA page_count").fetchone()[0]
    for _ in range(pages):  # Python would take but the first step of incremental_vacuum(256)
        connection.execute("PRAGMA incremental_vacuum(1)")
    after, size = connection.execute("SELECT * FROM pragma_page_count, pragma_page_size").fetchone()
    freed: int = (before - after) * size
    return freed


def _optimize(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA optimize")


def _empty_log(connection: sqlite3.Connection) -> None:
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise failures.as_ours(error, "The write-ahead log cannot be emptied") or error from error


def connect(path: Path) -> sqlite3.Connection:
    """Open the writing connection of the database at `path` and migrate it. Raises as `Store.open`."""
    try:
        connection = sqlite3.connect(
            path, timeout=failures.OPENING_WAIT_S, isolation_level=None, check_same_thread=False
        )
        try:
            _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: the database cannot be opened: {error}.") from error
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"{path} is damaged: {error}.") from error
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    connection.row_factory = sqlite3.Row
    present = migrations.version(connection)  # before anything is set: a later Helios may set it otherwise
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # of use before the first table alone
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 16777216")
    # What is removed is in archives all the same: to overwrite its pages would but write them once more.
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute(f"PRAGMA analysis_limit = {ANALYSIS_ROWS}")
    if 0 < present < migrations.newest():
        backup.keep_before_migration(path, migrations.newest())
    migrations.apply(connection)
    connection.execute("PRAGMA foreign_keys = ON")  # only now: to change a table, a migration replaces it
    connection.execute(f"PRAGMA busy_timeout = {round(failures.LOCK_WAIT_S * 1000)}")
