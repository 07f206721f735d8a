"""Other processes that lock the database, read it for long, back it up, or write to it."""

import asyncio
import resource
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helios_agent.clock import SystemClock
from helios_agent.errors import StoreError
from helios_agent.journal import chain, events
from helios_agent.journal.journal import Journal
from helios_agent.store import Connection, Readers, Store, backup, failures, writer
from helios_agent.store.rotation import Rotation

HOLDER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
print("held", flush=True)
sys.stdin.readline()
"""
BACKUPS = """
import sqlite3, sys
print("begun", flush=True)
for i in range(30):
    source = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
    copy = sqlite3.connect(sys.argv[2] + str(i))
    source.backup(copy)
    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    source.execute("BEGIN EXCLUSIVE")
    source.execute("ROLLBACK")
    source.close()
    copy.close()
"""


@asynccontextmanager
async def another_process(*arguments: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run another process until its first line; end it when the context ends."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", *map(str, arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        await process.stdout.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.002)


@pytest.fixture(autouse=True)
def _short_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each try wait 20 ms instead of 1 s; what is to be shown is that it is tried again."""
    monkeypatch.setattr(failures, "LOCK_WAIT_S", 0.02)


def note(text: str) -> Callable[[Connection], object]:
    return lambda connection: connection.execute("INSERT INTO note VALUES (?)", (text,))


@pytest.fixture
async def notes(store: Store) -> Store:
    """An open store with one more table."""
    await store.write(lambda connection: connection.execute("CREATE TABLE note (text TEXT NOT NULL) STRICT"))
    return store


async def texts(store: Store) -> list[str]:
    return [row["text"] for row in await store.rows("SELECT text FROM note ORDER BY rowid")]


async def test_while_another_process_locks_the_database_changes_wait_and_health_can_tell(
    notes: Store,
) -> None:
    await notes.write(note("before"))
    async with another_process(HOLDER, notes.path, "BEGIN EXCLUSIVE"):
        waiting = [asyncio.create_task(notes.write(note(str(i)))) for i in range(300)]
        await until(lambda: notes.trouble)
        first = notes.trouble
        assert first is not None
        assert first.startswith("Another process has locked the database for 0.0")
        await until(lambda: notes.trouble != first)  # the time grows
        assert not any(task.done() for task in waiting)
        assert await texts(notes) == ["before"]  # reading goes on
    await asyncio.gather(*waiting)
    assert notes.trouble is None
    assert await texts(notes) == ["before", *map(str, range(300))]
    assert notes.foreign_writes == 0


async def test_who_gave_up_waiting_for_a_lock_has_changed_nothing(notes: Store) -> None:
    async with another_process(HOLDER, notes.path, "BEGIN EXCLUSIVE"):
        waiting = [asyncio.create_task(notes.write(note(text))) for text in ("kept", "cancelled", "kept too")]
        await until(lambda: notes.trouble)
        waiting[1].cancel()
        tried = notes.trouble
        await until(lambda: notes.trouble != tried)  # the try that was under way has ended
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await texts(notes) == ["kept", "kept too"]


async def test_closing_while_another_process_locks_the_database_gives_up_after_a_while(
    tmp_path: Path,
) -> None:
    store = await Store.open(tmp_path / "helios.db")
    async with another_process(HOLDER, store.path, "BEGIN EXCLUSIVE"):
        waiting = asyncio.create_task(store.write(lambda connection: connection.execute("SELECT 1")))
        await until(lambda: store.trouble)
        async with asyncio.timeout(10):
            await store.close()
        with pytest.raises(StoreError, match="Another process locks the database"):
            await waiting


async def test_a_lock_that_ends_while_closing_lets_what_was_queued_be_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "CLOSING_TRIES", 10_000)
    store = await Store.open(tmp_path / "helios.db")
    await store.write(lambda connection: connection.execute("CREATE TABLE note (text TEXT NOT NULL) STRICT"))
    async with another_process(HOLDER, store.path, "BEGIN EXCLUSIVE"):
        waiting = asyncio.create_task(store.write(note("in time")))
        await until(lambda: store.trouble)
        closing = asyncio.create_task(store.close())
        await asyncio.sleep(0)
    await closing
    await waiting
    connection = sqlite3.connect(store.path)
    assert connection.execute("SELECT text FROM note").fetchall() == [("in time",)]
    connection.close()


async def test_an_opening_waits_for_another_process_to_let_go(tmp_path: Path) -> None:
    path = tmp_path / "helios.db"
    await (await Store.open(path)).close()
    async with another_process(HOLDER, path, "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE") as holder:
        opening = asyncio.create_task(Store.open(path))
        done, _ = await asyncio.wait({opening}, timeout=0.05)
        assert not done
        await holder.communicate(b"\n")
        store = await opening
    assert await store.write(lambda connection: 7) == 7
    await store.close()


async def test_who_opens_to_read_waits_for_another_process_that_keeps_even_readers_out(
    tmp_path: Path,
) -> None:
    path = tmp_path / "helios.db"
    await (await Store.open(path)).close()
    async with another_process(HOLDER, path, "PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE") as holder:
        opening = asyncio.create_task(Readers.open(path))
        done, _ = await asyncio.wait({opening}, timeout=0.1)
        assert not done
        await holder.communicate(b"\n")
        readers = await opening
    assert [row[0] for row in await readers.rows("SELECT count(*) FROM event")] == [0]
    await readers.close()


async def test_backup_tools_in_a_loop_cost_nobody_anything_but_time(journal: Journal, tmp_path: Path) -> None:
    acknowledged: list[int] = []
    async with another_process(BACKUPS, journal.store.path, tmp_path / "copy-") as tool:
        ended = asyncio.create_task(tool.wait())

        async def produce(name: int) -> None:
            while not ended.done():
                acknowledged.append((await journal.append("test.happened", {"by": name})).seq)
                await journal.store.rows("SELECT max(seq) FROM event")

        await asyncio.gather(*(produce(name) for name in range(4)))
        assert await ended == 0
    assert sorted(acknowledged) == list(range(1, len(acknowledged) + 1))
    head = backup.verify(journal.store.path, chain.verify_database)
    assert head == await events.head(journal.store)
    assert head.seq == len(acknowledged)
    assert journal.store.foreign_writes == 0


async def test_a_reader_that_does_not_end_keeps_the_log_from_being_emptied_but_nothing_else(
    journal: Journal, tmp_path: Path
) -> None:
    store = journal.store
    await journal.append("test.happened", {"text": "x" * 10_000})
    async with another_process(HOLDER, store.path, "BEGIN", "SELECT * FROM event"):
        await journal.append("test.happened", {"text": "x" * 10_000})
        await store.tidy(SystemClock())
        assert store.wal_bytes() > 10_000
        now = datetime(2026, 9, 18, tzinfo=UTC)
        check = chain.verify_database
        copy = await asyncio.to_thread(
            backup.take, store.path, tmp_path / "backups", now, Rotation(1, 0, 0), check
        )
        assert backup.verify(copy, check).seq == 2
        await journal.append("test.happened", {})
    await store.tidy(SystemClock())
    assert store.wal_bytes() == 0


async def test_a_write_of_another_process_is_noticed_and_counted(notes: Store) -> None:
    await notes.write(note("ours"))
    for count in (1, 2):
        async with another_process(HOLDER, notes.path, "INSERT INTO note VALUES ('theirs')"):
            await notes.write(note("ours"))
            assert notes.foreign_writes == count
            await notes.write(note("ours"))
            assert notes.foreign_writes == count


async def test_a_log_that_another_process_emptied_is_noticed(notes: Store) -> None:
    async with another_process(HOLDER, notes.path, "PRAGMA wal_checkpoint(TRUNCATE)"):
        await notes.write(note("ours"))
        assert notes.foreign_writes == 1


async def test_a_disk_that_fails_within_a_large_transaction_is_not_taken_for_another_process(
    notes: Store,
) -> None:
    def fill(connection: Connection) -> None:
        connection.executemany("INSERT INTO note VALUES (?)", [("x" * 80_000,)] * 100)

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, limits[1]))
    try:
        with pytest.raises(StoreError, match="the transaction was lost: disk I/O error"):
            await notes.write(fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    await notes.write(note("ours"))
    assert notes.foreign_writes == 0
    async with another_process(HOLDER, notes.path, "INSERT INTO note VALUES ('theirs')"):
        await notes.write(note("ours"))
    assert notes.foreign_writes == 1


async def test_nothing_that_we_do_ourselves_is_taken_for_another_process(
    journal: Journal, tmp_path: Path
) -> None:
    store = journal.store
    await journal.append("test.happened", {"text": "x" * 1_000_000})
    await store.write(lambda connection: connection.execute("CREATE TABLE note (text TEXT) STRICT"))
    with pytest.raises(ZeroDivisionError):
        await store.write(lambda connection: [connection.execute("INSERT INTO note VALUES ('x')"), 1 // 0])
    await store.write(lambda connection: connection.execute("DROP TABLE note"))
    await store.write(lambda connection: connection.execute("ANALYZE").fetchall())
    await store.tidy(SystemClock())
    await store.rows("SELECT * FROM event")
    now = datetime(2026, 9, 18, tzinfo=UTC)
    await asyncio.to_thread(
        backup.take, store.path, tmp_path / "backups", now, Rotation(1, 0, 0), chain.verify_database
    )
    await journal.append("test.happened", {})
    assert store.foreign_writes == 0
