"""Kill whatever takes part in trainings, again and again, and look for one that was lost or told of twice.

Each life forks a real agent on one state folder and has tiny networks trained, one after the other. Workers,
the fork server and a predictor that is being asked are killed from within, the agent itself by its parent;
each at a random moment of a training, and the next life begins at once. Trainings come in pairs with the same
seed: whatever befalls them, both must end with the same network. Run by itself:
python -m tests.faults.training_kills FOLDER KILLS SEED
"""

import asyncio
import ctypes
import json
import os
import random
import select
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger

from helios_agent.actions import train, versions
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import SystemClock, from_us
from helios_agent.config import Config
from helios_agent.config.model import Work
from helios_agent.errors import HeliosError
from helios_agent.journal import chain, draws, intents, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lifecycle import live
from helios_agent.lottery import calendar
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import SIMULATED
from helios_agent.registry import folders
from helios_agent.registry.names import Ref
from helios_agent.store.readers import read_only
from helios_agent.systemd import Notifier
from helios_agent.work.children import ForkServer
from helios_agent.work.engine import Engine
from helios_agent.work.engines import open_engine
from tests.faults import training_checks

GAME = SIMULATED.name
DRAWS, EPOCHS = 60, 30
DAEMON, STARTING = "daemon", "starting daemon"
SHARES = {DAEMON: 10, STARTING: 4, "worker": 17, "fork server": 6, "predictor": 9}
"""Of 46 kills. After one of a daemon at work or a fork server torch is loaded anew, which costs the most."""
STAGES = ("claimed", "training", "ending")
"""What the journal tells of a training that runs: that it was claimed, has begun, has had its last epoch."""
MOMENTS = {"claimed": 0.05, "training": 0.2, "keeping": 0.01, "ending": 0.03, "publishing": 0.02}
"""Up to how many seconds after a moment a kill comes."""
TRACES = {"keeping": ("training", "checkpoint/*"), "publishing": ("ending", "out-*/model.json")}
"""Moments that are seen by a file that appears after a stage."""
TRACE_S = 0.3
"""How long to wait for such a file: it may have come and gone."""
START, STARTING_S = "start", 0.15
ANSWERING_S = 0.01
PATIENCE_S = 120.0
OUTLIVING_S = 30.0
"""How long a process may live on after the agent that wanted it."""
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Kill:
    """Whom to kill, at which stage of a training, and when after its beginning, in seconds."""

    victim: str
    moment: str
    delay_s: float


@dataclass
class Outcome:
    kills: dict[str, int] = field(default_factory=dict)
    met: dict[str, int] = field(default_factory=dict)
    """What the journal had told last of the training that a kill met."""
    ends: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


def configuration(folder: Path) -> Config:
    return Config.model_validate(
        {
            "paths": {"state": folder / "state", "models": folder / "models"},
            "games": {GAME: {"feeds": []}},
            "schedules": [],
            # Nothing is trained, and no learning rate changed, but by who asks for pairs of trainings.
            "decisions": {"autonomy": {"train": "observe", "adjust": "observe"}},
            "learning": {
                "network": {"sequence": 8, "hidden": 8, "layers": 1, "heads": 2, "embedding": 4},
                "training": {"epochs": EPOCHS, "patience": EPOCHS, "batch": 8, "segments": 4},
            },
        }
    )


def planned(kills: int, source: random.Random) -> list[Kill]:
    """Return so many kills, each victim's share of them in any order."""
    deck = [victim for victim, share in SHARES.items() for _ in range(share)]
    victims: list[str] = []
    while len(victims) < kills:
        victims += source.sample(deck, len(deck))
    made = []
    for victim in victims[:kills]:
        # To publish and to commit is for the daemon, when no worker is left.
        moments = [each for each in MOMENTS if each != "publishing"] + 2 * ["publishing"] * (victim == DAEMON)
        moment = source.choice(moments)
        longest_s = MOMENTS[moment]
        if victim == STARTING:
            moment, longest_s = START, STARTING_S
        elif victim == "predictor":
            longest_s = ANSWERING_S
        made.append(Kill(victim, moment, source.uniform(0, longest_s)))
    return made


def lives_of(kills: Sequence[Kill]) -> list[list[Kill]]:
    """Return the kills of each life: the daemon's, which ends it, comes last. The last life has none of it.

    A daemon that is killed at its start lives for nothing else.
    """
    lives: list[list[Kill]] = [[]]
    starts = [kill for kill in kills if kill.victim == STARTING]
    for kill in kills:
        if kill.victim != STARTING:
            lives[-1].append(kill)
        if kill.victim == DAEMON:
            lives += [[starts.pop()]] if starts else []
            lives.append([])
    return lives


def _ends_by_a_kill(orders: Sequence[Kill]) -> bool:
    return bool(orders) and orders[-1].victim in (DAEMON, STARTING)


def kill_again_and_again(folder: Path, kills: int, seed: int) -> Outcome:
    config = configuration(folder)
    config.paths.state.mkdir(parents=True)
    # Who is left behind by an agent becomes ours, and can be seen to end.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    outcome, begun = Outcome(), time.monotonic()
    told: list[tuple[str, str]] = []
    orphans = Orphans()
    lives = lives_of(planned(kills, random.Random(seed)))  # noqa: S311
    for number, orders in enumerate(lives):
        told += _one_life(config, orders, orphans)
        outcome.wrong += [f"life {number + 1}: {found}" for found in _broken_chain(config)]
    outcome.wrong += orphans.await_their_end()
    outcome.seconds = time.monotonic() - begun
    outcome.kills = Counter(victim for victim, _ in told)
    outcome.met = Counter(last for _, last in told)
    with closing(sqlite3.connect(read_only(config.database), uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        outcome.wrong += training_checks.wrong(config, connection)
        rows = connection.execute("SELECT state FROM intent WHERE action = 'train'")
        outcome.ends = Counter(row["state"] for row in rows)
    return outcome


class Orphans:
    """Processes that outlived the agent whose they were; they must soon end by themselves."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def look(self) -> list[str]:
        """Bury who has ended; tell of those that have been there for too long."""
        for pid in _children(os.getpid()):
            self._since.setdefault(pid, time.monotonic())
            if os.waitpid(pid, os.WNOHANG)[0]:
                del self._since[pid]
        late = [pid for pid, since in self._since.items() if time.monotonic() - since > OUTLIVING_S]
        return [f"process {pid} outlived its agent by {OUTLIVING_S:g} s" for pid in late]

    def await_their_end(self) -> list[str]:
        while not (late := self.look()) and self._since:
            time.sleep(0.01)
        return late


def _one_life(config: Config, orders: Sequence[Kill], orphans: Orphans) -> list[tuple[str, str]]:
    """Fork an agent and see it through; return each victim, and what had been told last of its training."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        code = 1
        try:
            asyncio.run(_live(config, orders, writing))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(writing)
    last = orders[-1] if _ends_by_a_kill(orders) else None
    try:
        told = [] if orders and orders[0].victim == STARTING else _heard(reading, len(orders))
        if last is not None:
            time.sleep(last.delay_s)
            os.kill(child, signal.SIGKILL)
        told += _heard(reading)
    finally:
        os.kill(child, signal.SIGKILL)  # which does nothing to one that has ended
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != (0 if last is None else -signal.SIGKILL):
        raise RuntimeError("the agent ended by itself")
    late = orphans.look()
    if late:
        raise RuntimeError(late[0])
    killed = [(line["victim"], line["last"]) for line in map(json.loads, told)]
    return killed or [(order.victim, order.moment) for order in orders]


def _heard(reading: int, lines: int = sys.maxsize) -> list[bytes]:
    """Return what the agent says until it has said so much, or is gone. Raises TimeoutError."""
    said = b""
    while said.count(b"\n") < lines:
        if not select.select([reading], [], [], PATIENCE_S)[0]:
            raise TimeoutError(f"the agent has said nothing for {PATIENCE_S:g} s")
        chunk = os.read(reading, 65536)
        if not chunk:
            break
        said += chunk
    return said.splitlines()


def _broken_chain(config: Config) -> list[str]:
    try:
        with closing(sqlite3.connect(read_only(config.database), uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            if connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'event'").fetchone():
                chain.verify_database(connection)
    except (HeliosError, sqlite3.Error) as error:
        return [] if not config.database.exists() else [str(error)]
    return []


# What happens in the agent's process.


async def _live(config: Config, orders: Sequence[Kill], writing: int) -> None:
    stop = asyncio.Event()
    forks: list[ForkServer] = []

    def open_with(settings: Work, server: ForkServer) -> Engine:
        forks.append(server)
        return open_engine(settings, server)

    async def door(agent: Agent, closing: asyncio.Event) -> None:
        while agent.phase != "ready":  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        killer = _Killer(agent, forks[0], writing)
        for order in orders:
            await killer.carry_out(order)
        if not _ends_by_a_kill(orders):
            await killer.settle()
            stop.set()
        await closing.wait()

    async with open_agent(config, Ports(open_engine=open_with)) as agent:
        await _ready(agent)
        await live(agent, door, Notifier({}), stop)


async def _ready(agent: Agent) -> None:
    """Have draws, and the seed of the training that an earlier life has begun, if there is one."""
    if not await draws.count(agent.store, GAME):
        await agent.journal.record(_draw)
    _choose_seed(agent, await _trainings(agent), begun=bool(await _open(agent)))


def _draw(tx: Transaction) -> None:
    source = random.Random(1)  # noqa: S311
    now = from_us(SystemClock().now_us())
    first = (now - timedelta(days=3 * DRAWS)).date()
    era = SIMULATED.eras[-1]
    for day in calendar.expected_days(SIMULATED, first, now)[-DRAWS:]:
        whites = tuple(source.sample(range(1, era.white + 1), era.pick))
        drawn = Draw(
            game=GAME,
            day=day,
            whites=whites,
            bonus=source.randint(1, era.bonus),
            multiplier=None,
            ordered=True,
        )
        tx.append("history.imported", draws.to_payload(drawn, "packaged"))


async def _trainings(agent: Agent) -> int:
    return int((await agent.store.rows("SELECT count(*) AS n FROM intent WHERE action = 'train'"))[0]["n"])


async def _open(agent: Agent) -> list[Intent]:
    return [intent for intent in await intents.open_ones(agent.store) if intent.action == "train"]


def _choose_seed(agent: Agent, trainings: int, *, begun: bool) -> None:
    number = trainings - 1 if begun else trainings
    learning = agent.config.learning.model_copy(update={"seed": number // 2})
    agent.config = agent.config.model_copy(update={"learning": learning})


class _Killer:
    """Sees to it that trainings are under way, and kills what takes part in them."""

    def __init__(self, agent: Agent, forks: ForkServer, writing: int) -> None:
        self._agent = agent
        self._forks = forks
        self._writing = writing

    async def carry_out(self, order: Kill) -> None:
        """Kill once, whatever it takes to meet a training at the stage."""
        killed = order.victim == STARTING
        while not killed:
            job = await self._reach(order.moment)
            if order.victim == DAEMON:
                self._tell(order.victim, await self._last_word(job))
                killed = True
            elif order.victim == "predictor":
                killed = await self._kill_predictor(order.delay_s, job)
            else:
                await asyncio.sleep(order.delay_s)
                killed = await self._kill(order.victim, job)

    async def settle(self) -> None:
        """See the last training to its end, and have looked for folders that nobody knows."""
        with self._agent.journal.listening() as news:
            while await _open(self._agent):
                news.clear()
                await self._hasten()
                await news.wait()
        await train.sweep(self._agent.config.paths.models, self._agent.store)
        await versions.sweep(self._agent.journal, self._agent.config.paths.models)

    async def _reach(self, moment: str) -> str:
        """Return the id of a training that has reached a moment, if that has not gone by unseen."""
        stage, trace = TRACES.get(moment, (moment, None))
        with self._agent.journal.listening() as news:
            while True:
                news.clear()
                job = await self._hasten()
                reached = _stage(await self._last_word(job))
                if reached is not None and STAGES.index(reached) >= STAGES.index(stage):
                    break
                await news.wait()
        if moment == "keeping":  # one that is to pause writes a checkpoint
            with suppress(HeliosError):  # it has just ended
                await self._agent.control(job, "pause", "kills")
        if trace is not None:
            kept = self._agent.config.paths.models / train.STAGING / job
            with suppress(TimeoutError):
                async with asyncio.timeout(TRACE_S):
                    while not any(kept.glob(trace)):  # noqa: ASYNC110  files send no events
                        await asyncio.sleep(0.001)
        return job

    async def _hasten(self) -> str:
        """Return the id of a training that is under way or due now, asking for one where there is none."""
        agent, unfinished = self._agent, await _open(self._agent)
        if not unfinished:
            _choose_seed(agent, await _trainings(agent), begun=False)
            return (await agent.request("train", GAME, {}, "kills")).id
        job = unfinished[0]
        if job.state == "paused":
            await agent.control(job.id, "resume", "kills")
        elif job.state == "ready" and job.due_us > agent.journal.clock.now_us():
            await agent.control(job.id, "retry", "kills")
        return job.id

    async def _last_word(self, job: str) -> dict[str, Any]:
        rows = await self._agent.store.rows(
            "SELECT kind, payload->>'epoch' AS epoch FROM event WHERE ?1 = CASE WHEN kind GLOB 'intent.*'"
            " THEN payload->>'id' WHEN kind GLOB 'training.*' THEN payload->>'job' END"
            " ORDER BY seq DESC LIMIT 1",
            (job,),
        )
        return dict(rows[0])

    async def _kill(self, victim: str, job: str) -> bool:
        """Kill the fork server, or the worker that trains; return whether there was one."""
        last, server = await self._last_word(job), self._forks.pid
        if server is None:
            return False
        found = [server] if victim == "fork server" else [pid for pid in _children(server) if _trains(pid)]
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self._tell(victim, last)
                return True
        return False

    async def _kill_predictor(self, delay_s: float, job: str) -> bool:
        """Kill a predictor while it answers; the question must have the same answer all the same."""
        agent = self._agent
        found = await models.every(agent.store)
        if not found:
            await self._until_ended(job)
            return False
        ref = Ref(found[0].name, found[0].version)
        artefact = folders.place(agent.config.paths.models, ref)
        rows = [[*item.draw.whites, item.draw.bonus] for item in await draws.stored(agent.store, GAME)]
        ask = partial(agent.predictors.predict, str(ref), artefact, ref.version)
        before, last = await ask(rows), await self._last_word(job)
        asked = asyncio.create_task(ask([*rows]))
        await asyncio.sleep(delay_s)
        pid = agent.predictors.standings()[0].pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            self._tell("predictor", last)
        if (
            await asked != before
            or await agent.predictors.predict(str(ref), artefact, ref.version, rows) != before
        ):
            raise RuntimeError("a predictor that was killed has answered otherwise")
        return pid is not None

    async def _until_ended(self, job: str) -> None:
        with self._agent.journal.listening() as news:
            while job in [intent.id for intent in await _open(self._agent)]:
                news.clear()
                await self._hasten()
                await news.wait()

    def _tell(self, victim: str, last: Mapping[str, Any]) -> None:
        told = {"victim": victim, "last": _stage(last) or last["kind"]}
        os.write(self._writing, json.dumps(told).encode() + b"\n")


def _stage(last: Mapping[str, Any]) -> str | None:
    """Return at which stage a training is, None where it does not run."""
    kind = last["kind"]
    if kind == "training.epoch" and last["epoch"] == EPOCHS:
        return "ending"
    if kind in ("training.started", "training.epoch", "intent.pausing"):
        return "training"
    return "claimed" if kind == "intent.started" else None


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _trains(pid: int) -> bool:
    """Return whether a child has stepped back, as long computations do, and is no zombie."""
    with suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX" and os.sched_getscheduler(pid) == os.SCHED_IDLE
    return False


if __name__ == "__main__":
    logger.remove()
    place, count, chosen = sys.argv[1:]
    logger.add(sys.stderr, level="CRITICAL")
    print(json.dumps(vars(kill_again_and_again(Path(place), int(count), int(chosen)))))
