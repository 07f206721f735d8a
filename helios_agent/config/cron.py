"""When a schedule is due: cron lines as cron means them, and intervals of elapsed time.

All instants are in UTC: in local time the hour that comes twice in autumn cannot be reckoned with.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from typing import Protocol
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)


class Trigger(Protocol):
    """Says at which instants something is due."""

    def following(self, after: datetime) -> datetime | None:
        """Return the first instant later than `after`, None if there is none."""

    def resumed(self, last: datetime, now: datetime) -> datetime | None:
        """Return the first instant later than `now`, where `last` was the last one."""

    def note(self, instant: datetime) -> str | None:
        """Say what is out of the ordinary about an instant at which it is due, if anything."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Due again and again after the same elapsed time, whatever the clocks on the wall do."""

    every: timedelta

    def following(self, after: datetime) -> datetime:
        return after + self.every

    def resumed(self, last: datetime, now: datetime) -> datetime:
        return last + self.every * max(1, (now - last) // self.every + 1)

    def note(self, instant: datetime) -> None:
        return None


@dataclass(frozen=True, slots=True)
class Cron:
    """Due when the clocks on the wall of a zone show what a cron line says.

    A line whose minute or hour begins with `*` is due whenever they show it: twice where that comes
    twice, never where it does not exist. Any other line names times of day: it is due once for each
    of them, the first time where it comes twice, at the end of the gap where it does not exist.
    """

    zone: ZoneInfo
    follows_elapsed_time: bool
    _days: tuple[CronTrigger, ...]
    """In UTC, as if UTC were the clock on the wall. Due when one of them is."""

    def following(self, after: datetime) -> datetime | None:
        if self.follows_elapsed_time:
            return self._following_elapsed(after)
        found = self._following_wall(after)
        return None if found is None else found[0]

    def resumed(self, last: datetime, now: datetime) -> datetime | None:
        return self.following(max(last, now))

    def note(self, instant: datetime) -> str | None:
        shown = instant.astimezone(self.zone)
        if not self.follows_elapsed_time:
            found = self._following_wall(instant - TICK)
            if found is not None and found[1] != shown.replace(tzinfo=UTC):
                return f"{found[1]:%H:%M} does not exist that day: at the end of the gap"
        if shown.replace(fold=0).utcoffset() != shown.replace(fold=1).utcoffset():
            which = "both times" if self.follows_elapsed_time else "the first"
            return f"{shown:%H:%M} comes twice that day: {which}"
        return None

    def _following_wall(self, after: datetime) -> tuple[datetime, datetime] | None:
        """Return the first instant later than `after`, and the wall time it stands for."""
        wall = self._next_shown(after + _offset(self.zone, after))
        while wall is not None:
            instant = _first_instant(self.zone, wall)
            if instant > after:
                return instant, wall
            wall = self._next_shown(wall)
        return None

    def _following_elapsed(self, after: datetime) -> datetime | None:
        begin = after + TICK
        while True:
            offset = _offset(self.zone, begin)
            wall = self._next_shown(begin + offset - TICK)
            if wall is None:
                return None
            change = next(_changes(self.zone, begin, wall - offset), None)
            if change is None:
                return wall - offset
            begin = change

    def _next_shown(self, wall: datetime) -> datetime | None:
        found = (days.get_next_fire_time(wall, wall + TICK) for days in self._days)
        return min((shown for shown in found if shown is not None), default=None)


@lru_cache(maxsize=256)
def trigger(line: str, timezone: str) -> Cron:
    """Return the trigger of a five-field cron line in a time zone. Raises ValueError when unreadable."""
    fields = line.lower().split()
    if len(fields) != 5:
        raise ValueError(
            f"a cron line has 5 fields (minute hour day month week-day), this one has {len(fields)}"
        )
    minute, hour, day, month, weekday = fields
    month = _number_months(month)
    for name, field in {"minute": minute, "hour": hour, "day": day, "month": month}.items():
        if not re.fullmatch(r"(\*|\d+(-\d+)?)(/\d+)?(,(\*|\d+(-\d+)?)(/\d+)?)*", field):
            raise ValueError(f"{name} {field!r} is not a list of numbers, ranges and steps")
    days = [(day, _name_weekdays(weekday))]
    if not day.startswith("*") and not weekday.startswith("*"):
        days = [(day, "*"), ("*", days[0][1])]
    triggers = [CronTrigger.from_crontab(f"{minute} {hour} {d} {month} {w}", UTC) for d, w in days]
    ever = [t for t in triggers if t.get_next_fire_time(None, datetime(2000, 1, 1, tzinfo=UTC)) is not None]
    if not ever:
        raise ValueError(f"there is no day {day} in month {month}: this would never be due")
    return Cron(ZoneInfo(timezone), minute.startswith("*") or hour.startswith("*"), tuple(ever))


def _number_months(field: str) -> str:
    def number(name: re.Match[str]) -> str:
        if name[0] not in MONTHS:
            raise ValueError(f"month {name[0]!r} is neither 1 to 12 nor one of {', '.join(MONTHS)}")
        return str(MONTHS.index(name[0]) + 1)

    return re.sub(r"[a-z]+", number, field)


def _name_weekdays(field: str) -> str:
    """Return a week-day field in names: APScheduler counts week-days from Monday, cron from Sunday."""
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.split(","):
        match = re.fullmatch(r"(\*|\w+(?:-\w+)?)(?:/([1-9]))?", part)
        if match is None:
            raise ValueError(f"week-day {part!r} is not a day, a range or a step")
        span, step = match[1], int(match[2] or 1)
        first, _, last = ("0-6" if span == "*" else span).partition("-")
        start, end = _weekday(first), _weekday(last or first)
        length = end - start if end >= start else end - start + 7
        days.update((start + offset) % 7 for offset in range(0, length + 1, step))
    return ",".join(WEEKDAYS[day] for day in sorted(days))


def _weekday(text: str) -> int:
    if text in WEEKDAYS:
        return WEEKDAYS.index(text)
    if text.isdigit() and int(text) <= 7:
        return int(text)
    raise ValueError(
        f"week-day {text!r} is neither 0 to 7 (0 and 7 are Sunday) nor one of {', '.join(WEEKDAYS)}"
    )


def _offset(zone: ZoneInfo, instant: datetime) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta()


def _first_instant(zone: ZoneInfo, wall: datetime) -> datetime:
    """Return the first instant at which the clocks of a zone show a wall time, or have left it out."""
    shown = wall.replace(tzinfo=zone)
    instant = shown.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=UTC) == wall:
        return instant
    # For a time in a gap, fold=1 is reckoned from after the gap and so lies before it.
    return next(_changes(zone, shown.replace(fold=1).astimezone(UTC), instant))


def _changes(zone: ZoneInfo, low: datetime, high: datetime) -> Iterator[datetime]:
    """Yield the instants in (low, high] at which the clocks of a zone are set to another offset from UTC.

    They are set at whole seconds. Two changes within one day would be seen as one, or none.
    """
    while low < high:
        end, before = min(low + DAY, high), _offset(zone, low)
        if _offset(zone, end) != before:
            seconds = range(int(low.timestamp()) + 1, int(end.timestamp()) + 1)
            changed = bisect_left(seconds, True, key=partial(_differs, zone, before))
            yield datetime.fromtimestamp(seconds[changed], UTC)
        low = end


def _differs(zone: ZoneInfo, before: timedelta, second: int) -> bool:
    return _offset(zone, datetime.fromtimestamp(second, UTC)) != before
