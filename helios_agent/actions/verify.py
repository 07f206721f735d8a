"""Verify: recompute the journal's whole hash chain."""

import asyncio
from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions.action import UPKEEP, Action, Commit, Context
from helios_agent.errors import StoreCorrupt
from helios_agent.journal import chain, draws
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.store import backup

INCIDENT = "journal:damaged"


async def run(context: Context, intent: Intent) -> Commit:
    log = logger.bind(action="verify")
    heads: list[chain.Head] = []
    try:
        await asyncio.to_thread(
            backup.verify, context.config.database, lambda c: heads.append(chain.verify_database(c))
        )
    except StoreCorrupt as damage:
        message = str(damage)
        log.critical("{}", message)
        return lambda tx, cause: _damaged(tx, cause, message)
    head = heads[0]
    log.info("the journal is sound: {} events, head {}", head.seq, head.hash[:12])

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        result = {"events": head.seq, "head": head.hash}
        tx.append("journal.verified", result, cause)
        draws.close_incident(tx, INCIDENT, cause)
        return result

    return commit


ACTION = Action("verify", UPKEEP, run)


def _damaged(tx: Transaction, cause: int, message: str) -> Mapping[str, Any]:
    draws.open_incident(tx, INCIDENT, "journal-damaged", message, cause)
    tx.append("alert.raised", {"about": "journal", "message": message}, cause)
    return {"damage": message}
