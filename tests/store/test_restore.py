import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from helios_agent import files
from helios_agent.clock import VirtualClock
from helios_agent.errors import NotFound, StoreCorrupt, StoreError, StoreNewer
from helios_agent.journal import chain, events, rebuild
from helios_agent.journal.journal import Journal, tell_of_restoration
from helios_agent.store import Store, backup, migrations
from helios_agent.store.rotation import Rotation

NOW = datetime(2026, 9, 18, 12, 0, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone."""


@contextmanager
def killed_at(point: int) -> Iterator[list[str]]:
    """End whatever is done to files within the context at the `point`-th operation, before or after it."""
    seen: list[str] = []

    def observe(operation: str, path: Path) -> None:
        seen.append(f"{operation} {path.name}")
        if len(seen) == point:
            raise Killed

    token = files.observer.set(observe)
    try:
        yield seen
    except Killed:
        seen.append("killed")
    finally:
        files.observer.reset(token)


def take(path: Path, days: int = 0) -> Path:
    now = NOW + timedelta(days=days)
    return backup.take(path, path.parent / "backups", now, Rotation(9, 0, 0), chain.verify_database)


def restore(path: Path, name: str | None = None) -> str:
    return backup.restore(path, path.parent / "backups", name, NOW, chain.verify_database)


def start(path: Path) -> str | None:
    """Do what every start does before it opens the database."""
    return backup.verify_or_restore(path, path.parent / "backups", NOW, chain.verify_database)


def asides(path: Path) -> list[Path]:
    """Return the databases that were set aside."""
    return sorted(path.parent.glob(f"{path.name}.*Z"))


def databases(folder: Path) -> list[str]:
    return sorted(
        file.name for file in folder.iterdir() if file.is_file() and file.name[-4:] not in ("-shm", "-wal")
    )


def head_of(path: Path) -> chain.Head:
    return backup.verify(path, chain.verify_database)


async def fill(path: Path, count: int, clock: VirtualClock, *, power_cut: bool = False) -> chain.Head:
    """Append events and close, or leave the newest in the log, as a power cut would."""
    store = await Store.open(path)
    for i in range(count):
        await Journal(store, clock, "boot-1").append("test.happened", {"i": i})
    head = await events.head(store)
    kept = {
        file: file.read_bytes()
        for suffix in ("", "-wal")
        if (file := path.with_name(path.name + suffix)).exists()
    }
    await store.close()
    if power_cut:
        for file, content in kept.items():
            file.write_bytes(content)
    return head


async def told(path: Path, clock: VirtualClock) -> list[str]:
    """Start twice; return what the journal says of restorations."""
    for _ in range(2):
        store = await Store.open(path)
        await Journal(store, clock, "boot-2").record(tell_of_restoration)
        found = await events.tail(store, limit=99, kinds=["store.restored"])
        await store.close()
    return [str(event.payload["message"]) for event in found]


async def test_the_newest_sound_backup_takes_the_place_of_the_database(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 3, clock)
    take(path)
    wanted = await fill(path, 3, clock)
    copy = take(path, days=1)
    take(path, days=2).write_bytes(b"garbage")
    before = await fill(path, 3, clock)
    sentence = restore(path)
    aside = tmp_path / "helios.db.before-restore-20260918T120000000000Z"
    assert sentence == (
        f"{copy.name} was restored as asked for. The database before it was set aside as {aside.name}."
    )
    assert (head_of(path), head_of(aside)) == (wanted, before)
    assert start(path) is None
    assert await told(path, clock) == [sentence]


async def test_the_note_of_a_restoration_outlasts_a_rebuilding_of_all_tables(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "it's here" / "helios.db"
    path.parent.mkdir()
    await fill(path, 3, clock)
    take(path)
    path.write_bytes(b"garbage")
    sentence = start(path)
    assert sentence is not None
    assert "it's here" in sentence
    rebuild.replace(path, tmp_path / "archives", clock, "boot-2")
    assert await told(path, clock) == [sentence]


async def test_the_backup_that_was_named_is_restored_by_name_or_path(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    heads, copies = [], []
    for days in range(3):
        heads.append(await fill(path, 2, clock))
        copies.append(take(path, days))
    restore(path, copies[0].name)
    assert head_of(path) == heads[0]
    restore(path, str(copies[1]))
    assert head_of(path) == heads[1]
    assert len(asides(path)) == 2  # at the same instant
    await fill(path, 1, clock)
    sentence = restore(path, str(asides(path)[-1]))
    assert head_of(path) == heads[0]
    assert await told(path, clock) == [sentence]


async def test_a_database_that_is_gone_is_restored_too(tmp_path: Path, clock: VirtualClock) -> None:
    path = tmp_path / "helios.db"
    head = await fill(path, 2, clock)
    take(path)
    path.unlink()
    assert "The database before it was missing." in restore(path)
    assert head_of(path) == head


async def test_backups_that_are_not_ours_or_cannot_be_read_are_passed_over(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    head = await fill(path, 2, clock)
    copy = take(path)
    with closing(sqlite3.connect(tmp_path / "backups" / "helios-20270101T000000000000Z.db")) as foreign:
        foreign.execute("CREATE TABLE thing (name TEXT)")
    (tmp_path / "backups" / "helios-20270102T000000000000Z.db").mkdir()
    path.write_bytes(b"garbage")
    assert f"{copy.name} was restored in its place" in str(start(path))
    assert head_of(path) == head


async def test_the_log_of_a_missing_database_is_not_given_to_another_that_was_set_aside(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 2, clock)
    take(path)
    for day, log in (("01", b"its newest commits"), ("02", None)):
        aside = tmp_path / f"helios.db.corrupt-202609{day}T000000000000Z"
        aside.write_bytes(b"set aside long ago")
        if log is not None:
            aside.with_name(f"{aside.name}-wal").write_bytes(log)
    path.unlink()
    path.with_name("helios.db-wal").write_bytes(b"of the missing one")
    restore(path)
    logs = {aside.name: aside.with_name(f"{aside.name}-wal") for aside in asides(path)}
    assert [log.exists() for log in logs.values()] == [True, False]
    assert logs["helios.db.corrupt-20260901T000000000000Z"].read_bytes() == b"its newest commits"
    kept = tmp_path / "helios.db.before-restore-20260918T120000000000Z-wal"
    assert kept.read_bytes() == b"of the missing one"


async def test_what_cannot_be_restored_is_refused_and_changes_nothing(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    head = await fill(path, 2, clock)
    with pytest.raises(NotFound, match="There is no backup in "):
        restore(path)
    damaged, newer = take(path), take(path, days=1)
    damaged.write_bytes(damaged.read_bytes()[:5000])
    connection = sqlite3.connect(newer)
    connection.execute(f"PRAGMA user_version = {migrations.newest() + 1}")
    connection.close()
    foreign = tmp_path / "backups" / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE thing (name TEXT)")
    connection.close()
    for name, error in (
        (None, StoreCorrupt),
        (damaged.name, StoreCorrupt),
        (newer.name, StoreNewer),
        (foreign.name, StoreError),
        ("helios-20200101T000000000000Z.db", NotFound),
    ):
        with pytest.raises(error):
            restore(path, name)
    assert head_of(path) == head
    assert databases(tmp_path) == ["helios.db"]


async def test_killed_between_any_two_operations_on_files_nothing_is_lost(
    tmp_path: Path, clock: VirtualClock
) -> None:
    """At the next start there is the old database with all that was acknowledged, or the restored one."""
    origin = tmp_path / "origin" / "helios.db"
    origin.parent.mkdir()
    wanted = await fill(origin, 3, clock)
    take(origin)
    before = await fill(origin, 4, clock, power_cut=True)
    assert origin.with_name("helios.db-wal").stat().st_size > 0
    points, restored = 0, 0
    while True:
        points += 1
        path = tmp_path / str(points) / "helios.db"
        shutil.copytree(origin.parent, path.parent)
        with killed_at(points) as seen:
            restore(path)
        completed = start(path)
        assert not list(path.parent.glob("*.restoring*"))
        head = head_of(path)
        if head == before:
            assert completed is None
            assert await told(path, clock) == []
            continue
        restored += 1
        assert head == wanted
        assert [head_of(aside) for aside in asides(path)] == [before]
        assert len(await told(path, clock)) == 1
        if seen[-1] != "killed":
            break
    assert restored >= 5
    assert points - restored >= 5


async def test_a_restoration_of_a_damaged_database_may_be_killed_as_well(
    tmp_path: Path, clock: VirtualClock
) -> None:
    origin = tmp_path / "origin" / "helios.db"
    origin.parent.mkdir()
    wanted = await fill(origin, 3, clock)
    take(origin)
    origin.write_bytes(b"garbage")
    origin.with_name("helios.db-wal").write_bytes(b"log of the damaged one")
    points = 0
    while True:
        points += 1
        path = tmp_path / str(points) / "helios.db"
        shutil.copytree(origin.parent, path.parent)
        with killed_at(points) as seen:
            start(path)
        start(path)
        assert head_of(path) == wanted
        [aside] = asides(path)
        assert aside.read_bytes() == b"garbage"
        assert aside.with_name(f"{aside.name}-wal").read_bytes() == b"log of the damaged one"
        [message] = await told(path, clock)
        assert "is damaged: file is not a database. It was set aside as helios.db.corrupt-" in message
        if seen[-1] != "killed":
            break
    assert points > 10


async def test_a_copy_that_was_staged_but_not_put_in_place_is_never_used_later(
    tmp_path: Path, clock: VirtualClock
) -> None:
    path = tmp_path / "helios.db"
    await fill(path, 3, clock)
    take(path)
    with killed_at(1) as seen:
        restore(path)
    while seen[-2] != "before rename helios.db.before-restore-20260918T120000000000Z":
        with killed_at(len(seen)) as seen:
            restore(path)
    assert path.with_name("helios.restoring").exists()
    assert start(path) is None
    assert not path.with_name("helios.restoring").exists()


async def test_the_observer_of_files_also_sees_what_threads_do(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with killed_at(0) as seen:
        await asyncio.to_thread(files.write, path, b"content")
        files.rename(path, tmp_path / "renamed")
        files.remove(tmp_path / "renamed")
        files.remove(tmp_path / "renamed")
    assert [operation.split()[1] for operation in seen[::2]] == [
        "write",
        "rename",
        "sync",
        "remove",
        "remove",
    ]
    assert [operation.split()[0] for operation in seen] == ["before", "after"] * 5
