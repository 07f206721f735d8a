"""Train: fit a network to the current era's draws in a worker; its version becomes the challenger."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loguru import logger

from helios_agent import files
from helios_agent.actions import history, precision, versions
from helios_agent.actions.action import WORK, Action, Commit, Context
from helios_agent.clock import SECOND_US
from helios_agent.errors import JobFailed, JobTooLong, Refused
from helios_agent.journal import draws, intents
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import game
from helios_agent.registry import folders
from helios_agent.registry.names import Ref
from helios_agent.store import Reader

NAME = "powerballnet"
STAGING = ".staging"


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)
    newest = await draws.newest(context.store, rules.name, 1)
    if not newest:
        raise Refused(f"There are no draws of {rules.title} to train on.")
    era = rules.era_at(newest[0].draw.day)
    known = await history.of_era(context.store, rules, era)
    days, rows = known.days, known.rows
    learning, models = context.config.learning, context.config.paths.models
    kept = models / STAGING / intent.id
    staging = kept / f"out-{intent.attempt}"
    await asyncio.to_thread(files.remove, staging)
    log = logger.bind(action="train", game=rules.name, job=intent.id)
    log.info("training on {} draws of the era from {}", len(rows), era.name)

    seen_us = [context.clock.mono_us()]
    resumed = 0

    async def on_progress(progress: Mapping[str, Any]) -> None:
        nonlocal resumed
        if "started" in progress:
            resumed = progress["epoch"]
            begun = {"epoch": resumed, "step_loss": progress["step_loss"], "draws": len(rows)}
            await context.journal.append("training.started", {"job": intent.id, **begun}, intent.seq)
            return
        seen_us.append(context.clock.mono_us())
        left = progress["epochs_left"]
        measured = {name: value for name, value in progress.items() if name != "epochs_left"} | {
            "seconds": (seen_us[-1] - seen_us[-2]) / SECOND_US,
            "eta_seconds": left * (seen_us[-1] - seen_us[0]) / (progress["epoch"] - resumed) / SECOND_US,
        }
        log.info(
            "epoch {epoch} of at most {epochs}: loss {loss:.3f} nats a draw, validation gain {gain:+.4f}",
            **progress,
            gain=progress["validation_gain_nats"],
        )
        await context.journal.append("training.epoch", {"job": intent.id, **measured}, intent.seq)

    spec = {
        "game": rules.name,
        "era": era.name,
        "white": era.white,
        "bonus": era.bonus,
        "pick": era.pick,
        "draws": rows,
        "days": days,
        "last_draw": days[-1],
        "seed": learning.seed,
        "out": str(staging),
        "checkpoint": str(kept / "checkpoint"),
        "network": learning.network.model_dump(),
        "training": precision.resolved(learning.training),
    }
    try:
        trained = await context.engine.run(
            "train", spec, on_progress, time_limit_s=learning.time_limit, stop=context.stop,
            priority=intent.priority,
        )  # fmt: skip
    except JobTooLong:  # the next attempt would take as long
        raise JobFailed(
            f"The training took longer than learning.time_limit, {learning.time_limit:g} s."
        ) from None
    version = trained["version"]
    made = Ref(NAME, version)
    await asyncio.to_thread(folders.publish, staging, folders.place(models, made))

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        facts = {
            "game": rules.name,
            "era": era.name,
            "last_draw": days[-1],
            "draws": len(rows),
            "metrics": trained["metrics"],
            "job": intent.id,
        }
        # Same draws, same settings, same seed, same Helios: the same network, which may stand already.
        is_new = versions.join(tx, "model.trained", made, facts, cause)
        return {"model": NAME, "version": version, "new": is_new, "metrics": trained["metrics"]}

    log.info("{} {} is trained", NAME, version)
    return commit


ACTION = Action("train", WORK, run, pausable=True)


async def sweep(models: Path, store: Reader) -> None:
    """Remove what trainings keep in order to go on, but for those that may: they run, wait or are paused."""
    # Looked for before it is asked what is open: who begins later is not among them.
    found = await asyncio.to_thread(_kept, models / STAGING)
    unfinished = {intent.id for intent in await intents.open_ones(store)} if found else set()
    for folder in found:
        if folder.name not in unfinished:
            try:
                await asyncio.to_thread(files.remove, folder)
            except OSError as error:  # it is looked for again after every training and at every start
                logger.bind(action="train").warning("{} cannot be removed: {}", folder, error.strerror)


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
