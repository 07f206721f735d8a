"""Database and worker without threads or processes, so that a seed alone decides what happens when."""

import asyncio
import contextlib
import errno
import importlib
import os
import random
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from helios_agent.clock import Clock
from helios_agent.errors import DIVERGED, JobFailed, JobStopped, StoreError, WorkerLost
from helios_agent.forecasting import experts, panel
from helios_agent.forecasting.history import History
from helios_agent.forecasting.panel import Panel
from helios_agent.store import Store
from helios_agent.store.readers import read_only
from helios_agent.work.engine import Progress, Spent, unmetered
from helios_agent.work.jobs import JOBS, SERVICES

QUICKEST_S, SLOWEST_S = 0.0002, 0.003
"""How long a query or a commit takes in virtual time: drawn by the seed, so that tasks meet in any order."""
KEPT = 3
"""Networks that are kept in memory: those that forecast, and one that is validated."""
MOST_PAGES = 2**32 - 2
"""What SQLite itself allows."""


class Disk:
    """What a simulated disk does to the database on it."""

    def __init__(self, seed: str, on_point: Callable[[str], None]) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self.on_point = on_point
        """Called with "commit" after each commit that changed the database, before anyone hears of it."""
        self.readers: InlineReaders | None = None
        self.stall_s = 0.0
        """How much longer each commit takes."""
        self.slowed = 0
        """How many did."""
        self.crammed = False
        """Whether there is no room for new files, though the database has free pages in its own."""
        self.room_bytes = 2**40
        """How much room there is for new files while it is not crammed."""
        self.refused = 0
        """How many operations on files found no room."""
        self._store: Store | None = None
        self._full = False

    def latency_s(self) -> float:
        return self._random.uniform(QUICKEST_S, SLOWEST_S)

    async def open(self, path: Path) -> Store:
        """Open the database on this disk."""
        store = self._store = await Store.open(path, executor=_Inline(self), readers=self._open_readers)
        await self.fill(self._full)
        return store

    def forget(self) -> None:
        """Know no store any more: the boot that had it open has ended."""
        self._store = self.readers = None

    async def _open_readers(self, path: Path) -> "InlineReaders":
        self.readers = InlineReaders(self, path)
        return self.readers

    def on_file(self, moment: str, path: Path) -> None:
        """Raise OSError before a file is written, or gets its name, while there is no room for it."""
        if self.crammed and moment in ("before write", "before sync", "before rename"):
            self.refused += 1
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    def free_bytes(self, folder: Path) -> int:
        """Return how much room is left, wherever a folder is."""
        return 0 if self.crammed else self.room_bytes

    async def fill(self, full: bool) -> None:
        """Have no room for another page, or have room again. The next store begins with what was left."""
        self._full = full
        if self._store is not None:
            with contextlib.suppress(StoreError):  # it is closing: the next one will know
                await self._store.write(lambda connection: _limit_pages(connection, full))


def _limit_pages(connection: sqlite3.Connection, full: bool) -> None:
    pages = connection.execute("PRAGMA page_count").fetchone()[0] if full else MOST_PAGES
    connection.execute(f"PRAGMA max_page_count = {pages}")


class _Inline(Executor):
    """Does what it is given at once; the answer comes when the disk is done."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        answer: Future[Any] = Future()
        answer.set_running_or_notify_cancel()
        try:
            outcome, error = fn(*args, **kwargs), None
        except Exception as raised:
            outcome, error = None, raised
        if self._disk.readers is not None and self._disk.readers.see_news():
            self._disk.slowed += self._disk.stall_s > 0
            self._disk.on_point("commit")

        def arrive() -> None:
            if error is None:
                answer.set_result(outcome)
            else:
                answer.set_exception(error)

        asyncio.get_running_loop().call_later(self._disk.latency_s() + self._disk.stall_s, arrive)
        return answer


class InlineReaders:
    """One read-only connection, asked without a thread."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk, self._path = disk, path
        self._connection = sqlite3.connect(read_only(path), uri=True)
        self._connection.row_factory = sqlite3.Row
        self._version = self._data_version()

    def _data_version(self) -> int:
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version

    def see_news(self) -> bool:
        """Return whether another connection has changed the database since this was last asked."""
        before, self._version = self._version, self._data_version()
        return self._version != before

    async def rows(self, sql: str, parameters: Iterable[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        """Return all rows of one query."""
        await asyncio.sleep(self._disk.latency_s())
        try:
            return self._connection.execute(sql, parameters).fetchall()  # type: ignore[arg-type]
        except sqlite3.OperationalError as error:
            raise StoreError(f"The database cannot be read: {error}.") from error

    @contextlib.asynccontextmanager
    async def moment(self) -> AsyncIterator["InlineReaders"]:
        """Lend a reader of its own whose every query sees the database as it is at the first one."""
        lent = InlineReaders(self._disk, self._path)
        lent._connection.execute("BEGIN")
        try:
            yield lent
        finally:
            lent._connection.close()

    async def close(self) -> None:
        """Close the connection. Safe to call twice."""
        self._disk.readers = None
        self._connection.close()


START_CPU_S = 0.05
"""What a worker takes to begin …"""
EPOCH_CPU_S = 0.0006
"""… for each draw of an epoch of training …"""
BLOCK_CPU_S = 0.006
"""… for each draw of a search, whenever it reports: a network was trained …"""
DRAW_CPU_S = 0.0001
"""… and for each draw that any other job is given."""


def cost_s(kind: str, spec: Mapping[str, Any], steps: int) -> float:
    """Return the CPU seconds that a job is said to take: after so many epochs, or reports of a search."""
    given = spec["job"] if kind == "search" and "job" in spec else spec
    draws = len(given.get("draws", given.get("rows", ())))
    each = {"train": EPOCH_CPU_S * steps, "search": BLOCK_CPU_S * steps}.get(kind, DRAW_CPU_S)
    return START_CPU_S + draws * each


class InlineEngine:
    """Computes the real jobs in this process, in virtual time; its workers die when told to.

    What a job takes is not measured, or no two lives were the same: it is `cost_s`, 50 ms to begin and then
    0.6 ms a draw and epoch for a training, 6 ms a draw and report for a search, 0.1 ms a draw for all else.
    One that is killed has only begun. Nor does a search tell what its trials took.
    """

    def __init__(self, seed: str, clock: Clock) -> None:
        self._random = random.Random(seed)  # noqa: S311
        self._clock = clock
        self.deadly = False
        """Whether the next worker is killed before it has a result."""
        self.killed = 0
        """How many were."""
        self.diverging = False
        """Whether trainings diverge."""
        self.on_report: Callable[[str], Awaitable[None]] | None = None
        """Awaited before each report of a job, with its kind."""
        self._experts, self._networks = Experts(), Networks()

    async def run(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None = None,
        *,
        time_limit_s: float,
        stop: asyncio.Event | None = None,
        priority: int = 0,
        on_spent: Spent = unmetered,
    ) -> dict[str, Any]:
        """Compute one job at once; see `Engine.run`."""
        # Real time decides when a checkpoint is due, and in no two lives in the same way.
        spec = {name: value for name, value in spec.items() if name != "checkpoint"}
        reports: list[Mapping[str, Any]] = []
        cpu_seconds = START_CPU_S
        try:
            await self._clock.sleep(self._random.uniform(0.5, 5.0))
            if self.deadly:
                self.deadly = False
                self.killed += 1
                raise WorkerLost("The worker process was killed by signal 9 before it had a result.")
            cpu_seconds = cost_s(kind, spec, 0)
            result = self._computed(kind, spec, reports.append)
            for number, report in enumerate(reports, 1):
                await self._clock.sleep(self._random.uniform(0.5, 5.0))
                if self.on_report is not None:
                    await self.on_report(kind)
                cpu_seconds = cost_s(kind, spec, report.get("epoch", number))
                if on_progress is not None:
                    await on_progress(report)
                if stop is not None and stop.is_set():
                    raise JobStopped()
            return result
        finally:
            on_spent(cpu_seconds)

    def _computed(
        self, kind: str, spec: dict[str, Any], report: Callable[[Mapping[str, Any]], None]
    ) -> dict[str, Any]:
        if kind == "forecast":
            return self._experts.forecast(spec)
        if kind == "train" and self.diverging:
            raise JobFailed(f"{DIVERGED} after 1 epochs: loss is nan; expected a finite number")
        if kind == "model-forecast":
            return self._networks.forecast(spec)
        compute = _named(JOBS[kind])
        result: dict[str, Any] = _untimed(compute(spec, lambda told: report(_untimed(told))))
        return result

    async def close(self) -> None:
        """Go on: the next boot has the same engine."""


def _named(function: str) -> Callable[..., Any]:
    module, _, name = function.partition(":")
    named: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return named


class Networks:
    """Trained networks, kept from one forecast to the next, as the daemon keeps those that it shows.

    A worker takes in anew all draws since the training, and says the same.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {}
        """What answers for a network, by its folder; the one that was asked last is the last."""

    def forecast(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the job "model-forecast" returns for this spec. Raises as it does."""
        wanted = {name: spec[name] for name in ("artefact", "version")}
        answer = self._loaded.pop(spec["artefact"], None) or _named(SERVICES["predictor"])(wanted)
        self._loaded[spec["artefact"]] = answer
        if len(self._loaded) > KEPT:
            self._loaded.pop(next(iter(self._loaded)))
        return answer({"rows": spec["draws"]})


def _untimed(told: Any) -> Any:
    """Return what a job tells with nothing in the place of the processor time that it measured itself."""
    if isinstance(told, dict):
        return {name: 0.0 if name == "cpu_seconds" else _untimed(value) for name, value in told.items()}
    return [_untimed(value) for value in told] if isinstance(told, list) else told


class Experts:
    """The experts of a game, kept from one forecast to the next.

    A worker begins with the first draw every time, and says the same. Over ten years of draws that would be
    nearly all that a life costs.
    """

    def __init__(self) -> None:
        self._known: list[Any] = []
        """What they know: of each draw its row, and whether it is ordered."""
        self._panel: Panel | None = None

    def forecast(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the job "forecast" returns for this spec."""
        history, told = History.from_spec(spec), [*zip(spec["rows"], spec["ordered"], strict=True)]
        known = len(self._known)
        if self._panel is None or self._panel.broken or told[:known] != self._known:
            known, self._panel = 0, Panel(experts.start(history.matrix))
        for t in range(known, len(history)):
            self._panel.update(history.draw(t))
        self._known = told
        return panel.answer(self._panel)
