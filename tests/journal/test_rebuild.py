"""Whatever the tables say can be said again from the journal alone, archives included."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from helios_agent import files
from helios_agent.clock import VirtualClock
from helios_agent.errors import StoreCorrupt
from helios_agent.journal import chain, draws, events, intents, models, outbox, rebuild
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.store import Store, backup
from tests.journal.story import archive, purge, score, tables


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archives"


async def put_right(journal: Journal, clock: VirtualClock) -> None:
    """Let nothing be open any more: no intent, no incident, no message, no forecast without its score."""
    await clock.advance(3600)

    def settle(tx: Transaction) -> None:
        for row in tx.rows("SELECT * FROM intent WHERE state = 'running'"):
            intents.finish(tx, Intent.from_row(row), {})
        for row in tx.rows("SELECT * FROM intent WHERE state = 'ready'"):
            tx.append("intent.expired", {"id": row["id"], "reason": "no longer wanted"}, row["seq"])
        for key in draws.open_keys(tx):
            draws.close_incident(tx, key, None)
        tx.append("forecast.scored", score("2026-09-21", {"recency": 0.5}))

    await journal.record(settle)
    for message in await outbox.due(journal.store, clock.now_us(), 99):
        await journal.append("webhook.sent", {"id": message.id, "status": 204})


async def test_tables_built_anew_from_the_events_equal_those_that_grew(lived: Store, folder: Path) -> None:
    assert rebuild.check(lived.path, folder) == await events.head(lived)


async def test_they_do_so_after_everything_that_ended_was_purged(
    lived: Store, journal: Journal, clock: VirtualClock, folder: Path
) -> None:
    await put_right(journal, clock)
    before = await lived.write(tables)
    head = (await events.head(lived)).seq
    await archive(journal, head)
    assert await purge(journal, head) == head - 2
    assert rebuild.check(lived.path, folder) == await events.head(lived)
    after = await lived.write(tables)
    assert (len(before["intent"]), len(before["epoch"]), len(before["outbox"])) == (11, 2, 4)
    assert [after[name] for name in ("intent", "epoch", "outbox", "incident")] == [[]] * 4
    assert [row[:2] for row in after["firing"]] == [("nightly", 2)], "the last of each schedule stays"
    for name in ("draw", "feed", "forecast", "score", "ledger", "model", "schedule"):
        assert after[name] == before[name], "what was learned stays"
    assert await models.epochs(lived, "job-1") == []


async def test_the_check_leaves_a_daemon_at_work_alone_and_sees_one_moment(
    lived: Store, journal: Journal, folder: Path
) -> None:
    checking = asyncio.create_task(asyncio.to_thread(rebuild.check, lived.path, folder))
    while not checking.done():
        await journal.append("incident.opened", {"key": "a", "kind": "b", "message": "c"})
        await journal.append("incident.closed", {"key": "a"})
    assert (await checking).seq <= (await events.head(lived)).seq
    assert lived.foreign_writes == 0


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        (
            "UPDATE score SET mixture_nats = 2.5 WHERE day = '2026-09-19'",
            "score game 'powerball', day '2026-09-19': mixture_nats is 2.5, the journal says 2.25",
        ),
        (
            "UPDATE outbox SET error = NULL, attempt = 7 WHERE endpoint = 'two'",
            r"outbox id 'msg_\w+': attempt is 7, the journal says 1\n"
            r"outbox id 'msg_\w+': error is None, the journal says 'answered 500'",
        ),
        (
            "DELETE FROM draw WHERE day = '2026-09-16'",
            "draw game 'powerball', day '2026-09-16' is not there, but the journal knows it",
        ),
        (
            "INSERT INTO firing VALUES ('weekly', 7, 'run', 1)",
            "firing schedule 'weekly', due_us 7 is there, but the journal does not know it",
        ),
    ],
)
async def test_a_table_that_was_changed_by_hand_is_named_with_key_column_and_both_values(
    sql: str, message: str, lived: Store, folder: Path
) -> None:
    await lived.write(lambda connection: connection.execute(sql))
    with pytest.raises(StoreCorrupt, match=f"run `helios journal rebuild`.\n{message}$") as found:
        rebuild.check(lived.path, folder)
    assert found.value.exit_code == 65


async def test_only_the_first_differences_are_told(lived: Store, journal: Journal, folder: Path) -> None:
    for due_us in range(30):
        fired = {"schedule": "weekly", "due_us": due_us, "outcome": "run"}
        await journal.append("schedule.fired", fired)
    await lived.write(lambda connection: connection.execute("UPDATE firing SET outcome = 'paused'"))
    with pytest.raises(StoreCorrupt) as found:
        rebuild.check(lived.path, folder)
    assert len(str(found.value).splitlines()) == 1 + rebuild.SHOWN


async def test_a_rebuild_puts_right_what_was_changed_and_journals_it(
    lived: Store, clock: VirtualClock, folder: Path
) -> None:
    before, head = await lived.write(tables), await events.head(lived)

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM epoch")
        connection.execute("DELETE FROM outbox")
        connection.execute("UPDATE draw SET bonus = 1")
        connection.execute("INSERT INTO schedule VALUES ('monthly', 1)")

    await lived.write(spoil)
    await lived.close()
    assert rebuild.replace(lived.path, folder, clock, "boot-9") == head
    assert rebuild.check(lived.path, folder).seq == head.seq + 1
    assert backup.verify(lived.path, chain.verify_database).seq == head.seq + 1
    with closing(sqlite3.connect(lived.path)) as connection:
        after = tables(connection)
        newest = connection.execute("SELECT * FROM event ORDER BY seq DESC LIMIT 1").fetchone()
    after["event"].remove(newest)
    assert (newest[4], newest[6]) == ("journal.rebuilt", f'{{"events":{head.seq}}}')
    assert after == before


async def test_a_rebuild_without_an_archive_it_needs_changes_nothing(
    lived: Store, clock: VirtualClock, folder: Path
) -> None:
    before = await lived.write(tables)
    missing = folder / (await lived.rows("SELECT archive FROM seal"))[0]["archive"]
    await lived.close()
    files.remove(missing)
    for work in (rebuild.check, lambda path, where: rebuild.replace(path, where, clock, "boot-9")):
        with pytest.raises(StoreCorrupt, match=f"{missing.name} cannot be read"):
            work(lived.path, folder)
    with closing(sqlite3.connect(lived.path)) as connection:
        assert tables(connection) == before


async def test_a_journal_whose_end_was_cut_off_is_not_folded(
    lived: Store, clock: VirtualClock, folder: Path
) -> None:
    def vandal(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TRIGGER event_never_deleted")
        connection.execute("DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)")

    await lived.write(vandal)
    before = await lived.write(tables)
    await lived.close()
    for work in (rebuild.check, lambda path, where: rebuild.replace(path, where, clock, "boot-9")):
        with pytest.raises(StoreCorrupt, match="its end is cut off"):
            work(lived.path, folder)
    with closing(sqlite3.connect(lived.path)) as connection:
        assert tables(connection) == before


async def test_a_broken_chain_is_not_folded(lived: Store, clock: VirtualClock, folder: Path) -> None:
    def vandal(connection: sqlite3.Connection) -> None:
        connection.execute("DROP TRIGGER event_never_edited")
        connection.execute("UPDATE event SET at_us = at_us + 1 WHERE seq = 9")

    await lived.write(vandal)
    await lived.close()
    with pytest.raises(StoreCorrupt, match="event 9 was changed after it was written"):
        rebuild.replace(lived.path, folder, clock, "boot-9")
