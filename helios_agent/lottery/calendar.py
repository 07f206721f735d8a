"""When draws are held.

Days are nominal draw days. A draw that was delayed to the next morning, as that of 2022-11-07 was,
keeps the day it was announced for.
"""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from helios_agent.lottery import games

DAY = timedelta(days=1)


def draw_instant(game: games.Game, day: date) -> datetime:
    """Return the nominal instant of a draw on `day`, in UTC."""
    local = datetime.combine(day, game.draw_time, tzinfo=ZoneInfo(game.timezone))
    return local.astimezone(UTC)


def sales_close(game: games.Game, day: date) -> datetime:
    """Return the instant, in UTC, after which nobody can buy a ticket for the draw on `day`."""
    return draw_instant(game, day) - game.sales_end


def is_draw_day(game: games.Game, day: date) -> bool:
    """Return whether the game's calendar holds a draw on `day`."""
    return day.weekday() in game.weekdays_at(day)


def next_draw_day(game: games.Game, after: datetime) -> date:
    """Return the first draw day whose instant is strictly later than `after` (an aware datetime)."""
    day = max(_local_day(game, after), game.days[0][0])
    while not (is_draw_day(game, day) and draw_instant(game, day) > after):
        day += DAY
    return day


def era_now(game: games.Game, now: datetime) -> games.Era:
    """Return the rules of the first draw that is strictly later than `now` (an aware datetime)."""
    return game.era_at(next_draw_day(game, now))


def draw_days(game: games.Game, first: date, last: date) -> list[date]:
    """Return the draw days from `first` to `last`, both included, ascending."""
    found = []
    for (start, weekdays), (end, _) in pairwise((*game.days, (date.max, ()))):
        span = range(max(first, start).toordinal(), min(last, end - DAY).toordinal() + 1)
        found += [date.fromordinal(day) for day in span if (day - 1) % 7 in weekdays]  # day 1 was a Monday
    return found


def expected_days(game: games.Game, first: date, now: datetime) -> list[date]:
    """Return the draw days from `first` on whose instant is not later than `now` (an aware datetime)."""
    today = _local_day(game, now)
    return [day for day in draw_days(game, first, today) if day < today or draw_instant(game, day) <= now]


def _local_day(game: games.Game, instant: datetime) -> date:
    if instant.tzinfo is None:
        raise ValueError(f"{instant!r} has no time zone")
    return instant.astimezone(ZoneInfo(game.timezone)).date()
