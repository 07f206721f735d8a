"""Whether the draws to learn from are one unbroken stretch of one rule era."""

from collections.abc import Sequence
from datetime import date
from itertools import pairwise

from helios_agent.lottery import calendar
from helios_agent.lottery.games import GAMES


def check(game: str, era: str, days: Sequence[str]) -> None:
    """Raise ValueError at the first date that is out of order, of another era or followed by a hole.

    `days` are ISO dates, one a draw; `era` is the date on which its rules began. Of a game that Helios does
    not know, the order alone can be checked.
    """
    dates = [parsed(f"days[{number}]", day) for number, day in enumerate(days)]
    for number, (earlier, later) in enumerate(pairwise(dates)):
        if later <= earlier:
            raise ValueError(f"days[{number + 1}] is {later}; expected a day after {earlier}")
    rules = GAMES.get(game)
    if rules is None or not dates:
        return
    for number in (0, len(dates) - 1):
        if dates[number] < rules.eras[0].start or rules.era_at(dates[number]).name != era:
            raise ValueError(f"days[{number}] is {dates[number]}; expected a day of the era from {era}")
    missing = sorted(set(calendar.draw_days(rules, dates[0], dates[-1])) - set(dates))
    if missing:
        raise ValueError(
            f"days lacks {missing[0]}, on which {rules.title} was drawn"
            + (f", and {len(missing) - 1} others" if missing[1:] else "")
            + "; ingest what is missing"
        )


def parsed(name: str, day: str) -> date:
    """Return an ISO date, or raise ValueError naming the field."""
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise ValueError(f"{name} is {day!r}; expected a date such as 2015-10-07") from None
