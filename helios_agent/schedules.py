"""Turn the configured schedules into firings.

A trigger says when a schedule is due; the table `firing` remembers what became of every such instant.
At boot and at every tick the due instants are computed anew from the last firing, so a lost wake-up
costs lateness, never a run. Proposals that nobody has answered in time expire by the same clock.
"""

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from loguru import logger

from helios_agent.clock import SECOND_US, Reading, from_us, to_us, wait_for
from helios_agent.config.cron import Trigger
from helios_agent.config.kinds import UPKEEP_ACTIONS
from helios_agent.config.model import Config, Schedule
from helios_agent.journal import intents
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.store import Reader

PULSE_S = 30.0
CHUNK = 500
"""Most firings of one schedule in one transaction: others get their turn after a long absence, too."""
STEP_S = 5.0
"""A clock that differs by more from the time that passed was set, or the machine slept."""
AHEAD_US = 3600 * SECOND_US
"""A last firing further in the future than this was made under a wrong clock."""


@dataclass(frozen=True, slots=True)
class Firing:
    """An instant at which a schedule was due, and what becomes of it."""

    due_us: int
    outcome: str


def due_instants(
    trigger: Trigger, after: datetime, now: datetime, limit: int | None = None
) -> tuple[list[datetime], datetime | None]:
    """Return the first `limit` instants of a trigger in (after, now], and the one that follows them."""
    instants: list[datetime] = []
    upcoming = trigger.following(after)
    while upcoming is not None and upcoming <= now and len(instants) != limit:
        instants.append(upcoming)
        upcoming = trigger.following(upcoming)
    return instants, upcoming


def outcomes(
    schedule: Schedule, instants: Sequence[datetime], now: datetime, late_s: float, *, more: bool = False
) -> list[Firing]:
    """Say what becomes of each due instant: run, coalesced into a later one, expired or paused.

    An instant that is at most `late_s` seconds late was not missed: the scheduler only took its time.
    Of those missed, `catch_up` says which are run: all, the latest, or none; none that is older than
    `max_age`. `more` says that later ones are due, too.
    """
    firings = []
    for place, instant in enumerate(instants, 1):
        age = (now - instant).total_seconds()
        if not schedule.enabled:
            outcome = "paused"
        elif age > schedule.max_age or (schedule.catch_up == "none" and age > late_s):
            outcome = "expired"
        elif schedule.catch_up != "all" and (more or place < len(instants)):
            outcome = "coalesced"
        else:
            outcome = "run"
        firings.append(Firing(to_us(instant), outcome))
    return firings


def jitter_us(schedule: Schedule, due_us: int) -> int:
    """Return how long what is due at an instant waits, from 0 to the schedule's jitter, in microseconds.

    Every value is equally likely, and the same instant of the same schedule always waits equally long:
    it is a SHA-256 digest of both, as a fraction of its range.
    """
    digest = hashlib.sha256(f"{schedule.name}\n{due_us}".encode()).digest()
    return int.from_bytes(digest) * (round(schedule.jitter * SECOND_US) + 1) >> 8 * len(digest)


def targets(config: Config, schedule: Schedule) -> list[str]:
    """Return what a schedule's action is asked for: games, or the journal."""
    if schedule.action in UPKEEP_ACTIONS:
        return ["journal"]
    return [schedule.game] if schedule.game else list(config.games)


async def accounted_us(reader: Reader, name: str) -> int | None:
    """Return up to when a schedule is accounted for: its last firing, else since when it is known."""
    rows = await reader.rows(
        "SELECT coalesce((SELECT max(due_us) FROM firing WHERE schedule = ?1),"
        " (SELECT since_us FROM schedule WHERE name = ?1)) AS last_us",
        (name,),
    )
    last_us: int | None = rows[0]["last_us"]
    return last_us


async def last_firing_us(reader: Reader, name: str, until_us: int) -> int | None:
    """Return the last instant, up to `until_us`, at which a schedule was due and accounted for."""
    sql = "SELECT max(due_us) AS due_us FROM firing WHERE schedule = ? AND due_us <= ?"
    due_us: int | None = (await reader.rows(sql, (name, until_us)))[0]["due_us"]
    return due_us


class Scheduler:
    """Fires what is due, once each, for as long as it runs."""

    def __init__(self, config: Config, journal: Journal, pulse_s: float = PULSE_S) -> None:
        self.config = config
        """What it lives by; may be replaced at any time and holds from the next tick on."""
        self.changed = asyncio.Event()
        """Set it to have the next tick now."""
        self.pulse_mono_us = journal.clock.mono_us()
        """When it last looked, on the monotonic clock: its sign of life."""
        self._journal = journal
        self._pulse_s = pulse_s
        self._seen: Reading | None = None
        self._first_us: dict[str, int] = {}
        """When a schedule was first seen of which the journal knows nothing, by name."""
        self._back_us: dict[str, int] = {}
        """When the last firing of a schedule was first seen to lie far in the future, by name."""

    async def run(self) -> None:
        """Tick for ever: whenever something is due or has changed, and at least at every pulse."""
        clock = self._journal.clock
        while True:
            self.changed.clear()
            self.pulse_mono_us = clock.mono_us()  # even where the database fails what follows
            await self._watch_clock()
            upcoming = [*await self.tick(), *await self._expire()]
            waits = [(due - from_us(clock.now_us())).total_seconds() for due in upcoming]
            await wait_for(clock, self.changed, max(0.01, min([self._pulse_s, *waits])))

    async def tick(self) -> list[datetime]:
        """Record every instant that has become due since the last firing, and ask for what is to run.

        Returns when each schedule will be due next.
        """
        config, clock = self.config, self._journal.clock
        while True:
            self.pulse_mono_us = clock.mono_us()
            now = from_us(clock.now_us())
            following = [await self._account(config, schedule, now) for schedule in config.schedules]
            upcoming = [instant for instant in following if instant is not None]
            if all(instant > now for instant in upcoming):
                return upcoming

    async def _account(self, config: Config, schedule: Schedule, now: datetime) -> datetime | None:
        """Record the first instants that have become due; return the first that is not accounted for."""
        store, name, now_us = self._journal.store, schedule.name, to_us(now)
        last_us = await accounted_us(store, name)
        if last_us is None:
            last_us = self._first_us.setdefault(name, now_us)
        void_after_us = None
        if last_us <= now_us + AHEAD_US:
            self._back_us.pop(name, None)
        else:
            # Nothing is voided before something is due in its place: if it is the present clock that is
            # wrong, it may be set right until then.
            void_after_us = self._back_us[name] = min(now_us, self._back_us.get(name, now_us))
            last_us = await last_firing_us(store, name, void_after_us) or void_after_us
        instants, following = due_instants(schedule.trigger(), from_us(last_us), now, CHUNK)
        more = following is not None and following <= now
        firings = outcomes(schedule, instants, now, 2 * self._pulse_s, more=more)
        if firings:
            await self._journal.record(partial(_fire, config, schedule, firings, void_after_us))
        return following

    async def _expire(self) -> list[datetime]:
        """Expire the proposals that nobody has answered in time; return when the next one expires.

        One that is made meanwhile is noticed at the next pulse, which is shorter than any is given.
        """
        store, clock = self._journal.store, self._journal.clock
        expires_us = await intents.next_expiry_us(store)
        if expires_us is not None and expires_us <= clock.now_us():
            expired = await self._journal.record(intents.expire_proposals)
            logger.bind(action="schedule").info("proposals that expired unanswered: {}", expired)
            expires_us = await intents.next_expiry_us(store)
        return [] if expires_us is None else [from_us(expires_us)]

    async def _watch_clock(self) -> None:
        """Journal it when the machine slept, or when the wall clock was set, since the last look."""
        seen = Reading.of(self._journal.clock)
        if self._seen is not None:
            slept_s, stepped_s = seen.slept_s(self._seen), seen.stepped_s(self._seen)
            if max(slept_s, abs(stepped_s)) > STEP_S:
                await self._journal.record(partial(_report, slept_s, stepped_s))
        self._seen = seen


def _report(slept_s: float, stepped_s: float, tx: Transaction) -> None:
    log = logger.bind(action="clock")
    if slept_s > STEP_S:
        log.warning("the machine slept for {:.0f} s", slept_s)
        tx.append("clock.suspended", {"for_s": round(slept_s, 3)})
    if abs(stepped_s) > STEP_S:
        log.warning("the clock was set by {:+.0f} s", stepped_s)
        tx.append("clock.stepped", {"by_s": round(stepped_s, 3)})


def _fire(
    config: Config, schedule: Schedule, firings: Sequence[Firing], void_after_us: int | None, tx: Transaction
) -> None:
    log = logger.bind(action="schedule")
    if void_after_us is not None:
        log.warning("{} had gone ahead with a wrong clock; it goes on from now", schedule.name)
        tx.append("schedule.rewound", {"schedule": schedule.name, "after_us": void_after_us})
    for firing in firings:
        payload = {"schedule": schedule.name, "due_us": firing.due_us, "outcome": firing.outcome}
        event = tx.append("schedule.fired", payload)
        if firing.outcome != "run":
            continue
        late_s = (tx.now_us() - firing.due_us) / SECOND_US
        log.info("{} is due ({:.1f} s late)", schedule.name, late_s)
        due_us = max(tx.now_us(), firing.due_us + jitter_us(schedule, firing.due_us))
        for target in targets(config, schedule):
            intents.request(tx, schedule.action, target, {}, event.seq, due_us)
