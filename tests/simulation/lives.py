"""Live many lives, each from a seed of its own, and say what did not hold in any of them.

Run by itself: python -m tests.simulation.lives FOLDER FIRST_SEED LIVES WEEKS
"""

import hashlib
import json
import os
import random
import shutil
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from loguru import logger

from helios_agent import files
from helios_agent.simulation import faults, invariants
from helios_agent.simulation.life import Life
from helios_agent.simulation.loop import WEEK_S
from helios_agent.simulation.told import journal
from helios_agent.store.readers import read_only


@dataclass
class Report:
    """What became of some lives: what did not hold, by seed, and what they were made of."""

    weeks: int = 0
    boots: int = 0
    events: int = 0
    broken: dict[int, list[str]] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)
    """How often the agent met each fault: an answer, a worker's end, a kill, not the mere chance of one."""
    kinds: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


def live(folder: Path, first_seed: int, lives: int, weeks: int) -> Report:
    report, begun = Report(), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)  # errors name files, and no two journals are to differ by where they were written
    met: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for seed in range(first_seed, first_seed + lives):
        start = date(2026, 1, 1) + timedelta(days=random.Random(f"start {seed}").randrange(4 * 365))  # noqa: S311
        place = Path(str(seed))
        life = Life(place, seed, start)
        files.observer.set(life.disk.on_file)
        life.run(weeks * WEEK_S, faults.draw(seed, weeks))
        broken = invariants.broken(life)
        if broken:
            report.broken[seed] = broken
        with closing(sqlite3.connect(read_only(life.config.database), uri=True)) as connection:
            told = journal(life.config, connection)
            report.digests[seed] = digest(connection)
        report.weeks += weeks
        report.boots += life.boots
        report.events += len(told)
        met.update(life.met + life.outside.met)
        met.update(worker=life.engine.killed, slow=life.disk.slowed, crammed=life.disk.refused)
        kinds.update(event.kind for event in told)
        if not broken:
            shutil.rmtree(place)
    report.faults, report.kinds = dict(met), dict(sorted(kinds.items()))
    report.seconds = time.monotonic() - begun
    return report


def digest(connection: sqlite3.Connection) -> str:
    """Return the SHA-256 of the journal, byte for byte, but for the name of each boot."""
    found = hashlib.sha256()
    for row in connection.execute(
        "SELECT seq, at_us, mono_us, kind, cause, payload, hex(prev), hex(hash) FROM event ORDER BY seq"
    ):
        found.update(repr(row).encode())
    return found.hexdigest()


if __name__ == "__main__":
    logger.remove()
    place, *numbers = sys.argv[1:]
    print(json.dumps(vars(live(Path(place), *map(int, numbers)))))
