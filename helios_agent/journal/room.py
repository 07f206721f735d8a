"""How much room the memory takes: rows and bytes of each table, archives, models, what retention allows."""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from helios_agent.clock import iso
from helios_agent.config import Config
from helios_agent.journal import archives, retention, snapshot
from helios_agent.store import Connection


def stats(config: Config) -> dict[str, Any]:
    """Return what the memory holds at one moment, and what it takes on the disk.

    `bytes` of a table are those of the pages that it and its indexes have, None where this SQLite cannot
    tell (it was built without dbstat). Reads the whole database: not for the event loop.
    """
    with snapshot.opened(config.database) as connection:
        sealed = archives.seals(connection)
        sizes = _sizes(connection)
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
        )
        tables = [
            {"table": name, "rows": _count(connection, name), "bytes": sizes and sizes.get(name, 0)}
            for (name,) in names.fetchall()
        ]
        roles = connection.execute("SELECT role, count(*) AS n FROM model GROUP BY role ORDER BY role")
        return {
            "database": {**_pages(connection), **_files(config.database)},
            "tables": tables,
            "oldest_event": _event(connection, "ASC"),
            "newest_event": _event(connection, "DESC"),
            "archives": {
                "archives": len(sealed),
                "events": sum(seal.upto - seal.first + 1 for seal in sealed),
                "removed_events": sum(max(0, seal.purged - seal.first + 1) for seal in sealed),
                "bytes": folder_bytes(config.archives),
            },
            "models": {
                "versions": {row["role"]: row["n"] for row in roles},
                "bytes": folder_bytes(config.paths.models),
            },
            "retention": {
                "age_seconds": config.retention.age,
                "epochs_seconds": config.retention.epochs,
                "size_bytes": config.retention.size,
            },
        }


def folder_bytes(folder: Path) -> int:
    """Return how many bytes the files in a folder have; what is removed meanwhile has none."""
    found = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                found += os.stat(os.path.join(parent, name)).st_size
    return found


def log_bytes(database: Path) -> int:
    """Return the size of a database's write-ahead log."""
    with suppress(FileNotFoundError):
        return database.with_name(f"{database.name}-wal").stat().st_size
    return 0


def _files(database: Path) -> dict[str, int]:
    return {"file_bytes": database.stat().st_size, "log_bytes": log_bytes(database)}


def _pages(connection: Connection) -> dict[str, int]:
    row = connection.execute(
        "SELECT page_count, freelist_count, page_size"
        " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
    ).fetchone()
    return {
        "page_bytes": row["page_size"],
        "pages": row["page_count"],
        "free_pages": row["freelist_count"],
        "used_bytes": retention.used_bytes(connection),
    }


def _sizes(connection: Connection) -> Mapping[str, int] | None:
    """Return the bytes of each table with its indexes, by its name; None where this SQLite cannot tell."""
    try:
        rows = connection.execute(
            "SELECT tbl_name, sum(pgsize) AS bytes FROM dbstat JOIN sqlite_schema USING (name)"
            " WHERE aggregate = TRUE GROUP BY tbl_name"
        ).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None
    return {row["tbl_name"]: row["bytes"] for row in rows}


def _count(connection: Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) AS n FROM {table}").fetchone()["n"])  # noqa: S608


def _event(connection: Connection, order: str) -> dict[str, Any] | None:
    row = connection.execute(f"SELECT seq, at_us FROM event ORDER BY seq {order} LIMIT 1").fetchone()  # noqa: S608
    return {"seq": row["seq"], "at": iso(row["at_us"])} if row else None
