"""The schema's history: one numbered `.sql` file a step, each applied in one transaction."""

import sqlite3
from importlib import metadata, resources

from helios_agent.errors import StoreCorrupt, StoreError, StoreNewer

APPLICATION_ID = 0x48454C49  # "HELI", so that `file` and we ourselves know the database
SIGNED_FROM = 2
"""From this step on a database says which Helios made each step."""


def steps() -> list[tuple[int, str]]:
    """Return the migrations as (version, SQL text), in order."""
    files = [f for f in resources.files(__package__).iterdir() if f.name.endswith(".sql")]
    return sorted((int(f.name.split("_")[0]), f.read_text("utf-8")) for f in files)


def newest() -> int:
    """Return the version that this code knows."""
    return steps()[-1][0]


def version(connection: sqlite3.Connection) -> int:
    """Return the version of a database's schema; 0 where it has none yet.

    Raises StoreNewer when it is ahead of this code, StoreError when the database is not one of Helios.
    """
    owner: int = connection.execute("PRAGMA application_id").fetchone()[0]
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if owner != APPLICATION_ID and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        path = connection.execute("PRAGMA database_list").fetchone()[2]
        raise StoreError(
            f"{path} is a database, but not one of Helios: its application_id is {owner:#010x}, expected"
            f" {APPLICATION_ID:#010x}. It was left as it is: move it away, or choose another paths.state or"
            " backup."
        )
    if found > newest():
        raise StoreNewer(_is_newer(connection, found))
    return found


def _is_newer(connection: sqlite3.Connection, found: int) -> str:
    ours = metadata.version("helios-agent")
    has_names = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_step'").fetchone()
    row = (
        has_names
        and connection.execute("SELECT helios FROM schema_step WHERE version = ?", (found,)).fetchone()
    )
    theirs, wanted = (
        (f"Helios {row[0]}", f"helios-agent {row[0]} or later")
        if row
        else ("a later Helios", "a later helios-agent")
    )
    return (
        f"The database has schema {found}, written by {theirs}; this is Helios {ours}, which knows schema"
        f" {newest()}. Install {wanted}, or restore a backup made before: `helios restore --list` shows them."
    )


def apply(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest version, each step in one transaction.

    Foreign keys must not be enforced yet. Raises StoreNewer when the database is ahead of this code,
    StoreCorrupt when a step finds rows that refer to nothing; that step is then not made.
    """
    present = version(connection)
    for number, sql in steps():
        if number > present:
            connection.executescript(f"BEGIN IMMEDIATE; {sql}")
            if number >= SIGNED_FROM:
                signed = (number, metadata.version("helios-agent"))
                connection.execute("INSERT INTO schema_step (version, helios) VALUES (?, ?)", signed)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {number}")
            dangling = connection.execute("PRAGMA foreign_key_check").fetchone()
            if dangling is not None:
                raise StoreCorrupt(
                    f"A row of {dangling[0]} refers to a row of {dangling[2]} that is not there."
                )
            connection.execute("COMMIT")
