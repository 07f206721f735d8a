"""Carry out intents: claim, act, commit. Each lane does one thing at a time, but for long computations."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from loguru import logger

from helios_agent.actions import (
    adjust,
    alert,
    ask,
    assess,
    backtest,
    backup,
    compact,
    decide,
    delete,
    forecast,
    import_model,
    ingest,
    promote,
    reflect,
    retire,
    rollback,
    score,
    train,
    tune,
    validate,
    verify,
)
from helios_agent.actions.action import WORK, Action, Context
from helios_agent.clock import SECOND_US, wait_for
from helios_agent.config import Config
from helios_agent.errors import (
    HeliosError,
    JobFailed,
    JobStopped,
    JobTooLong,
    Refused,
    StoreError,
    WorkerLost,
)
from helios_agent.journal import draws, intents, spending
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.work.engine import Wishes
from helios_agent.work.metering import Meter, Metered

ACTIONS: Mapping[str, Action] = {
    module.ACTION.name: module.ACTION
    for module in (
        *(ingest, score, forecast, train, tune, backtest, assess, decide, adjust, reflect),
        *(alert, ask, backup, verify, compact),
        *(promote, rollback, retire, delete, validate, import_model),
    )
}
LANES: Mapping[str, tuple[str, ...]] = {
    lane: tuple(a.name for a in ACTIONS.values() if a.lane == lane)
    for lane in dict.fromkeys(a.lane for a in ACTIONS.values())
}

RETRY_S = 30.0
HEED_S = 0.1
"""How long a computation may not hear what is wanted: whoever looks at every commit does little else."""
FINAL = (Refused, JobFailed)
"""Errors that would come again, but for a lost worker: the intent fails at once."""


async def run_lane(contexts: Callable[[], Context], lane: str, pulse_s: float, at_once: int = 1) -> None:
    """Carry out the intents of one lane for ever, in the order in which they are due, so many at once.

    Each sees the configuration that holds when it begins. At least every `pulse_s` seconds the lane
    looks what is due: a wall clock that was set tells nobody. When one of those at once fails, all end.
    """
    # What this lane itself left running when the database failed it.
    context = contexts()
    await context.journal.record(lambda tx: release(tx, context.meter, LANES[lane]))
    try:
        async with asyncio.TaskGroup() as group:
            for number in range(at_once):
                group.create_task(_carry_out_all(contexts, LANES[lane], pulse_s), name=f"{lane}.{number}")
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures


async def _carry_out_all(contexts: Callable[[], Context], actions: tuple[str, ...], pulse_s: float) -> None:
    context = contexts()
    with context.journal.listening() as news:
        while True:
            news.clear()
            due_us = await intents.next_due_us(context.store, actions)
            pause_s = pulse_s if due_us is None else (due_us - context.clock.now_us()) / SECOND_US
            if pause_s > 0:
                await wait_for(context.clock, news, min(pulse_s, pause_s))
                continue
            intent = await context.journal.record(lambda tx: intents.claim(tx, actions))
            if intent is None:
                continue
            context = contexts()
            await carry_out(context, intent)
            config = contexts().config
            if config is not context.config:  # what was just done may have asked for more of the old games
                await context.journal.record(partial(forget_unwatched, config=config))


def forget_unwatched(tx: Transaction, config: Config) -> None:
    """Drop what waits for, and what was wrong with, games that are no longer watched."""
    intents.expire_unwatched(tx, tuple(config.games))
    draws.close_unwatched(tx, tuple(config.games))


def release(tx: Transaction, meter: Meter, actions: Collection[str] | None = None) -> int:
    """Put back what this boot left running of these actions (None: of all); return how many.

    None of it may go on any more.
    """
    return intents.release(
        tx, actions, before=lambda intent: spending.account(tx, intent, meter.of(intent.id))
    )


async def carry_out(context: Context, intent: Intent) -> None:
    """Do what a claimed intent asks, and record the outcome, whatever it is, and what its jobs took."""
    context.meter.forget(intent.id)  # of an attempt that was put back, and accounted for then
    log = logger.bind(action=intent.action, target=intent.target, intent=intent.id)
    action = ACTIONS[intent.action]
    try:
        async with _heeding(context, intent, action) as wishes:
            metered = Metered(context.engine, context.meter, intent.id)
            commit = await action.run(replace(context, engine=metered, stop=wishes), intent)

        def finish(tx: Transaction) -> None:
            intents.finish(tx, intent, commit(tx, intent.seq))

        await _end(context, intent, finish)
    except JobStopped:
        log.info("{} was stopped", intent.action)
        await _end(context, intent, lambda tx: intents.put_back(tx, intent))
    except Exception as error:
        await _did_not_succeed(context, intent, error)
    if action.lane == WORK:
        await train.sweep(context.config.paths.models, context.store)


async def _end(context: Context, intent: Intent, end: Callable[[Transaction], object]) -> None:
    """End an attempt in one transaction, with what its jobs have taken."""

    def change(tx: Transaction) -> None:
        spending.account(tx, intent, context.meter.of(intent.id))
        end(tx)

    await context.journal.record(change)
    context.meter.forget(intent.id)


async def _did_not_succeed(context: Context, intent: Intent, error: Exception) -> None:
    log = logger.bind(action=intent.action, target=intent.target, intent=intent.id)
    message = str(error) if isinstance(error, HeliosError) else f"{type(error).__name__}: {error}"
    # A short job that takes too long hangs; a long computation would take as long again.
    endless = isinstance(error, JobTooLong) and ACTIONS[intent.action].lane == WORK
    if endless or (isinstance(error, FINAL) and not isinstance(error, WorkerLost)):
        log.error("{} failed: {}", intent.action, error)
        await _end(context, intent, lambda tx: intents.fail(tx, intent, message))
        return
    known = isinstance(error, HeliosError)
    log.opt(exception=None if known else error).error(
        "{} did not succeed (attempt {}): {}", intent.action, intent.attempt, message
    )
    due_us = context.clock.now_us() + round(RETRY_S * 2 ** (intent.attempt - 1) * SECOND_US)
    await _end(context, intent, lambda tx: intents.retry(tx, intent, message, due_us))


@asynccontextmanager
async def _heeding(context: Context, intent: Intent, action: Action) -> AsyncIterator[Wishes]:
    """Lend what is wanted of a computation while it runs: another priority, or that it pauses or stops."""
    wishes = Wishes(intent.priority)
    if action.lane != WORK:
        yield wishes
        return
    heeding = asyncio.create_task(_heed(context, intent, wishes), name=f"heed.{intent.id}")
    try:
        yield wishes
    finally:
        heeding.cancel()
        await asyncio.gather(heeding, return_exceptions=True)


async def _heed(context: Context, intent: Intent, wishes: Wishes) -> None:
    """Pass on what is wanted of this intent as soon as it is, until it is wanted to end."""
    with context.journal.listening() as news:
        while True:
            await _ask(context, intent, wishes)
            if wishes.is_set():
                return
            await news.wait()
            news.clear()
            await context.clock.sleep(HEED_S)


async def _ask(context: Context, intent: Intent, wishes: Wishes) -> None:
    try:
        now = await intents.find(context.store, intent.id)
    except StoreError as trouble:  # whatever is wanted stays in the row, and the next commit is news
        log = logger.bind(action=intent.action, intent=intent.id)
        log.error("not known what is wanted of it: {}", trouble)
        return
    wishes.priority = now.priority
    if now.wanted is not None:
        wishes.set()
