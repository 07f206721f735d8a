"""The single writer: whole transactions, one queue, group commit."""

import asyncio
import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from loguru import logger

from helios_agent.errors import StoreError
from helios_agent.store import failures

T = TypeVar("T")

QUEUE_LIMIT = 1024
BATCH_LIMIT = 128
CLOSING_TRIES = 5
"""How often a writer that is being closed tries a locked database before it gives up what is queued."""

# On a full disk or an I/O error SQLite may end the whole transaction itself.
LOST = "The database did not commit: the transaction was lost"
GAVE_UP = "Another process locks the database, which is being closed: the change was given up."

Work = Callable[[sqlite3.Connection], Any]


class Tip:
    """The newest event, (seq, hash), as the open transaction sees it; None where it has appended none.

    The journal sets it as it appends. The writer forgets it when a transaction begins, and sets it back
    when a submission is undone.
    """

    __slots__ = ("event",)

    def __init__(self) -> None:
        self.event: tuple[int, bytes] | None = None


class _Submission(NamedTuple):
    work: Work
    done: asyncio.Future[Any]


class _Committed(NamedTuple):
    """What came of a batch: the outcome of each submission, whether rows changed, events were appended."""

    outcomes: Sequence[Any]
    changed: bool
    appended: bool


def _failed(batch: Sequence[object], error: BaseException) -> _Committed:
    return _Committed([error] * len(batch), changed=False, appended=False)


class Writer:
    """Runs functions of the one writing connection, many to a commit.

    A submission is a whole transaction: it runs inside a SAVEPOINT of its own, so it fails alone,
    and its future is resolved only after COMMIT. The caller may be cancelled at any time; what it
    submitted is then either committed or not run, never left open.

    `executor` runs one batch at a time, and nothing else may use the connection meanwhile.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, executor: Executor) -> None:
        self._path = path
        self._inode = path.stat().st_ino
        self._connection = connection
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._queue: deque[_Submission] = deque()
        self._room = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._tries_left = CLOSING_TRIES
        self._locked_tries = 0
        self._failure: str | None = None
        self._data_version = self._read_data_version()
        self.tip = Tip()
        self.listeners: dict[asyncio.Event, None] = {}  # a dict keeps the order in which they came
        """Set after every commit that appended an event."""
        self.answers = 0
        """How often SQLite answered, be it that the database is locked or the disk full."""
        self.foreign_writes = 0
        """How often another connection was found to have written since the last look."""

    @property
    def trouble(self) -> str | None:
        """Why the last change was not taken, until one is; or since when a lock makes changes wait."""
        if self._locked_tries:
            seconds = self._locked_tries * failures.LOCK_WAIT_S
            return f"Another process has locked the database for {seconds:g} s or more: changes wait."
        return self._failure

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction and return its result once it is durable.

        Waits when the queue is full, and for as long as another process locks the database. Raises
        whatever `work` raises (its changes are undone), or StoreError when the database cannot take or
        commit the change. A change whose COMMIT failed may still come to light after a crash.
        """
        while len(self._queue) >= QUEUE_LIMIT and not self._closing:
            self._room.clear()
            await self._room.wait()
        if self._closing:
            raise StoreError("The database is closing: nothing more can be written.")
        done: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Submission(work, done))
        if self._idle.is_set():
            self._idle.clear()
            # Not at once: whoever else is about to submit something is to share the commit.
            self._loop.call_soon(self._begin)
        return await done

    async def close(self) -> None:
        """Commit what is queued, then end the writer. Safe to call twice."""
        self._closing = True
        self._room.set()
        await self._idle.wait()

    def _begin(self) -> None:
        batch: list[_Submission] = []
        while self._queue and len(batch) < BATCH_LIMIT:
            submission = self._queue.popleft()
            if not submission.done.cancelled():
                batch.append(submission)
        self._room.set()
        if not batch:
            self._idle.set()
            return
        try:
            running = self._executor.submit(self._commit, [submission.work for submission in batch])
        except BaseException:
            self._idle.set()  # or whoever closes the writer would wait for ever
            raise
        running.add_done_callback(lambda done: self._loop.call_soon_threadsafe(self._end, batch, done))

    def _end(self, batch: list[_Submission], running: Future[_Committed | None]) -> None:
        self.answers += 1
        try:
            committed = running.result()
            self._locked_tries = 0 if committed else self._locked_tries + 1
            if committed is None and self._closing:
                self._tries_left -= 1
            if committed is None and self._tries_left > 0:
                self._queue.extendleft(reversed(batch))
            else:
                self._settle(batch, committed or _failed(batch, StoreError(GAVE_UP)))
        finally:
            self._loop.call_soon(self._begin)  # or whoever writes next would wait for ever

    def _settle(self, batch: list[_Submission], committed: _Committed) -> None:
        if committed.appended:
            for listener in self.listeners:
                listener.set()
        failure = next((str(o) for o in committed.outcomes if isinstance(o, StoreError)), None)
        if failure is not None or committed.changed:
            self._failure = failure
        for (_, done), outcome in zip(batch, committed.outcomes, strict=True):
            if done.cancelled():
                continue
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)

    def _commit(self, works: list[Work]) -> _Committed | None:
        """Run everything in one transaction; return None where another process holds the lock."""
        connection, outcomes, changed, looked = self._connection, [], False, False
        self.tip.event = None
        try:
            if connection.in_transaction:  # an earlier one that could not be rolled back
                connection.execute("ROLLBACK")
            self._check_file()
            connection.execute("BEGIN IMMEDIATE")
            self._look_for_foreign_writes()
            looked = True
            for work in works:
                before = connection.total_changes  # counts what is rolled back, too
                outcomes.append(self._run_one(work))
                changed |= connection.total_changes > before and not isinstance(outcomes[-1], BaseException)
            connection.execute("COMMIT")
        except BaseException as error:
            if not connection.in_transaction and failures.is_busy(error):
                return None
            with contextlib.suppress(sqlite3.Error):  # tried again before the next transaction
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                if looked:  # after an I/O error SQLite reads everything anew, as if another had written
                    self._data_version = self._read_data_version()
            return _failed(works, failures.as_ours(error, "The database did not commit") or error)
        return _Committed(outcomes, changed, self.tip.event is not None)

    def _run_one(self, work: Work) -> Any:
        connection, tip = self._connection, self.tip.event
        connection.execute("SAVEPOINT submission")
        try:
            outcome = work(connection)
        except BaseException as error:
            if not connection.in_transaction:
                raise StoreError(f"{LOST}: {error}.") from error
            connection.execute("ROLLBACK TO submission")
            self.tip.event = tip
            outcome = failures.as_ours(error, "The database did not take the change") or error
            if isinstance(error, StopIteration):  # which no future takes
                outcome = RuntimeError("the change raised StopIteration")
                outcome.__cause__ = error
        if not connection.in_transaction:
            raise StoreError(f"{LOST}.")
        connection.execute("RELEASE submission")
        return outcome

    def _check_file(self) -> None:
        """Raise StoreError where SQLite would go on to write to a file that no one finds again."""
        with contextlib.suppress(FileNotFoundError):
            if os.stat(self._path).st_ino == self._inode:
                return
        raise StoreError(
            f"{self._path} was moved, deleted or replaced while in use. Put it back, or restart Helios."
        )

    def _look_for_foreign_writes(self) -> None:
        version = self._read_data_version()
        if version != self._data_version:
            self._data_version = version
            self.foreign_writes += 1
            logger.bind(action="store").critical("Another process has written to the database.")

    def _read_data_version(self) -> int:
        found: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return found
