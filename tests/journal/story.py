"""A story in which every kind of event that changes a table happens, and what the tables hold after it."""

import sqlite3
from collections.abc import Mapping
from datetime import date
from typing import Any

from helios_agent.clock import SECOND_US, VirtualClock
from helios_agent.journal import archives, draws, forecasts, intents, outbox, retention, snapshot
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.lottery.draws import Draw

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


def named(version: str, ordinal: int) -> dict[str, Any]:
    return {name: model(version, ordinal)[name] for name in ("game", "era", "name", "version")}


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


def progress(job: str, done: int) -> dict[str, Any]:
    return {
        "job": job,
        "game": GAME,
        "era": ERA,
        "from": "2015-10-07",
        "to": "2026-09-16",
        "forecasters": ["mixture", "ball"],
        "done": done,
        "total": 100,
        "gains": {"mixture": -0.5, "ball": done / 100},
        "eta_seconds": 2.5 if done else None,
    }


def trial(job: str, number: int) -> dict[str, Any]:
    return {
        "job": job, "number": number, "question": "0" * 16, "state": "pruned",
        "parameters": {"hidden": 64, "dropout": 0.25}, "gains": [-0.5], "gain": None, "error": None,
        "cpu_seconds": 2.5,
    }  # fmt: skip


async def live(journal: Journal, clock: VirtualClock) -> None:
    """Live a story in which every kind of event that changes a table happens."""
    await work(journal, clock)
    await control(journal)
    await register(journal, clock)
    await walk_back(journal, clock)
    await decide(journal, clock)
    await archive(journal, 5)
    assert await purge(journal, 2) == 2


async def work(journal: Journal, clock: VirtualClock) -> None:
    """Live the story but for its end, in which events are archived; most things happen twice."""

    async def happen(*story: tuple[str, Mapping[str, Any]]) -> int:
        await clock.advance(1)
        return (await journal.record(lambda tx: [tx.append(*event) for event in story]))[-1].seq

    for schedules in (["nightly"], ["nightly", "weekly"]):
        await happen(
            ("agent.started", {"schedules": schedules}), ("config.reloaded", {"schedules": schedules})
        )
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
    await happen(("schedule.rewound", {"schedule": "nightly", "after_us": 2}))
    job = failing.id
    await happen(
        *(("training.epoch", epoch(job, n, loss)) for n, loss in ((1, 9.5), (2, 9.0), (1, 9.25), (2, 8)))
    )
    await happen(("model.trained", model("aaa", 1)), ("model.trained", model("bbb", 2)))
    await happen(("model.promoted", named("bbb", 2)), ("model.trained", model("ccc", 3)))

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


async def control(journal: Journal) -> None:
    """Ask of two trainings, one after the other, all that can be asked of one."""

    def begin(tx: Transaction) -> intents.Intent:
        asked = intents.request(tx, "train", "megamillions", {}, tx.append("test.happened", {}).seq)
        intents.pause(tx, asked, 1)
        intents.resume(tx, asked, 1)
        intents.prioritise(tx, asked, 1, 5)
        claimed = intents.claim(tx, ("train",))
        assert claimed is not None
        return claimed

    for ask in (intents.pause, intents.stop):
        intent = await journal.record(begin)
        await journal.record(lambda tx, ask=ask, intent=intent: ask(tx, intent.id, 1))
        await journal.record(lambda tx, intent=intent: intents.put_back(tx, intent))
        if ask is intents.pause:
            await journal.record(lambda tx, intent=intent: intents.stop(tx, intent.id, 1))
        await journal.append("search.trial", trial(intent.id, 0))
    ended = {"job": intent.id, "game": "megamillions", "trials": 1, "cpu_seconds": 2.5, "adopted": False}
    await journal.append("search.completed", ended)
    await journal.append("search.completed", ended)  # the training that followed died, and began anew


async def register(journal: Journal, clock: VirtualClock) -> None:
    """Let models come from elsewhere, be promoted, leave, and be deleted: one comes back from that."""
    imported = {name: value for name, value in model("ddd", 4).items() if name != "job"}
    promoted = named("ccc", 3) | {"in_place_of": "bbb"}
    for kind, payload in (
        ("model.promoted", promoted),
        ("model.imported", imported),
        ("model.rolled-back", named("ccc", 3) | {"back_to": "bbb"}),
        ("model.retired", named("ddd", 4)),
        ("model.deleted", named("ddd", 4)),
        ("model.imported", imported),
        ("model.deleted", named("aaa", 1)),
    ):
        await clock.advance(1)
        await journal.append(kind, payload)


async def walk_back(journal: Journal, clock: VirtualClock) -> None:
    """Live through two backtests, of which one comes to its end."""
    story = [("backtest.progress", progress(job, done)) for job in ("job-2", "job-3") for done in (0, 50)]
    found = {"report": "job-2.json", "bytes": 9, "sha256": "0" * 64, "summary": {"found": []}}
    await clock.advance(1)
    await journal.record(lambda tx: [tx.append(*event) for event in story])
    await journal.append("backtest.completed", progress("job-2", 100) | found)


async def decide(journal: Journal, clock: VirtualClock) -> None:
    """Let decisions be proposed, answered, made and measured, goals be set, and things be learned."""
    proposal = {
        "action": "backup", "target": "journal", "args": {}, "max_attempt": 3, "due_us": 5, "expires_us": 9,
        "reason": "the last backup is old",
    }  # fmt: skip
    learned = {
        "id": "k-1", "game": GAME, "kind": "effect", "subject": "train/quiet", "content": "It never helped.",
        "relevance": 0.5, "evidence": {"wins": 0, "losses": 3},
    }  # fmt: skip
    goal = {
        "id": "g-1", "game": GAME, "name": "a skill that shows", "metric": "skill", "target": 0.5,
        "direction": "at least", "priority": "high", "deadline_us": None, "after": [], "source": "person",
    }  # fmt: skip
    choice = {
        "id": "p-1", "decision": 4, "game": GAME, "action": "backup", "target": "journal", "context": "quiet",
        "urgency": 1.5, "price": 0.25,
    }  # fmt: skip
    measured = {
        "id": "p-1", "game": GAME, "action": "backup", "impact": -36.0, "unit": "hours", "success": 1,
        "regret": 0.0, "sentence": "It did what it was chosen for.",
    }  # fmt: skip
    adjusted = {"game": GAME, "name": "learning_rate", "factor": 0.5, "before": 1.0, "reason": "it diverged"}
    found = {
        "first_loss": 9.5,
        "final_loss": 8.5,
        "best_loss": 9.0,
        "best_gain_nats": 0.5,
        "instability": 0.1,
    }
    told = (
        ("intent.proposed", proposal | {"id": "p-1"}),
        ("choice.made", choice),
        ("intent.approved", {"id": "p-1", "by": "http"}),
        ("intent.proposed", proposal | {"id": "p-2", "target": "other"}),
        ("intent.refused", {"id": "p-2", "by": "cli", "reason": "not now"}),
        ("work.spent", {"job": "p-1", "action": "backup", "target": "journal", "cpu_seconds": 2.5}),
        ("decision.measured", measured),
        ("autonomy.switched", {"is_on": False, "by": "http"}),
        ("autonomy.switched", {"is_on": True, "by": "cli"}),
        ("parameter.adjusted", adjusted),
        ("parameter.adjusted", adjusted | {"factor": 0.25, "before": 0.5}),
        ("goal.set", goal),
        ("goal.set", goal | {"id": "g-2", "after": ["g-1"]}),
        ("goal.measured", {"id": "g-1", "state": "open", "start": 0.0, "value": 0.25, "progress": 0.5}),
        ("goal.ended", {"id": "g-2", "state": "withdrawn", "value": None, "by": "http"}),
        ("knowledge.learned", learned),
        ("knowledge.learned", learned | {"id": "k-2", "subject": "tune/quiet"}),
        ("decision.made", {"game": GAME, "knowledge": ["k-1"]}),
        ("knowledge.learned", learned | {"relevance": 0.75}),
        ("knowledge.forgotten", {"id": "k-2", "reason": "nothing used it"}),
        ("training.summarised", {"job": "job-9", "epochs": 3, "best_epoch": 2, "seconds": 6.0} | found),
    )
    for kind, payload in told:
        await clock.advance(1)
        await journal.append(kind, payload)


async def archive(journal: Journal, upto: int) -> dict[str, Any]:
    """Seal the events up to `upto` in an archive beside the database."""
    with snapshot.opened(journal.store.path) as database:
        sealed = archives.make(database, journal.store.path.parent / "archives", upto, None)
    await journal.append("journal.sealed", sealed)
    return sealed


async def purge(journal: Journal, upto: int) -> int:
    """Remove what is sealed from the database, as far as nothing needs it; return how many events."""
    removed = 0
    while count := await journal.record(lambda tx: retention.purge(tx, upto, (GAME,), 1)):
        removed += count
    return removed


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
