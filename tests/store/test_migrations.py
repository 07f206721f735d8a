import sqlite3
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import pytest

from helios_agent.clock import VirtualClock
from helios_agent.errors import StoreCorrupt, StoreError, StoreNewer
from helios_agent.journal import chain, events
from helios_agent.journal.journal import Journal
from helios_agent.store import Readers, Store, backup, migrations
from helios_agent.store.rotation import Rotation
from helios_agent.store.store import connect

STEPS = migrations.steps()
NEWEST = migrations.newest()
VERSION = metadata.version("helios-agent")


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
    assert {row["name"] for row in tables if not row["strict"]} == {
        "sqlite_schema",
        "sqlite_sequence",
    }
    assert len(tables) > 10
    with pytest.raises(sqlite3.IntegrityError, match="cannot store TEXT value in INTEGER column"):
        await store.write(lambda c: c.execute("INSERT INTO firing VALUES ('a', 'noon', 'run', 1)"))


async def test_a_database_of_a_later_helios_is_refused_naming_what_to_install(tmp_path: Path) -> None:
    path = tmp_path / "helios.db"
    connection = connect(path)
    connection.execute(f"PRAGMA user_version = {NEWEST + 41}")
    connection.execute("INSERT INTO schema_step VALUES (?, '7.4.0')", (NEWEST + 41,))
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreNewer) as caught:
        await Store.open(path)
    assert str(caught.value) == (
        f"The database has schema {NEWEST + 41}, written by Helios 7.4.0; this is Helios {VERSION}, which"
        f" knows schema {NEWEST}. Install helios-agent 7.4.0 or later, or restore a backup made before:"
        " `helios restore --list` shows them."
    )
    assert path.read_bytes() == before


async def test_a_later_database_that_does_not_say_by_whom_is_refused_too(tmp_path: Path) -> None:
    path = tmp_path / "helios.db"
    connection = connect(path)
    connection.execute(f"PRAGMA user_version = {NEWEST + 1}")
    connection.execute("DROP TABLE schema_step")
    connection.close()
    with pytest.raises(StoreNewer, match=r"written by a later Helios; .* Install a later helios-agent, or"):
        await Store.open(path)


async def test_a_database_of_another_program_is_refused_by_name_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "helios.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE contact (name TEXT)")
    connection.execute("PRAGMA application_id = 252006674")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=r"helios\.db is a database, but not one .* 0x0f055112, expected 0x48454c49"
    ):
        await Store.open(path)
    assert path.read_bytes() == before


@pytest.fixture
async def first_light(tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of schema 1 with a journal of ten events."""
    path = tmp_path / "helios.db"
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "steps", lambda: STEPS[:1])
        store = await Store.open(path)
        for i in range(10):
            await Journal(store, clock, "boot-1").append("test.happened", {"i": i})
        await store.close()
    return path


async def test_an_earlier_database_is_kept_before_it_is_brought_to_the_present_schema(
    first_light: Path,
) -> None:
    head = backup.verify(first_light, chain.verify_database)
    store = await Store.open(first_light)
    assert (await store.rows("PRAGMA user_version"))[0][0] == NEWEST
    steps = [tuple(row) for row in await store.rows("SELECT version, helios FROM schema_step")]
    assert steps == [(number, VERSION) for number in range(migrations.SIGNED_FROM, NEWEST + 1)]
    assert await events.head(store) == head
    await store.close()
    [copy] = (first_light.parent / "backups").iterdir()
    assert copy.name == f"before-schema-{NEWEST}-event-10.db"
    assert backup.verify(copy, chain.verify_database) == head
    kept = sqlite3.connect(copy)
    assert pragma(kept, "user_version") == 1
    kept.close()


async def test_an_earlier_database_is_not_read_before_it_was_brought_to_the_present_schema(
    first_light: Path,
) -> None:
    with pytest.raises(StoreError) as caught:
        await Readers.open(first_light)
    assert str(caught.value) == (
        f"{first_light} has schema 1; this Helios reads schema {NEWEST}. Start Helios once to bring it up to"
        " date."
    )


async def test_what_was_kept_before_a_migration_outlasts_the_rotation_and_can_be_restored(
    first_light: Path,
) -> None:
    await (await Store.open(first_light)).close()
    folder = first_light.parent / "backups"
    [kept] = folder.iterdir()
    for day in (1, 2, 3):
        now = datetime(2026, 9, day, tzinfo=UTC)
        newest = backup.take(first_light, folder, now, Rotation(1, 0, 0), chain.verify_database)
    assert backup.listed(folder) == [newest, kept]
    backup.restore(first_light, folder, kept.name, now, chain.verify_database)
    connection = sqlite3.connect(first_light)
    assert pragma(connection, "user_version") == 1
    connection.close()
    store = await Store.open(first_light)
    assert (await events.head(store)).seq == 10
    await store.close()


async def test_a_step_that_fails_leaves_the_database_as_it_was(
    first_light: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    half = (2, "CREATE TABLE half (a INTEGER) STRICT; CREATE TABLE half (a INTEGER) STRICT;")
    dangling = (
        2,
        "CREATE TABLE schema_step (version INTEGER PRIMARY KEY, helios TEXT NOT NULL) STRICT;"
        "CREATE TABLE child (of INTEGER REFERENCES event(seq)) STRICT; INSERT INTO child VALUES (99);",
    )
    for step, error in (
        (half, "table half already exists"),
        (dangling, "A row of child refers to a row of event"),
    ):
        monkeypatch.setattr(migrations, "steps", lambda step=step: [STEPS[0], step])
        with pytest.raises(StoreError, match=error):
            await Store.open(first_light)
        connection = sqlite3.connect(first_light)
        assert pragma(connection, "user_version") == 1
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
        assert not names & {"half", "child", "schema_step"}
        connection.close()


async def test_without_room_for_the_copy_nothing_is_migrated(first_light: Path) -> None:
    (first_light.parent / "backups").write_text("a file where the folder should be")
    with pytest.raises(StoreError, match="cannot be backed up"):
        await Store.open(first_light)
    connection = sqlite3.connect(first_light)
    assert pragma(connection, "user_version") == 1
    connection.close()


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
