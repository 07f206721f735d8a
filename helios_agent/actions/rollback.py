"""Roll back: the champion leaves, and the one whose place it took is champion again, or none if none was."""

import asyncio
from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions import versions
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.errors import Refused
from helios_agent.journal import models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.journal.models import Model
from helios_agent.registry import folders
from helios_agent.registry.names import Ref


async def run(context: Context, intent: Intent) -> Commit:
    rules, version = versions.meant(intent)
    champion = await models.find(context.store, version.name, version.version)
    versions.check("rollback", champion)
    old = await models.before(context.store, champion)
    if old is not None:
        _check(champion, old)
        folder = folders.place(context.config.paths.models, Ref(old.name, old.version))
        await asyncio.to_thread(folders.verify, folder, old.version)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        versions.standing(tx, "rollback", version)
        back_to = old.version if old else None
        rolled = {**versions.told(champion), "back_to": back_to, "by": versions.asked_by(tx, intent)}
        versions.leave(tx, champion, cause)
        tx.append("model.rolled-back", rolled, cause)
        logger.bind(action="rollback", game=rules.name).info(
            "{} is champion no more; {} is again", version, old.forecaster if old else "nobody"
        )
        return rolled

    return commit


ACTION = Action("rollback", CORE, run)


def _check(champion: Model, old: Model) -> None:
    """Raise Refused where the one before cannot forecast any more."""
    reason = None
    if old.role == "deleted":
        reason = "was deleted"
    elif old.era != champion.era:
        reason = f"is of the rules from {old.era}"
    if reason is not None:
        raise Refused(
            f"{champion.forecaster} took the place of {old.forecaster}, which {reason}; retire the champion"
            " instead: then there is none"
        )
