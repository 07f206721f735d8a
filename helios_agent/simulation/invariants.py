"""What must hold after any life, whatever went wrong in it."""

import gzip
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, timedelta
from fnmatch import fnmatchcase
from itertools import pairwise
from typing import Any

from helios_agent.clock import SECOND_US, from_us
from helios_agent.config import Config
from helios_agent.lottery import calendar
from helios_agent.lottery.games import SIMULATED
from helios_agent.schedules import due_instants
from helios_agent.simulation.life import Life
from helios_agent.simulation.world import TEXAS_DELAY
from helios_agent.store.readers import read_only

ENDS = ("intent.done", "intent.failed", "intent.dead", "intent.expired")
BACK = ("intent.retried", "intent.released")


@dataclass(frozen=True, slots=True)
class Told:
    """An event as the archives and the database tell it."""

    seq: int
    at_us: int
    kind: str
    payload: Mapping[str, Any]


def broken(life: Life) -> list[str]:
    """Return what does not hold after a life, in words; nothing if all is well."""
    with closing(sqlite3.connect(read_only(life.config.database), uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        events = journal(life.config, connection)
        return [
            *(f"the loop complained: {complaint}" for complaint in life.complaints),
            *_sequence(events),
            *_schedules(life, events),
            *_intents(events),
            *_draws(life, connection),
            *_scores(connection),
            *_webhooks(life, events, connection),
            *_recovered(life, connection),
        ]


def journal(config: Config, connection: sqlite3.Connection) -> list[Told]:
    """Return every event there ever was: those of the archives, then those of the database."""
    told = {}
    for archive in sorted(config.archives.glob("*.jsonl.gz")):
        with gzip.open(archive, "rt", encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                told[event["seq"]] = Told(event["seq"], event["at_us"], event["kind"], event["payload"])
    for seq, at_us, kind, payload in connection.execute("SELECT seq, at_us, kind, payload FROM event"):
        told[seq] = Told(seq, at_us, kind, json.loads(payload))
    return [told[seq] for seq in sorted(told)]


def _sequence(events: Sequence[Told]) -> Iterator[str]:
    if [event.seq for event in events] != list(range(1, len(events) + 1)):
        yield "the journal has gaps"


def _schedules(life: Life, events: Sequence[Told]) -> Iterator[str]:
    """Every instant that was due has one outcome, in every schedule."""
    begun_us = next(event.at_us for event in events if event.kind == "agent.started")
    fired: dict[str, Counter[int]] = defaultdict(Counter)
    for event in events:
        if event.kind == "schedule.fired":
            fired[event.payload["schedule"]][event.payload["due_us"]] += 1
        elif event.kind == "schedule.rewound":
            counter = fired[event.payload["schedule"]]
            for due_us in [due_us for due_us in counter if due_us > event.payload["after_us"]]:
                del counter[due_us]
    now_us = life.clock.now_us()
    for schedule in life.config.schedules:
        known = fired[schedule.name]
        yield from (f"{schedule.name} has {n} outcomes at {from_us(us)}" for us, n in known.items() if n > 1)
        if schedule.every is not None:
            due = sorted(known)
            apart = {later - earlier for earlier, later in pairwise(due)}
            if apart != {round(schedule.every * SECOND_US)}:
                yield f"{schedule.name} was not due every {schedule.every} s, but after {sorted(apart)} µs"
            continue
        due_now, _ = due_instants(schedule.trigger(), from_us(begun_us), from_us(now_us))
        expected = {round(instant.timestamp() * SECOND_US) for instant in due_now}
        past = {due_us for due_us in known if due_us <= now_us}
        yield from (f"{schedule.name} has no outcome at {from_us(us)}" for us in sorted(expected - past))
        yield from (f"{schedule.name} was never due at {from_us(us)}" for us in sorted(past - expected))


def _intents(events: Sequence[Told]) -> Iterator[str]:
    """Every intent is created once, runs only when it waits, and ends at most once."""
    state: dict[str, str] = {}
    for event in events:
        if not event.kind.startswith("intent."):
            continue
        intent = event.payload["id"]
        before = state.get(intent)
        allowed = {
            "intent.created": before is None,
            "intent.started": before == "waiting",
            "intent.expired": before == "waiting",
            "intent.hastened": before == "waiting",
        }.get(event.kind, before == "running")
        if not allowed:
            yield f"event {event.seq}, {event.kind}, of intent {intent}, which was {before}"
        if event.kind == "intent.started":
            state[intent] = "running"
        elif event.kind in ENDS:
            state[intent] = "ended"
        elif event.kind in ("intent.created", *BACK):
            state[intent] = "waiting"
    running = [intent for intent, now in state.items() if now == "running"]
    if running:
        yield f"intents still running after the end: {running}"


def _draws(life: Life, connection: sqlite3.Connection) -> Iterator[str]:
    """Every draw that was published is stored once, as it was drawn."""
    stored = {row["day"]: row for row in connection.execute("SELECT * FROM draw")}
    for day in life.outside.published(TEXAS_DELAY):
        if day.isoformat() not in stored:
            # The last days may have been published after the agent last asked.
            if (from_us(life.clock.true_us()) - calendar.draw_instant(SIMULATED, day)).days > 1:
                yield f"the draw of {day} is not stored"
            continue
        row, drawn = stored.pop(day.isoformat()), life.outside.drawn(day)
        if sorted(json.loads(row["whites"])) != sorted(drawn.whites):
            yield f"the draw of {day} is stored with the wrong white balls"
        if row["bonus"] != drawn.bonus and row["source"] == "texas":
            yield f"the draw of {day} is stored with the wrong bonus ball"
    yield from (f"a draw of {day} is stored that was never published" for day in stored)


def _scores(connection: sqlite3.Connection) -> Iterator[str]:
    """Every draw has one score: by its last forecast that was registered before it, if there is one."""
    rows = connection.execute(
        "SELECT d.day, d.seq AS known, s.basis, s.forecast FROM draw d LEFT JOIN score s USING (game, day)"
    ).fetchall()
    for row in rows:
        held_us = round(
            calendar.draw_instant(SIMULATED, date.fromisoformat(row["day"])).timestamp() * SECOND_US
        )
        last = connection.execute(
            "SELECT max(seq) FROM forecast WHERE day = ? AND at_us < ? AND seq < ?",
            (row["day"], held_us, row["known"]),
        ).fetchone()[0]
        if row["basis"] is None:
            yield f"the draw of {row['day']} has no score"
        elif row["forecast"] != last or (row["basis"] == "registered") != (last is not None):
            yield f"the draw of {row['day']} was scored by {row['basis']} {row['forecast']}, not by {last}"


def _webhooks(life: Life, events: Sequence[Told], connection: sqlite3.Connection) -> Iterator[str]:
    """Every event that an endpoint asked for is queued for it once; what was sent has arrived."""
    queued = Counter(
        (event.payload["endpoint"], event.payload["event"])
        for event in events
        if event.kind == "webhook.queued"
    )
    wanted = {
        (endpoint.name, event.seq)
        for endpoint in life.config.webhooks.endpoints
        for event in events
        if any(fnmatchcase(event.kind, pattern) for pattern in endpoint.events)
    }
    if queued.keys() != wanted or set(queued.values()) - {1}:
        yield f"queued and wanted messages differ: {sorted(queued.keys() ^ wanted)[:5]}"
    arrived = {message for _, message, _ in life.outside.received}
    sent = {event.payload["id"] for event in events if event.kind == "webhook.sent"}
    if sent - arrived:
        yield f"messages that never arrived are counted as sent: {sorted(sent - arrived)[:5]}"
    by_id: dict[str, set[str]] = defaultdict(set)
    for _, message, body in life.outside.received:
        by_id[message].add(json.dumps(body, sort_keys=True))
    yield from (f"message {message} came with different bodies" for message, b in by_id.items() if len(b) > 1)


def _recovered(life: Life, connection: sqlite3.Connection) -> Iterator[str]:
    """When nothing has gone wrong for a while, nothing is left undone."""
    now_us = life.clock.now_us()
    late = connection.execute(
        "SELECT action, target, state, error FROM intent WHERE state IN ('ready', 'running') AND due_us < ?",
        (now_us - 600 * SECOND_US,),
    ).fetchall()
    yield from (f"{dict(row)} should have been done" for row in late)
    # After a draw was held, the next one's forecast waits for its result or for the schedule, twice a day.
    upcoming = calendar.next_draw_day(SIMULATED, from_us(now_us) - timedelta(hours=14)).isoformat()
    if not connection.execute("SELECT 1 FROM forecast WHERE day = ?", (upcoming,)).fetchall():
        yield f"the draw of {upcoming} has no forecast"
    for row in connection.execute("SELECT key, message FROM incident WHERE closed_us IS NULL"):
        # A feed that told first of a wrong draw is in dispute with the other for good.
        if not row["key"].startswith("dispute:"):
            yield f"the incident {row['key']} is still open: {row['message']}"
