"""Promote: make the challenger the champion, once its trial has shown that it forecasts better."""

from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.errors import Refused
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import game


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        held = {
            row["role"]: row
            for row in tx.rows("SELECT * FROM model WHERE game = ? AND role <> 'retired'", (rules.name,))
        }
        if "challenger" not in held:
            raise Refused(f"There is no challenger of {rules.title} to promote.")
        new, old = held["challenger"], held.get("champion")
        promoted = {
            "game": rules.name,
            "era": new["era"],
            "name": new["name"],
            "version": new["version"],
            "in_place_of": old["version"] if old else None,
        }
        tx.append("model.promoted", promoted, cause)
        logger.bind(action="promote", game=rules.name).info("{name} {version} is the champion", **promoted)
        return promoted

    return commit


ACTION = Action("promote", CORE, run)
