"""Foresee what the schedules will fire, and say why."""

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from helios_agent import schedules
from helios_agent.clock import SECOND_US, from_us, iso, to_us
from helios_agent.config.model import Config, Schedule
from helios_agent.errors import Refused
from helios_agent.store import Reader

DEFAULT_AHEAD = timedelta(days=7)
LONGEST_AHEAD = timedelta(days=3660)


@dataclass(frozen=True, slots=True)
class Planned:
    """An instant at which a schedule will be due. `jitter_us` later its action is done."""

    due_us: int
    schedule: Schedule
    targets: tuple[str, ...]
    jitter_us: int
    reason: str

    @property
    def local(self) -> datetime:
        return from_us(self.due_us).astimezone(ZoneInfo(self.schedule.timezone))

    def as_record(self) -> dict[str, Any]:
        """Return it as it is shown outside."""
        return {
            "at": iso(self.due_us),
            "local": self.local.isoformat(),
            "timezone": self.schedule.timezone,
            "schedule": self.schedule.name,
            "action": self.schedule.action,
            "targets": list(self.targets),
            "jitter_s": self.jitter_us / SECOND_US,
            "paused": not self.schedule.enabled,
            "reason": self.reason,
        }


def end_of(until: str | None, now: datetime) -> datetime:
    """Return the instant up to which to foresee: that of a date, in UTC, or a week ahead.

    A day counts to its end. Raises Refused for what is no date, is past or is too far ahead.
    """
    if until is None:
        return now + DEFAULT_AHEAD
    try:
        end = _parse(until)
    except (ValueError, OverflowError) as error:
        raise Refused(
            f"--until {until!r}: expected a day like 2026-11-02, or an instant like 2026-11-02T06:00Z"
        ) from error
    if end <= now:
        raise Refused(f"--until {until!r} is past: it is {now:%Y-%m-%d %H:%M} UTC; name a later date")
    if end > now + LONGEST_AHEAD:
        raise Refused(f"--until {until!r}: expected a date at most {LONGEST_AHEAD.days} days ahead")
    return end


def _parse(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC) + timedelta(days=1)
    except ValueError:
        instant = datetime.fromisoformat(text)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)


async def accounted(reader: Reader, config: Config) -> dict[str, int | None]:
    """Return schedule → up to when it is accounted for, None where the journal does not know it."""
    return {s.name: await schedules.accounted_us(reader, s.name) for s in config.schedules}


def foresee(
    config: Config, last_us: Mapping[str, int | None], now: datetime, end: datetime, limit: int
) -> dict[str, Any]:
    """Return what will be due in (now, end], in order, at most `limit` of it, as a record.

    `last_us` tells up to when each schedule is accounted for, as `accounted` returns it.
    """
    plans = [_plan(config, s, last_us.get(s.name), now, end) for s in config.schedules]
    found = list(islice(heapq.merge(*plans, key=lambda planned: planned.due_us), limit + 1))
    return {
        "until": iso(to_us(end)),
        "firings": [planned.as_record() for planned in found[:limit]],
        "more": len(found) > limit,
    }


def _plan(
    config: Config, schedule: Schedule, last_us: int | None, now: datetime, end: datetime
) -> Iterator[Planned]:
    if last_us is not None and last_us > to_us(now) + schedules.AHEAD_US:
        last_us = None
    trigger, last = schedule.trigger(), now if last_us is None else from_us(last_us)
    if schedule.cron is not None:
        rhythm = f'cron "{schedule.cron}"'
    elif last_us is None:
        rhythm = f"every {schedule.every:g} s from now on: no firing of it is known"
    else:
        rhythm = f"every {schedule.every:g} s since {iso(last_us)}"
    targets = tuple(schedules.targets(config, schedule))
    instant = trigger.resumed(last, now)
    while instant is not None and instant <= end:
        due_us = to_us(instant)
        jitter_us = schedules.jitter_us(schedule, due_us)
        jitter = f"jitter +{jitter_us / SECOND_US:.0f} s" if schedule.jitter else None
        paused = None if schedule.enabled else "paused"
        reason = "; ".join(filter(None, [rhythm, trigger.note(instant), jitter, paused]))
        yield Planned(due_us, schedule, targets, jitter_us, reason)
        instant = trigger.following(instant)


def as_text(seen: Mapping[str, Any]) -> str:
    """Render `foresee` for a terminal."""
    if not seen["firings"]:
        return f"Nothing will be due until {seen['until']}."
    lines = [_line(firing) for firing in seen["firings"]]
    if seen["more"]:
        lines.append(f"… and more until {seen['until']}: ask for it with --limit")
    return "\n".join(lines)


def _line(firing: Mapping[str, Any]) -> str:
    utc = datetime.fromisoformat(firing["at"])
    local = utc.astimezone(ZoneInfo(firing["timezone"]))
    what = " ".join([firing["action"], *firing["targets"]])
    return (
        f"{local:%a %Y-%m-%d %H:%M:%S %Z}  {utc:%Y-%m-%d %H:%M:%S} UTC  {firing['schedule']:<24}"
        f" {what:<24} {firing['reason']}"
    )
