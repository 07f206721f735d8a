"""Online backups that are proven on the copy, and what to do with a damaged database."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger

from helios_agent import files
from helios_agent.errors import StoreCorrupt, StoreError
from helios_agent.store.readers import read_only

PREFIX, SUFFIX, PARTIAL = "helios-", ".db", ".partial"

Check = Callable[[sqlite3.Connection], object]
"""Raises when a database that SQLite finds sound does not hold what it should (a broken chain)."""


def take(database: Path, folder: Path, now: datetime, keep: int, check: Check) -> Path:
    """Copy the live database into `folder`, prove the copy sound, and drop all but the newest `keep`.

    Returns the backup's path. The copy is a consistent snapshot; readers and the writer go on
    meanwhile. Raises StoreCorrupt when the copy fails its check, StoreError when none can be made; what
    was copied is then removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _clear_partial(folder)  # of a process that was killed while it copied
    target = folder / f"{PREFIX}{now.astimezone(UTC):%Y%m%dT%H%M%S%fZ}{SUFFIX}"
    partial = target.with_suffix(PARTIAL)
    try:
        _copy(database, partial)
        verify(partial, check)
        files.sync(partial)
        partial.rename(target)
    except sqlite3.Error as error:
        raise StoreError(f"{database} cannot be backed up to {folder}: {error}.") from error
    finally:
        _clear_partial(folder)
    files.sync(folder)
    for old in listed(folder)[keep:]:
        old.unlink()
    return target


def _copy(database: Path, partial: Path) -> None:
    with (
        closing(sqlite3.connect(read_only(database), uri=True)) as source,
        closing(sqlite3.connect(partial)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def _clear_partial(folder: Path) -> None:
    for left_over in folder.glob(f"{PREFIX}*{PARTIAL}*"):
        left_over.unlink()


def listed(folder: Path) -> list[Path]:
    """Return the backups in `folder`, newest first."""
    return sorted(folder.glob(f"{PREFIX}*{SUFFIX}"), reverse=True)


def verify(database: Path, check: Check) -> None:
    """Raise StoreCorrupt unless SQLite finds the file sound and `check` agrees.

    Raises StoreError when that cannot be found out now, as the file is locked or cannot be read.
    """
    try:
        with closing(sqlite3.connect(read_only(database), uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            verdict = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if verdict != ["ok"]:
                raise StoreCorrupt(f"{database} is damaged: {'; '.join(map(str, verdict))}.")
            check(connection)
    except sqlite3.DatabaseError as error:
        if _passing(error):
            raise StoreError(f"{database} cannot be read: {error}.") from error
        raise StoreCorrupt(f"{database} is damaged: {error}.") from error


def _passing(error: sqlite3.DatabaseError) -> bool:
    """Return whether an error says nothing of what is in the file: it is locked, or cannot be read."""
    # The errors that Python finds itself, such as text that is not UTF-8, carry no code.
    return (getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF) in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
    )


def verify_or_restore(database: Path, folder: Path, now: datetime, check: Check) -> str | None:
    """Make sure that `database` is sound; if not, set it aside and restore the newest sound backup.

    Returns None when it was sound (or was not begun yet), else a sentence saying what was done.
    Raises StoreCorrupt, having changed nothing, when there is no sound backup.
    """
    aside = database.with_name(f"{database.name}.corrupt-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}")
    fresh = database.with_suffix(".restoring")
    if not database.exists():
        if not fresh.exists():
            return None
        _exchange(database, fresh, aside)
        return f"A restoration of {database} that had been cut short was completed."
    try:
        verify(database, check)
    except StoreCorrupt as damage:
        backup = _newest_sound(folder, check)
        if backup is None:
            if not listed(folder) and _is_blank(database):
                return None  # killed at its first start, before the schema stood
            raise StoreCorrupt(
                f"{damage} There is no sound backup in {folder}. The file was left as it is: move it "
                "away to start anew, or put a good copy in its place."
            ) from damage
        fresh.write_bytes(backup.read_bytes())
        files.sync(fresh)
        _exchange(database, fresh, aside)
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


def _is_blank(database: Path) -> bool:
    try:
        with closing(sqlite3.connect(read_only(database), uri=True)) as connection:
            return bool(connection.execute("SELECT count(*) = 0 FROM sqlite_schema").fetchone()[0])
    except sqlite3.DatabaseError:
        return False


def _exchange(database: Path, fresh: Path, aside: Path) -> None:
    """Set the database aside with its log, and put `fresh`, which is whole and synced, in its place.

    Killed between any two renames, it is completed at the next start.
    """
    for suffix in ("", "-wal", "-shm"):
        part = database.with_name(database.name + suffix)
        if part.exists():
            part.rename(aside.with_name(aside.name + suffix))
    fresh.rename(database)
    files.sync(database.parent)
