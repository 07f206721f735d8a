"""Retire: a challenger or champion forecasts no more. The ledger keeps what it won and lost."""

from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions import versions
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction


async def run(context: Context, intent: Intent) -> Commit:
    rules, version = versions.meant(intent)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        model = versions.standing(tx, "retire", version)
        retired = {**versions.told(model), "was": model.role, "by": versions.asked_by(tx, intent)}
        versions.leave(tx, model, cause)
        tx.append("model.retired", retired, cause)
        logger.bind(action="retire", game=rules.name).info("{} forecasts no more", version)
        return retired

    return commit


ACTION = Action("retire", CORE, run)
