"""Back up: a consistent copy of the database, verified, journal's chain included."""

import asyncio
from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions.action import UPKEEP, Action, Commit, Context
from helios_agent.clock import from_us
from helios_agent.journal import chain
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.store import backup
from helios_agent.store.rotation import Rotation


async def run(context: Context, intent: Intent) -> Commit:
    config = context.config
    path = await asyncio.to_thread(
        backup.take,
        config.database,
        config.backups,
        from_us(context.clock.now_us()),
        Rotation(config.backup.daily, config.backup.weekly, config.backup.monthly),
        chain.verify_database,
    )
    size = path.stat().st_size

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        result = {"file": path.name, "bytes": size}
        tx.append("backup.completed", result, cause)
        return result

    logger.bind(action="backup").info("{} written and verified, {:,} bytes", path.name, size)
    return commit


ACTION = Action("backup", UPKEEP, run)
