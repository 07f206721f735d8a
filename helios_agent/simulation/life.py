"""A life of the agent: boots and crashes, weeks of virtual time, faults at the moments they are due."""

import asyncio
import os
import random
import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from loguru import logger

from helios_agent import files
from helios_agent.actions import control
from helios_agent.agent import Agent, Health, Ports, open_agent
from helios_agent.clock import SECOND_US
from helios_agent.config import Config
from helios_agent.errors import HeliosError, Refused, StoreError
from helios_agent.journal import intents
from helios_agent.lifecycle import live
from helios_agent.simulation import loop as loops
from helios_agent.simulation import world
from helios_agent.simulation.faults import Turn
from helios_agent.simulation.inline import Disk, InlineEngine
from helios_agent.simulation.loop import SimulatedClock, VirtualLoop
from helios_agent.systemd import Notifier

PULSE_S = 3 * 3600.0
BEGIN_AGAIN_S = 5.0
"""How long after its end the service manager starts the daemon again."""
ENDING = ("restart", "crash")
KEPT = "kept-"
HISTORY = timedelta(days=120)
"""How long the game had been drawn when the agent was first started."""
ZONES = (
    "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Pacific/Chatham",
    "Asia/Kolkata",
)  # fmt: skip
SCHEDULES: tuple[Mapping[str, Any], ...] = (
    {
        "name": "ingest",
        "action": "ingest",
        "cron": "30 1,4,8 * * tue,thu,sun",
        "timezone": "America/New_York",
    },
    {"name": "forecast", "action": "forecast", "cron": "15 0,12 * * *"},
    {"name": "assess", "action": "assess", "cron": "30 2 * * *", "jitter": "10m"},
    {"name": "reflect", "action": "reflect", "cron": "45 2 * * sun"},
    {"name": "backup", "action": "backup", "every": "2d", "catch_up": "none"},
    {"name": "verify", "action": "verify", "cron": "42 4 * * sun"},
    {"name": "compact", "action": "compact", "cron": "5 3 * * 0,3"},
    {"name": "paused", "action": "train", "cron": "0 1 * * *", "enabled": False},
    {"name": "often", "action": "ingest", "cron": "7 */8 * * *", "catch_up": "all", "max_age": "12h"},
)


class Killed(SystemExit):
    """The process is gone between two instructions. (asyncio lets no exception but an exit pass at once.)"""


class Life:
    """One agent's life in one folder, boot after boot, under a virtual clock."""

    def __init__(
        self,
        folder: Path,
        seed: int,
        start: date,
        schedules: Sequence[Mapping[str, Any]] = SCHEDULES,
        on_point: Callable[[str], None] = lambda _: None,
        *,
        changes: Mapping[str, Any] = MappingProxyType({}),
        draws: Mapping[date, world.Numbers] | None = None,
        pulse_s: float = PULSE_S,
    ) -> None:
        """Begin a life; `changes` takes the place of whole sections of the configuration.

        `draws` are those of the game from HISTORY before `start` on: see `World.draws`.
        """
        folder.mkdir(parents=True)
        source = random.Random(f"life {seed}")  # noqa: S311
        self._zone, self._schedules, self._changes = source.choice(ZONES), schedules, changes
        self.pulse_s = pulse_s
        """How often the agent looks what is due, at least."""
        self._settle_in(folder)
        self.clock = SimulatedClock(world.midnight(start), VirtualLoop())
        self.outside = world.World(f"machine {seed}", self.clock, start - HISTORY, self._at_point, draws)
        self.disk = Disk(f"disk {seed}", self._at_point)
        self.engine = InlineEngine(f"engine {seed}", self.clock)
        self.engine.on_report = self._ask_of_running
        self._asking: list[control.Request] = []
        """What is to be asked of trainings that run."""
        self.boots = 0
        self.health: Health | None = None
        """How the agent was doing just before it was last stopped."""
        self.met: Counter[str] = Counter()
        """What went wrong with the process and the machine, and how often."""
        self.forked: Callable[[], NoReturn] | None = None
        """Set where this life goes on in a fork of the process that began it, on a copy of its disk: what
        ends the process once the life has ended."""
        self._on_point = on_point
        self._points_left = 0
        self._agent: Agent | None = None
        self.complaints: list[str] = []
        """What the event loop had to say of errors that nobody took."""

    def _settle_in(self, folder: Path) -> None:
        self.folder = folder
        settings = world.settings(folder, self._zone, self._schedules)
        self.config = Config.model_validate({**settings, **self._changes})

    def run(self, seconds: float, turns: Sequence[Turn] = ()) -> None:
        """Live until so many seconds after the start, then stop in good order."""
        self._until_s, self._waiting = seconds, list(turns)
        self._go_on()

    def _go_on(self) -> None:
        while self.clock.mono_us() < self._until_s * SECOND_US:
            self._wait_for_boot(self._boot(self._until_s, self._waiting))

    def _wait_for_boot(self, down_s: float) -> None:
        self.clock.loop = VirtualLoop(self.clock.mono_us() + round(down_s * SECOND_US))

    def keep(self) -> Path:
        """Copy the disk as it is now; return where to."""
        kept = Path(tempfile.mkdtemp(prefix=KEPT, dir=self.folder.parent))
        # The shared memory of the processes that have the database open dies with them.
        shutil.copytree(self.folder, kept, ignore=shutil.ignore_patterns("*-shm"), dirs_exist_ok=True)
        return kept

    def kill(self, kept: Path) -> NoReturn:
        """End this boot here; the next one finds the disk as it was kept."""
        self._kept = kept
        if self.forked is None:
            raise Killed
        # In a fork the open files are the other process's as well: what has them must not even close them. So
        # what runs here is not unwound, but stands still for ever, and another thread goes on.
        other = threading.Thread(target=self._go_on_after, args=(self.forked,))
        other.start()
        other.join()
        os._exit(1)  # it failed, having told of it

    def _go_on_after(self, end: Callable[[], NoReturn]) -> None:
        if self.folder.name.startswith(KEPT):
            shutil.rmtree(self.folder)  # a copy of its own, from the kill before
        self._settle_in(self._kept)
        self._forget_boot()
        self._wait_for_boot(self._down_s)
        self._go_on()
        end()

    def strike(self, points: int) -> None:
        """Have this boot killed at the so-many-th point from now on."""
        self._points_left = points

    def _at_point(self, point: str) -> None:
        self._on_point(point)
        if self._points_left:
            self._points_left -= 1
            if not self._points_left:
                self.met["strike"] += 1
                self.kill(self.keep())

    def _boot(self, seconds: float, waiting: list[Turn]) -> float:
        """Live one boot; return after how many seconds the next one begins."""
        self.boots += 1
        loop = self.clock.loop
        loop.set_exception_handler(self._complain)
        token = files.free_bytes.set(self.disk.free_bytes)
        try:
            down_s = loop.run_until_complete(self._live(seconds, waiting))
        except Killed:
            self._take_over(loop)
            return self._down_s
        except HeliosError as error:
            logger.bind(action="simulation").info("boot {} ended: {}", self.boots, error)
            down_s = BEGIN_AGAIN_S
        finally:
            files.free_bytes.reset(token)
            self._forget_boot()
        self._end(loop)
        return down_s

    def _forget_boot(self) -> None:
        self.disk.forget()
        self._agent = None

    def _end(self, loop: VirtualLoop) -> None:
        points_left, self._points_left = self._points_left, 0  # who has ended cannot be killed
        loops.end(loop)
        self._points_left = points_left

    def _take_over(self, loop: VirtualLoop) -> None:
        """Go on with the disk as it was when the process was killed."""
        self._end(loop)  # what is still written goes to the old disk, which is thrown away
        shutil.rmtree(self.folder)
        self._kept.rename(self.folder)

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not isinstance(context.get("exception"), Killed):
            self.complaints.append(f"boot {self.boots}: {context}")

    async def _live(self, seconds: float, waiting: list[Turn]) -> float:
        self._down_s = BEGIN_AGAIN_S
        stop = asyncio.Event()
        boot = f"boot-{self.boots}"
        ports = Ports(
            self.clock, lambda *_: self.engine, self.outside.transport(), self.disk.open, self.pulse_s, boot
        )
        self.config.paths.state.mkdir(parents=True, exist_ok=True)
        await self._catch_up(waiting)
        turning = asyncio.create_task(self._turn(seconds, waiting), name="turns")
        living = asyncio.create_task(self._serve(ports, stop), name="live")
        await asyncio.wait({living, turning}, return_when=asyncio.FIRST_COMPLETED)
        if not living.done():
            turning.result()
            if self._agent is None:
                living.cancel()  # as the service manager ends what does not come up
            else:
                self.health = self._agent.health()
        turning.cancel()
        stop.set()
        with suppress(asyncio.CancelledError):
            await living
        return self._down_s

    async def _serve(self, ports: Ports, stop: asyncio.Event) -> None:
        async with open_agent(self.config, ports) as self._agent:
            await live(self._agent, _door, Notifier({}), stop)

    async def _catch_up(self, waiting: list[Turn]) -> None:
        """Let everything happen to the machine that was due while the daemon was down."""
        now_s = self.clock.mono_us() / SECOND_US
        due = [turn for turn in waiting if turn.at_s <= now_s]
        del waiting[: len(due)]
        for turn in due:
            if turn.kind not in ENDING:
                await self._take(turn)

    async def _turn(self, seconds: float, waiting: list[Turn]) -> None:
        """Let everything happen that is due, until the daemon is stopped or its time has come."""
        while waiting and waiting[0].at_s < seconds:
            await self._sleep_until(waiting[0].at_s)
            turn = waiting.pop(0)
            if turn.kind in ENDING:
                self.met[turn.kind] += 1
                self._down_s = float(turn.value)
                if turn.kind == "crash":
                    self.kill(self.keep())
                return
            await self._take(turn)
        await self._sleep_until(seconds)

    async def _reload(self) -> None:
        if self._agent is None:
            return
        try:
            await self._agent.reload()
            self.met["reload"] += 1
        except (Refused, StoreError) as error:  # not ready yet, or a full disk
            logger.bind(action="simulation").info("no reload: {}", error)

    async def _ask_of_running(self, kind: str) -> None:
        if kind == "train" and self._asking:
            await self._ask_of("running", self._asking.pop())

    async def _ask_of(self, state: str, request: control.Request) -> None:
        """Ask something of the trainings in a state, as a person does."""
        if self._agent is None:
            return
        for intent in await intents.open_ones(self._agent.store):
            if (intent.action, intent.state) == ("train", state):
                try:
                    await self._agent.control(intent.id, request, by="http")
                    self.met[request] += 1
                except (Refused, StoreError) as error:  # it is to be stopped already, or a full disk
                    logger.bind(action="simulation").info("not asked to {}: {}", request, error)

    async def _sleep_until(self, at_s: float) -> None:
        await self.clock.sleep(at_s - self.clock.mono_us() / SECOND_US)

    async def _take(self, turn: Turn) -> None:
        match turn.kind:
            case "mood":
                self.outside.mood[turn.host] = str(turn.value)
            case "worker":
                self.engine.deadly = True
            case "diverge":
                self.engine.diverging = bool(turn.value)
            case "full":
                await self.disk.fill(bool(turn.value))
            case "crammed":
                self.disk.crammed = bool(turn.value)
            case "slow":
                self.disk.stall_s = float(turn.value)
            case "step":
                self.clock.step(float(turn.value))
            case "right":
                self.clock.set_right()
            case "suspend":
                self.clock.suspend(float(turn.value))
            case "reload":
                await self._reload()
            case "pause" | "stop" as request:
                self._asking.append(request)
            case "resume":
                self._asking = [request for request in self._asking if request != "pause"]
                await self._ask_of("paused", "resume")
            case "strike":
                self.strike(int(turn.value))
            case _:
                raise ValueError(f"there is no turn of the kind {turn.kind!r}")


async def _door(agent: Agent, closing: asyncio.Event) -> None:
    """Serve nobody: what HTTP does to the agent is a request for an intent, like a schedule's."""
    await closing.wait()
