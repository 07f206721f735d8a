"""The only room that knows SQLite.

One writer with group commit, a few read-only readers, migrations in `.sql` files, backups
that are verified on the copy, and the lock that keeps a state folder to one daemon.
"""

from sqlite3 import Connection, Row

from helios_agent.store.pace import Pace
from helios_agent.store.readers import Reader, Readers
from helios_agent.store.store import Store
from helios_agent.store.writer import Tip

__all__ = ["Connection", "Pace", "Reader", "Readers", "Row", "Store", "Tip"]
