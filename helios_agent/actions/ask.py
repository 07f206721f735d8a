"""Ask a person about what no action puts right. Webhooks that ask for `question.asked` carry it out."""

from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction


async def run(context: Context, intent: Intent) -> Commit:
    reason = str(intent.args["reason"])

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        event = tx.append("question.asked", {"about": intent.target, "message": reason}, cause)
        return {"question": event.seq}

    logger.bind(action="ask", about=intent.target).warning("{}", reason)
    return commit


ACTION = Action("ask", CORE, run)
