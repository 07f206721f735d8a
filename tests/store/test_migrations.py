import sqlite3
from pathlib import Path

import pytest

from helios_agent.errors import StoreCorrupt, StoreError, StoreNewer
from helios_agent.journal.journal import Journal
from helios_agent.store import Store, migrations
from helios_agent.store.store import connect

NEWEST = migrations.steps()[-1][0]


def pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


async def test_a_fresh_database_has_the_newest_schema_and_says_whose_it_is(tmp_path: Path) -> None:
    connection = connect(tmp_path / "helios.db")
    assert pragma(connection, "user_version") == NEWEST
    assert pragma(connection, "application_id") == int.from_bytes(b"HELI")
    assert pragma(connection, "auto_vacuum") == 2
    assert pragma(connection, "journal_mode") == "wal"
    assert pragma(connection, "synchronous") == 2
    assert pragma(connection, "foreign_keys") == 1
    connection.close()


def test_steps_are_numbered_without_a_gap() -> None:
    assert [number for number, _ in migrations.steps()] == list(range(1, NEWEST + 1))


async def test_opening_again_changes_nothing(tmp_path: Path) -> None:
    def schema() -> tuple[object, list[tuple[object, ...]]]:
        connection = connect(tmp_path / "helios.db")
        rows = connection.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name").fetchall()
        version = pragma(connection, "schema_version")
        connection.close()
        return version, [tuple(row) for row in rows]

    assert schema() == schema()


async def test_every_table_is_strict(store: Store) -> None:
    tables = await store.rows(
        "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'"
    )
    assert {row["name"] for row in tables if not row["strict"]} == {"sqlite_schema"}
    assert len(tables) > 10
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in INTEGER column"):
        await store.write(lambda c: c.execute("INSERT INTO firing VALUES ('a', 'noon', 'run', 1)"))


async def test_a_database_of_a_later_helios_is_refused_naming_both_versions(tmp_path: Path) -> None:
    path = tmp_path / "helios.db"
    connection = connect(path)
    connection.execute(f"PRAGMA user_version = {NEWEST + 41}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreNewer, match=rf"has schema {NEWEST + 41}, this Helios knows {NEWEST}\."):
        await Store.open(path)
    assert path.read_bytes() == before


async def test_what_is_not_a_database_is_called_damaged_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "helios.db"
    path.write_bytes(b"no database at all\n" * 500)
    with pytest.raises(StoreCorrupt, match=r"helios\.db is damaged: file is not a database"):
        await Store.open(path)
    assert path.read_bytes() == b"no database at all\n" * 500


async def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match=r"nowhere/helios\.db: the database cannot be opened: unable to open"
    ):
        await Store.open(tmp_path / "nowhere" / "helios.db")


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE event SET payload = '{}'",
        "UPDATE event SET boot = 'other' WHERE seq = 2",
        "DELETE FROM event",
        "DELETE FROM event WHERE seq = 3",
        "INSERT OR REPLACE INTO event SELECT seq, at_us, mono_us, boot, 'a.lie', cause, payload, prev, hash"
        " FROM event WHERE seq = 2",
        "INSERT INTO event SELECT 0, at_us, mono_us, boot, kind, cause, payload, prev, hash FROM event",
    ],
)
async def test_the_journal_refuses_to_be_edited(journal: Journal, sql: str) -> None:
    for place in range(3):
        await journal.append("test.happened", {"place": place})
    before = [tuple(row) for row in await journal.store.rows("SELECT * FROM event")]
    with pytest.raises(sqlite3.IntegrityError, match="the journal is append-only"):
        await journal.store.write(lambda connection: connection.execute(sql))
    assert [tuple(row) for row in await journal.store.rows("SELECT * FROM event")] == before
