"""Kill the agent after every single thing that it does to the outside, and let it live on.

A week is lived once, undisturbed, while every commit, every file operation and every exchange over HTTP
is numbered. At each of them the process forks. The fork kills its agent there and then, boots a new
one on the disk as it was at that moment (every other fork kills this one, too, while it recovers), lives
the rest of the week, and compares how it ended with the undisturbed week. What happens between two of
these moments leaves nothing behind, so these are all the states in which a kill can find the world.

A power cut loses what was not synced. Before each commit all names of files must be: then what a power cut
leaves is what a kill leaves a few moments before. Run by itself:
python -m tests.simulation.sweep FOLDER STRIDE SEED [week | archiving]
"""

import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

from loguru import logger

from helios_agent import files
from helios_agent.simulation import invariants
from helios_agent.simulation.life import SCHEDULES, Life
from helios_agent.simulation.loop import WEEK_S
from helios_agent.simulation.told import Told, journal
from helios_agent.store.readers import read_only

DAY_S = 86_400.0
START = date(2026, 3, 5)
"""The week has a change to summer time in New York, three draws, a training, backups, a verification."""
SPANS: Mapping[str, tuple[date, float, float]] = {
    "week": (START, 0.0, WEEK_S),
    "archiving": (date(2026, 1, 29), 37.5 * DAY_S, 38.5 * DAY_S),
}
"""When a life begins, and from when until when, in seconds of life, the agent is killed.

On the day of archiving, a Sunday, the first week's worth of events is old enough to be sealed and removed.
"""
LEAN = tuple(schedule for schedule in SCHEDULES if schedule["name"] not in ("often", "paused"))
AGAIN = 2
"""Every other fork is killed once more, so many points after it was booted: while it recovers."""
AT_ONCE = 2
"""Forks that live at the same time."""


@dataclass
class Outcome:
    points: int = 0
    tried: int = 0
    archives: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    seconds: float = 0.0


def ending(life: Life) -> dict[str, Any]:
    """Return what must not depend on whether the agent was killed on the way."""
    with closing(sqlite3.connect(read_only(life.config.database), uri=True)) as connection:

        def rows(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        told = journal(life.config, connection)
        return {
            "draws": rows("SELECT day, whites, bonus, source FROM draw ORDER BY day"),
            "scores": rows("SELECT day, basis, mixture_gain, mixture_nats FROM score ORDER BY day"),
            "ledger": rows("SELECT day, forecaster, gain_nats, weight FROM ledger ORDER BY day, forecaster"),
            "forecasts": _facts(told, "forecast.registered", "day", "digest"),
            "models": rows("SELECT version, role, ordinal, prior, last_draw FROM model ORDER BY ordinal"),
            "firings": _facts(told, "schedule.fired", "schedule", "due_us", "outcome"),
            "failures": [
                e.payload for e in told if e.kind in ("intent.failed", "intent.dead", "task.failed")
            ],
            "incidents": rows("SELECT kind, message FROM incident WHERE closed_us IS NULL"),
            "delivered": sorted({(host, _subject(body)) for host, _, body in life.outside.received}),
        }


def _facts(told: Sequence[Told], kind: str, *names: str) -> list[tuple[Any, ...]]:
    return sorted({tuple(e.payload[name] for name in names) for e in told if e.kind == kind})


def _subject(message: dict[str, Any]) -> str:
    """Return what a message tells of, apart from its place in the journal, which a kill may change."""
    payload = message["payload"]
    told = (str(payload[name]) for name in ("digest", "day", "version", "key", "about") if name in payload)
    return " ".join((message["type"], *told))


class Sweep:
    """A life that forks, kills itself and goes on at every so-many-th point."""

    def __init__(self, folder: Path, stride: int, seed: int, when: str = "week") -> None:
        self.outcome = Outcome()
        self._folder, self._stride = folder, stride
        self._start, self._since_s, self._until_s = SPANS[when]
        self._forks: dict[int, Path] = {}
        self._verdict = folder
        self._unsynced: set[Path] = set()
        self._expected = self._live_undisturbed(seed)
        self._life = Life(folder / "life", seed, self._start, LEAN, self._at_point)

    def _live_undisturbed(self, seed: int) -> dict[str, Any]:
        life = Life(self._folder / "undisturbed", seed, self._start, LEAN)
        life.run(self._until_s)
        self.outcome.differences += [f"undisturbed: {what}" for what in invariants.broken(life)]
        self.outcome.archives = len(list(life.config.archives.glob("*.jsonl.gz")))
        expected = ending(life)
        if expected["failures"]:
            self.outcome.differences.append(f"undisturbed: failures {expected['failures']}")
        return expected

    def run(self) -> Outcome:
        """Return what was tried, and every difference that a kill made."""
        begun = time.monotonic()
        files.observer.set(self._at_file)
        self._life.run(self._until_s)
        self.outcome.differences += [f"the life that forked: {what}" for what in self._differences()]
        while self._forks:
            self._reap()
        self.outcome.seconds = time.monotonic() - begun
        return self.outcome

    def _differences(self) -> list[str]:
        return [*invariants.broken(self._life), *_compared(self._expected, ending(self._life))]

    def _end_fork(self) -> NoReturn:
        self._verdict.write_text(json.dumps(self._differences()))
        shutil.rmtree(self._life.folder)
        os._exit(0)

    def _at_file(self, moment: str, path: Path) -> None:
        when, _, operation = moment.partition(" ")
        if when == "after":
            if operation in ("write", "rename"):
                self._unsynced.add(path.parent)
            elif operation == "sync":
                self._unsynced.discard(path)
            self._at_point(operation)

    def _at_point(self, point: str) -> None:
        if self._life.forked or not self._life.config.database.exists():
            return  # a kill before there is anything is a later first start
        if point == "commit" and self._unsynced:
            self.outcome.differences.append(f"a commit before {self._unsynced} are on the disk")
        if self._life.clock.loop.time() < self._since_s:
            return
        self.outcome.points += 1
        self.outcome.kinds[point] = self.outcome.kinds.get(point, 0) + 1
        if self.outcome.points % self._stride:
            return
        self.outcome.tried += 1
        if len(self._forks) == AT_ONCE:
            self._reap()
        self._verdict = self._folder / f"{self.outcome.points}-{point}.json"
        kept = self._life.keep()
        if fork := os.fork():
            self._forks[fork] = self._verdict
        else:
            self._life.forked = self._end_fork
            if self.outcome.points % 2:
                self._life.strike(AGAIN)
            self._life.kill(kept)

    def _reap(self) -> None:
        fork, status = os.wait()
        verdict = self._forks.pop(fork)
        differences = [f"ended with status {status}"] if status else json.loads(verdict.read_text())
        self.outcome.differences += [f"killed at {verdict.stem}: {what}" for what in differences]


def _compared(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [
        f"{name}: expected {expected[name]}, found {found[name]}"
        for name in expected
        if expected[name] != found[name]
    ]


if __name__ == "__main__":
    logger.remove()
    place, every, chosen, *span = sys.argv[1:]
    print(json.dumps(vars(Sweep(Path(place), int(every), int(chosen), *span).run())))
