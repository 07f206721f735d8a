"""Online backups that are proven on the copy, and what to do with a damaged database."""

import os
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger

from helios_agent.errors import StoreCorrupt
from helios_agent.store.readers import read_only

PREFIX, SUFFIX = "helios-", ".db"

Check = Callable[[sqlite3.Connection], object]
"""Raises when a database that SQLite finds sound does not hold what it should (a broken chain)."""


def take(database: Path, folder: Path, now: datetime, keep: int, check: Check) -> Path:
    """Copy the live database into `folder`, prove the copy sound, and drop all but the newest `keep`.

    Returns the backup's path. The copy is a consistent snapshot; readers and the writer go on
    meanwhile. Raises StoreCorrupt when the copy fails its check (it is then removed).
    """
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{PREFIX}{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}{SUFFIX}"
    partial = target.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    source = sqlite3.connect(read_only(database), uri=True)
    copy = sqlite3.connect(partial)
    try:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    finally:
        copy.close()
        source.close()
    try:
        verify(partial, check)
    except StoreCorrupt:
        partial.unlink()
        raise
    _sync(partial)
    partial.rename(target)
    _sync(folder)
    for old in listed(folder)[keep:]:
        old.unlink()
    return target


def listed(folder: Path) -> list[Path]:
    """Return the backups in `folder`, newest first."""
    return sorted(folder.glob(f"{PREFIX}*{SUFFIX}"), reverse=True)


def verify(database: Path, check: Check) -> None:
    """Raise StoreCorrupt unless SQLite finds the file sound and `check` agrees."""
    try:
        connection = sqlite3.connect(read_only(database), uri=True)
        try:
            connection.row_factory = sqlite3.Row
            verdict = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if verdict != ["ok"]:
                raise StoreCorrupt(f"{database} is damaged: {'; '.join(map(str, verdict))}.")
            check(connection)
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        raise StoreCorrupt(f"{database} is damaged: {error}.") from error


def verify_or_restore(database: Path, folder: Path, now: datetime, check: Check) -> str | None:
    """Make sure that `database` is sound; if not, set it aside and restore the newest sound backup.

    Returns None when it was sound (or does not exist yet), else a sentence saying what was done.
    Raises StoreCorrupt, having changed nothing, when there is no sound backup.
    """
    if not database.exists():
        return None
    try:
        verify(database, check)
    except StoreCorrupt as damage:
        backup = _newest_sound(folder, check)
        if backup is None:
            raise StoreCorrupt(
                f"{damage} There is no sound backup in {folder}. The file was left as it is: move it "
                "away to start anew, or put a good copy in its place."
            ) from damage
        aside = database.with_name(f"{database.name}.corrupt-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
        _restore(database, backup, aside)
        return f"{damage} It was set aside as {aside.name}; {backup.name} was restored in its place."
    return None


def _newest_sound(folder: Path, check: Check) -> Path | None:
    for backup in listed(folder):
        try:
            verify(backup, check)
        except StoreCorrupt as damage:
            logger.bind(action="restore").error("A backup is passed over: {}", damage)
        else:
            return backup
    return None


def _restore(database: Path, backup: Path, aside: Path) -> None:
    fresh = database.with_suffix(".restoring")
    fresh.write_bytes(backup.read_bytes())
    _sync(fresh)
    for suffix in ("", "-wal", "-shm"):
        part = database.with_name(database.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    fresh.rename(database)
    _sync(database.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
