"""The schema's history: one numbered `.sql` file a step, each applied in one transaction."""

import sqlite3
from importlib import resources

from helios_agent.errors import StoreNewer

APPLICATION_ID = 0x48454C49  # "HELI", so that `file` and we ourselves know the database


def steps() -> list[tuple[int, str]]:
    """Return the migrations as (version, SQL text), in order."""
    files = [f for f in resources.files(__package__).iterdir() if f.name.endswith(".sql")]
    return sorted((int(f.name.split("_")[0]), f.read_text("utf-8")) for f in files)


def version(connection: sqlite3.Connection) -> int:
    """Return the version of a database's schema. Raises StoreNewer when it is ahead of this code."""
    found: int = connection.execute("PRAGMA user_version").fetchone()[0]
    newest = steps()[-1][0]
    if found > newest:
        raise StoreNewer(
            f"The database has schema {found}, this Helios knows {newest}. Run the newer Helios, "
            "or restore a backup made by this one."
        )
    return found


def apply(connection: sqlite3.Connection) -> None:
    """Bring the database to the newest version. Raises StoreNewer when it is ahead of this code."""
    present = version(connection)
    for number, sql in steps():
        if number > present:
            connection.executescript(
                f"BEGIN IMMEDIATE; {sql}\nPRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {number}; COMMIT;"
            )
