"""Cron lines as cron means them, on APScheduler's trigger."""

import re
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def trigger(line: str, timezone: str) -> CronTrigger:
    """Return the trigger of a five-field cron line in a time zone. Raises ValueError when unreadable.

    APScheduler counts week-days from Monday, cron from Sunday; the week-day field is therefore
    translated to names first, so that 0 and 7 are Sunday and 1 is Monday.
    """
    fields = line.split()
    if len(fields) != 5:
        raise ValueError(
            f"a cron line has 5 fields (minute hour day month week-day), this one has {len(fields)}"
        )
    fields[4] = _name_weekdays(fields[4])
    return CronTrigger.from_crontab(" ".join(fields), ZoneInfo(timezone))


def _name_weekdays(field: str) -> str:
    if field == "*":
        return field
    days: set[int] = set()
    for part in field.lower().split(","):
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
