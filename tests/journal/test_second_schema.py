"""A database of the first Helios keeps all it knows when it is brought to the newest schema."""

# ruff: noqa: S608

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from helios_agent.clock import VirtualClock
from helios_agent.errors import Refused
from helios_agent.journal import chain, rebuild
from helios_agent.journal import journal as journals
from helios_agent.journal.journal import Journal, parse_projections
from helios_agent.store import backup, migrations
from helios_agent.store.store import connect
from tests.journal.story import tables, work

NEW_TABLES = {
    "autonomy", "backtest", "choice", "goal", "knowledge", "parameter", "promotion", "schedule",
    "schema_step", "seal", "search", "search_trial", "spending", "training_summary",
}  # fmt: skip
NEW_COLUMNS: dict[str, tuple[Any, ...]] = {"intent": (0, None, None), "score": (None, None)}
"""What later schemas added to a table, and what stands there in a row that they found."""
FIRST_PROJECTIONS = parse_projections(Path(__file__).with_name("first_projections.sql").read_text("utf-8"))


@pytest.fixture
async def first(tmp_path: Path, journal: Journal, clock: VirtualClock) -> Path:
    """A database with the first schema, in which nearly everything has happened."""
    await work(journal, clock)
    events = await journal.store.rows("SELECT * FROM event ORDER BY seq")
    steps, path = migrations.steps()[:1], tmp_path / "first.db"
    with pytest.MonkeyPatch.context() as past:
        past.setattr(migrations, "steps", lambda: steps)
        past.setattr(journals, "PROJECTIONS", FIRST_PROJECTIONS)
        with closing(connect(path)) as connection:
            connection.execute("BEGIN")
            for row in map(dict, events):
                columns = ", ".join(row)
                marks = ", ".join(f":{name}" for name in row)
                connection.execute(f"INSERT INTO event ({columns}) VALUES ({marks})", row)
                journals.project(connection, **row)
            connection.execute("COMMIT")
    return path


@pytest.fixture
def brought(first: Path) -> Iterator[sqlite3.Connection]:
    with closing(connect(first)) as connection:
        yield connection


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        return tables(connection)


def test_every_row_is_kept(first: Path) -> None:
    before = contents(first)
    connect(first).close()
    after = contents(first)
    kept = {name: [(*row, *NEW_COLUMNS.get(name, ())) for row in rows] for name, rows in before.items()}
    assert {name: rows for name, rows in after.items() if name not in NEW_TABLES} == kept
    assert after.keys() - before.keys() == NEW_TABLES
    assert all(before.values())


def test_the_chain_is_sound_before_and_after(first: Path) -> None:
    before = backup.verify(first, chain.verify_database)
    connect(first).close()
    assert backup.verify(first, chain.verify_database) == before


def test_the_tables_are_what_the_journal_says(first: Path, tmp_path: Path) -> None:
    connect(first).close()
    assert rebuild.check(first, tmp_path / "archives") == backup.verify(first, chain.verify_database)


def test_before_it_is_brought_there_the_tables_are_not_built_anew(
    first: Path, tmp_path: Path, clock: VirtualClock
) -> None:
    before = contents(first)
    archives = tmp_path / "archives"
    for build in (rebuild.check, lambda path, where: rebuild.replace(path, where, clock, "boot-2")):
        with pytest.raises(Refused, match=r"has schema 1, .* Start Helios once to bring it up to date\."):
            build(first, archives)
    assert contents(first) == before


def test_no_table_needs_the_event_it_came_from_any_more(brought: sqlite3.Connection) -> None:
    names = [row[0] for row in brought.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    references = {
        (name, row["from"], row["table"])
        for name in names
        for row in brought.execute(f"PRAGMA foreign_key_list({name})")
    }
    assert references == {
        ("score", "forecast", "forecast"),
        ("epoch", "job", "intent"),
        ("search_trial", "job", "intent"),
    }
    assert brought.execute("PRAGMA foreign_keys").fetchone()[0] == 1


def test_the_database_remembers_the_largest_event_there_ever_was(brought: sqlite3.Connection) -> None:
    (newest,) = brought.execute("SELECT max(seq) FROM event").fetchone()
    assert tuple(brought.execute("SELECT * FROM sqlite_sequence").fetchone()) == ("event", newest)


def test_what_is_not_sealed_cannot_be_deleted_and_what_is_can(brought: sqlite3.Connection) -> None:
    seal = (4, 1, "0" * 64, "a", "0" * 64, 1, 0)
    brought.execute("INSERT INTO seal VALUES (?, ?, ?, ?, ?, ?, ?)", seal)
    for seqs in ("5", "4, 5", "SELECT seq FROM event"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only: what is not sealed stays"):
            brought.execute(f"DELETE FROM event WHERE seq IN ({seqs})")
    assert brought.execute("DELETE FROM event WHERE seq <= 4").rowcount == 4


ENDED = ("done", "failed", "dead", "refused", "expired", "cancelled")


@pytest.mark.parametrize("state", ENDED)
def test_an_intent_that_has_ended_has_ended(state: str, brought: sqlite3.Connection) -> None:
    brought.execute("DROP TRIGGER intent_ends_by_running")
    brought.execute("UPDATE intent SET state = ? WHERE state = 'ready' AND action = 'verify'", (state,))
    for following in ("ready", "running", state):
        with pytest.raises(sqlite3.IntegrityError, match="the intent has ended already"):
            brought.execute("UPDATE intent SET state = ? WHERE action = 'verify'", (following,))
    brought.execute("UPDATE intent SET changed_us = 1 WHERE action = 'verify'")


@pytest.mark.parametrize("state", ["done", "failed", "dead"])
def test_only_what_runs_can_have_effects(state: str, brought: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="the intent is not running"):
        brought.execute("UPDATE intent SET state = ? WHERE state = 'ready'", (state,))


def test_what_waits_can_be_paused_and_cancelled_without_having_run(brought: sqlite3.Connection) -> None:
    for state in ("paused", "ready", "paused", "cancelled"):
        sql = "UPDATE intent SET state = ? WHERE state IN ('ready', 'paused') AND action = 'verify'"
        assert brought.execute(sql, (state,)).rowcount == 1


def test_only_of_what_runs_can_anything_be_wanted(brought: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="CHECK constraint failed"):
        brought.execute("UPDATE intent SET wanted = 'stop' WHERE state = 'ready'")
