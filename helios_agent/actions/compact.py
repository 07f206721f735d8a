"""Compact: archive and remove what retention says, forget what was of no use, give back the disk space.

Killed at any point it is completed by the next: an archive that was written is sealed, and what is
sealed is removed once its archive was proven again.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from loguru import logger

from helios_agent.actions import knowledge, verify
from helios_agent.actions.action import UPKEEP, Action, Commit, Context
from helios_agent.clock import SECOND_US
from helios_agent.config import Config
from helios_agent.errors import StoreCorrupt
from helios_agent.journal import archives, chain, draws, retention, snapshot
from helios_agent.journal.archives import Seal
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction

TOO_LARGE = "journal:size"


async def run(context: Context, intent: Intent) -> Commit:
    settings = context.config.retention
    purged = await _purge(context, intent)
    sealed = await asyncio.to_thread(_archive, context)
    if sealed is not None:
        await context.journal.append("journal.sealed", sealed, intent.seq)
        purged += await _purge(context, intent)
    freed = await context.store.tidy()
    used = await asyncio.to_thread(_used, context)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        if used > settings.size:
            kept_days = _kept_us(context.config) // retention.DAY_US
            message = (
                f"The database holds {used:,} bytes; retention.size allows {settings.size:,}. What is left is"
                f" younger than {kept_days} days, waits to be done, sent or scored, or is draws and scores,"
                " which stay for good: raise retention.size. Where an archive is damaged, which is an"
                " incident of its own, first put a good copy in its place."
            )
            draws.open_incident(tx, TOO_LARGE, "journal-too-large", message, cause)
        else:
            draws.close_incident(tx, TOO_LARGE, cause)
        knowledge.forget(tx, cause)
        result = {
            "archive": sealed and sealed["archive"],
            "archive_bytes": sealed["bytes"] if sealed else 0,
            "events": purged,
            "freed_bytes": freed,
            "used_bytes": used,
        }
        tx.append("compact.completed", result, cause)
        return result

    logger.bind(action="compact").info("{:,} events archived and removed, {:,} bytes freed", purged, freed)
    return commit


ACTION = Action("compact", UPKEEP, run)


def _archive(context: Context) -> Mapping[str, Any] | None:
    """Archive what is due, or take up what an earlier run archived and did not seal; return the seal."""
    config = context.config
    key = archives.read_key(config.retention.seal_key_file)
    with snapshot.opened(config.database) as database:
        upto = archives.unsealed(database, config.archives) or retention.due(
            database,
            config.games,
            now_us=context.clock.now_us(),
            age_us=round(config.retention.age * SECOND_US),
            kept_us=_kept_us(config),
            size=config.retention.size,
        )
        return None if upto is None else archives.make(database, config.archives, upto, key)


def _kept_us(config: Config) -> int:
    """Return for how long no event leaves the database, whatever its size."""
    slowest_s = max(
        config.decisions.cooldown,
        config.decisions.backup_after,
        config.expected.assessment,
        config.expected.backup,
    )
    # A day more than the slowest limit: what came before it shows as longer ago than that.
    return max(retention.KEPT_US, round(slowest_s * SECOND_US) + retention.DAY_US)


async def _purge(context: Context, intent: Intent) -> int:
    """Remove from the database what is sealed in sound archives, the oldest first; return how many events."""
    config, removed = context.config, 0
    after = chain.BEGINNING
    for seal in await asyncio.to_thread(_sealed, context):
        if seal.purged < seal.upto:
            try:
                await asyncio.to_thread(archives.check, config.archives, seal, after)
            except StoreCorrupt as damage:
                logger.bind(action="compact").error("{}", damage)
                report = partial(verify.report, archive=seal.archive, damage=str(damage), cause=intent.seq)
                await context.journal.record(report)
                break
            chunk = partial(retention.purge, upto=seal.upto, games=tuple(config.games), cause=intent.seq)
            while count := await context.journal.record(chunk):
                removed += count
        after = seal.head
    return removed


def _sealed(context: Context) -> list[Seal]:
    with snapshot.opened(context.config.database) as database:
        return archives.seals(database)


def _used(context: Context) -> int:
    with snapshot.opened(context.config.database) as database:
        return retention.used_bytes(database)
