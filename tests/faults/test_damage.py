"""Whatever is done to the journal behind the daemon's back is found, and the message names the events.

Every vandal works with raw SQLite on a copy of a real journal, and removes the triggers first.
"""

# ruff: noqa: S608

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.clock import VirtualClock, to_us
from helios_agent.errors import StoreCorrupt
from helios_agent.journal import archives, audit, chain, retention, snapshot
from helios_agent.journal.chain import Broken
from helios_agent.journal.journal import Transaction
from helios_agent.store import backup
from helios_agent.store.store import connect

EVENTS = 60
SEALED, PURGED = 20, 12
START = datetime(2026, 9, 18, tzinfo=UTC)
Vandal = Callable[[sqlite3.Connection], object]


def write(folder: Path) -> Path:
    """Write a journal of some events that follow from each other; return the database."""
    database = folder / "helios.db"
    clock = VirtualClock(START)
    with closing(connect(database)) as connection:
        tx = Transaction(connection, clock, "boot-1", ())
        for seq in range(1, EVENTS + 1):
            clock.step(60)
            payload = {"place": seq, "text": "Zürich ☀"}
            tx.append("test.happened", payload, seq // 2 if seq % 3 == 0 else None)
    return database


def purge(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Archive the first events, and remove only some of them, as a purge does that was cut short."""
    with snapshot.opened(database) as before:
        sealed = archives.make(before, database.parent / "archives", SEALED, None)
    monkeypatch.setattr(retention, "CHUNK", PURGED)
    with closing(connect(database)) as connection:
        tx = Transaction(connection, VirtualClock(START + timedelta(days=1)), "boot-2", ())
        tx.append("journal.sealed", sealed)
        assert retention.purge(tx, SEALED, (), 1) == PURGED


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("journal"))


@pytest.fixture(scope="module")
def purged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    database = write(tmp_path_factory.mktemp("purged"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        purge(database, monkeypatch)
    return database


def vandalised(database: Path, folder: Path, vandal: Vandal) -> Path:
    copy = folder / "helios.db"
    shutil.copy(database, copy)
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        disarm(connection)
        vandal(connection)
    return copy


def disarm(connection: sqlite3.Connection) -> None:
    """Remove whatever would hinder a vandal."""
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for (name,) in names:
        connection.execute(f"DROP TRIGGER {name}")
    connection.execute("PRAGMA ignore_check_constraints = ON")


def sql(*statements: str) -> Vandal:
    return lambda connection: [connection.execute(statement) for statement in statements]


def swap(one: int, two: int, *columns: str) -> Vandal:
    """Exchange some columns of two events."""

    def vandal(connection: sqlite3.Connection) -> None:
        query = f"SELECT {', '.join(columns)} FROM event WHERE seq = ?"
        values = {seq: connection.execute(query, (seq,)).fetchone() for seq in (one, two)}
        for seq, other in ((one, two), (two, one)):
            change = f"UPDATE event SET {', '.join(f'{column} = ?' for column in columns)} WHERE seq = ?"
            connection.execute(change, (*values[other], seq))

    return vandal


def make_room(at: int) -> str:
    """Number the events from `at` on one higher, negative for now: SQLite checks every row at once."""
    return f"UPDATE event SET seq = -seq - 1 WHERE seq >= {at}"


def forge(at: int, *, linked: bool) -> Vandal:
    """Put in an event of one's own, with its right hash or with any; what follows is numbered anew."""

    def vandal(connection: sqlite3.Connection) -> None:
        prev = connection.execute("SELECT hash FROM event WHERE seq = ?", (at - 1,)).fetchone()[0]
        digest = chain.link(prev, at, 1, "test.forged", None, "{}") if linked else bytes(32)
        for statement in (make_room(at), "UPDATE event SET seq = -seq WHERE seq < 0"):
            connection.execute(statement)
        row = (at, 1, 1, "boot-1", "test.forged", None, "{}", prev, digest)
        connection.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    return vandal


def copy_row(seq: int, to: int) -> Vandal:
    """Put in a copy of an event under another number."""
    columns = "at_us, mono_us, boot, kind, cause, payload, prev, hash"
    return sql(f"INSERT INTO event (seq, {columns}) SELECT {to}, {columns} FROM event WHERE seq = {seq}")


SUCCESSORS_CLOSE_UP = "UPDATE event SET seq = seq - 1 WHERE seq > 30"
DAMAGES: dict[str, tuple[Vandal, str]] = {
    "edited payload": (sql("UPDATE event SET payload = '{}' WHERE seq = 17"), "event 17 was changed"),
    "payload that means the same": (
        sql("UPDATE event SET payload = replace(payload, ':', ': ') WHERE seq = 17"),
        "event 17 was changed",
    ),
    "payload that is no text": (
        sql("UPDATE event SET payload = CAST(x'7b22ff227d' AS TEXT) WHERE seq = 17"),
        "event 17 was changed",
    ),
    "edited time": (sql("UPDATE event SET at_us = at_us + 1 WHERE seq = 1"), "event 1 was changed"),
    "edited kind": (sql("UPDATE event SET kind = 'test.other' WHERE seq = 60"), "event 60 was changed"),
    "edited cause": (sql("UPDATE event SET cause = cause + 1 WHERE seq = 33"), "event 33 was changed"),
    "removed cause": (sql("UPDATE event SET cause = NULL WHERE seq = 33"), "event 33 was changed"),
    "edited hash": (sql("UPDATE event SET hash = zeroblob(32) WHERE seq = 5"), "event 5 was changed"),
    "edited prev": (sql("UPDATE event SET prev = zeroblob(32) WHERE seq = 5"), "event 5 was changed"),
    "removed row": (sql("DELETE FROM event WHERE seq = 30"), "event 30 is missing"),
    "removed row, gap closed": (
        sql("DELETE FROM event WHERE seq = 30", SUCCESSORS_CLOSE_UP),
        "event 30 was changed",
    ),
    "removed range": (
        sql("DELETE FROM event WHERE seq BETWEEN 30 AND 41"),
        "events 30 to 41 are missing",
    ),
    "truncated tail": (
        sql("DELETE FROM event WHERE seq > 57"),
        "its end is cut off: events 58 to 60 are missing",
    ),
    "everything removed": (sql("DELETE FROM event"), "its end is cut off: events 1 to 60 are missing"),
    "truncated head": (sql("DELETE FROM event WHERE seq <= 3"), "events 1 to 3 are missing"),
    "swapped numbers": (
        sql(
            "UPDATE event SET seq = -1 WHERE seq = 11",
            "UPDATE event SET seq = 11 WHERE seq = 44",
            "UPDATE event SET seq = 44 WHERE seq = -1",
        ),
        "events 11 and 44 were swapped",
    ),
    "swapped neighbours": (
        swap(7, 8, "at_us", "kind", "cause", "payload", "prev", "hash"),
        "events 7 and 8 were swapped",
    ),
    "swapped contents": (
        swap(20, 21, "at_us", "kind", "cause", "payload"),
        "events 20 and 21 were swapped",
    ),
    "inserted row": (forge(25, linked=False), "event 25 was changed"),
    "inserted row that is linked": (forge(25, linked=True), "event 26 was changed"),
    "row before the first": (
        copy_row(1, 0),
        "event 0 was put in",
    ),
    "row after the last": (
        copy_row(60, 61),
        "event 61 was changed",
    ),
    "row far after the last": (
        copy_row(60, 99),
        "events 61 to 98 are missing",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("vandal", "message"), DAMAGES.values(), ids=DAMAGES)
def test_what_a_vandal_did_is_found_and_the_events_are_named(
    vandal: Vandal, message: str, written: Path, tmp_path: Path
) -> None:
    assert backup.verify(written, chain.verify_database).seq == EVENTS
    damaged = vandalised(written, tmp_path, vandal)
    with pytest.raises(Broken, match=f"^The journal is broken: {message}"):
        backup.verify(damaged, chain.verify_database)


PURGED_DAMAGES: dict[str, tuple[Vandal, str]] = {
    "edited event of which the archive has a copy": (
        sql(f"UPDATE event SET payload = '{{}}' WHERE seq = {PURGED + 1}"),
        f"event {PURGED + 1} was changed",
    ),
    "edited prev of the first event": (
        sql(f"UPDATE event SET prev = zeroblob(32) WHERE seq = {PURGED + 1}"),
        f"event {PURGED + 1} was changed",
    ),
    "further events removed, as if by a purge": (
        sql(f"DELETE FROM event WHERE seq <= {SEALED}"),
        f"events {PURGED + 1} to {SEALED} are missing",
    ),
    "a purged event put back": (
        copy_row(PURGED + 1, PURGED),
        f"event {PURGED} was put in",
    ),
    "another seal": (
        sql("UPDATE seal SET hash = printf('%064d', 0)"),
        f"event {SEALED} is not the one that was sealed in journal-1-{SEALED}-",
    ),
    "truncated tail": (
        sql("DELETE FROM event WHERE seq > 50"),
        f"its end is cut off: events 51 to {EVENTS + 2} are missing",
    ),
}


@pytest.mark.parametrize(("vandal", "message"), PURGED_DAMAGES.values(), ids=PURGED_DAMAGES)
def test_what_is_done_to_a_journal_that_was_purged_is_found_too(
    vandal: Vandal, message: str, purged: Path, tmp_path: Path
) -> None:
    assert backup.verify(purged, chain.verify_database).seq == EVENTS + 2
    damaged = vandalised(purged, tmp_path, vandal)
    with pytest.raises(Broken, match=f"^The journal is broken: {message}"):
        backup.verify(damaged, chain.verify_database)


def rewrite(connection: sqlite3.Connection, first: int) -> None:
    """Link every event from `first` on anew, as one does who edits the past with care."""
    rows = connection.execute(
        "SELECT seq, at_us, kind, cause, payload, prev FROM event WHERE seq >= ? ORDER BY seq", (first,)
    ).fetchall()
    prev = rows[0][5]
    for seq, at_us, kind, cause, payload, _ in rows:
        digest = chain.link(prev, seq, at_us, kind, cause, payload)
        connection.execute("UPDATE event SET prev = ?, hash = ? WHERE seq = ?", (prev, digest, seq))
        prev = digest


def test_events_that_were_all_linked_anew_do_not_meet_the_seal(purged: Path, tmp_path: Path) -> None:
    def vandal(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE event SET payload = '{}' WHERE seq = ?", (PURGED + 1,))
        rewrite(connection, PURGED + 1)

    damaged = vandalised(purged, tmp_path, vandal)
    with pytest.raises(Broken, match=f"event {SEALED} is not the one that was sealed"):
        backup.verify(damaged, chain.verify_database)


HASHED = ("seq", "at_us", "kind", "cause", "payload", "prev", "hash")


@given(seq=st.integers(1, EVENTS), column=st.sampled_from(HASHED), bit=st.integers(0, 10_000))
def test_any_single_bit_that_is_flipped_is_found_at_its_event(
    written: Path, seq: int, column: str, bit: int
) -> None:
    with (
        closing(sqlite3.connect(written)) as journal,
        closing(sqlite3.connect(":memory:", isolation_level=None)) as copy,
    ):
        journal.backup(copy)
        disarm(copy)
        value = copy.execute(f"SELECT {column} FROM event WHERE seq = ?", (seq,)).fetchone()[0]
        if value is None:
            return
        if isinstance(value, int):
            flipped: int | bytes = value ^ 1 << bit % (6 if column == "seq" else 62)
        else:
            text = bytearray(value if isinstance(value, bytes) else value.encode())
            text[bit // 8 % len(text)] ^= 1 << bit % 8
            flipped = bytes(text)
        target = "?" if column in ("seq", "at_us", "cause", "prev", "hash") else "CAST(? AS TEXT)"
        change = f"UPDATE OR REPLACE event SET {column} = {target} WHERE seq = ?"
        copy.execute(change, (flipped, seq))
        with pytest.raises(Broken) as found:
            chain.verify_database(copy)
        # One with another number is missing where it was, or has taken the place of an earlier one.
        assert found.value.seq == (min(seq, flipped) if column == "seq" and isinstance(flipped, int) else seq)


def test_a_cut_tail_that_was_covered_up_is_told_from_a_head_that_was_noted(
    written: Path, tmp_path: Path
) -> None:
    noted = backup.verify(written, chain.verify_database)
    cut = vandalised(
        written, tmp_path, sql("DELETE FROM event WHERE seq > 57", "UPDATE sqlite_sequence SET seq = 57")
    )
    assert backup.verify(cut, chain.verify_database).seq == 57
    with pytest.raises(StoreCorrupt, match="ends with event 57: event 60, which was noted, is lost"):
        backup.verify(cut, lambda connection: audit.verify(connection, None, noted))


def test_a_history_that_was_written_anew_is_told_from_a_head_that_was_noted(
    written: Path, tmp_path: Path
) -> None:
    def vandal(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE event SET at_us = ? WHERE seq = 40", (to_us(START),))
        rewrite(connection, 40)

    head = backup.verify(written, chain.verify_database)
    anew = vandalised(written, tmp_path, vandal)
    assert backup.verify(anew, chain.verify_database).seq == EVENTS
    for noted in (head, chain.Head(head.seq, head.hash[:12])):
        assert backup.verify(written, lambda connection: audit.verify(connection, None, noted)) == head  # noqa: B023
        with pytest.raises(StoreCorrupt, match=f"event {EVENTS} had the hash {noted.hash} when it was noted"):
            backup.verify(anew, lambda connection: audit.verify(connection, None, noted))  # noqa: B023
