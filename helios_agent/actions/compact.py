"""Compact: summarise, archive, remove and forget what is due, give back disk space, report what that freed.

Killed at any point it is completed by the next: an archive that was written is sealed, and what is
sealed is removed once its archive was proven again. All of it is done in transactions that are short by
measurement, so that whoever else wants to write does not wait for long.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from loguru import logger

from helios_agent.actions import knowledge, verify
from helios_agent.actions.action import UPKEEP, Action, Commit, Context
from helios_agent.clock import SECOND_US
from helios_agent.config import Config
from helios_agent.errors import StoreCorrupt
from helios_agent.journal import archives, chain, draws, retention, room, snapshot, summaries
from helios_agent.journal.archives import Seal
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.store import Pace

TOO_LARGE = "journal:size"
EPOCHS = 2000
"""Epochs that are summarised in one transaction, at most, but for those of a single training."""


@dataclass(frozen=True, slots=True)
class Disk:
    """What is on the disk, in bytes: pages of the database in use, its file, its log, the models' folder."""

    used_bytes: int
    file_bytes: int
    log_bytes: int
    models_bytes: int


async def run(context: Context, intent: Intent) -> Commit:
    settings = context.config.retention
    before = await asyncio.to_thread(_disk, context)
    epochs = await _summarise(context, intent)
    events = await _purge(context, intent)
    sealed = await asyncio.to_thread(_archive, context)
    if sealed is not None:
        await context.journal.append("journal.sealed", sealed, intent.seq)
        events += await _purge(context, intent)
    freed = await context.store.tidy(context.clock)
    after = await asyncio.to_thread(_disk, context)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        if after.used_bytes > settings.size:
            kept_days = _kept_us(context.config) // retention.DAY_US
            message = (
                f"The database holds {after.used_bytes:,} bytes; retention.size allows {settings.size:,}."
                f" What is left is younger than {kept_days} days, waits to be done, sent or scored, or is"
                " draws and scores, which stay for good: raise retention.size. Where an archive is damaged,"
                " which is an incident of its own, first put a good copy in its place."
            )
            draws.open_incident(tx, TOO_LARGE, "journal-too-large", message, cause)
        else:
            draws.close_incident(tx, TOO_LARGE, cause)
        result = {
            "archive": sealed and sealed["archive"],
            "archive_bytes": sealed["bytes"] if sealed else 0,
            "events": events,
            "epochs": epochs,
            "fragments": knowledge.forget(tx, cause),
            "freed_bytes": freed,
            "used_bytes": after.used_bytes,
            "before": asdict(before),
            "after": asdict(after),
        }
        tx.append("compact.completed", result, cause)
        return result

    logger.bind(action="compact").info("{:,} events archived and removed, {:,} bytes freed", events, freed)
    return commit


ACTION = Action("compact", UPKEEP, run)


async def _summarise(context: Context, intent: Intent) -> int:
    """Summarise the trainings that ended long enough ago; return how many epochs made room."""
    age_us = round(context.config.retention.epochs * SECOND_US)
    waiting = deque(await summaries.due(context.store, context.clock.now_us() - age_us))
    pace, count = Pace(EPOCHS), 0
    while waiting:
        jobs: list[str] = []
        epochs = 0
        while waiting and (not jobs or epochs + waiting[0][1] <= pace.size):
            job, size = waiting.popleft()
            jobs.append(job)
            epochs += size
        change = partial(summaries.summarise, jobs=jobs, cause=intent.seq)
        count += await context.journal.record(change, pace)
    return count


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
    if upto is None:
        return None
    with snapshot.following(config.database) as database:  # what it reads does not change
        return archives.make(database, config.archives, upto, key)


def _kept_us(config: Config) -> int:
    """Return for how long no event leaves the database, whatever its size."""
    slowest_s = max(
        config.decisions.cooldown,
        config.decisions.backup_after,
        config.decisions.verify_after,
        config.expected.assessment,
        config.expected.backup,
    )
    # A day more than the slowest limit: what came before it shows as longer ago than that.
    return max(retention.KEPT_US, round(slowest_s * SECOND_US) + retention.DAY_US)


async def _purge(context: Context, intent: Intent) -> int:
    """Remove from the database what is sealed in sound archives, the oldest first; return how many events."""
    config, removed, pace = context.config, 0, Pace(retention.CHUNK)
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
            purge = partial(retention.purge, upto=seal.upto, games=tuple(config.games), cause=intent.seq)
            while count := await context.journal.record(partial(purge, chunk=pace.size), pace):
                removed += count
        after = seal.head
    return removed


def _sealed(context: Context) -> list[Seal]:
    with snapshot.opened(context.config.database) as database:
        return archives.seals(database)


def _disk(context: Context) -> Disk:
    config = context.config
    with snapshot.opened(config.database) as database:
        used = retention.used_bytes(database)
    models = room.folder_bytes(config.paths.models)
    return Disk(used, config.database.stat().st_size, context.store.wal_bytes(), models)
