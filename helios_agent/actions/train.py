"""Train: fit a network to the current era's draws in a worker; its version becomes the challenger.

It begins from scratch, or, asked to with {"start": "newest"}, from the newest version that it can begin from.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loguru import logger

from helios_agent import files
from helios_agent.actions import history, precision, versions
from helios_agent.actions.action import WORK, Action, Commit, Context
from helios_agent.actions.history import EraDraws
from helios_agent.clock import SECOND_US
from helios_agent.config import Config
from helios_agent.errors import ArtefactInvalid, JobFailed, JobTooLong, Refused
from helios_agent.journal import draws, intents, models, parameters
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import Game, game
from helios_agent.registry import folders
from helios_agent.registry.names import Ref
from helios_agent.store import Reader

NAME = "powerballnet"
STAGING = ".staging"
SCRATCH, NEWEST = "scratch", "newest"
"""Where a training can begin."""
MOST_LEARNING_RATE = 1.0
"""As in the configuration."""


@dataclass(frozen=True)
class Training:
    """A training that an intent asks for: of which game, on which draws, and the spec of its job."""

    rules: Game
    known: EraDraws
    spec: Mapping[str, Any]


async def run(context: Context, intent: Intent) -> Commit:
    training = await prepare(context, intent)
    trained = await compute(context, intent, training)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        return record(tx, intent, training, trained, cause)

    return commit


async def prepare(context: Context, intent: Intent) -> Training:
    """Return the training of the target's newest era as it is configured.

    Raises Refused without draws, or where the intent wants it to begin elsewhere than a training can.
    """
    start = intent.args.get("start", SCRATCH)
    if start not in (SCRATCH, NEWEST):
        raise Refused(f"start is {start!r}; expected {SCRATCH} or {NEWEST}")
    rules = game(intent.target)
    newest = await draws.newest(context.store, rules.name, 1)
    if not newest:
        raise Refused(f"There are no draws of {rules.title} to train on.")
    era = rules.era_at(newest[0].draw.day)
    known = await history.of_era(context.store, rules, era)
    learning, kept = context.config.learning, context.config.paths.models / STAGING / intent.id
    spec = {
        "game": rules.name,
        "era": era.name,
        "white": era.white,
        "bonus": era.bonus,
        "pick": era.pick,
        "draws": known.rows,
        "days": known.days,
        "last_draw": known.days[-1],
        "seed": learning.seed,
        "out": str(kept / f"out-{intent.attempt}"),
        "checkpoint": str(kept / "checkpoint"),
        "network": learning.network.model_dump(),
        "training": await settings(context.store, context.config, rules),
    }
    if start == NEWEST:
        spec["start"] = await _newest(context, rules, known)
    return Training(rules, known, spec)


async def settings(store: Reader, config: Config, rules: Game) -> dict[str, Any]:
    """Return the settings of a training, at the learning rate that decisions have arrived at."""
    configured = precision.resolved(config.learning.training)
    factor = (await parameters.read(store, rules.name)).get("learning_rate", 1.0)
    return configured | {"learning_rate": min(MOST_LEARNING_RATE, configured["learning_rate"] * factor)}


async def _newest(context: Context, rules: Game, known: EraDraws) -> Mapping[str, str] | None:
    """Return the newest version of the era that a training can begin from, as its spec names it, or None."""
    learning, era, log = context.config.learning, known.era.name, logger.bind(action="train", game=rules.name)
    trained = len(known.rows) - learning.training.validated(len(known.rows))
    stored = [
        model
        for model in await models.of_era(context.store, rules.name, era)
        if model.name == NAME and model.role != "deleted"
    ]
    for model in sorted(stored, key=lambda model: model.seq, reverse=True):
        folder = folders.place(context.config.paths.models, Ref(model.name, model.version))
        try:
            card = await asyncio.to_thread(folders.verify, folder, model.version)
            reason = card.unfit(rules.name, era, learning.network.model_dump(), known.rows, trained)
        except ArtefactInvalid as damage:
            reason = str(damage)
        if reason is None:
            log.info("the training begins from {}", model.forecaster)
            return {"artefact": str(folder), "version": model.version}
        log.warning("the training cannot begin from {}: {}", model.forecaster, reason)
    log.info("there is no version to begin from: the training begins from scratch")
    return None


async def compute(context: Context, intent: Intent, training: Training) -> Mapping[str, Any]:
    """Have a worker train, journal how it goes, and publish the artefact; return what the job returned."""
    learning = context.config.learning
    draw_count, staging = len(training.known.rows), Path(training.spec["out"])
    await asyncio.to_thread(files.remove, staging)
    log = logger.bind(action=intent.action, game=training.rules.name, job=intent.id)
    log.info("training on {} draws of the era from {}", draw_count, training.known.era.name)

    start = training.spec.get("start")
    begins = {
        "start": SCRATCH if start is None else NEWEST,
        "start_version": None if start is None else start["version"],
    }
    resumed = begun_us = seen_us = 0

    async def on_progress(progress: Mapping[str, Any]) -> None:
        nonlocal resumed, begun_us, seen_us
        if "started" in progress:  # to wait for a worker, and to load torch, is no part of an epoch
            resumed = progress["epoch"]
            begun_us = seen_us = context.clock.mono_us()
            begun = {"epoch": resumed, "step_loss": progress["step_loss"], "draws": draw_count} | begins
            await context.journal.append("training.started", {"job": intent.id, **begun}, intent.seq)
            return
        before_us, seen_us = seen_us, context.clock.mono_us()
        left = progress["epochs_left"]
        measured = {name: value for name, value in progress.items() if name != "epochs_left"} | {
            "seconds": (seen_us - before_us) / SECOND_US,
            "eta_seconds": left * (seen_us - begun_us) / (progress["epoch"] - resumed) / SECOND_US,
        }
        log.info(
            "epoch {epoch} of at most {epochs}: loss {loss:.3f} nats a draw, validation gain {gain:+.4f}",
            **progress,
            gain=progress["validation_gain_nats"],
        )
        await context.journal.append("training.epoch", {"job": intent.id, **measured}, intent.seq)

    try:
        trained = await context.engine.run(
            "train", training.spec, on_progress, time_limit_s=learning.time_limit, stop=context.stop,
            priority=intent.priority,
        )  # fmt: skip
    except JobTooLong:  # the next attempt would take as long
        raise JobFailed(
            f"The training took longer than learning.time_limit, {learning.time_limit:g} s."
        ) from None
    made = Ref(NAME, trained["version"])
    await asyncio.to_thread(folders.publish, staging, folders.place(context.config.paths.models, made))
    log.info("{} is trained", made)
    return trained


def record(
    tx: Transaction, intent: Intent, training: Training, trained: Mapping[str, Any], cause: int
) -> Mapping[str, Any]:
    """Make what was trained the challenger; return the result of the intent."""
    facts = {
        "game": training.rules.name,
        "era": training.known.era.name,
        "last_draw": training.known.days[-1],
        "draws": len(training.known.rows),
        "metrics": trained["metrics"],
        "job": intent.id,
    }
    # Same draws, same settings, same seed, same Helios: the same network, which may stand already.
    is_new = versions.join(tx, "model.trained", Ref(NAME, trained["version"]), facts, cause)
    return {"model": NAME, "version": trained["version"], "new": is_new, "metrics": trained["metrics"]}


ACTION = Action("train", WORK, run, pausable=True)


async def sweep(folder: Path, store: Reader) -> None:
    """Remove what trainings keep in order to go on, but for those that may: they run, wait or are paused.

    What cannot be removed now is looked for again after every training and at every start.
    """
    log = logger.bind(action="train")
    try:
        # Looked for before it is asked what is open: who begins later is not among them.
        found = await asyncio.to_thread(_kept, folder / STAGING)
    except OSError as error:
        log.warning("{} cannot be looked through: {}", folder / STAGING, error.strerror)
        return
    unfinished = {intent.id for intent in await intents.open_ones(store)} if found else set()
    for kept in found:
        if kept.name not in unfinished:
            try:
                await asyncio.to_thread(files.remove, kept)
            except OSError as error:
                log.warning("{} cannot be removed: {}", kept, error.strerror)


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
