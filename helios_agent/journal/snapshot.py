"""Look at the database as it was at one moment, while others go on writing."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from helios_agent.store import Connection, failures
from helios_agent.store.readers import read_only


@contextmanager
def opened(database: Path) -> Iterator[Connection]:
    """Open a database for reading at one moment.

    While it is open the write-ahead log can but grow. Raises StoreError when the database cannot be read,
    StoreCorrupt when it is damaged, also from within.
    """
    with following(database) as connection, one_moment(connection):
        yield connection


@contextmanager
def following(database: Path) -> Iterator[Connection]:
    """Open a database for reading, each query at its own moment. Raises as `opened`."""
    try:
        with closing(sqlite3.connect(read_only(database), uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection
    except sqlite3.Error as error:
        raise failures.as_ours(error, f"{database} cannot be read") or error from error


@contextmanager
def one_moment(connection: Connection) -> Iterator[None]:
    """Let every query of a connection see the same moment. Within a transaction they do so anyway."""
    if connection.in_transaction:
        yield
        return
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
