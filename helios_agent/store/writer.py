"""The single writer: whole transactions, one queue, group commit."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from helios_agent.errors import StoreError

T = TypeVar("T")

QUEUE_LIMIT = 1024
BATCH_LIMIT = 128


@dataclass(frozen=True, slots=True)
class _Submission:
    work: Callable[[sqlite3.Connection], Any]
    done: asyncio.Future[Any]


class Writer:
    """Runs functions of the one writing connection, many to a commit.

    A submission is a whole transaction: it runs inside a SAVEPOINT of its own, so it fails alone,
    and its future is resolved only after COMMIT. The caller may be cancelled at any time; what it
    submitted is then either committed or not run, never left open.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._queue: asyncio.Queue[_Submission | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(QUEUE_LIMIT)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="helios-writer")
        self._task = asyncio.create_task(self._drain(), name="store.writer")
        self._closing = False
        self._changed = False
        self.trouble: str | None = None
        """Why the last change was not taken, until one is."""

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a transaction and return its result once it is durable.

        Waits when the queue is full. Raises whatever `work` raises (its changes are undone), or
        StoreError when the database cannot take or commit the change.
        """
        await self._room.acquire()
        if self._closing:
            self._room.release()
            raise StoreError("The database is closing: nothing more can be written.")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(_Submission(work, done))
        return await done

    async def close(self) -> None:
        """Commit what is queued, then end the writer. Safe to call twice."""
        if not self._closing:
            self._closing = True
            self._queue.put_nowait(None)
        await asyncio.shield(self._task)  # who is cancelled while closing must not cancel the last commit
        self._thread.shutdown(wait=True)

    async def _drain(self) -> None:
        loop = asyncio.get_running_loop()
        closing = False
        while not closing:
            taken = [await self._queue.get()]
            while len(taken) < BATCH_LIMIT and not self._queue.empty():
                taken.append(self._queue.get_nowait())
            closing = None in taken
            submissions = [s for s in taken if s is not None]
            for _ in submissions:
                self._room.release()
            batch = [s for s in submissions if not s.done.cancelled()]
            if not batch:
                continue
            outcomes = await loop.run_in_executor(self._thread, self._commit, batch)
            failures = [str(outcome) for outcome in outcomes if isinstance(outcome, StoreError)]
            if failures or self._changed:
                self.trouble = failures[0] if failures else None
            for submission, outcome in zip(batch, outcomes, strict=True):
                if submission.done.cancelled():
                    continue
                if isinstance(outcome, BaseException):
                    submission.done.set_exception(outcome)
                else:
                    submission.done.set_result(outcome)

    def _commit(self, batch: list[_Submission]) -> list[Any]:
        before = self._connection.total_changes
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._run_one(submission) for submission in batch]
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failure = StoreError(f"The database did not commit: {error}.")
            failure.__cause__ = error
            return [failure] * len(batch)
        self._changed = self._connection.total_changes > before
        return outcomes

    def _run_one(self, submission: _Submission) -> Any:
        self._connection.execute("SAVEPOINT submission")
        try:
            outcome = submission.work(self._connection)
        except Exception as error:
            # On a full disk or an I/O error SQLite may have ended the whole transaction itself.
            if not self._connection.in_transaction:
                raise sqlite3.OperationalError(f"the transaction was lost: {error}") from error
            self._connection.execute("ROLLBACK TO submission")
            outcome = cast(Any, _as_ours(error))
        self._connection.execute("RELEASE submission")
        return outcome


def _as_ours(error: Exception) -> Exception:
    """Return a full disk, a lock or an I/O error as a StoreError; anything else as it is."""
    if not isinstance(error, sqlite3.OperationalError):
        return error
    failure = StoreError(f"The database did not take the change: {error}.")
    failure.__cause__ = error
    return failure
