"""Tune: search for the sizes and settings of the network that forecast best, and train one with them.

What is found becomes the challenger like any other network, and a search counts as one trial of a challenger,
however many configurations it has tried: what it may be promoted for is scored on later draws alone, which
nothing was chosen by.
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
"""A worker of the lowest priority may get a quarter of a core; one that gets less is taken to hang."""
TOLD = ("trials", "cpu_seconds", "best", "confirmed_gain", "standing_gain", "adopted")


async def run(context: Context, intent: Intent) -> Commit:
    training = await train.prepare(context, intent)
    settings, learning = context.config.learning.search, context.config.learning
    log = logger.bind(action="tune", game=training.rules.name, job=intent.id)
    asked = {
        "job": training.spec,
        "trials": settings.trials,
        "folds": settings.folds,
        "block": settings.block,
        "cpu_seconds": settings.cpu,
    }

    async def on_progress(progress: Mapping[str, Any]) -> None:
        if "done" in progress:
            trial = progress["done"]
            log.info("trial {number} {state}: {gain} nats a draw with {parameters}", **trial)
            await context.journal.append("search.trial", {"job": intent.id, **trial}, intent.seq)

    known = await searches.trials(context.store, intent.id)
    found = await context.engine.run(
        "search", asked | {"known": known}, on_progress,
        time_limit_s=SLOWEST_CORE * settings.cpu + 2 * learning.time_limit,
        stop=context.stop, priority=intent.priority,
    )  # fmt: skip
    told = {"job": intent.id, "game": training.rules.name} | {
        name: found[name] for name in TOLD if name in found
    }
    # A run before this one may have ended in the training, and nothing have changed since.
    if not await searches.is_completed(context.store, intent.id):
        await context.journal.append("search.completed", told, intent.seq)
    if not found["adopted"]:
        log.info("of {} configurations none is better than the one that stands", found["trials"])
        return lambda tx, cause: {**told, "model": None}
    chosen = {"network": found["network"], "training": found["training"]}
    training = replace(training, spec={**training.spec, **chosen})
    trained = await train.compute(context, intent, training)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        return {**told, **train.record(tx, intent, training, trained, cause)}

    return commit


ACTION = Action("tune", WORK, run, pausable=True)
