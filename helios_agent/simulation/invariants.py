"""What must hold after any life, whatever went wrong in it."""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from datetime import date, timedelta
from fnmatch import fnmatchcase
from itertools import pairwise

from helios_agent.clock import SECOND_US, from_us
from helios_agent.errors import HeliosError, StoreError
from helios_agent.journal import chain, rebuild
from helios_agent.lottery import calendar
from helios_agent.lottery.games import SIMULATED
from helios_agent.schedules import due_instants
from helios_agent.simulation import accounts
from helios_agent.simulation.life import Life
from helios_agent.simulation.told import Told, journal
from helios_agent.simulation.world import FEED_HOSTS, TEXAS_DELAY
from helios_agent.store import backup
from helios_agent.store.readers import read_only

COMPLETIONS: Mapping[str, str] = {
    "ingest": "ingest.completed",
    "score": "score.completed",
    "assess": "assessment.completed",
    "decide": "decision.made",
    "reflect": "reflection.completed",
    "alert": "alert.raised",
    "backup": "backup.completed",
    "compact": "compact.completed",
    "verify": "journal.verified",
}
"""What an action that was carried out leaves behind, exactly once."""
AT_MOST_ONCE = (*COMPLETIONS.values(), "forecast.registered", "model.trained")
UNDER_WAY = (
    "training.started", "training.epoch", "training.summarised", "journal.sealed", "journal.purged",
    "backtest.progress", "search.trial", "search.completed",
)  # fmt: skip
"""What is told before an action is done: it may be told again by the next attempt."""
SPENT = "work.spent"
"""What an attempt cost, told in the transaction that ends it, whatever its end."""
SLACK_S = 60.0
"""How much later an outcome may stand in the journal than it was reckoned."""
LATEST_S = 300.0
QUIET_US = 2 * 86_400 * SECOND_US
HOSTS = dict(zip(("texas", "new-york"), FEED_HOSTS, strict=True))
ENDS = (
    "intent.done", "intent.failed", "intent.dead", "intent.refused", "intent.expired", "intent.cancelled",
)  # fmt: skip
ASKED = ("intent.created", "intent.proposed")
BACK = ("intent.retried", "intent.released", "intent.resumed")


def broken(life: Life) -> list[str]:
    """Return what does not hold after a life, in words; nothing if all is well."""
    with closing(sqlite3.connect(read_only(life.config.database), uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        events = journal(life.config, connection)
        return [
            *(f"the loop complained: {complaint}" for complaint in life.complaints),
            *_sequence(events),
            *_schedules(life, events),
            *_outcomes(life, events),
            *intents(events),
            *_effects(events),
            *_draws(life, connection),
            *_scores(connection),
            *accounts.wrong(events, connection),
            *_webhooks(life, events),
            *_kept(life),
            *_recovered(life, events, connection),
        ]


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


def intents(events: Sequence[Told]) -> Iterator[str]:
    """Every intent is created once, runs only when it waits, and ends at most once."""
    state: dict[str, str] = {}
    for event in events:
        if not event.kind.startswith("intent."):
            continue
        intent = event.payload["id"]
        before = state.get(intent)
        allowed = {
            "intent.created": before is None,
            "intent.proposed": before is None,
            "intent.approved": before == "proposed",
            "intent.refused": before == "proposed",
            "intent.started": before == "waiting",
            "intent.hastened": before == "waiting",
            "intent.expired": before in ("proposed", "waiting", "paused"),
            "intent.paused": before in ("waiting", "running"),
            "intent.resumed": before == "paused",
            "intent.cancelled": before in ("proposed", "waiting", "running", "paused"),
            "intent.prioritised": before in ("proposed", "waiting", "running", "paused"),
        }.get(event.kind, before == "running")
        if not allowed:
            yield f"event {event.seq}, {event.kind}, of intent {intent}, which was {before}"
        if event.kind == "intent.started":
            state[intent] = "running"
        elif event.kind == "intent.paused":
            state[intent] = "paused"
        elif event.kind in ENDS:
            state[intent] = "ended"
        elif event.kind == "intent.proposed":
            state[intent] = "proposed"
        elif event.kind in ("intent.created", "intent.approved", *BACK):
            state[intent] = "waiting"
    running = [intent for intent, now in state.items() if now == "running"]
    if running:
        yield f"intents still running after the end: {running}"


def _effects(events: Sequence[Told]) -> Iterator[str]:
    """What an intent brought about stands once, in the transaction that ends it.

    Virtual time stands still within a transaction, and every commit takes some of it.
    """
    created = {event.seq: event for event in events if event.kind in ASKED}
    done = {event.cause: event for event in events if event.kind == "intent.done" and event.cause in created}
    ended = {(event.cause, event.at_us) for event in events if event.kind in (*ENDS, *BACK, "intent.paused")}
    effects: dict[int | None, Counter[str]] = defaultdict(Counter)
    for event in events:
        if event.cause not in created or event.kind.startswith("intent.") or event.kind in UNDER_WAY:
            continue
        if event.kind == SPENT:
            if (event.cause, event.at_us) not in ended:
                yield f"event {event.seq}, {event.kind}, is not in one transaction with the end of an attempt"
            continue
        effects[event.cause][event.kind] += 1
        if event.cause not in done or done[event.cause].at_us != event.at_us:
            yield f"event {event.seq}, {event.kind}, is not in one transaction with the end of its intent"
    for seq, kinds in effects.items():
        twice = [kind for kind in AT_MOST_ONCE if kinds[kind] > 1]
        if twice:
            yield f"the intent of event {seq} brought about more than one {twice}"
    for seq, end in done.items():
        action = end.payload["action"]
        if action in COMPLETIONS and not effects[seq][COMPLETIONS[action]]:
            yield f"the intent of event {seq}, {action}, is done without an effect"


def _outcomes(life: Life, events: Sequence[Told]) -> Iterator[str]:
    """What was due and missed had the outcome that its schedule says."""
    schedules = {schedule.name: schedule for schedule in life.config.schedules}
    for event in events:
        if event.kind != "schedule.fired":
            continue
        schedule, outcome = schedules[event.payload["schedule"]], event.payload["outcome"]
        age_s = (event.at_us - event.payload["due_us"]) / SECOND_US
        limit_s = min(schedule.max_age, 2 * life.pulse_s if schedule.catch_up == "none" else schedule.max_age)
        if not schedule.enabled:
            right = outcome == "paused"
        elif age_s > limit_s + SLACK_S:
            right = outcome == "expired"
        elif age_s < limit_s - SLACK_S:
            right = outcome == "run" or (outcome == "coalesced" and schedule.catch_up != "all")
        else:
            right = outcome != "paused"
        if not right:
            yield f"event {event.seq}: {schedule.name} was {outcome} {age_s:.0f} s after it was due"


def _late(events: Sequence[Told], since_us: int) -> Iterator[str]:
    """Whatever was due since a moment was begun soon, unless its twin still ran."""
    ready_us: dict[str, int] = {}
    free_us: dict[tuple[str, str], int] = {}
    whats: dict[str, tuple[str, str]] = {}
    for event in events:
        if not event.kind.startswith("intent."):
            continue
        intent = event.payload["id"]
        if event.kind in ASKED:
            whats[intent] = event.payload["action"], event.payload["target"]
        if event.kind == "intent.started":
            begun_us = max(ready_us[intent], free_us.get(whats[intent], 0))
            late_s = (event.at_us - begun_us) / SECOND_US
            if begun_us > since_us and late_s > LATEST_S:
                yield f"event {event.seq}: {whats[intent]} was begun {late_s:.0f} s late"
        elif event.kind in ENDS:
            free_us[whats[intent]] = event.at_us
        else:
            ready_us[intent] = max(event.at_us, event.payload.get("due_us", 0))


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
        if row["bonus"] != drawn.bonus and (HOSTS.get(row["source"]), day) not in life.outside.lies:
            yield f"the draw of {day} is stored with the wrong bonus ball"
    yield from (f"a draw of {day} is stored that was never published" for day in stored)


def _scores(connection: sqlite3.Connection) -> Iterator[str]:
    """Every draw has one score: by its last forecast that was registered while tickets were sold, if any."""
    rows = connection.execute(
        "SELECT d.day, d.seq AS known, s.basis, s.forecast FROM draw d LEFT JOIN score s USING (game, day)"
    ).fetchall()
    for row in rows:
        closes_us = round(
            calendar.sales_close(SIMULATED, date.fromisoformat(row["day"])).timestamp() * SECOND_US
        )
        last = connection.execute(
            "SELECT max(seq) FROM forecast WHERE day = ? AND at_us < ? AND seq < ?",
            (row["day"], closes_us, row["known"]),
        ).fetchone()[0]
        if row["basis"] is None:
            yield f"the draw of {row['day']} has no score"
        elif row["forecast"] != last or (row["basis"] == "registered") != (last is not None):
            yield f"the draw of {row['day']} was scored by {row['basis']} {row['forecast']}, not by {last}"


def _webhooks(life: Life, events: Sequence[Told]) -> Iterator[str]:
    """Every event that an endpoint asked for is queued for it once, and sent, or given up, once."""
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
    ends = Counter(event.payload["id"] for event in events if event.kind in ("webhook.sent", "webhook.dead"))
    old_us = life.clock.now_us() - 600 * SECOND_US
    for event in events:
        message = event.payload.get("id")
        if event.kind == "webhook.queued" and ends[message] != 1 and (ends[message] or event.at_us < old_us):
            yield f"message {message} of event {event.seq} was sent or given up {ends[message]} times"
    failures = Counter(event.payload["id"] for event in events if event.kind == "webhook.failed")
    for event in events:
        if event.kind == "webhook.dead" and failures[event.payload["id"]] < life.config.webhooks.attempts - 1:
            yield f"message {event.payload['id']} was given up after {failures[event.payload['id']]} failures"
    by_id: dict[str, set[str]] = defaultdict(set)
    for _, message, body in life.outside.received:
        by_id[message].add(json.dumps(body, sort_keys=True))
    yield from (f"message {message} came with different bodies" for message, b in by_id.items() if len(b) > 1)


def _kept(life: Life) -> Iterator[str]:
    """The tables are what the journal says, and the newest backup is sound."""
    try:
        rebuild.check(life.config.database, life.config.archives)
    except HeliosError as error:
        yield str(error)
    made = backup.listed(life.config.backups)
    try:
        yield from [] if made else ["there is no backup"]
        for newest in made[:1]:
            backup.verify(newest, chain.verify_database)
    except StoreError as error:
        yield f"the newest backup: {error}"


def _recovered(life: Life, events: Sequence[Told], connection: sqlite3.Connection) -> Iterator[str]:
    """When nothing has gone wrong for a while, nothing is left undone, and all went without a failure."""
    now_us = life.clock.now_us()
    if life.health is None or not life.health.ready:
        yield f"before its end the agent was not ready: {life.health}"
    yield from _late(events, now_us - QUIET_US)
    yield from (f"event {event.seq}: {event.payload}" for event in events if event.kind == "task.failed")
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
