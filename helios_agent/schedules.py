"""Turn the configured schedules into firings.

APScheduler's triggers say when a schedule is due; the table `firing` remembers what became of every
such instant. At boot and at every tick the due instants are computed anew from the last firing, so a
lost wake-up costs lateness, never a run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from apscheduler.triggers.base import BaseTrigger
from loguru import logger

from helios_agent.clock import SECOND_US, from_us, to_us
from helios_agent.config.model import UPKEEP_ACTIONS, Config, Schedule
from helios_agent.journal import intents
from helios_agent.journal.journal import Journal, Transaction

PULSE_S = 30.0
LATE_S = 2 * PULSE_S
"""An instant found this late was not missed: the scheduler only took its time."""
TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Firing:
    """An instant at which a schedule was due, and what becomes of it."""

    due_us: int
    outcome: str


def due_instants(
    trigger: BaseTrigger, after: datetime, now: datetime
) -> tuple[list[datetime], datetime | None]:
    """Return the instants of a trigger in (after, now], oldest first, and the first one later than now.

    All in UTC: in local time the hour that comes twice in autumn cannot be reckoned with.
    """
    instants: list[datetime] = []
    upcoming = _next(trigger, after)
    while upcoming is not None and upcoming <= now:
        instants.append(upcoming)
        upcoming = _next(trigger, upcoming)
    return instants, upcoming


def _next(trigger: BaseTrigger, after: datetime) -> datetime | None:
    upcoming: datetime | None = trigger.get_next_fire_time(after, after + TICK)
    return None if upcoming is None else upcoming.astimezone(UTC)


def outcomes(schedule: Schedule, instants: Sequence[datetime], now: datetime, late_s: float) -> list[Firing]:
    """Say what becomes of each due instant: run, coalesced into a later one, expired or paused.

    An instant that is at most `late_s` seconds late was not missed. Of those missed, `catch_up` says
    which are run: all, the latest, or none; none that is older than `max_age`.
    """
    firings = []
    for place, instant in enumerate(instants):
        age = (now - instant).total_seconds()
        if not schedule.enabled:
            outcome = "paused"
        elif age > schedule.max_age or (schedule.catch_up == "none" and age > late_s):
            outcome = "expired"
        elif schedule.catch_up != "all" and place < len(instants) - 1:
            outcome = "coalesced"
        else:
            outcome = "run"
        firings.append(Firing(to_us(instant), outcome))
    return firings


class Scheduler:
    """Fires what is due, once each, for as long as it runs."""

    def __init__(self, config: Config, journal: Journal) -> None:
        self._config = config
        self._journal = journal
        self.pulse_mono_us = journal.clock.mono_us()
        """When it last looked, on the monotonic clock: its sign of life."""

    async def run(self) -> None:
        """Tick for ever: whenever something is due, and at least every 30 seconds."""
        clock = self._journal.clock
        while True:
            self.pulse_mono_us = clock.mono_us()
            upcoming = await self.tick()
            waits = [(due - from_us(clock.now_us())).total_seconds() for due in upcoming]
            await clock.sleep(max(0.01, min([PULSE_S, *waits])))

    async def tick(self) -> list[datetime]:
        """Record every instant that has become due since the last firing, and ask for what is to run.

        Returns when each schedule will be due next.
        """
        now = from_us(self._journal.clock.now_us())
        upcoming = []
        for schedule in self._config.schedules:
            after = from_us(await self._last_us(schedule))
            instants, following = due_instants(schedule.trigger(), after, now)
            firings = outcomes(schedule, instants, now, LATE_S)
            if firings:
                await self._journal.record(partial(self._fire, schedule, firings))
            if following is not None:
                upcoming.append(following)
        return upcoming

    async def _last_us(self, schedule: Schedule) -> int:
        """Return up to when a schedule is accounted for: its last firing, else its first boot."""
        rows = await self._journal.store.rows(
            "SELECT coalesce("
            " (SELECT max(due_us) FROM firing WHERE schedule = ?1),"
            " (SELECT min(at_us) FROM event, json_each(event.payload, '$.schedules') AS known"
            "  WHERE kind = 'agent.started' AND known.value = ?1)) AS last_us",
            (schedule.name,),
        )
        last_us: int | None = rows[0]["last_us"]
        return self._journal.clock.now_us() if last_us is None else last_us

    def _fire(self, schedule: Schedule, firings: Sequence[Firing], tx: Transaction) -> None:
        games = [schedule.game] if schedule.game else list(self._config.games)
        targets = ["journal"] if schedule.action in UPKEEP_ACTIONS else games
        for firing in firings:
            payload = {"schedule": schedule.name, "due_us": firing.due_us, "outcome": firing.outcome}
            event = tx.append("schedule.fired", payload)
            if firing.outcome != "run":
                continue
            late_s = (tx.now_us() - firing.due_us) / SECOND_US
            logger.bind(action="schedule").info("{} is due ({:.1f} s late)", schedule.name, late_s)
            for target in targets:
                intents.request(tx, schedule.action, target, {}, event.seq)
