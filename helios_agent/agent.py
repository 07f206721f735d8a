"""The composition root: open, wire, run, drain, close."""

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from typing import Any

import httpx
from loguru import logger

from helios_agent.actions import reactions, runner, train
from helios_agent.actions.action import Context
from helios_agent.clock import SECOND_US, Clock, from_us
from helios_agent.config import Config
from helios_agent.errors import ConfigError, HeliosError, StoreError
from helios_agent.journal import chain, draws, events, intents
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.notify import webhooks
from helios_agent.schedules import PULSE_S, Scheduler
from helios_agent.store import Store, backup
from helios_agent.systemd import Notifier

STALE_PULSES = 3
FORCED_EXIT = 1


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
        journal: Journal,
        http: httpx.AsyncClient,
        targets: tuple[webhooks.Endpoint, ...],
    ) -> None:
        self.config = config
        self.journal = journal
        self.context = Context(config, journal, http)
        self.scheduler = Scheduler(config, journal)
        self.sender = webhooks.Sender(journal, http, config.webhooks, targets)
        self.phase = "starting"
        self.begun_mono_us = self._written_mono_us = journal.clock.mono_us()

    @property
    def store(self) -> Store:
        return self.journal.store

    async def request(self, action: str, target: str, args: dict[str, object], by: str) -> intents.Intent:
        """Ask for an action on behalf of a person; return the intent once it is durable."""

        def change(tx: Transaction) -> str:
            asked = {"action": action, "target": target, "args": args, "by": by}
            return intents.request(tx, action, target, args, tx.append("action.requested", asked).seq)

        return await intents.find(self.store, await self.journal.record(change))

    def health(self) -> Health:
        """Say whether writer and scheduler gave a sign of life lately, and whether we serve."""
        now_us = self.journal.clock.mono_us()
        reasons = []
        for name, pulse_us in (
            ("writer", self._written_mono_us),
            ("scheduler", self.scheduler.pulse_mono_us),
        ):
            silent_s = (now_us - pulse_us) / SECOND_US
            if silent_s > STALE_PULSES * PULSE_S:
                reasons.append(f"the {name} has given no sign of life for {silent_s:.0f} s")
        alive = not reasons
        if self.store.trouble is not None:
            reasons.append(self.store.trouble)
        if reasons:
            return Health("unhealthy", tuple(reasons), alive)
        return Health(self.phase, () if self.phase == "ready" else (f"the agent is {self.phase}",), alive)

    async def _prove_that_the_writer_answers(self) -> None:
        """Wait for the writer; while it could not write, try a real change, which ends the trouble."""
        trouble = self.store.trouble
        try:
            if trouble is None:
                await self.store.write(lambda connection: connection.execute("SELECT 1").fetchone())
            else:
                await self.journal.append("store.recovered", {"after": trouble})
        except StoreError as error:  # an answer too: health tells of it
            logger.bind(action="store").error("{}", error)

    async def pulse(self, notifier: Notifier) -> None:
        """Prove again and again that the writer answers; feed the watchdog while everything does."""
        pause_s = min(PULSE_S, (notifier.watchdog_s or 2 * PULSE_S) / 2)
        while True:
            await self._prove_that_the_writer_answers()
            self._written_mono_us = self.journal.clock.mono_us()
            if self.health().alive:
                notifier.send(WATCHDOG=1)
            await self.journal.clock.sleep(pause_s)


@asynccontextmanager
async def open_agent(config: Config, clock: Clock) -> AsyncIterator[Agent]:
    """Open the database, prove it sound, recover what an earlier boot left, and wire the agent.

    Raises StoreCorrupt or StoreNewer when the database cannot be used, ConfigError for a webhook secret.
    """
    boot = uuid.uuid4().hex[:12]
    targets = webhooks.endpoints(config.webhooks)
    restored = await asyncio.to_thread(
        backup.verify_or_restore,
        config.database,
        config.backups,
        from_us(clock.now_us()),
        chain.verify_database,
    )
    if restored:
        logger.bind(action="start").critical("{}", restored)
    await asyncio.to_thread(train.sweep, config.paths.models)
    async with AsyncExitStack() as opened:
        http = await opened.enter_async_context(_http_client(config))
        store = await Store.open(config.database)
        opened.push_async_callback(store.close)
        hooks = (reactions.react, reactions.watch, webhooks.queueing(targets))
        journal = Journal(store, clock, boot, hooks)
        if restored:
            await journal.append("store.restored", {"message": restored})
        recovered = await journal.record(intents.recover)
        await journal.record(partial(intents.expire_unwatched, games=tuple(config.games)))
        await journal.record(partial(draws.close_unwatched, games=tuple(config.games)))
        if recovered:
            logger.bind(action="start").info("{} unfinished intents taken up again", recovered)
        yield Agent(config, journal, http, targets)


def _http_client(config: Config) -> httpx.AsyncClient:
    """Return the client for feeds and webhooks. Raises ConfigError for a proxy that cannot be used."""
    try:
        return httpx.AsyncClient(
            timeout=config.feeds.timeout, headers={"user-agent": f"helios-agent/{version('helios-agent')}"}
        )
    except ValueError as error:
        raise ConfigError(f"environment: a proxy setting cannot be used: {error}") from error


Door = Callable[[Agent, asyncio.Event], Coroutine[Any, Any, None]]
"""Something that serves the agent to the outside until the event is set."""


async def run(config: Config, clock: Clock, door: Door, notifier: Notifier) -> None:
    """Live: serve, fire, act and send until SIGTERM or SIGINT, then drain within the deadline.

    A second signal ends the process at once.
    """
    stop, closed = asyncio.Event(), asyncio.Event()
    _listen_for_signals(stop, closed, config.shutdown.deadline)
    async with open_agent(config, clock) as agent:
        head = await events.head(agent.store)
        started = {
            "version": version("helios-agent"),
            "games": list(config.games),
            "schedules": [schedule.name for schedule in config.schedules],
            "head": head.hash,
        }
        await agent.journal.append("agent.started", started)
        await agent.scheduler.tick()
        closing = asyncio.Event()
        front = asyncio.create_task(door(agent, closing), name="door")
        tasks = [front, *_start_tasks(agent, notifier)]
        agent.phase = "ready"
        notifier.send(READY=1, STATUS=f"ready; journal head {head.seq}")
        logger.bind(action="start").info("ready")
        reason = "a signal to stop"
        try:
            await _until_stopped(stop, tasks)
        except HeliosError as error:
            reason = str(error)
            raise
        finally:
            notifier.send(STOPPING=1)
            agent.phase = "draining"
            await _drain(agent, tasks, front, closing, reason)
    closed.set()
    logger.bind(action="stop").info("stopped")


def _start_tasks(agent: Agent, notifier: Notifier) -> list[asyncio.Task[None]]:
    owned: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "scheduler": agent.scheduler.run,
        "webhooks": agent.sender.run,
        "pulse": partial(agent.pulse, notifier),
    }
    for lane in runner.LANES:
        owned[f"lane.{lane}"] = partial(runner.run_lane, agent.context, lane)
    clock = agent.journal.clock
    return [asyncio.create_task(_persist(name, work, clock), name=name) for name, work in owned.items()]


async def _persist(name: str, work: Callable[[], Coroutine[Any, Any, None]], clock: Clock) -> None:
    """Do a part's work; while the database fails it (a full disk), begin again and again."""
    while True:
        try:
            return await work()
        except StoreError as error:
            logger.bind(action="store").error("{} begins again in {:g} s: {}", name, PULSE_S, error)
            await clock.sleep(PULSE_S)


async def _until_stopped(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the signal to stop. A task that ends by itself is a fault that ends the daemon."""
    stopping = asyncio.create_task(stop.wait(), name="stop")
    done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    for task in done - {stopping}:
        cause = task.exception()
        raise HeliosError(f"The task {task.get_name()} ended by itself: {cause!r}.") from cause


async def _drain(
    agent: Agent,
    tasks: list[asyncio.Task[None]],
    front: asyncio.Task[None],
    closing: asyncio.Event,
    reason: str,
) -> None:
    """Stop working, put back what was under way, journal the end of this boot, then close the door."""
    working = [task for task in tasks if task is not front]
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    try:
        released = await agent.journal.record(intents.release)
        await agent.journal.append("agent.stopped", {"released": released, "reason": reason})
    except StoreError as error:
        logger.bind(action="stop").error("the end of this boot is not journaled: {}", error)
    closing.set()
    await asyncio.gather(front, return_exceptions=True)


def _listen_for_signals(stop: asyncio.Event, closed: asyncio.Event, deadline_s: float) -> None:
    """Set `stop` at SIGTERM or SIGINT. A second signal, or the deadline, ends the process at once.

    Once all is closed nothing can be lost any more: then the end is a good one, whatever thread still
    waits for an answer from the network.
    """
    loop = asyncio.get_running_loop()

    def end() -> None:
        if not closed.is_set():
            logger.bind(action="stop").error(
                "not stopped in time; the next start takes up what was under way"
            )
        os._exit(0 if closed.is_set() else FORCED_EXIT)

    def heard(name: str) -> None:
        if stop.is_set():
            end()
        logger.bind(action="stop").info("{}: draining", name)
        stop.set()
        loop.call_later(deadline_s, end)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard, number.name)
