"""The games Helios knows, with every set of rules they were played under.

An era is a span with one matrix (so many white balls, so many bonus balls): the unit over which
draws may be counted together. The weekdays of the draws change at other times than the matrix
(Powerball added Mondays in 2021 and kept its balls), so they stand beside the eras, not in them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from types import MappingProxyType

from helios_agent import errors

MON, TUE, WED, FRI, SAT = 0, 1, 2, 4, 5
WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Era:
    """The rules from the draw of `start` until the next era's first draw.

    `white` and `bonus` are the numbers of balls in the two drums, `pick` how many white balls are
    drawn, `price` that of one line in US dollars.
    """

    start: date
    white: int
    bonus: int
    price: int
    pick: int = 5

    @property
    def name(self) -> str:
        """The era's name: the ISO date of its first draw."""
        return self.start.isoformat()


@dataclass(frozen=True, slots=True)
class Game:
    """A lottery game: when and where it is drawn, and its eras, oldest first.

    `days` holds pairs (from this date on, these weekdays), oldest first; weekdays are Python's,
    Monday being 0. `draw_time` is the nominal time of a draw in `timezone`; the last tickets for it are sold
    `sales_end` before that.
    """

    name: str
    title: str
    timezone: str
    draw_time: time
    sales_end: timedelta
    days: tuple[tuple[date, tuple[int, ...]], ...]
    eras: tuple[Era, ...]

    def era_at(self, day: date) -> Era:
        """Return the era whose rules hold on `day`; raise `DrawInvalid` before the first era."""
        for era in reversed(self.eras):
            if era.start <= day:
                return era
        raise errors.DrawInvalid(
            f"{self.name} {day}: day is before the game's first draw; expected {self.eras[0].start} or later"
        )

    def weekdays_at(self, day: date) -> tuple[int, ...]:
        """Return the weekdays on which draws were held around `day`; empty before the first draw."""
        for start, weekdays in reversed(self.days):
            if start <= day:
                return weekdays
        return ()


POWERBALL = Game(
    name="powerball",
    title="Powerball",
    timezone="America/New_York",
    draw_time=time(22, 59),
    sales_end=timedelta(hours=1),  # one to two hours, by state
    days=((date(1992, 4, 22), (WED, SAT)), (date(2021, 8, 23), (MON, WED, SAT))),
    eras=(
        Era(date(1992, 4, 22), white=45, bonus=45, price=1),
        Era(date(1997, 11, 5), white=49, bonus=42, price=1),
        Era(date(2002, 10, 9), white=53, bonus=42, price=1),
        Era(date(2005, 8, 31), white=55, bonus=42, price=1),
        Era(date(2009, 1, 7), white=59, bonus=39, price=1),
        Era(date(2012, 1, 18), white=59, bonus=35, price=2),
        Era(date(2015, 10, 7), white=69, bonus=26, price=2),
    ),
)

MEGAMILLIONS = Game(
    name="megamillions",
    title="Mega Millions",
    timezone="America/New_York",
    draw_time=time(23, 0),
    sales_end=timedelta(minutes=15),  # a quarter of an hour to two hours, by state
    days=((date(2002, 5, 17), (TUE, FRI)),),
    eras=(
        Era(date(2002, 5, 17), white=52, bonus=52, price=1),
        Era(date(2005, 6, 24), white=56, bonus=46, price=1),
        Era(date(2013, 10, 22), white=75, bonus=15, price=1),
        Era(date(2017, 10, 31), white=70, bonus=25, price=2),
        Era(date(2025, 4, 8), white=70, bonus=24, price=5),
    ),
)

SIMULATED = Game(
    name="simulated",
    title="Simulated lottery",
    timezone="America/New_York",
    draw_time=time(22, 59),
    sales_end=timedelta(hours=1),
    days=((date(2000, 1, 1), (MON, WED, SAT)),),
    eras=(Era(date(2000, 1, 1), white=35, bonus=10, price=0),),
)
"""Nobody plays it: its draws come from a machine of known make, so that Helios itself can be tried."""

GAMES: Mapping[str, Game] = MappingProxyType(
    {each.name: each for each in (POWERBALL, MEGAMILLIONS, SIMULATED)}
)


def game(name: str) -> Game:
    """Return the game called `name`; raise `NotFound` naming the games there are."""
    try:
        return GAMES[name]
    except KeyError:
        raise errors.NotFound(f"game is {name!r}; expected one of: {', '.join(sorted(GAMES))}") from None
