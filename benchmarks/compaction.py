"""How long the compaction of a long journal holds up everybody else.

Builds a journal of many events over years, with a valid chain and all that the tables make of it (intents,
firings, epochs of trainings, messages), then opens a real agent on it and carries out `compact`: nearly all
events are archived, sealed and removed, and the disk space is given back. Meanwhile somebody appends events,
somebody reads the journal, and the event loop is watched. Printed are how long each use of the writing
connection took (a chunk of the compaction among them: nobody else can write meanwhile), how long the
others waited, and what was freed.

    python benchmarks/compaction.py [EVENTS]
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from loguru import logger

from helios_agent.actions import runner
from helios_agent.agent import Ports, open_agent
from helios_agent.clock import SystemClock
from helios_agent.config import Config
from helios_agent.journal import chain, events, intents
from helios_agent.journal.journal import PROJECTIONS, project
from helios_agent.journal.retention import DAY_US
from helios_agent.store import Store
from helios_agent.store.store import connect

DISK = Path(__file__).parents[1] / "state"
EVENTS = 1_000_000
BAR_MS = 50
YEARS_US = 3 * 365 * DAY_US
BOOT = "0123456789ab"
BATCH = 20_000
"""Events a transaction while building."""
EPOCHS = 60
INSERT = (
    "INSERT INTO event (seq, at_us, mono_us, boot, kind, cause, payload, prev, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def story() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield without end what a busy daemon would have journaled: (kind, payload)."""
    number = 0
    while True:
        number += 1
        intent = f"{number:016x}"
        is_training = number % 40 == 0
        action, target = ("train", "powerball") if is_training else ("assess", "powerball")
        named = {"id": intent, "action": action}
        fired = {"schedule": "hourly", "due_us": number, "outcome": "run"}
        yield "schedule.fired", fired
        yield (
            "intent.created",
            {**named, "target": target, "args": {}, "max_attempt": 3, "due_us": 1, "priority": 0},
        )
        yield "intent.started", named
        for epoch in range(1, EPOCHS + 1 if is_training else 1):
            yield (
                "training.epoch",
                {"job": intent, "epoch": epoch, "epochs": 100, "loss": 19.5, "validation_loss": 19.5,
                 "validation_gain_nats": -0.01, "seconds": 0.4, "eta_seconds": 12.5},
            )  # fmt: skip
        signals = {f"signal_{n}": number / (n + 7) for n in range(24)}
        yield "assessment.completed", {"game": "powerball", "signals": signals, "verdict": "x" * 160}
        yield "intent.done", {**named, "result": {"signals": 24}}


def build(path: Path, count: int) -> None:
    """Write a journal of `count` events that ended a month and a half ago."""
    clock = SystemClock()
    end_us = clock.now_us() - 45 * DAY_US
    prev, told, made = chain.GENESIS, story(), 0
    with closing(connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        while made < count:
            connection.execute("BEGIN")
            for seq in range(made + 1, min(made + BATCH, count) + 1):
                kind, payload = next(told)
                at_us, text = end_us - YEARS_US + YEARS_US * seq // count, chain.canonical(payload)
                digest = chain.link(prev, seq, at_us, kind, None, text)
                connection.execute(INSERT, (seq, at_us, seq, BOOT, kind, None, text, prev, digest))
                if kind in PROJECTIONS:
                    project(connection, kind, seq=seq, at_us=at_us, boot=BOOT, cause=None, payload=text)
                prev = digest
            connection.execute("COMMIT")
            made = min(made + BATCH, count)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class Use(NamedTuple):
    """When a use of the writing connection began, how long it took, and on the processor alone."""

    at_us: int
    ms: float
    cpu_ms: float


class TimedThread(ThreadPoolExecutor):
    """The thread that uses the writing connection; remembers how long each use took, in ms."""

    def __init__(self) -> None:
        super().__init__(1)
        self.taken: list[Use] = []

    def submit(self, work: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        def timed() -> Any:
            at_us, begun, cpu = time.time_ns() // 1000, time.perf_counter(), time.thread_time()
            try:
                return work(*arguments, **named)
            finally:
                ms, cpu_ms = (time.perf_counter() - begun) * 1e3, (time.thread_time() - cpu) * 1e3
                self.taken.append(Use(at_us, ms, cpu_ms))

        return super().submit(timed)


@dataclass
class Others:
    """What others than the compaction do meanwhile, and how long each of it took, in ms."""

    appends: list[float] = field(default_factory=list)
    reads: list[float] = field(default_factory=list)
    lags: list[float] = field(default_factory=list)

    async def append(self, agent: Any) -> None:
        while True:
            begun = time.perf_counter()
            await agent.journal.append("benchmark.appended", {"text": "x" * 120})
            self.appends.append((time.perf_counter() - begun) * 1e3)
            await asyncio.sleep(0.02)

    async def read(self, agent: Any) -> None:
        while True:
            begun = time.perf_counter()
            await events.tail(agent.store, limit=20)
            self.reads.append((time.perf_counter() - begun) * 1e3)
            await asyncio.sleep(0.05)

    async def watch_the_loop(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(0.005)
            self.lags.append((time.perf_counter() - begun - 0.005) * 1e3)


async def compact(folder: Path, count: int) -> None:
    config = Config.model_validate(
        {
            "paths": {"state": folder, "models": folder / "models"},
            "games": {"powerball": {"feeds": []}},
            "retention": {"age": "30d"},
        }
    )
    thread, others = TimedThread(), Others()

    def open_store(path: Path) -> Any:
        return Store.open(path, executor=thread)

    begun = time.perf_counter()
    build(config.database, count)
    before = config.database.stat().st_size
    print(f"{count:,} events, {before / 1e6:,.0f} MB, built in {time.perf_counter() - begun:.0f} s")
    async with open_agent(config, Ports(open_store=open_store)) as agent:
        await agent.recover()
        await agent.request("compact", "journal", {}, by="benchmark")
        claimed = await agent.journal.record(lambda tx: intents.claim(tx, ("compact",)))
        if claimed is None:
            raise SystemExit("the compaction could not be begun")
        company = [
            asyncio.create_task(others.append(agent)),
            asyncio.create_task(others.read(agent)),
            asyncio.create_task(others.watch_the_loop()),
        ]
        await asyncio.sleep(3)
        alone = Others(others.appends[:], others.reads[:], others.lags[:])
        for taken in (thread.taken, others.appends, others.reads, others.lags):
            taken.clear()
        begun = time.perf_counter()
        await runner.carry_out(agent.context(), claimed)
        seconds = time.perf_counter() - begun
        for task in company:
            task.cancel()
        await asyncio.gather(*company, return_exceptions=True)
        done = await intents.find(agent.store, claimed.id)
        if done.state != "done":
            raise SystemExit(f"the compaction is {done.state}: {done.error}")
        phases = await ends_of_phases(agent.store, thread.taken[-1].at_us)
        summarised = len(await agent.store.rows("SELECT 1 FROM training_summary"))
    thread.shutdown()
    print(f"load of the machine: {', '.join(f'{load:.1f}' for load in os.getloadavg())}")
    print(f"compacted in {seconds:.1f} s: {done.result}; {summarised:,} trainings summarised")
    print(f"the file: {before / 1e6:,.0f} MB, then {config.database.stat().st_size / 1e6:,.0f} MB")
    print(f"\n{'ms':<44}{'n':>8}{'p50':>9}{'p99':>9}{'max':>9}")
    writes = [use.ms for use in thread.taken]
    row("use of the writing connection", writes, f"<= {BAR_MS}")
    row("  on the processor", [use.cpu_ms for use in thread.taken])
    begun_us = 0
    for name, end_us in phases:
        uses = [use for use in thread.taken if begun_us <= use.at_us < end_us]
        row(f"  while it {name}", [use.ms for use in uses])
        row("    on the processor", [use.cpu_ms for use in uses])
        begun_us = end_us
    row("an append of somebody else", others.appends)
    row("  before the compaction", alone.appends)
    row("a read of somebody else", others.reads)
    row("  before the compaction", alone.reads)
    row("lag of the event loop", others.lags)
    row("  before the compaction", alone.lags)
    over = sum(ms > BAR_MS for ms in writes)
    print(f"\nuses of the writing connection longer than {BAR_MS} ms: {over} of {len(writes)}")


async def ends_of_phases(store: Store, last_us: int) -> list[tuple[str, int]]:
    """Return what the compaction did one after the other, and when each ended, in microseconds."""
    (known,) = await store.rows(
        "SELECT max(CASE WHEN kind = 'training.summarised' AND seq < (SELECT min(seq) FROM event"
        " WHERE kind IN ('journal.sealed', 'journal.purged')) THEN at_us END) AS summarised,"
        " max(CASE kind WHEN 'journal.sealed' THEN at_us END) AS sealed,"
        " max(CASE kind WHEN 'journal.purged' THEN at_us END) AS purged FROM event"
        " WHERE kind IN ('training.summarised', 'journal.sealed', 'journal.purged')"
    )
    return [
        ("summarises", known["summarised"] + 1),
        ("archives", known["sealed"] + 1),
        ("removes", known["purged"] + 1),
        ("gives back disk space", last_us + 1),
    ]


def row(name: str, taken: list[float], bar: str = "") -> None:
    ordered = sorted(taken) or [float("nan")]
    p50, p99 = (ordered[min(len(ordered) - 1, len(ordered) * part // 100)] for part in (50, 99))
    print(f"{name:<44}{len(taken):>8,}{p50:>9.1f}{p99:>9.1f}{ordered[-1]:>9.1f}  {bar}")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else EVENTS
    logger.remove()
    DISK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=DISK, prefix="benchmark-") as folder:
        asyncio.run(compact(Path(folder), count))


if __name__ == "__main__":
    main()
