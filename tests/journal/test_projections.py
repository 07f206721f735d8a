"""The tables say what the events say: nothing else can be read from them, and they can be built anew."""

import json
import sqlite3
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from helios_agent.clock import SECOND_US, VirtualClock
from helios_agent.journal import draws, forecasts, intents, models, outbox
from helios_agent.journal.journal import KIND, PROJECTIONS, Journal, Transaction, parse_projections, project
from helios_agent.lottery.draws import Draw
from helios_agent.store import Store, migrations

GAME, ERA, OLDER_ERA = "powerball", "2015-10-07", "2012-01-18"
WEDNESDAY = Draw(
    game=GAME, day=date(2026, 9, 16), whites=(61, 3, 44, 12, 9), bonus=26, multiplier=None, ordered=True
)
SATURDAY = Draw(
    game=GAME, day=date(2026, 9, 19), whites=(1, 2, 3, 4, 5), bonus=6, multiplier=10, ordered=False
)


def score(
    day: str, gains: Mapping[str, float], era: str = ERA, forecast: int | None = None, weight: float = 0.5
) -> dict[str, Any]:
    total = sum(gains.values())
    return {
        "game": GAME,
        "era": era,
        "day": day,
        "basis": "walk-forward" if forecast is None else "registered",
        "forecast": forecast,
        "gains": gains,
        "weights": dict.fromkeys(gains, weight) | {"reserve": 0.25},
        "mixture_gain": 0.125,
        "ledger": {
            "standings": {n: {"prior": 0.5, "gain_nats": 2 * g} for n, g in gains.items()}
            | {"idle": {"gain_nats": 9}},
            "mixture_nats": total,
            "peak_nats": max(0, total),
            "draws": 1,
        },
    }


def model(version: str, ordinal: int) -> dict[str, Any]:
    return {
        "name": "powerballnet",
        "version": version,
        "game": GAME,
        "era": ERA,
        "ordinal": ordinal,
        "prior": 0.5**ordinal,
        "last_draw": "2026-09-16",
        "draws": 1408,
        "metrics": {"validation_gain_nats": -0.01},
        "job": "job-1",
    }


def epoch(job: str, number: int, loss: float) -> dict[str, Any]:
    return {
        "job": job,
        "attempt": 1,
        "epoch": number,
        "epochs": 3,
        "loss": loss,
        "validation_loss": loss + 1,
        "validation_gain_nats": -0.5,
        "seconds": 2,
        "eta_seconds": 4.5,
    }


async def live(journal: Journal, clock: VirtualClock) -> None:
    """Live a story in which every kind of event that changes a table happens, most of them twice."""

    async def happen(*story: tuple[str, Mapping[str, Any]]) -> int:
        await clock.advance(1)
        return (await journal.record(lambda tx: [tx.append(*event) for event in story]))[-1].seq

    await happen(("history.imported", draws.to_payload(WEDNESDAY, "packaged")))
    for source in ("texas", "new-york"):
        await happen(("feed.failed", {"game": GAME, "source": source, "error": "no answer"}))
    await happen(("feed.failed", {"game": GAME, "source": "texas", "error": "answered 500"}))
    read = {"game": GAME, "source": "texas", "etag": '"a"', "last_modified": None, "unchanged": False}
    await happen(("feed.read", read), ("feed.read", read | {"game": "megamillions"}))
    cause = await happen(("test.happened", {}))

    def incidents(tx: Transaction) -> None:
        for key in ("feed:a", "feed:b", "feed:a"):
            draws.open_incident(tx, key, "feed-silent", f"{key} is silent", cause)
        for key in ("feed:a", "feed:none"):
            draws.close_incident(tx, key, cause)
        draws.open_incident(tx, "feed:a", "feed-silent", "again", cause)

    await journal.record(incidents)
    record = {"forecasters": {}, "weights": {}, "basis": {"draws": 7}}
    registered = {"game": GAME, "day": "2026-09-19", "forecast": record, "digest": forecasts.digest(record)}
    await happen(("forecast.registered", registered))
    forecast = await happen(("forecast.registered", registered))
    await happen(("draw.ingested", draws.to_payload(SATURDAY, "texas")))
    await happen(("forecast.registered", registered))  # too late, whatever the clock may say
    await happen(
        ("history.scored", score("2015-10-03", {"recency": 1.0}, OLDER_ERA, weight=0.1)),
        ("history.scored", score("2026-09-16", {"uniform": 0.0, "recency": -0.5}, weight=0.3)),
        (
            "forecast.scored",
            score("2026-09-19", {"uniform": 0.0, "recency": 2.25}, forecast=forecast, weight=0.2),
        ),
    )

    def ask(tx: Transaction, action: str, in_s: int = 0) -> str:
        return intents.request(tx, action, GAME, {"n": in_s}, cause, tx.now_us() + in_s * SECOND_US)

    async def claim(action: str) -> intents.Intent:
        claimed = await journal.record(lambda tx: intents.claim(tx, (action,)))
        assert claimed is not None
        return claimed

    for action in ("score", "train", "backup", "verify", "assess", "decide"):
        await journal.record(lambda tx, action=action: ask(tx, action, 60))
        await journal.record(lambda tx, action=action: ask(tx, action))
    done, failing, dying, again = [await claim(a) for a in ("score", "train", "backup", "verify")]
    await journal.record(lambda tx: intents.finish(tx, done, {"scored": 3}))
    await journal.record(lambda tx: intents.fail(tx, failing, "no draws"))
    await journal.record(lambda tx: tx.append("intent.dead", {"id": dying.id, "error": "worn out"}))
    await journal.record(lambda tx: intents.retry(tx, again, "busy", tx.now_us() + SECOND_US))
    await claim("assess")
    await journal.record(lambda tx: ask(tx, "assess", 5))
    await journal.record(intents.release)
    for due, outcome in enumerate(("coalesced", "run", "expired", "paused")):
        await happen(("schedule.fired", {"schedule": "nightly", "due_us": due, "outcome": outcome}))
    job = failing.id
    await happen(
        *(("training.epoch", epoch(job, n, loss)) for n, loss in ((1, 9.5), (2, 9.0), (1, 9.25), (2, 8)))
    )
    await happen(("model.trained", model("aaa", 1)), ("model.trained", model("bbb", 2)))

    def queue(tx: Transaction) -> None:
        event = tx.append("test.happened", {})
        for endpoint in ("one", "two", "three", "four"):
            outbox.queue(tx, endpoint, event)

    await journal.record(queue)
    one, two, three, _ = [m.id for m in await outbox.due(journal.store, clock.now_us(), 9)]
    broken = {"id": one, "status": 500, "error": "answered 500", "next_us": clock.now_us() + 5}
    await happen(
        ("webhook.failed", broken),
        ("webhook.sent", {"id": one, "status": 204}),
        ("webhook.failed", broken | {"id": two, "status": None}),
        ("webhook.dead", {"id": three, "status": 410, "error": "gone"}),
    )


def tables(connection: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Return the contents of every table."""
    names = [
        row[0]
        for row in connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
        )
    ]
    return {
        name: sorted(map(tuple, connection.execute(f"SELECT * FROM {name}")), key=repr)  # noqa: S608
        for name in names
    }


@pytest.fixture
async def lived(journal: Journal, clock: VirtualClock) -> Store:
    """A store after the story."""
    await live(journal, clock)
    return journal.store


async def test_tables_built_anew_from_the_events_equal_those_that_grew(lived: Store) -> None:
    rebuilt = sqlite3.connect(":memory:", isolation_level=None)
    rebuilt.execute("PRAGMA foreign_keys = ON")
    migrations.apply(rebuilt)
    for event in await lived.rows("SELECT * FROM event ORDER BY seq"):
        row = dict(event)
        rebuilt.execute(
            "INSERT INTO event VALUES (:seq, :at_us, :mono_us, :boot, :kind, :cause, :payload, :prev, :hash)",
            row,
        )
        project(rebuilt, row["kind"], **{k: row[k] for k in ("seq", "at_us", "boot", "cause", "payload")})
    grown = await lived.write(tables)
    assert tables(rebuilt) == grown
    assert all(grown.values()), "the story must touch every table"
    rebuilt.close()


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


async def test_a_new_model_takes_the_place_of_the_challenger(lived: Store) -> None:
    old, new = await models.of_era(lived, GAME, ERA)
    assert (old.version, old.role, new.version, new.role) == ("aaa", "retired", "bbb", "challenger")
    assert await models.active(lived, GAME, ERA) == [new]
    assert new.forecaster == "powerballnet@bbb"
    assert new.metrics == {"validation_gain_nats": -0.01}


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
