import asyncio
import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

from helios_agent.clock import SystemClock
from helios_agent.errors import StoreCorrupt, StoreError
from helios_agent.store import Connection, Store, writer


def on_disk(store: Store) -> list[str]:
    """Return the notes that a connection of another process would see."""
    connection = sqlite3.connect(store.path)
    try:
        return [row[0] for row in connection.execute("SELECT text FROM note ORDER BY rowid")]
    finally:
        connection.close()


def note(text: str) -> Callable[[Connection], int | None]:
    return lambda connection: connection.execute("INSERT INTO note VALUES (?)", (text,)).lastrowid


@pytest.fixture
async def notes(store: Store) -> Store:
    """An open store with one more table."""
    await store.write(lambda connection: connection.execute("CREATE TABLE note (text TEXT NOT NULL) STRICT"))
    return store


class Gate:
    """Holds the writer's thread inside a transaction until it is opened."""

    def __init__(self) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()

    def __call__(self, connection: Connection) -> None:
        self.entered.set()
        assert self.opened.wait(10)

    async def hold(self, store: Store) -> asyncio.Task[None]:
        task = asyncio.create_task(store.write(self))
        await asyncio.to_thread(self.entered.wait, 10)
        return task


async def test_in_one_moment_nothing_changes_whatever_others_write(notes: Store) -> None:
    await notes.write(note("before"))
    async with notes.moment() as moment:
        seen = await moment.rows("SELECT text FROM note")
        await notes.write(note("meanwhile"))
        assert [row["text"] for row in await moment.rows("SELECT text FROM note")] == ["before"]
        assert len(await notes.rows("SELECT text FROM note")) == 2  # another reader sees it
    assert [row["text"] for row in seen] == ["before"]
    for _ in range(3):  # the reader that was lent sees the present again
        assert len(await notes.rows("SELECT text FROM note")) == 2


async def test_an_acknowledged_write_is_on_disk(notes: Store) -> None:
    assert await notes.write(note("kept")) == 1
    assert on_disk(notes) == ["kept"]


def test_an_acknowledged_write_survives_the_death_of_its_process(tmp_path: Path) -> None:
    program = """
import asyncio, os, sys
from pathlib import Path
from helios_agent.store import Store
async def main():
    store = await Store.open(Path(sys.argv[1]))
    await store.write(lambda c: c.execute("CREATE TABLE note (text TEXT) STRICT"))
    for i in range(20):
        await store.write(lambda c: c.execute("INSERT INTO note VALUES (?)", (str(i),)))
    os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    path = tmp_path / "helios.db"
    ended = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert ended.returncode == -9
    connection = sqlite3.connect(path)
    assert [row[0] for row in connection.execute("SELECT text FROM note")] == list(map(str, range(20)))
    connection.close()


async def test_one_failing_submission_of_a_batch_fails_alone(notes: Store) -> None:
    def half_done(connection: Connection) -> None:
        connection.execute("INSERT INTO note VALUES ('half')")
        raise ZeroDivisionError("no")

    gate = Gate()
    held = await gate.hold(notes)
    works = [
        note("a"),
        half_done,
        note("b"),
        lambda c: c.execute("INSERT INTO note VALUES (NULL)"),
        note("c"),
    ]
    waiting = asyncio.gather(*(notes.write(work) for work in works), return_exceptions=True)
    await asyncio.sleep(0)
    gate.opened.set()
    results = await waiting
    await held
    assert results[0::2] == [1, 2, 3]
    assert isinstance(results[1], ZeroDivisionError)
    assert isinstance(results[3], sqlite3.IntegrityError)
    assert on_disk(notes) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("raised", "expected"),
    [(StopIteration, RuntimeError), (asyncio.CancelledError, asyncio.CancelledError)],
)
async def test_whatever_a_submission_raises_it_fails_alone_and_the_writer_goes_on(
    notes: Store, raised: type[BaseException], expected: type[BaseException]
) -> None:
    def half_done(connection: Connection) -> None:
        connection.execute("INSERT INTO note VALUES ('half')")
        raise raised

    works: list[Callable[[Connection], Any]] = [note("a"), half_done, note("b")]
    async with asyncio.timeout(10):
        results = await asyncio.gather(*map(notes.write, works), return_exceptions=True)
        await notes.write(note("next"))
    assert (results[0], results[2]) == (1, 2)
    assert type(results[1]) is expected
    assert on_disk(notes) == ["a", "b", "next"]


async def test_a_mistake_in_a_submission_is_no_trouble_of_the_database(notes: Store) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table: typo"):
        await notes.write(lambda connection: connection.execute("SELECT * FROM typo"))
    assert notes.trouble is None


async def test_what_waits_together_is_committed_together(notes: Store) -> None:
    commits: list[str] = []
    await notes.write(lambda connection: connection.set_trace_callback(commits.append))
    commits.clear()
    gate = Gate()
    held = await gate.hold(notes)
    waiting = [asyncio.create_task(notes.write(note(str(i)))) for i in range(writer.BATCH_LIMIT)]
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(held, *waiting)
    assert commits.count("COMMIT") == 2
    await notes.write(lambda connection: connection.set_trace_callback(None))


async def test_cancelling_a_caller_leaves_no_transaction_open(notes: Store) -> None:
    gate = Gate()
    running = await gate.hold(notes)
    queued = asyncio.create_task(notes.write(note("cancelled before it ran")))
    await asyncio.sleep(0)
    running.cancel()
    queued.cancel()
    gate.opened.set()
    await asyncio.gather(running, queued, return_exceptions=True)
    assert await notes.write(lambda connection: connection.in_transaction)
    await notes.write(note("later"))
    assert on_disk(notes) == ["later"]
    other = sqlite3.connect(notes.path, timeout=0)
    other.execute("BEGIN IMMEDIATE")  # which the writer, were it inside a transaction, would forbid
    other.close()


async def test_many_producers_lose_nothing_and_each_keeps_its_order(notes: Store) -> None:
    async def produce(name: int) -> None:
        for i in range(25):
            await notes.write(note(f"{name}:{i}"))

    await asyncio.gather(*(produce(name) for name in range(40)))
    rows = [tuple(map(int, text.split(":"))) for text in on_disk(notes)]
    assert len(rows) == 1000
    for name in range(40):
        assert [i for n, i in rows if n == name] == list(range(25))


async def test_who_submits_faster_than_the_disk_takes_it_has_to_wait(
    notes: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    held = await gate.hold(notes)
    ran: list[int] = []
    producers = [
        asyncio.create_task(notes.write(lambda c, i=i: ran.append(i))) for i in range(writer.QUEUE_LIMIT + 50)
    ]
    await asyncio.sleep(0)
    assert len(notes._writer._queue) == writer.QUEUE_LIMIT
    gate.opened.set()
    await asyncio.gather(held, *producers)
    assert ran == list(range(writer.QUEUE_LIMIT + 50))


async def test_a_full_disk_is_told_to_the_caller_and_half_of_nothing_stays(notes: Store) -> None:
    def limit(pages: int) -> Callable[[Connection], Any]:
        return lambda connection: connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()[0]

    def fill(connection: Connection) -> None:
        connection.execute("INSERT INTO note VALUES ('first half')")
        connection.execute("INSERT INTO note VALUES (?)", ("x" * 1_000_000,))

    await notes.write(note("before"))
    pages = (await notes.rows("PRAGMA page_count"))[0][0]
    await notes.write(limit(pages + 2))
    with pytest.raises(StoreError, match="database or disk is full"):
        await notes.write(fill)
    assert on_disk(notes) == ["before"]
    await notes.write(limit(1 << 30))
    await notes.write(fill)
    assert [text[:10] for text in on_disk(notes)] == ["before", "first half", "x" * 10]


async def test_a_full_disk_is_a_trouble_until_a_change_is_taken_again(notes: Store) -> None:
    assert notes.trouble is None
    await notes.write(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall())
    with pytest.raises(StoreError):
        await notes.write(note("x" * 1_000_000))
    told = "The database did not commit: the transaction was lost: database or disk is full."
    assert notes.trouble == told
    await notes.write(lambda connection: connection.execute("SELECT 1").fetchall())
    assert notes.trouble == told  # reading proves nothing

    def undone(connection: Connection) -> None:
        connection.execute("INSERT INTO note VALUES ('x')")
        raise ZeroDivisionError

    reading = notes.write(lambda connection: connection.execute("SELECT 1").fetchall())
    outcomes = await asyncio.gather(notes.write(undone), reading, return_exceptions=True)
    assert isinstance(outcomes[0], ZeroDivisionError)
    assert notes.trouble == told  # nor does what was undone
    await notes.write(lambda connection: connection.execute("PRAGMA max_page_count = 1000000").fetchall())
    await notes.write(note("after"))
    assert notes.trouble is None
    assert notes.foreign_writes == 0


async def test_a_disk_that_fails_at_the_commit_is_told_and_recovered_from(notes: Store) -> None:
    await notes.write(note("before"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (notes.wal_bytes() + 1000, limits[1]))
    try:
        waiting = [notes.write(note("lost")), notes.write(note("lost too"))]
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, StoreError)
            assert str(outcome) == "The database did not commit: disk I/O error."
        assert notes.trouble == "The database did not commit: disk I/O error."
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert on_disk(notes) == ["before"]
    await notes.write(note("after"))
    assert notes.trouble is None
    assert notes.foreign_writes == 0
    assert on_disk(notes) == ["before", "after"]


async def test_a_database_that_became_read_only_is_a_trouble_until_it_is_not(notes: Store) -> None:
    await notes.write(lambda connection: connection.execute("PRAGMA query_only = 1").fetchall())
    with pytest.raises(StoreError, match="attempt to write a readonly database"):
        await notes.write(note("refused"))
    assert "attempt to write a readonly database" in str(notes.trouble)
    assert await notes.rows("SELECT text FROM note") == []
    notes._connection.execute("PRAGMA query_only = 0")
    await notes.write(note("after"))
    assert notes.trouble is None


async def test_nothing_is_written_to_a_file_that_was_moved_or_deleted(notes: Store) -> None:
    elsewhere = notes.path.with_name("elsewhere.db")
    notes.path.rename(elsewhere)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"helios\.db was moved, deleted or replaced while in use"):
            await notes.write(note("where to?"))
        notes.path.write_bytes(b"another file")
    elsewhere.rename(notes.path)
    await notes.write(note("back"))
    assert notes.trouble is None
    assert on_disk(notes) == ["back"]


async def test_damage_that_shows_itself_while_writing_is_called_damage(notes: Store, tmp_path: Path) -> None:
    await notes.write(lambda connection: connection.execute("CREATE INDEX note_text ON note(text)"))
    root = (await notes.rows("SELECT rootpage FROM sqlite_schema WHERE name = 'note_text'"))[0][0]
    await notes.tidy(SystemClock())
    with notes.path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    await notes.write(lambda connection: connection.execute("PRAGMA shrink_memory").fetchall())
    with pytest.raises(StoreCorrupt, match="database disk image is malformed"):
        await notes.write(note("nowhere to go"))


async def test_a_work_that_hides_that_its_transaction_was_lost_deceives_nobody(notes: Store) -> None:
    def hide(connection: Connection) -> str:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("INSERT INTO note VALUES (?)", ("x" * 1_000_000,))
        return "all is well"

    await notes.write(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchall())
    works = [hide, lambda connection: connection.execute("SELECT 1")]
    for outcome in await asyncio.gather(*map(notes.write, works), return_exceptions=True):
        assert isinstance(outcome, StoreError)


async def test_a_transaction_that_was_left_open_does_not_stop_the_next(notes: Store) -> None:
    def commit_and_begin(connection: Connection) -> None:
        connection.execute("COMMIT")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO note VALUES ('of nobody')")

    with pytest.raises(sqlite3.OperationalError, match="no such savepoint"):
        await notes.write(commit_and_begin)
    await notes.write(note("next"))
    assert on_disk(notes) == ["next"]


async def test_closing_commits_what_is_queued_and_may_be_done_twice(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "helios.db")
    await store.write(lambda connection: connection.execute("CREATE TABLE note (text TEXT) STRICT"))
    gate = Gate()
    held = await gate.hold(store)
    queued = [asyncio.create_task(store.write(note(str(i)))) for i in range(300)]
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    gate.opened.set()
    await closing
    await store.close()
    assert await asyncio.gather(held, *queued) == [None, *range(1, 301)]
    assert on_disk(store) == [str(i) for i in range(300)]


async def test_after_closing_a_write_is_refused(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "helios.db")
    await store.close()
    with pytest.raises(StoreError, match="closing"):
        await store.write(lambda connection: None)


async def test_whoever_waits_for_room_while_the_store_closes_is_refused_and_does_not_hang(
    tmp_path: Path,
) -> None:
    store = await Store.open(tmp_path / "helios.db")
    gate = Gate()
    held = await gate.hold(store)
    ran: list[int] = []
    writes = [
        asyncio.create_task(store.write(lambda c, i=i: ran.append(i))) for i in range(writer.QUEUE_LIMIT + 3)
    ]
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    gate.opened.set()
    async with asyncio.timeout(10):
        results = await asyncio.gather(*writes, return_exceptions=True)
        await asyncio.gather(held, closing)
    assert ran == list(range(writer.QUEUE_LIMIT))
    assert [type(result) for result in results[writer.QUEUE_LIMIT :]] == [StoreError] * 3


async def test_who_is_cancelled_while_closing_does_not_undo_what_was_queued(tmp_path: Path) -> None:
    store = await Store.open(tmp_path / "helios.db")
    await store.write(lambda connection: connection.execute("CREATE TABLE note (text TEXT) STRICT"))
    gate = Gate()
    held = await gate.hold(store)
    queued = asyncio.create_task(store.write(note("queued")))
    await asyncio.sleep(0)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    gate.opened.set()
    async with asyncio.timeout(10):
        assert await queued == 1
        await held
        await store.close()
    assert on_disk(store) == ["queued"]


class Inline(Executor):
    """Does what it is given at once, without any thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


async def test_the_store_works_without_a_thread_where_it_is_given_another_executor(tmp_path: Path) -> None:
    class Direct:
        def __init__(self, path: Path) -> None:
            self.connection = sqlite3.connect(path)

        async def rows(self, sql: str, parameters: Any = ()) -> list[Any]:
            return self.connection.execute(sql, parameters).fetchall()

        async def close(self) -> None:
            self.connection.close()

    async def direct(path: Path) -> Direct:
        return Direct(path)

    threads = threading.active_count()
    store = await Store.open(tmp_path / "helios.db", executor=Inline(), readers=direct)
    await store.write(lambda connection: connection.execute("CREATE TABLE note (text TEXT) STRICT"))
    assert await asyncio.gather(*(store.write(note(str(i))) for i in range(300))) == list(range(1, 301))
    with pytest.raises(ZeroDivisionError):
        await store.write(lambda connection: 1 // 0)
    assert await store.rows("SELECT count(*) FROM note") == [(300,)]
    assert await store.tidy(SystemClock()) == 0
    assert threading.active_count() == threads
    await store.close()


async def test_readers_cannot_write(notes: Store) -> None:
    for sql in ("INSERT INTO note VALUES ('x')", "DROP TABLE note", "PRAGMA user_version = 99"):
        with pytest.raises(StoreError, match="readonly"):
            await notes.rows(sql)
    assert on_disk(notes) == []


async def test_a_long_query_does_not_hold_up_a_commit(notes: Store) -> None:
    endless = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000000) SELECT max(i) FROM n"
    )
    reading = asyncio.create_task(notes.rows(endless))
    await asyncio.sleep(0.01)
    await notes.write(note("meanwhile"))
    assert not reading.done()
    assert (await reading)[0][0] == 3_000_000


async def test_a_cancelled_query_does_not_use_up_a_reader(notes: Store) -> None:
    for _ in range(5):
        reading = asyncio.create_task(notes.rows("SELECT 1"))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    async with asyncio.timeout(10):
        assert [row[0] for row in await notes.rows("SELECT 7")] == [7]


async def test_nothing_is_left_open_after_closing(tmp_path: Path) -> None:
    def open_things() -> tuple[list[str], set[threading.Thread]]:
        files = []
        for descriptor in os.listdir("/proc/self/fd"):
            try:
                files.append(os.readlink(f"/proc/self/fd/{descriptor}"))
            except FileNotFoundError:
                continue
        return [file for file in files if str(tmp_path) in file], {*threading.enumerate()}

    _, before = open_things()
    for _ in range(3):
        store = await Store.open(tmp_path / "helios.db")
        await store.write(lambda connection: connection.execute("SELECT 1").fetchone())
        await store.rows("SELECT 1")
        assert len(open_things()[0]) >= 3
        await store.close()
    assert open_things()[0] == []
    async with asyncio.timeout(10):  # a reader's thread ends a moment after it has said so
        while not open_things()[1] <= before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
