"""Tune: search for the sizes and settings of the network that forecast best, and train one with them.

What wins becomes the challenger like any other network, and a search counts as one trial, however many
configurations it has tried: for what is promoted by is scored on later draws alone, which no configuration
was chosen by.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from loguru import logger

from helios_agent.actions import train
from helios_agent.actions.action import WORK, Action, Commit, Context
from helios_agent.journal import searches
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction

SLOWEST_CORE = 4
"""A worker of the lowest priority may get a quarter of a core, or less: then it is taken to hang."""
FOUND = ("trials", "cpu_seconds", "winner", "confirmed_gain", "standing_gain")


async def run(context: Context, intent: Intent) -> Commit:
    training = await train.prepare(context, intent)
    settings, learning = context.config.learning.search, context.config.learning
    log = logger.bind(action="tune", game=training.rules.name, job=intent.id)

    async def on_progress(progress: Mapping[str, Any]) -> None:
        if "done" in progress:
            trial = progress["done"]
            log.info("trial {number} {state}: {gain} nats a draw with {parameters}", **trial)
            await context.journal.append("search.trial", {"job": intent.id, **trial}, intent.seq)

    spec = {
        "job": training.spec,
        "trials": settings.trials,
        "folds": settings.folds,
        "block": settings.block,
        "cpu_seconds": settings.cpu,
        "known": await searches.trials(context.store, intent.id),
    }
    limit_s = SLOWEST_CORE * settings.cpu + 2 * learning.time_limit
    found = await context.engine.run(
        "search", spec, on_progress, time_limit_s=limit_s, stop=context.stop, priority=intent.priority
    )
    told = {"job": intent.id, "game": training.rules.name} | {
        name: value for name, value in found.items() if name in FOUND
    }
    trained = None
    if found["winner"] is None:
        log.info("none of {} configurations gained anything; no network is trained", found["trials"])
    else:
        chosen = {"network": found["network"], "training": found["training"]}
        training = replace(training, spec={**training.spec, **chosen})
        trained = await train.compute(context, intent, training)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        tx.append("search.completed", told, cause)
        if trained is None:
            return {**told, "model": None}
        return {**told, **train.record(tx, intent, training, trained, cause)}

    return commit


ACTION = Action("tune", WORK, run, pausable=True)
