"""The tables say what the events say: what is read from them after the story of `story.py`."""

import json
import sqlite3
from pathlib import Path

import pytest

from helios_agent.clock import VirtualClock
from helios_agent.journal import draws, forecasts, models, outbox
from helios_agent.journal.journal import KIND, PROJECTIONS, Journal, parse_projections
from helios_agent.store import Store, migrations
from tests.journal.story import ERA, GAME, OLDER_ERA, SATURDAY, WEDNESDAY, tables, work


async def test_the_story_touches_every_table(lived: Store) -> None:
    empty = {name for name, rows in (await lived.write(tables)).items() if not rows}
    assert empty == set()


async def test_the_story_touches_every_kind_that_changes_a_table(lived: Store) -> None:
    told = {row["kind"] for row in await lived.rows("SELECT DISTINCT kind FROM event")}
    assert told >= PROJECTIONS.keys()


def test_every_statement_is_sql_for_the_schema_and_every_kind_is_a_kind() -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.apply(connection)
    event = {"seq": 1, "at_us": 1, "boot": "b", "cause": None, "payload": "{}"}
    for kind, statements in PROJECTIONS.items():
        assert KIND.fullmatch(kind)
        assert statements
        for statement in statements:
            connection.execute(f"EXPLAIN {statement}", event)
    connection.close()


def test_a_block_may_name_several_kinds_and_hold_several_statements() -> None:
    text = "-- Heading.\n\n-- on a.b, c.d\nSELECT 1;\nSELECT 2;\n\n-- on c.d\n-- why\nSELECT 3;\n"
    assert parse_projections(text) == {
        "a.b": ("SELECT 1", "SELECT 2"),
        "c.d": ("SELECT 1", "SELECT 2", "-- why\nSELECT 3"),
    }


async def test_draws_come_back_as_they_were_told(lived: Store) -> None:
    found = await draws.stored(lived, GAME)
    assert [(s.draw, s.source) for s in found] == [(WEDNESDAY, "packaged"), (SATURDAY, "texas")]
    assert await draws.stored(lived, GAME, since="2026-09-17") == found[1:]
    assert await draws.newest(lived, GAME, 1) == found[1:]
    assert await draws.newest(lived, GAME, 9, before="2026-09-19") == found[:1]
    assert await draws.count(lived, GAME) == 2
    assert await draws.count(lived, "megamillions") == 0
    assert found[1].as_record() == draws.to_payload(SATURDAY, "texas") | {"seq": found[1].seq}


async def test_a_draw_is_stored_once(lived: Store, journal: Journal) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE constraint failed: draw"):
        await journal.append("draw.ingested", draws.to_payload(SATURDAY, "new-york"))


async def test_a_feed_that_answers_is_forgiven_its_failures(lived: Store) -> None:
    feeds = await draws.feeds(lived, GAME)
    assert [(n, f["failures"], f["error"], f["etag"]) for n, f in feeds.items()] == [
        ("new-york", 1, "no answer", None),
        ("texas", 0, None, '"a"'),
    ]
    assert feeds["texas"]["read_us"] > feeds["texas"]["failed_us"]
    assert feeds["new-york"]["read_us"] is None


async def test_one_incident_is_open_for_each_thing_that_is_wrong(lived: Store) -> None:
    assert [(i.key, i.message) for i in await draws.open_incidents(lived)] == [
        ("feed:b", "feed:b is silent"),
        ("feed:a", "again"),
    ]
    closed = await lived.rows("SELECT key FROM incident WHERE closed_us IS NOT NULL")
    assert [row["key"] for row in closed] == ["feed:a"]


async def test_the_last_forecast_before_an_instant_is_found(lived: Store) -> None:
    too_late, newest, older = await forecasts.recent(lived, GAME, 9)
    assert await forecasts.recent(lived, GAME, 9, before=newest.seq) == [older]
    assert await forecasts.registered(lived, GAME, "2026-09-19", before_us=too_late.at_us + 1) == newest
    assert await forecasts.registered(lived, GAME, "2026-09-19") == newest
    assert await forecasts.registered(lived, GAME, "2026-09-19", before_us=newest.at_us) == older
    assert await forecasts.registered(lived, GAME, "2026-09-19", before_us=older.at_us) is None
    assert await forecasts.registered(lived, GAME, "2026-09-21") is None
    assert newest.digest == forecasts.digest(newest.record)


async def test_scores_and_the_ledger_stand_by_era(lived: Store) -> None:
    first, last = await forecasts.scores(lived, GAME, ERA)
    assert (first.day, first.basis, first.forecast, first.mixture_nats, first.peak_nats) == (
        "2026-09-16", "walk-forward", None, -0.5, 0.0,
    )  # fmt: skip
    assert (last.day, last.basis, last.mixture_gain, last.mixture_nats) == (
        "2026-09-19",
        "registered",
        0.125,
        2.25,
    )
    assert await forecasts.scores_of(lived, GAME, ["2026-09-19", "2026-09-20"]) == {"2026-09-19": last}
    state = await forecasts.ledger(lived, GAME, ERA)
    assert state is not None
    assert (state.day, state.record["mixture_nats"]) == ("2026-09-19", 2.25)
    assert await forecasts.ledger(lived, "megamillions", ERA) is None


async def test_standings_are_those_of_their_own_era(lived: Store) -> None:
    assert await forecasts.standings(lived, GAME, ERA) == [
        forecasts.Standing("recency", 2, 1.75, 0.2),
        forecasts.Standing("uniform", 2, 0.0, 0.2),
    ]
    assert await forecasts.standings(lived, GAME, OLDER_ERA) == [forecasts.Standing("recency", 1, 1.0, 0.1)]


async def test_a_new_model_takes_the_place_of_the_challenger_and_one_that_is_promoted_that_of_the_champion(
    journal: Journal, clock: VirtualClock
) -> None:
    await work(journal, clock)
    trained = await models.of_era(journal.store, GAME, ERA)
    assert [(model.version, model.role) for model in trained] == [
        ("aaa", "retired"), ("bbb", "champion"), ("ccc", "challenger"),
    ]  # fmt: skip
    assert await models.active(journal.store, GAME, ERA) == trained[1:]
    assert models.in_role(trained, "champion") == "powerballnet@bbb"
    assert trained[2].metrics == {"validation_gain_nats": -0.01}


async def test_a_champion_gives_way_to_the_one_before_and_who_comes_back_keeps_his_ordinal(
    lived: Store,
) -> None:
    known = await models.of_era(lived, GAME, ERA)
    assert [(model.version, model.role, model.ordinal, model.job) for model in known] == [
        ("aaa", "deleted", 1, "job-1"), ("bbb", "champion", 2, "job-1"),
        ("ccc", "retired", 3, "job-1"), ("ddd", "challenger", 4, None),
    ]  # fmt: skip
    assert await models.before(lived, known[2]) == known[1]
    assert await models.before(lived, known[1]) is None
    assert await models.every(lived) == known[1:]
    assert await models.every(lived, role="deleted") == known[:1]


async def test_a_training_that_begins_anew_shows_the_epochs_of_its_latest_run(lived: Store) -> None:
    job = (await lived.rows("SELECT DISTINCT job FROM epoch"))[0]["job"]
    assert [(e["epoch"], e["loss"], e["seconds"]) for e in await models.epochs(lived, job)] == [
        (1, 9.25, 2.0),
        (2, 8.0, 2.0),
    ]


async def test_messages_wait_until_they_are_sent_or_dead(lived: Store, clock: VirtualClock) -> None:
    assert await outbox.counts(lived) == {"pending": 2, "sent": 1, "dead": 1}
    rows = await lived.rows("SELECT endpoint, state, attempt, status, error FROM outbox ORDER BY rowid")
    assert [tuple(row) for row in rows] == [
        ("one", "sent", 2, 204, None),
        ("two", "pending", 1, None, "answered 500"),
        ("three", "dead", 1, 410, "gone"),
        ("four", "pending", 0, None, None),
    ]
    assert [m.endpoint for m in await outbox.due(lived, clock.now_us(), 9)] == ["four", "two"]
    assert [m.endpoint for m in await outbox.due(lived, clock.now_us(), 1)] == ["four"]
    four = (await lived.rows("SELECT next_us FROM outbox WHERE endpoint = 'four'"))[0]["next_us"]
    assert await outbox.next_due_us(lived) == four
    assert await outbox.due(lived, four - 1, 9) == []


async def test_the_story_is_json_in_every_payload(lived: Store) -> None:
    for row in await lived.rows("SELECT payload FROM event"):
        assert isinstance(json.loads(row["payload"]), dict)


async def test_it_all_survives_reopening(lived: Store, tmp_path: Path) -> None:
    before = await lived.write(tables)
    await lived.close()
    again = await Store.open(lived.path)
    assert await again.write(tables) == before
    await again.close()
