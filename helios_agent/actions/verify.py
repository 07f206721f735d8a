"""Verify: recompute the journal's whole hash chain, in the database and in the archives."""

import asyncio
from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions.action import UPKEEP, Action, Commit, Context
from helios_agent.config import Config
from helios_agent.errors import StoreCorrupt
from helios_agent.journal import archives, chain, draws
from helios_agent.journal.archives import Seal
from helios_agent.journal.chain import Head
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.store import Connection, backup

INCIDENT = "journal:damaged"
INTRUSION = "journal:foreign-writer"
"""Open from when another process wrote to the database until the journal was verified."""


async def run(context: Context, intent: Intent) -> Commit:
    log = logger.bind(action="verify")
    found: list[tuple[Head, list[Seal]]] = []

    def check(database: Connection) -> None:
        found.append((chain.verify_database(database), archives.seals(database)))

    try:
        await asyncio.to_thread(backup.verify, context.config.database, check)
    except StoreCorrupt as damage:
        message = str(damage)
        log.critical("{}", message)
        return lambda tx, cause: _damaged(tx, cause, message)
    head, sealed = found[0]
    damages, unsigned = await asyncio.to_thread(_archives, context.config, sealed)
    log.info("the journal is sound: {} events, head {}:{}", head.seq, head.seq, head.hash[:12])
    for message in damages.values():
        log.error("{}", message)
    if unsigned:
        log.warning("no key vouches for archives that were made without one: {}", ", ".join(unsigned))

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        result = {"events": head.seq, "head": head.hash, "archives": len(sealed) - len(damages)}
        tx.append("journal.verified", result, cause)
        draws.close_incident(tx, INCIDENT, cause)
        draws.close_incident(tx, INTRUSION, cause)
        for seal in sealed:
            report(tx, seal.archive, damages.get(seal.archive), cause)
        return result

    return commit


ACTION = Action("verify", UPKEEP, run)


def _archives(config: Config, sealed: list[Seal]) -> tuple[dict[str, str], list[str]]:
    """Return what is wrong with archives, by name, and which a key would vouch for but does not."""
    key = archives.read_key(config.retention.seal_key_file)
    damages = archives.damages(config.archives, sealed, key)
    sound = [seal for seal in sealed if seal.archive not in damages]
    return damages, archives.unsigned(config.archives, sound) if key else []


def report(tx: Transaction, archive: str, damage: str | None, cause: int) -> None:
    """Open an incident for an archive that is damaged or missing; close it where it is sound."""
    key = f"journal:archive:{archive}"
    if damage is None:
        draws.close_incident(tx, key, cause)
    else:
        draws.open_incident(tx, key, "archive-damaged", damage, cause)


def _damaged(tx: Transaction, cause: int, message: str) -> Mapping[str, Any]:
    draws.open_incident(tx, INCIDENT, "journal-damaged", message, cause)
    tx.append("alert.raised", {"about": "journal", "message": message}, cause)
    return {"damage": message}
