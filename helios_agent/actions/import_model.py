"""Import: a version that was brought as one file becomes the challenger, and its trial begins."""

import asyncio
from collections.abc import Mapping
from typing import IO, Any

from loguru import logger

from helios_agent import files
from helios_agent.actions import versions
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.clock import Clock, from_us
from helios_agent.config import Config
from helios_agent.errors import JobFailed, Refused, WorkerLost
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Game, game
from helios_agent.registry import bundles, folders
from helios_agent.registry.bundles import Bundle
from helios_agent.registry.card import ModelCard
from helios_agent.registry.names import Ref
from helios_agent.work import engine


def check(config: Config, clock: Clock, file: IO[bytes]) -> Bundle:
    """Return what a version's file holds, to be kept where the action finds it.

    Raises ArtefactInvalid or Refused where it is damaged, or not of today's rules of a game that is watched.
    """
    bundle = bundles.unpack(file)
    if bundle.card.game not in config.games:
        raise Refused(
            f"model.json: game is {bundle.card.game!r};"
            f" expected one that is watched: {', '.join(config.games)}"
        )
    rules = game(bundle.card.game)
    versions.fits(bundle.card, rules, calendar.era_now(rules, from_us(clock.now_us())))
    return bundle


def target(bundle: Bundle) -> str:
    """Return the target of the action on what a file holds."""
    return versions.target(bundle.card.game, bundle.version)


async def run(context: Context, intent: Intent) -> Commit:
    rules, version = versions.meant(intent)
    home = context.config.paths.models
    waiting, folder = folders.waiting_room(home, version), folders.place(home, version)
    try:
        card = await _examine(context, rules, version)
    except (Refused, JobFailed) as error:
        if not isinstance(error, WorkerLost):
            await asyncio.to_thread(files.remove, waiting)
        raise
    if await asyncio.to_thread(waiting.exists):
        await asyncio.to_thread(folders.publish, waiting, folder)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        facts = {
            "game": card.game,
            "era": card.era,
            "last_draw": card.data.last_draw,
            "draws": card.data.draws,
            "metrics": card.metrics,
            "by": versions.asked_by(tx, intent),
        }
        is_new = versions.join(tx, "model.imported", version, facts, cause)
        return {"model": version.name, "version": version.version, "new": is_new, "metrics": card.metrics}

    logger.bind(action="import", game=rules.name).info("{} is imported", version)
    return commit


ACTION = Action("import", CORE, run)


async def _examine(context: Context, rules: Game, version: Ref) -> ModelCard:
    """Return the card of the version that waits, or that an earlier attempt has moved to its place."""
    home = context.config.paths.models
    folder = folders.waiting_room(home, version)
    if not await asyncio.to_thread(folder.exists):
        folder = folders.place(home, version)
    card = await asyncio.to_thread(folders.verify, folder, version.version)
    versions.fits(card, rules, calendar.era_now(rules, from_us(context.clock.now_us())))
    spec = {"artefact": str(folder), "version": version.version}
    await context.engine.run("model-validate", spec, time_limit_s=engine.SHORT_JOB_S)
    return card
