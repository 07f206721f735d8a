"""The composition root: open, wire, recover, reload, close."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import httpx
from loguru import logger

from helios_agent import logs
from helios_agent.actions import control, goals, reactions, runner, train, verify, versions
from helios_agent.actions.action import WORK, Context
from helios_agent.clock import SECOND_US, Clock, SystemClock, from_us
from helios_agent.config import Config, diff
from helios_agent.config.model import Work
from helios_agent.deadman import DeadMansSwitch
from helios_agent.errors import ConfigError, Refused, StoreError
from helios_agent.journal import archives, autonomy, chain, draws, intents
from helios_agent.journal.journal import Journal, Transaction, tell_of_restoration
from helios_agent.notify import webhooks
from helios_agent.schedules import Scheduler
from helios_agent.store import Store, backup
from helios_agent.supervision import Supervisor
from helios_agent.systemd import Notifier
from helios_agent.work import engines
from helios_agent.work.children import ForkServer
from helios_agent.work.engine import Engine
from helios_agent.work.engines import open_engine
from helios_agent.work.metering import Meter
from helios_agent.work.predictor import Predictors

STALE_PULSES = 3
WAL_LIMIT_BYTES = 64 * 1024 * 1024
WAL_INCIDENT = "journal:wal"


@dataclass(frozen=True)
class Ports:
    """What the agent reaches the world through. The defaults are the real things.

    `pulse_s` is the longest time between two looks at what is due, and between two signs of life.
    `boot` names this life of the process.
    """

    clock: Clock = field(default_factory=SystemClock)
    open_engine: Callable[[Work, ForkServer], Engine] = open_engine
    transport: httpx.AsyncBaseTransport | None = None
    open_store: Callable[[Path], Awaitable[Store]] = Store.open
    pulse_s: float = 30.0
    boot: str = field(default_factory=lambda: uuid.uuid4().hex[:12])


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the agent lives and is ready to serve, and why not.

    `alive` is false when a part gives no sign of life, which a restart may cure.
    """

    status: str
    reasons: tuple[str, ...]
    alive: bool

    @property
    def ready(self) -> bool:
        return self.status == "ready"


class Agent:
    """An open agent: its journal, what it may use, and how it is doing."""

    def __init__(
        self,
        config: Config,
        ports: Ports,
        store: Store,
        http: httpx.AsyncClient,
        engine: Engine,
        predictors: Predictors,
        reread: Callable[[], Config],
    ) -> None:
        self.config = config
        self.targets = webhooks.endpoints(config.webhooks)
        hooks = (reactions.react, reactions.watch, webhooks.queueing(lambda: self.targets))
        self.journal = Journal(store, ports.clock, ports.boot, hooks)
        self.scheduler = Scheduler(config, self.journal, ports.pulse_s)
        self.supervisor = Supervisor(self.journal)
        self.predictors = predictors
        self.phase = "starting"
        self.begun_mono_us = self._beaten_mono_us = self._written_mono_us = ports.clock.mono_us()
        self._foreign_writes = 0
        self._ports = ports
        self._http = http
        self._engine = engine
        self._meter = Meter()
        self._reread = reread
        self._reloading = asyncio.Lock()

    @property
    def store(self) -> Store:
        return self.journal.store

    def context(self) -> Context:
        """Return what an action that begins now may use."""
        return Context(self.config, self.journal, self._http, self._engine, self._meter)

    async def request(
        self, action: str, target: str, args: dict[str, object], by: str, priority: int = 0
    ) -> intents.Intent:
        """Ask for an action on behalf of a person; return the intent once it is durable."""

        def change(tx: Transaction) -> str:
            asked = {"action": action, "target": target, "args": args, "by": by}
            cause = tx.append("action.requested", asked).seq
            return intents.request(tx, action, target, args, cause, priority=priority)

        return await intents.find(self.store, await self.journal.record(change))

    async def control(
        self, intent_id: str, request: control.Request, by: str, priority: int = 0
    ) -> intents.Intent:
        """Ask something of an intent (see `control.ask`); return the intent that answers to it, once durable.

        Raises NotFound and Refused.
        """

        def change(tx: Transaction) -> str:
            answering = control.ask(tx, intent_id, request, by, priority)
            runner.forget_unwatched(tx, self.config)  # nothing is tried again for them
            return answering

        answering = await self.journal.record(change)
        await train.sweep(self.config.paths.models, self.store)
        return await intents.find(self.store, answering)

    async def answer(
        self, intent_id: str, answer: Literal["approve", "refuse"], by: str, reason: str = ""
    ) -> intents.Intent:
        """Approve or refuse what was proposed, on behalf of a person; only a refusal has a reason.

        Raises NotFound, and Refused where it was answered already or too late.
        """

        def change(tx: Transaction) -> None:
            if answer == "approve":
                intents.approve(tx, intent_id, by)
            else:
                intents.refuse(tx, intent_id, by, reason)

        await self.journal.record(change)
        return await intents.find(self.store, intent_id)

    async def switch(self, on: bool, by: str) -> autonomy.Autonomy:
        """Have the agent decide for itself, or stop that, on behalf of a person."""
        await self.journal.record(lambda tx: autonomy.switch(tx, on, by))
        return await autonomy.standing(self.store)

    async def reload(self) -> dict[str, list[Any]]:
        """Read the configuration again and live by it; return what changed: setting → [old, new].

        Raises ConfigError, having journaled it, when it is not valid or needs a restart: nothing changes.
        Raises Refused when the agent is not ready, StoreError when the change cannot be journaled.
        """
        async with self._reloading:
            if self.phase != "ready":
                raise Refused(f"The agent is {self.phase}: it does not reload its configuration now.")
            try:
                config = await asyncio.to_thread(self._reread)
                changed = diff.changes(self.config, config)
                targets = webhooks.endpoints(config.webhooks)
                archives.read_key(config.retention.seal_key_file)
                goals.check(config)
            except ConfigError as error:
                logger.bind(action="reload").error("refused, the old configuration stays: {}", error)
                await self.journal.append("config.refused", {"error": str(error)})
                raise
            await self.journal.record(partial(self._reloaded, config=config, changed=changed))
            if config.log != self.config.log:
                logs.to_stderr(config.log)
            self.config, self.targets, self.scheduler.config = config, targets, config
            self._http.timeout = httpx.Timeout(config.feeds.timeout)
            self.scheduler.changed.set()
            await self.supervisor.restart("webhooks")
        logger.bind(action="reload").info("settings changed: {}", ", ".join(changed) or "none")
        return changed

    def _reloaded(self, tx: Transaction, config: Config, changed: dict[str, list[Any]]) -> None:
        reloaded = tx.append(
            "config.reloaded",
            {
                "changed": changed,
                "games": list(config.games),
                "added_games": [game for game in config.games if game not in self.config.games],
                "schedules": [schedule.name for schedule in config.schedules],
            },
        )
        runner.forget_unwatched(tx, config)
        goals.adopt(tx, config, reloaded.seq)

    def release(self, tx: Transaction) -> int:
        """Put back whatever runs, nothing of which goes on any more; return how much."""
        return runner.release(tx, self._meter)

    async def recover(self) -> None:
        """Journal a restoration, take up what an earlier boot left, and forget games no longer watched.

        Proposals that nobody has answered in time expire, the goals of the configuration are taken from it;
        folders of models and of trainings are tidied.
        """
        await self.journal.record(tell_of_restoration)
        recovered = await self.journal.record(intents.recover)
        await self.journal.record(intents.expire_proposals)
        await self.journal.record(partial(runner.forget_unwatched, config=self.config))
        await self.journal.record(partial(goals.adopt, config=self.config))
        await versions.sweep(self.journal, self.config.paths.models)
        await train.sweep(self.config.paths.models, self.store)
        if recovered:
            logger.bind(action="start").info("{} unfinished intents taken up again", recovered)

    def health(self) -> Health:
        """Say whether loop, writer and scheduler gave a sign of life lately, and whether we serve."""
        now_us = self.journal.clock.mono_us()
        pulses = {
            "event loop": self._beaten_mono_us,
            "scheduler": self.scheduler.pulse_mono_us,
            "writer": self._written_mono_us,
        }
        if self.phase == "starting":
            pulses = {}
        silent = {name: (now_us - pulse_us) / SECOND_US for name, pulse_us in pulses.items()}
        reasons = [
            f"the {name} has given no sign of life for {silent_s:.0f} s"
            for name, silent_s in silent.items()
            if silent_s > STALE_PULSES * self._ports.pulse_s
        ]
        alive = not reasons
        reasons += [r for r in (self.store.trouble, *self.supervisor.troubles) if r is not None]
        if reasons:
            return Health("unhealthy", tuple(reasons), alive)
        return Health(self.phase, () if self.phase == "ready" else (f"the agent is {self.phase}",), alive)

    def start(self, notifier: Notifier) -> None:
        """Start every task that lives as long as the agent, and look for the cluster, if there is one."""
        engines.greet(self._engine)
        start = self.supervisor.start
        start("scheduler", self.scheduler.run)
        start("webhooks", self._send)
        start("pulse", partial(self._pulse, notifier))
        start("probe", self._probe)
        start("predictors", partial(self.predictors.unload_retired, self.journal))
        start("deadman", DeadMansSwitch(lambda: self.config, self.journal, self._ports.pulse_s).run)
        for lane in runner.LANES:
            at_once = self.config.work.workers if lane == WORK else 1
            start(f"lane.{lane}", partial(runner.run_lane, self.context, lane, self._ports.pulse_s, at_once))

    async def _send(self) -> None:
        public_url = self.config.http.public_url
        sender = webhooks.Sender(
            self.journal,
            self._http,
            self.config.webhooks,
            self.targets,
            self._ports.pulse_s,
            None if public_url is None else str(public_url),
        )
        await sender.run()

    async def _pulse(self, notifier: Notifier) -> None:
        """Show again and again that the loop turns; feed the watchdog while everything lives."""
        pause_s = min(self._ports.pulse_s, (notifier.watchdog_s or 2 * self._ports.pulse_s) / 2)
        answers = self.store.answers
        while True:
            self._beaten_mono_us = self.journal.clock.mono_us()
            if self.store.answers != answers:
                answers, self._written_mono_us = self.store.answers, self._beaten_mono_us
            if self.health().alive:
                notifier.send(WATCHDOG=1)
            await self.journal.clock.sleep(pause_s)

    async def _probe(self) -> None:
        """Ask the writer again and again, that it can be seen to answer, and look after the database."""
        while True:
            await self._let_the_writer_answer()
            if self.store.trouble is None:
                await self._watch_the_store()
            await self.journal.clock.sleep(self._ports.pulse_s)

    async def _let_the_writer_answer(self) -> None:
        """Ask the writer; while it could not write, try a real change, which ends the trouble."""
        trouble = self.store.trouble
        try:
            if trouble is None:
                await self.store.write(lambda connection: connection.execute("SELECT 1").fetchone())
            else:
                await self.journal.append("store.recovered", {"after": trouble})
        except StoreError as error:  # an answer too: health tells of it
            logger.bind(action="store").error("{}", error)

    async def _watch_the_store(self) -> None:
        """Open an incident when another process wrote to the database, or its log grows without end."""
        foreign, wal_bytes = self.store.foreign_writes, self.store.wal_bytes()
        intruded, too_large = foreign > self._foreign_writes, wal_bytes > WAL_LIMIT_BYTES
        noted = any(incident.key == WAL_INCIDENT for incident in await draws.open_incidents(self.store))
        if too_large != noted or intruded:
            await self.journal.record(partial(self._note, wal_bytes if too_large else None, intruded))
        self._foreign_writes = foreign

    def _note(self, wal_bytes: int | None, intruded: bool, tx: Transaction) -> None:
        if wal_bytes is None:
            draws.close_incident(tx, WAL_INCIDENT, None)
        else:
            message = (
                f"The database's write-ahead log has {wal_bytes:,} bytes: a reader that does not end keeps "
                "it from being emptied"
            )
            draws.open_incident(tx, WAL_INCIDENT, "wal-too-large", message, None)
        if intruded:
            message = (
                f"Another process has written to {self.store.path}, which this one alone may do; the next "
                "verification tells whether the journal is sound"
            )
            opened = draws.open_incident(tx, verify.INTRUSION, "foreign-writer", message, None)
            if opened is not None:
                tx.append("alert.raised", {"about": "journal", "message": message}, opened)


@asynccontextmanager
async def open_agent(
    config: Config, ports: Ports, reread: Callable[[], Config] | None = None
) -> AsyncIterator[Agent]:
    """Open the database, prove it sound, and wire the agent, which then has to recover.

    `reread` returns the configuration anew when it is to be reloaded. Raises StoreCorrupt or StoreNewer
    when the database cannot be used, ConfigError for a webhook's secret, the seal's key or a goal.
    """
    archives.read_key(config.retention.seal_key_file)
    goals.check(config)
    webhooks.endpoints(config.webhooks)
    restored = await asyncio.to_thread(
        backup.verify_or_restore,
        config.database,
        config.backups,
        from_us(ports.clock.now_us()),
        chain.verify_database,
    )
    if restored:
        logger.bind(action="start").critical("{}", restored)
    async with AsyncExitStack() as opened:
        http = await opened.enter_async_context(_http_client(config, ports.transport))
        store = await ports.open_store(config.database)
        opened.push_async_callback(store.close)
        forks = ForkServer(config.work.keep_warm)
        opened.push_async_callback(forks.close)
        engine = ports.open_engine(config.work, forks)
        opened.push_async_callback(engine.close)
        predictors = Predictors(config.work, forks)
        opened.push_async_callback(predictors.close)
        yield Agent(config, ports, store, http, engine, predictors, reread or (lambda: config))


def _http_client(config: Config, transport: httpx.AsyncBaseTransport | None) -> httpx.AsyncClient:
    """Return the client for feeds and webhooks. Raises ConfigError for a proxy that cannot be used."""
    try:
        return httpx.AsyncClient(
            timeout=config.feeds.timeout,
            headers={"user-agent": f"helios-agent/{version('helios-agent')}"},
            transport=transport,
        )
    except ValueError as error:
        raise ConfigError(f"environment: a proxy setting cannot be used: {error}") from error
