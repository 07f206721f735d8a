"""Delete: remove the files of a retired version. The journal, and its row, keep the facts.

First it is journaled, then the folder goes: killed in between, the next attempt or the next start does the
rest.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent import files
from helios_agent.actions import train, versions
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.errors import Refused
from helios_agent.journal import intents, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.journal.models import Model
from helios_agent.registry import folders


async def run(context: Context, intent: Intent) -> Commit:
    rules, version = versions.meant(intent)

    def record(tx: Transaction) -> Mapping[str, Any]:
        model = models.found(tx, version.name, version.version)
        if model is None or model.role != "deleted":  # else an earlier attempt got this far
            model = versions.standing(tx, "delete", version)
            _nobody_needs(tx, model, intent)
            asker = versions.asked_by(tx, intent)
            tx.append("model.deleted", {**versions.told(model), "by": asker}, intent.seq)
        return versions.told(model)

    deleted = await context.journal.record(record)
    await asyncio.to_thread(files.remove, folders.place(context.config.paths.models, version))
    logger.bind(action="delete", game=rules.name).info("{} is deleted", version)
    return lambda tx, cause: deleted


ACTION = Action("delete", CORE, run)


def _nobody_needs(tx: Transaction, model: Model, own: Intent) -> None:
    """Raise Refused while another intent that waits or runs names the version, or may begin from it."""
    users = tx.rows(
        "SELECT id, action FROM intent WHERE state IN (SELECT value FROM json_each(?)) AND id <> ?"
        " AND (instr(target, ?) OR instr(args, ?) OR (target = ? AND args->>'start' = ?))",
        (
            json.dumps(intents.OPEN_STATES), own.id, model.forecaster, model.forecaster, model.game,
            train.NEWEST,
        ),
    )  # fmt: skip
    if users:
        raise Refused(
            f"{model.forecaster} is needed by {users[0]['action']}, intent {users[0]['id']}; delete it later"
        )
