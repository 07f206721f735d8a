from pathlib import Path

from helios_agent.clock import SystemClock
from helios_agent.store import Connection, Store
from helios_agent.store import store as store_module

BLOB = 100_000


def fill(connection: Connection) -> None:
    connection.execute("CREATE TABLE heap (stuff BLOB) STRICT")
    connection.executemany("INSERT INTO heap VALUES (zeroblob(?))", [(BLOB,)] * 100)


def size(store: Store) -> int:
    return store.path.stat().st_size


async def test_what_was_deleted_is_given_back_to_the_file_system(store: Store) -> None:
    await store.write(fill)
    await store.tidy(SystemClock())
    full = size(store)
    assert full > 100 * BLOB
    await store.write(lambda connection: connection.execute("DELETE FROM heap WHERE rowid % 2"))
    freed = await store.tidy(SystemClock())
    assert freed > 49 * BLOB
    assert size(store) == full - freed
    assert (await store.rows("PRAGMA freelist_count"))[0][0] == 0
    assert [row[0] for row in await store.rows("PRAGMA integrity_check")] == ["ok"]
    assert await store.tidy(SystemClock()) == 0


async def test_others_write_between_the_steps_of_a_tidying(store: Store) -> None:
    await store.write(fill)
    await store.write(lambda connection: connection.execute("DROP TABLE heap"))
    free = (await store.rows("PRAGMA freelist_count"))[0][0]
    commits: list[str] = []
    await store.write(lambda connection: connection.set_trace_callback(commits.append))
    await store.tidy(SystemClock())
    await store.write(lambda connection: connection.set_trace_callback(None))
    steps = free / store_module.VACUUM_PAGES
    assert steps > 5
    assert commits.count("COMMIT") > steps


async def test_the_size_of_the_log_is_known_and_tidying_empties_it(store: Store) -> None:
    await store.write(fill)
    assert store.wal_bytes() > 100 * BLOB
    await store.tidy(SystemClock())
    assert store.wal_bytes() == 0
    await store.write(lambda connection: connection.execute("INSERT INTO heap VALUES (zeroblob(10))"))
    assert 0 < store.wal_bytes() < BLOB


async def test_tidying_teaches_the_planner_what_is_in_the_tables(store: Store) -> None:
    def ask(connection: Connection) -> None:
        connection.execute("CREATE TABLE animal (kind TEXT, name TEXT) STRICT")
        connection.execute("CREATE INDEX animal_kind ON animal(kind)")
        connection.executemany("INSERT INTO animal VALUES (?, ?)", [("cat", str(i)) for i in range(5000)])
        connection.execute("SELECT name FROM animal WHERE kind = 'cat'").fetchall()

    await store.write(ask)
    await store.tidy(SystemClock())
    known = await store.rows("SELECT stat FROM sqlite_stat1 WHERE tbl = 'animal'")
    assert len(known) == 1


async def test_no_log_is_no_bytes(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "helios.db")
    await store.close()
    assert store.wal_bytes() == 0
