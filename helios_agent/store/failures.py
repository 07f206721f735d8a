"""What SQLite's errors mean to us: a lock, a passing trouble, damage, or a mistake of ours."""

import sqlite3

from helios_agent.errors import StoreCorrupt, StoreError

LOCK_WAIT_S = 1.0
"""How long one try to write waits for another process to let go of the database (SQLite's busy timeout)."""
OPENING_WAIT_S = 30.0
"""How long an opening waits for that. An open database cannot be locked against reading any more."""

_PASSING = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)


def is_busy(error: BaseException) -> bool:
    """Return whether another process has the lock, so that trying again is all there is to do."""
    return _code(error) == sqlite3.SQLITE_BUSY


def is_passing(error: BaseException) -> bool:
    """Return whether an error says nothing of what is in the file: it is locked, or cannot be used now."""
    return _code(error) in _PASSING


def as_ours(error: BaseException, what: str) -> StoreError | None:
    """Return damage as StoreCorrupt, a passing trouble as StoreError, None for anything else."""
    code = _code(error)
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        ours: StoreError = StoreCorrupt(f"{what}: {error}.")
    elif code in _PASSING or (code == sqlite3.SQLITE_OK and isinstance(error, sqlite3.OperationalError)):
        ours = StoreError(f"{what}: {error}.")
    else:
        return None
    ours.__cause__ = error
    return ours


def _code(error: BaseException) -> int:
    # The errors that Python finds itself, such as text that is not UTF-8, carry no code.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
