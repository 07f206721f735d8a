"""Kill the agent's process again and again, and look for anything it had acknowledged and lost.

Each cycle forks a real agent on one state folder. It writes as fast as it can, from several producers,
and says on a pipe what was acknowledged to them. At a random moment it gets SIGKILL. Run by itself:
python -m tests.faults.kill_loop FOLDER CYCLES SEED
"""

import asyncio
import json
import os
import random
import select
import signal
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from loguru import logger

from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.config import Config
from helios_agent.journal import chain
from helios_agent.lifecycle import live
from helios_agent.store.readers import read_only
from helios_agent.systemd import Notifier

PRODUCERS = 8
BACKUPS = 0.2
"""In what share of the boots a backup is asked for: the kill may meet it at its work."""
LONGEST_S = 0.2
"""A boot is killed at some moment up to so long after its start: some before it has opened the database."""


@dataclass
class Outcome:
    cycles: int = 0
    acknowledged: int = 0
    lost: list[str] = field(default_factory=list)
    events: int = 0
    boots: int = 0
    backups: int = 0
    seconds: float = 0.0


def configuration(folder: Path) -> Config:
    return Config.model_validate(
        {
            "paths": {"state": folder / "state", "models": folder / "models"},
            "games": {"simulated": {"feeds": []}},
            "schedules": [],
        }
    )


def kill_again_and_again(folder: Path, cycles: int, seed: int) -> Outcome:
    source = random.Random(seed)  # noqa: S311
    config = configuration(folder)
    config.paths.state.mkdir(parents=True)
    outcome = Outcome()
    begun = time.monotonic()
    told: list[tuple[int, str]] = []
    for _ in range(cycles):
        acknowledged = _one_boot(config, source.uniform(0, LONGEST_S), backs_up=source.random() < BACKUPS)
        outcome.cycles += 1
        outcome.lost += _lost(config, acknowledged)
        told += acknowledged
    outcome.acknowledged = len(told)
    outcome.lost += _lost(config, told)  # no later boot took any of it back
    outcome.seconds = time.monotonic() - begun
    with closing(sqlite3.connect(read_only(config.database), uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        outcome.events = chain.verify_database(connection).seq
        kinds = dict(connection.execute("SELECT kind, count(*) FROM event GROUP BY kind").fetchall())
    outcome.boots = kinds.get("agent.started", 0)
    outcome.backups = kinds.get("backup.completed", 0)
    if "store.restored" in kinds:
        outcome.lost.append("the database had been damaged, and was restored")
    return outcome


def _one_boot(config: Config, lives_s: float, *, backs_up: bool) -> list[tuple[int, str]]:
    """Fork an agent, kill it, and return seq and hash of every event that it acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            asyncio.run(_live(config, writing, backs_up=backs_up))
        finally:
            os._exit(1)
    os.close(writing)
    said, until = b"", time.monotonic() + lives_s
    while (left := until - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            chunk = os.read(reading, 65536)
            if not chunk:
                raise RuntimeError("the agent ended by itself")
            said += chunk
    os.kill(child, signal.SIGKILL)
    while chunk := os.read(reading, 65536):
        said += chunk
    os.close(reading)
    os.waitpid(child, 0)
    return [(seq, digest) for seq, digest in map(json.loads, said.splitlines())]


async def _live(config: Config, writing: int, *, backs_up: bool) -> None:
    async def door(agent: Agent, closing: asyncio.Event) -> None:
        async def produce() -> None:
            while True:
                event = await agent.journal.append("test.acknowledged", {"process": os.getpid()})
                os.write(writing, json.dumps([event.seq, event.hash]).encode() + b"\n")

        if backs_up:
            await agent.request("backup", "journal", {}, "kill_loop")
        await asyncio.gather(*(produce() for _ in range(PRODUCERS)))

    async with open_agent(config, Ports()) as agent:
        await live(agent, door, Notifier({}), asyncio.Event())


def _lost(config: Config, acknowledged: list[tuple[int, str]]) -> list[str]:
    if not acknowledged:
        return []
    with closing(sqlite3.connect(read_only(config.database), uri=True)) as connection:
        kept = dict(
            connection.execute(
                "SELECT seq, lower(hex(hash)) FROM event WHERE seq >= ?", (acknowledged[0][0] - PRODUCERS,)
            ).fetchall()
        )
    return [f"event {seq}" for seq, digest in acknowledged if kept.get(seq) != digest]


if __name__ == "__main__":
    logger.remove()
    place, count, chosen = sys.argv[1:]
    print(json.dumps(vars(kill_again_and_again(Path(place), int(count), int(chosen)))))
