"""How many events a second the journal takes durably, beside plain sqlite3 on the same disk.

Both sides write the same rows into the same table (its index, checks and triggers included) with the same
settings: write-ahead log, synchronous=FULL. The floor is sqlite3 alone, in a loop, its rows made before: one
row a commit for one producer, `executemany` of as many rows a commit as there are producers otherwise. Ours
is `Journal.append` from so many tasks at once, with queue, thread, SAVEPOINT, hash chain and all. The
sides take turns, so that what else the machine does hits both; shares are of the same round. Then:
how fast a long journal is verified, and how long its backup takes.

    python benchmarks/journal.py [ROUNDS]
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helios_agent.clock import SystemClock, from_us
from helios_agent.journal import chain
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.store import Store, backup
from helios_agent.store.rotation import Rotation
from helios_agent.store.store import connect

DISK = Path(__file__).parents[1] / "state"
EVENTS = {1: 2_000, 16: 9_600, 128: 25_600}
"""Producers → events a round."""
BARS = {1: ">= 50 %, aim 75 %", 16: "", 128: ">= 30 %, aim 50 %"}
LONG = 300_000
KIND, BOOT = "benchmark.appended", "0123456789ab"
INSERT = (
    "INSERT INTO event (seq, at_us, mono_us, boot, kind, cause, payload, prev, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True)
class Run:
    """What one side did in one round: its rate, and how long each commit, or each call, took."""

    events_per_s: float
    seconds: list[float]


def payload(producer: int, number: int) -> dict[str, Any]:
    return {"producer": producer, "number": number, "text": "x" * 120}


def rows(count: int) -> Iterator[tuple[Any, ...]]:
    prev, clock = chain.GENESIS, SystemClock()
    for seq in range(1, count + 1):
        at_us, text = clock.now_us(), chain.canonical(payload(seq % 128, seq))
        digest = chain.link(prev, seq, at_us, KIND, None, text)
        yield seq, at_us, clock.mono_us(), BOOT, KIND, None, text, prev, digest
        prev = digest


def floor(path: Path, batch: int, count: int) -> Run:
    """Commit `count` rows, `batch` at a time, with sqlite3 alone."""
    made, seconds = list(rows(count)), []
    with closing(connect(path)) as connection:
        begun = time.perf_counter()
        for first in range(0, count, batch):
            commit_begun = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            if batch == 1:
                connection.execute(INSERT, made[first])
            else:
                connection.executemany(INSERT, made[first : first + batch])
            connection.execute("COMMIT")
            seconds.append(time.perf_counter() - commit_begun)
        elapsed = time.perf_counter() - begun
    return Run(count / elapsed, seconds)


async def ours(path: Path, producers: int, count: int) -> Run:
    """Append `count` events from so many producers, each waiting for its event before the next."""
    store = await Store.open(path)
    journal, seconds = Journal(store, SystemClock(), BOOT), []

    async def produce(producer: int) -> None:
        for number in range(count // producers):
            call_begun = time.perf_counter()
            await journal.append(KIND, payload(producer, number))
            seconds.append(time.perf_counter() - call_begun)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for producer in range(producers):
            group.create_task(produce(producer))
    elapsed = time.perf_counter() - begun
    await store.close()
    return Run(count / elapsed, seconds)


def compare(folder: Path, rounds: int) -> None:
    """Let both sides take turns, and print what came of it."""
    print(
        f"{'producers':<11}{'':<7}{'events/s':>9}{'min':>9}{'max':>9}{'median':>11}{'p99':>11}  of the floor"
    )
    for producers, count in EVENTS.items():
        floors, own = [], []
        for number in range(rounds):
            path = folder / f"{producers}-{number}"
            for side in ("floor", "ours") if number % 2 else ("ours", "floor"):
                if side == "floor":
                    floors.append(floor(path.with_suffix(".floor"), producers, count))
                else:
                    own.append(asyncio.run(ours(path.with_suffix(".ours"), producers, count)))
        shares = [one.events_per_s / other.events_per_s for one, other in zip(own, floors, strict=True)]
        print(f"{producers:<11}{'floor':<7}{figures(floors)}")
        print(
            f"{producers:<11}{'ours':<7}{figures(own)}  {statistics.median(shares):.0%}"
            f" ({min(shares):.0%} to {max(shares):.0%})  {BARS[producers]}"
        )


def figures(runs: list[Run]) -> str:
    rates = [run.events_per_s for run in runs]
    taken = sorted(seconds for run in runs for seconds in run.seconds)
    median, p99 = (taken[len(taken) * part // 100] * 1e6 for part in (50, 99))
    middle = statistics.median(rates)
    return f"{middle:>9,.0f}{min(rates):>9,.0f}{max(rates):>9,.0f}{median:>8,.0f} us{p99:>8,.0f} us"


async def fill(path: Path) -> None:
    store = await Store.open(path)
    journal = Journal(store, SystemClock(), BOOT)

    def thousand(tx: Transaction) -> None:
        for number in range(1000):
            tx.append(KIND, payload(number % 128, number))

    for _ in range(LONG // 1000):
        await journal.record(thousand)
    await store.close()


def long_journal(folder: Path, rounds: int) -> None:
    """Verify and back up a journal of 300,000 events."""
    path = folder / "long.db"
    asyncio.run(fill(path))
    verifying, backing_up = [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        with closing(connect(path)) as connection:
            chain.verify_database(connection)
        verifying.append(LONG / (time.perf_counter() - begun))
        now = from_us(SystemClock().now_us())
        begun = time.perf_counter()
        backup.take(path, folder / "backups", now, Rotation(1, 0, 0), chain.verify_database)
        backing_up.append(time.perf_counter() - begun)
    print(f"\n{LONG:,} events, {path.stat().st_size / 1e6:.0f} MB; median (min to max)")
    low, middle, high = min(verifying), statistics.median(verifying), max(verifying)
    print(f"verified: {middle:,.0f} ({low:,.0f} to {high:,.0f}) events/s   >= 250,000")
    low, middle, high = min(backing_up), statistics.median(backing_up), max(backing_up)
    print(f"backed up, copied and the copy verified: {middle:.2f} s ({low:.2f} to {high:.2f})")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    DISK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DISK, prefix="benchmark-") as folder:
        compare(Path(folder), rounds)
        long_journal(Path(folder), rounds)


if __name__ == "__main__":
    main()
