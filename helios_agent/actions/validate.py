"""Validate: check every byte of a version, that it is a network of its game's rules and that it forecasts."""

import asyncio

from helios_agent.actions import versions
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.errors import ArtefactInvalid
from helios_agent.journal import models
from helios_agent.journal.intents import Intent
from helios_agent.registry import folders
from helios_agent.work import engine


async def run(context: Context, intent: Intent) -> Commit:
    rules, version = versions.meant(intent)
    model = await models.find(context.store, version.name, version.version)
    versions.check("validate", model)
    folder = folders.place(context.config.paths.models, version)
    card = await asyncio.to_thread(folders.verify, folder, version.version)
    era = next((era for era in rules.eras if era.name == model.era), None)
    if era is None:
        raise ArtefactInvalid(f"{version} is of the rules from {model.era}, which {rules.title} never had")
    versions.fits(card, rules, era)
    spec = {"artefact": str(folder), "version": version.version}
    seen = await context.engine.run("model-validate", spec, time_limit_s=engine.SHORT_JOB_S)
    return lambda tx, cause: {**versions.told(model), "sound": True, **seen}


ACTION = Action("validate", CORE, run)
