"""The life of the process: begin, serve, reload at SIGHUP, drain at SIGTERM, end within the deadline."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from functools import partial
from importlib.metadata import version
from typing import Any

from loguru import logger

from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import SECOND_US
from helios_agent.config import Config
from helios_agent.errors import ConfigError, HeliosError, Refused, StoreCorrupt, StoreError
from helios_agent.journal import events
from helios_agent.supervision import Supervisor
from helios_agent.systemd import Notifier

RETRY_S = 30.0
FORCED_EXIT = 1

Door = Callable[[Agent, asyncio.Event], Coroutine[Any, Any, None]]
"""Something that serves the agent to the outside until the event is set."""


async def run(
    config: Config, ports: Ports, door: Door, notifier: Notifier, reread: Callable[[], Config]
) -> None:
    """Live until SIGTERM or SIGINT, reloading the configuration at SIGHUP, then drain within the deadline.

    A second signal to stop ends the process at once.
    """
    stop, closed, hangup = asyncio.Event(), asyncio.Event(), asyncio.Event()
    end_in_time = _listen_for_signals(stop, closed, hangup, config.shutdown.deadline)
    async with open_agent(config, ports, reread) as agent:
        agent.supervisor.start("reload", partial(_reload_at_hangup, agent, hangup, notifier))
        await live(agent, door, notifier, stop, end_in_time)
    closed.set()
    logger.bind(action="stop").info("stopped")


async def live(
    agent: Agent,
    door: Door,
    notifier: Notifier,
    stop: asyncio.Event,
    end_in_time: Callable[[int], None] = lambda exit_code: None,
) -> None:
    """Serve, recover, then fire, act and send until `stop` is set; at last put back what is under way.

    While the database takes no change (a full disk), nothing is begun, but the door is open and health
    says why. Raises HeliosError, having drained, when a task cannot go on; `end_in_time` is told before.
    """
    closing = asyncio.Event()
    front = asyncio.create_task(door(agent, closing), name="door")
    reason, exit_code = "a signal to stop", 0
    try:
        await _until_stopped(stop, front, agent.supervisor, partial(_begin, agent, notifier))
    except HeliosError as error:
        reason, exit_code = str(error), error.exit_code
        raise
    finally:
        end_in_time(exit_code)
        notifier.send(STOPPING=1)
        agent.phase = "draining"
        await _drain(agent, front, closing, reason)


async def _begin(agent: Agent, notifier: Notifier) -> None:
    """Take up what an earlier boot left and start every task, as soon as the database allows it."""
    while True:
        try:
            await agent.recover()
            head = await events.head(agent.store)
            started = {
                "version": version("helios-agent"),
                "games": list(agent.config.games),
                "schedules": [schedule.name for schedule in agent.config.schedules],
                "head": head.hash,
            }
            await agent.journal.append("agent.started", started)
            break
        except StoreCorrupt:
            raise
        except StoreError as error:
            logger.bind(action="start").error("begins again in {:g} s: {}", RETRY_S, error)
            notifier.send(STATUS=f"waiting: {error}", EXTEND_TIMEOUT_USEC=round(4 * RETRY_S * SECOND_US))
            await agent.journal.clock.sleep(RETRY_S)
    agent.start(notifier)
    agent.phase = "ready"
    notifier.send(READY=1, STATUS=f"ready; journal head {head.seq}")
    logger.bind(action="start").info("ready")
    await asyncio.Event().wait()


async def _reload_at_hangup(agent: Agent, hangup: asyncio.Event, notifier: Notifier) -> None:
    while True:
        await hangup.wait()
        hangup.clear()
        notifier.send(RELOADING=1, MONOTONIC_USEC=agent.journal.clock.mono_us())
        try:
            await agent.reload()
        except (ConfigError, Refused) as error:
            logger.bind(action="reload").error("nothing was reloaded: {}", error)
        except StoreError:
            hangup.set()  # whoever begins this task again tries again
            raise
        finally:
            notifier.send(READY=1)


async def _until_stopped(
    stop: asyncio.Event,
    front: asyncio.Task[None],
    supervisor: Supervisor,
    begin: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Begin; wait for the signal to stop. Raises when the door or the beginning ends, or a task failed."""
    stopping = asyncio.create_task(stop.wait(), name="stop")
    failing = asyncio.create_task(supervisor.failed(), name="failed")
    beginning = asyncio.create_task(begin(), name="begin")
    own = {stopping, failing, beginning}
    try:
        done, _ = await asyncio.wait({*own, front}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in own:
            task.cancel()
        await asyncio.gather(*own, return_exceptions=True)
    for task in done - {stopping}:
        cause = task.exception()
        if isinstance(cause, HeliosError):
            raise cause
        raise HeliosError(f"The task {task.get_name()} ended by itself: {cause!r}.") from cause


async def _drain(agent: Agent, front: asyncio.Task[None], closing: asyncio.Event, reason: str) -> None:
    """Stop working, put back what was under way, journal the end of this boot, then close the door."""
    await agent.supervisor.stop()
    try:
        async with asyncio.timeout(agent.config.shutdown.deadline / 2):  # another process may hold the lock
            released = await agent.journal.record(agent.release)
            await agent.journal.append("agent.stopped", {"released": released, "reason": reason})
    except (StoreError, TimeoutError) as error:
        why = str(error) or agent.store.trouble
        logger.bind(action="stop").error("the end of this boot is not journaled: {}", why)
    closing.set()
    await asyncio.gather(front, return_exceptions=True)


def _listen_for_signals(
    stop: asyncio.Event, closed: asyncio.Event, hangup: asyncio.Event, deadline_s: float
) -> Callable[[int], None]:
    """Set `stop` at SIGTERM or SIGINT, `hangup` at SIGHUP. A second signal to stop ends the process at once.

    Returns a function that ends it within the deadline, with an exit code; a signal to stop does so too.
    Once all is closed nothing can be lost any more: then the end is a good one, whatever thread still
    waits for an answer from the network.
    """
    loop = asyncio.get_running_loop()

    def end(exit_code: int) -> None:
        if not closed.is_set():
            logger.bind(action="stop").error(
                "not stopped in time; the next start takes up what was under way"
            )
        os._exit(exit_code if closed.is_set() or exit_code else FORCED_EXIT)

    def end_in_time(exit_code: int) -> None:
        loop.call_later(deadline_s, end, exit_code)

    def heard(name: str) -> None:
        if stop.is_set():
            end(0)
        logger.bind(action="stop").info("{}: draining", name)
        stop.set()
        end_in_time(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard, number.name)
    loop.add_signal_handler(signal.SIGHUP, hangup.set)
    return end_in_time
