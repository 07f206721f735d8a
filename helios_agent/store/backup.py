"""Online backups that are proven on the copy, and how one takes the database's place again."""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from loguru import logger

from helios_agent import files
from helios_agent.errors import NotFound, StoreCorrupt, StoreError
from helios_agent.store import failures, migrations
from helios_agent.store.readers import read_only
from helios_agent.store.rotation import Rotation, kept

T = TypeVar("T")

FOLDER = "backups"
SUFFIX, PARTIAL = ".db", ".partial"
STAMP = "%Y%m%dT%H%M%S%fZ"
NAME = f"helios-{STAMP}{SUFFIX}"
BEFORE_SCHEMA = "before-schema-"
Check = Callable[[sqlite3.Connection], T]
"""Raises StoreCorrupt when a database that SQLite finds sound does not hold what it should: a whole chain."""


def take(database: Path, folder: Path, now: datetime, rotation: Rotation, check: Check[object]) -> Path:
    """Copy the live database into `folder`, prove the copy sound, and drop what `rotation` does not keep.

    Returns the backup's path. The copy is a consistent snapshot; readers and the writer go on
    meanwhile. Raises StoreCorrupt when the copy fails its check, StoreError when none can be made (what
    was copied is then removed) or one that is not kept cannot be removed.
    """
    target = folder / now.astimezone(UTC).strftime(NAME)
    _make(database, target, check)
    made = {at: path for path in listed(folder) if (at := made_at(path)) is not None}
    for at in made.keys() - kept(made, rotation):
        if made[at] != target:  # the clock was ahead when the others were made
            _remove(made[at])
    return target


def keep_before_migration(database: Path, schema: int) -> Path:
    """Copy a database that is about to be brought to a new schema; no rotation removes the copy.

    Raises as `take`.
    """
    with closing(sqlite3.connect(read_only(database), uri=True)) as connection:
        event = connection.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0]
    target = database.parent / FOLDER / f"{BEFORE_SCHEMA}{schema}-event-{event}{SUFFIX}"
    _make(database, target, lambda _: None)  # whoever opens the database has verified the journal before
    return target


def _make(database: Path, target: Path, check: Check[object]) -> None:
    folder, partial = target.parent, target.with_suffix(PARTIAL)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_partial(folder)  # of a process that was killed while it copied
        _copy(database, partial)
        verify(partial, check)
        files.sync(partial)
        files.rename(partial, target)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{database} cannot be backed up to {folder}: {error}.") from error
    finally:
        _clear_partial(folder)


def _copy(database: Path, partial: Path) -> None:
    with (
        closing(sqlite3.connect(read_only(database), uri=True)) as source,
        closing(sqlite3.connect(partial)) as copy,
    ):
        source.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")


def _clear_partial(folder: Path) -> None:
    for left_over in folder.glob(f"*{PARTIAL}*"):
        _remove(left_over)


def _remove(path: Path) -> None:
    try:
        files.remove(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be removed: {error}.") from error


def made_at(backup: Path) -> datetime | None:
    """Return when a backup was made, as its name tells; None for one made before a migration."""
    try:
        return datetime.strptime(backup.name, NAME).replace(tzinfo=UTC)
    except ValueError:
        return None


def listed(folder: Path) -> list[Path]:
    """Return the backups in `folder`, newest first, and after them those made before a migration."""
    regular = [path for path in folder.glob(f"*{SUFFIX}") if made_at(path) is not None]
    special = folder.glob(f"{BEFORE_SCHEMA}*{SUFFIX}")
    return [*sorted(regular, reverse=True), *sorted(special, key=_number_within, reverse=True)]


def _number_within(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", path.name)]


def verify(database: Path, check: Check[T]) -> T:
    """Return what `check` returns. Raises StoreCorrupt unless SQLite finds the file sound and `check` agrees.

    Raises StoreNewer when a later Helios wrote it, StoreError when it is another program's, or when nothing
    can be found out now, as the file is locked or cannot be read.
    """
    try:
        with closing(sqlite3.connect(read_only(database), uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            migrations.version(connection)
            verdict = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            if verdict != ["ok"]:
                raise StoreCorrupt(f"{database} is damaged: {'; '.join(map(str, verdict))}.")
            return check(connection)
    except sqlite3.DatabaseError as error:
        if failures.is_passing(error):
            raise StoreError(f"{database} cannot be read: {error}.") from error
        raise StoreCorrupt(f"{database} is damaged: {error}.") from error


def verify_or_restore(database: Path, folder: Path, now: datetime, check: Check[object]) -> str | None:
    """Make sure that `database` is sound; if not, set it aside and restore the newest sound backup.

    Returns None when it was sound (or was not begun yet), else a sentence saying what was done.
    Raises StoreCorrupt, having changed nothing, when there is no sound backup, StoreError when the database
    is missing but something of it is there, and as `verify`.
    """
    if not database.exists():
        if not _staged(database).exists():
            _refuse_to_forget(database, folder)
            return None
        _exchange(database, _aside(database, "corrupt", now))
        return f"A restoration of {database} that had been cut short was completed."
    _remove(_staged(database))  # of a restoration that was cut short before it changed anything
    try:
        verify(database, check)
    except StoreCorrupt as damage:
        backup = _newest_sound(folder, check)
        if backup is None:
            if not listed(folder) and _is_blank(database):
                return None  # killed at its first start, before the schema stood
            raise StoreCorrupt(
                f"{damage} There is no sound backup in {folder}. The file was left as it is: move it and "
                f"{_log(database).name} away, then put a good copy in its place; or, to start anew, move the "
                "backups away, too."
            ) from damage
        aside = _aside(database, "corrupt", now)
        message = f"{damage} It was set aside as {aside.name}; {backup.name} was restored in its place."
        _replace(database, backup, aside, message)
        return message
    return None


def _refuse_to_forget(database: Path, folder: Path) -> None:
    """Raise StoreError where a missing database was in use: beginning anew deletes its newest commits."""
    log, backups = _log(database), listed(folder)
    left = [str(log)] if log.exists() and log.stat().st_size else []
    left += [f"a backup, {backups[0]}"] if backups else []
    if left:
        raise StoreError(
            f"{database} is missing, but there is {' and '.join(left)}. Put it back, or restore a backup "
            "with `helios restore`; to start anew, move what is left of it away."
        )


def restore(database: Path, folder: Path, name: str | None, now: datetime, check: Check[object]) -> str:
    """Put a backup in the place of the database: the one of that name, or the newest that is sound.

    Nothing else may have the database open. What was there is set aside, never deleted. Returns a sentence
    saying what was done. Raises NotFound when there is no such backup, StoreCorrupt when none is sound,
    and as `verify` for the one named; then nothing was changed.
    """
    backup = _newest_sound(folder, check) if name is None else _named(folder, name)
    if backup is None:
        if listed(folder):
            raise StoreCorrupt(f"None of the backups in {folder} is sound.")
        raise NotFound(f"There is no backup in {folder}.")
    if name is not None:
        verify(backup, check)
    aside = _aside(database, "before-restore", now)
    before = f"set aside as {aside.name}" if database.exists() else "missing"
    message = f"{backup.name} was restored as asked for. The database before it was {before}."
    _replace(database, backup, aside, message)
    return message


def take_note(connection: sqlite3.Connection) -> str | None:
    """Return what was done when this database was restored, once: in the transaction that journals it.

    The note is a view that a restored database has until then.
    """
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'restored'").fetchone():
        return None
    message: str = connection.execute("SELECT message FROM restored").fetchone()[0]
    connection.execute("DROP VIEW restored")
    return message


def _leave_note(database: Path, message: str) -> None:
    quoted = message.replace("'", "''")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("DROP VIEW IF EXISTS restored")
        connection.execute(f"CREATE VIEW restored AS SELECT '{quoted}' AS message")


def _named(folder: Path, name: str) -> Path:
    for path in (folder / name, Path(name)):
        if path.is_file():
            return path
    raise NotFound(f"There is no backup {name!r}, neither in {folder} nor as a file of that path.")


def _newest_sound(folder: Path, check: Check[object]) -> Path | None:
    for backup in listed(folder):
        try:
            verify(backup, check)
        except StoreError as unfit:
            logger.bind(action="restore").error("A backup is passed over: {}", unfit)
        else:
            return backup
    return None


def _is_blank(database: Path) -> bool:
    try:
        with closing(sqlite3.connect(read_only(database), uri=True)) as connection:
            return bool(connection.execute("SELECT count(*) = 0 FROM sqlite_schema").fetchone()[0])
    except sqlite3.DatabaseError:
        return False


def _staged(database: Path) -> Path:
    """Return the name of what is about to take the database's place; what bears it is whole."""
    return database.with_suffix(".restoring")


def _log(database: Path) -> Path:
    return database.with_name(f"{database.name}-wal")


def _aside(database: Path, why: str, now: datetime) -> Path:
    """Return a name for a database that is set aside: that of the newest if its log is to follow it."""
    if not database.exists() and _staged(database).exists():  # a restoration was cut short
        newest = _newest_aside(database)
        if newest is not None and not _log(newest).exists():
            return newest
    path = database.with_name(f"{database.name}.{why}-{now.astimezone(UTC):{STAMP}}")
    return _aside(database, why, now + timedelta(microseconds=1)) if path.exists() else path


def _newest_aside(database: Path) -> Path | None:
    found = [path for path in database.parent.glob(f"{database.name}.*-*Z") if path.is_file()]
    return max(found, key=lambda path: path.name.rpartition("-")[2], default=None)


def _replace(database: Path, backup: Path, aside: Path, message: str) -> None:
    """Put a copy of `backup`, with a note of what was done, in the place of the database."""
    staged = _staged(database)
    partial = staged.with_name(staged.name + PARTIAL)
    try:
        _clear_partial(database.parent)
        _copy(backup, partial)
        _leave_note(partial, message)
        files.sync(partial)
        files.rename(partial, staged)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"{backup} cannot be copied to {staged}: {error}.") from error
    finally:
        _clear_partial(database.parent)
    _exchange(database, aside)


def _exchange(database: Path, aside: Path) -> None:
    """Set the database aside with its log, and put what is staged in its place.

    Killed between any two renames, it is completed at the next start. Raises StoreError when a file cannot
    be renamed.
    """
    try:
        for suffix in ("", "-shm", "-wal"):  # the log last: once it is aside, nothing is to follow
            part = database.with_name(database.name + suffix)
            if part.exists():
                files.rename(part, aside.with_name(aside.name + suffix))
        files.rename(_staged(database), database)
    except OSError as error:
        raise StoreError(f"{database} cannot be replaced: {error}.") from error
