import asyncio
import errno
import hashlib
import os
import resource
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helios_agent import files
from helios_agent.clock import VirtualClock
from helios_agent.errors import StoreCorrupt, StoreError
from helios_agent.journal import chain, events
from helios_agent.journal.journal import Journal
from helios_agent.store import Store, backup
from helios_agent.store.rotation import Rotation

NOW = datetime(2026, 9, 18, 12, 0, tzinfo=UTC)


def take(path: Path, days: float = 0) -> Path:
    now = NOW + timedelta(days=days)
    return backup.take(path, path.parent / "backups", now, Rotation(3, 0, 0), chain.verify_database)


def restore(path: Path) -> str | None:
    return backup.verify_or_restore(path, path.parent / "backups", NOW, chain.verify_database)


def head_of(path: Path) -> chain.Head:
    return backup.verify(path, chain.verify_database)


def contents(folder: Path) -> dict[str, str]:
    """Return the digest of every file of a folder, the shared memory of readers aside."""
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.iterdir()
        if file.is_file() and file.stat().st_size and not file.name.endswith("-shm")
    }


async def fill(path: Path, count: int, clock: VirtualClock) -> chain.Head:
    """Append events of half a page each, and close."""
    store = await Store.open(path)
    journal = Journal(store, clock, "boot-1")
    await journal.record(
        lambda tx: [tx.append("test.happened", {"i": i, "text": "x" * 2000}) for i in range(count)]
    )
    head = await events.head(store)
    await store.close()
    return head


@contextmanager
def failing_disk(operation: str, path: Path) -> Iterator[None]:
    """Have one operation on a file fail within the context, as on a disk that became read-only."""

    def observe(seen: str, at: Path) -> None:
        if (seen, at) == (operation, path):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    token = files.observer.set(observe)
    try:
        yield
    finally:
        files.observer.reset(token)


def flip_bits(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(len(data) // 2, len(data) // 2 + 4096):
        data[place] ^= 0xFF
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def zero_header(path: Path) -> None:
    path.write_bytes(bytes(100) + path.read_bytes()[100:])


def garbage(path: Path) -> None:
    path.write_bytes(b"garbage " * 4000)


def edit_history(path: Path) -> None:
    connection = sqlite3.connect(path)
    for trigger in ("event_never_edited", "event_never_deleted"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("""UPDATE event SET payload = '{"i":3,"text":"a lie"}' WHERE seq = 4""")
    connection.commit()
    connection.close()


def spoil_text(path: Path) -> None:
    """Make payloads something that is no text, in a file that SQLite finds sound."""
    path.write_bytes(path.read_bytes().replace(b"xxxx", b"\xff\xfe\xfd\xfc"))


DAMAGES = [flip_bits, truncate, zero_header, garbage, edit_history, spoil_text]


async def test_a_backup_taken_under_writes_is_a_sound_moment_of_the_journal(
    journal: Journal, tmp_path: Path
) -> None:
    acknowledged, warm, done = 0, asyncio.Event(), asyncio.Event()

    async def produce() -> None:
        nonlocal acknowledged
        while not done.is_set():
            acknowledged = (await journal.append("test.happened", {"text": "x" * 500})).seq
            if acknowledged == 50:
                warm.set()

    producing = asyncio.create_task(produce())
    await warm.wait()
    for days in range(3):
        before = acknowledged
        copy = await asyncio.to_thread(take, journal.store.path, days)
        head = head_of(copy)
        assert before <= head.seq <= acknowledged + 1
        hashes = await journal.store.rows("SELECT hash FROM event WHERE seq = ?", (head.seq,))
        assert hashes[0]["hash"].hex() == head.hash
    done.set()
    await producing


async def test_what_the_rotation_does_not_keep_is_removed_and_nothing_else(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 3, clock)
    of_another = tmp_path / "backups" / "helios-mine.db"
    made = [take(path, days) for days in range(5)]
    of_another.write_bytes(b"kept by hand")
    made.append(take(path, days=4.5))
    assert made[5].name == "helios-20260923T000000000000Z.db"
    assert backup.listed(tmp_path / "backups") == [made[5], made[4], made[3]]
    assert set((tmp_path / "backups").iterdir()) == {*made[3:], of_another}


async def test_a_backup_is_kept_also_where_the_others_were_made_by_a_clock_that_was_ahead(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 3, clock)
    ahead = [take(path, days) for days in (400, 399, 398)]
    made = take(path)
    assert backup.listed(tmp_path / "backups") == [*ahead, made]


async def test_a_backup_that_is_not_to_be_kept_and_cannot_be_removed_is_named(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 3, clock)
    oldest, *_ = [take(path, days) for days in range(3)]
    with failing_disk("before remove", oldest), pytest.raises(StoreError) as caught:
        take(path, days=3)
    assert str(caught.value) == f"{oldest} cannot be removed: [Errno 30] Read-only file system."


async def test_a_database_whose_chain_is_broken_is_not_backed_up(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 10, clock)
    good = take(path)
    edit_history(path)
    with pytest.raises(StoreCorrupt, match="event 4 was changed"):
        take(path, days=1)
    assert list((tmp_path / "backups").iterdir()) == [good]


async def test_a_backup_that_cannot_be_made_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be backed up"):
        take(tmp_path / "missing.db")
    assert list((tmp_path / "backups").iterdir()) == []


async def test_a_backup_for_which_there_is_no_room_leaves_nothing_behind(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 100, clock)
    good = take(path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size // 2, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"helios\.db cannot be backed up to .*/backups: "):
            take(path, days=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list((tmp_path / "backups").iterdir()) == [good]
    assert head_of(good).seq == 100


async def test_what_a_killed_backup_left_is_cleared_by_the_next(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 3, clock)
    (tmp_path / "backups").mkdir()
    for name in ("helios-20260101T000000000000Z.partial", "helios-20260101T000000000000Z.partial-journal"):
        (tmp_path / "backups" / name).write_bytes(b"half")
    made = take(path)
    assert list((tmp_path / "backups").iterdir()) == [made]


async def test_a_sound_database_is_left_as_it_is(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "helios.db"
    assert restore(path) is None
    await fill(path, 10, clock)
    take(path)
    before = contents(tmp_path)
    assert restore(path) is None
    assert contents(tmp_path) == before


@pytest.mark.parametrize("damage", DAMAGES)
async def test_a_damaged_database_is_set_aside_and_the_newest_backup_restored(
    damage: Callable[[Path], None], tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    head = await fill(path, 40, clock)
    copy = take(path)
    await fill(path, 10, clock)
    damage(path)
    damaged = path.read_bytes()
    sentence = restore(path)
    assert sentence is not None
    assert sentence.startswith(("The journal is broken: ", f"{path} is damaged: "))
    aside = tmp_path / "helios.db.corrupt-20260918T120000000000Z"
    assert sentence.endswith(f"It was set aside as {aside.name}; {copy.name} was restored in its place.")
    assert aside.read_bytes() == damaged
    assert head_of(path) == head_of(copy) == head
    store = await Store.open(path)
    assert await store.write(backup.take_note) == sentence
    assert await store.write(backup.take_note) is None
    assert await events.head(store) == head
    assert (await Journal(store, clock, "boot-2").append("test.happened", {})).seq == 41
    await store.close()
    assert restore(path) is None


@pytest.mark.parametrize("damage", DAMAGES)
async def test_without_a_backup_a_damaged_database_is_reported_and_not_touched(
    damage: Callable[[Path], None], tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 40, clock)
    damage(path)
    before = contents(tmp_path)
    with pytest.raises(
        StoreCorrupt,
        match=r"no sound backup in .*backups\. The file was left as it is: move it and helios\.db-wal away",
    ):
        restore(path)
    assert contents(tmp_path) == before


async def test_when_the_newest_backup_is_damaged_too_the_one_before_is_restored(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    head = await fill(path, 20, clock)
    older = take(path)
    await fill(path, 20, clock)
    garbage(take(path, days=1))
    edit_history(take(path, days=2))
    truncate(path)
    sentence = restore(path)
    assert sentence is not None
    assert f"{older.name} was restored" in sentence
    assert head_of(path) == head


async def test_the_log_of_a_damaged_database_goes_aside_with_it(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 20, clock)
    copy = take(path)
    damaged = {}
    store = await Store.open(path)
    await Journal(store, clock, "boot-1").append("test.happened", {"only": "in the log"})
    for suffix in ("", "-wal"):  # as a power cut would leave them
        damaged[suffix] = path.with_name(path.name + suffix).read_bytes()
    await store.close()
    for suffix, data in damaged.items():
        path.with_name(path.name + suffix).write_bytes(data)
    flip_bits(path)
    damaged[""] = path.read_bytes()
    assert restore(path) is not None
    aside = tmp_path / "helios.db.corrupt-20260918T120000000000Z"
    assert {s: aside.with_name(aside.name + s).read_bytes() for s in damaged} == damaged
    assert head_of(path) == head_of(copy)
    assert not path.with_name("helios.db-wal").exists()


async def test_a_database_that_cannot_be_set_aside_is_named_and_restored_at_the_next_start(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    head = await fill(path, 20, clock)
    take(path)
    path.write_bytes(b"garbage")
    aside = tmp_path / "helios.db.corrupt-20260918T120000000000Z"
    with failing_disk("before rename", aside), pytest.raises(StoreError) as caught:
        restore(path)
    assert str(caught.value) == f"{path} cannot be replaced: [Errno 30] Read-only file system."
    assert restore(path) is not None
    assert (aside.read_bytes(), head_of(path)) == (b"garbage", head)


async def test_a_missing_database_is_not_begun_anew_while_something_of_it_is_there(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path, log = tmp_path / "helios.db", tmp_path / "helios.db-wal"
    await fill(path, 3, clock)
    copy = take(path)
    path.unlink()
    log.write_bytes(b"the newest commits")
    for left, named in (([log, copy], f"{log} and a backup, {copy}"), ([log], str(log)), ([], "")):
        for file in {log, copy} - set(left):
            file.unlink(missing_ok=True)
        before = contents(tmp_path)
        if left:
            with pytest.raises(StoreError) as caught:
                restore(path)
            assert str(caught.value).startswith(f"{path} is missing, but there is {named}. Put it back, or ")
        else:
            assert restore(path) is None
        assert contents(tmp_path) == before


@pytest.mark.parametrize("pages", [0, 1])
async def test_a_first_start_killed_before_the_schema_stood_is_begun_again(
    pages: int, tmp_path: Path
) -> None:
    path = tmp_path / "helios.db"
    path.touch()
    if pages:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.close()
    assert restore(path) is None
    store = await Store.open(path)
    assert (await events.head(store)).seq == 0
    await store.close()


async def test_an_emptied_database_is_restored_where_there_is_a_backup(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 20, clock)
    copy = take(path)
    os.truncate(path, 0)
    sentence = restore(path)
    assert sentence is not None
    assert "no such table: event" in sentence
    assert head_of(path) == head_of(copy)
