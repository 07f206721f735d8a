"""Which backups to keep: the newest of each of the last days, weeks and months."""

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Rotation:
    """Of how many days, weeks (from Monday) and months, in UTC, a backup is kept. At least one day's is."""

    daily: int
    weekly: int
    monthly: int

    def __post_init__(self) -> None:
        if self.daily < 1 or self.weekly < 0 or self.monthly < 0:
            raise ValueError(f"{self}: daily must be at least 1, weekly and monthly at least 0")


def kept(made: Iterable[datetime], rotation: Rotation) -> set[datetime]:
    """Return which of the backups made then are to be kept.

    Only days, weeks and months that have a backup count, so nothing is lost by not making any.
    """
    newest_first = sorted(made, reverse=True)
    return {
        *_newest_of_each(newest_first, _day, rotation.daily),
        *_newest_of_each(newest_first, _week, rotation.weekly),
        *_newest_of_each(newest_first, _month, rotation.monthly),
    }


def _newest_of_each(
    newest_first: list[datetime], period: Callable[[datetime], Hashable], count: int
) -> list[datetime]:
    newest: dict[Hashable, datetime] = {}
    for instant in newest_first:
        newest.setdefault(period(instant.astimezone(UTC)), instant)
    return list(newest.values())[:count]


def _day(instant: datetime) -> Hashable:
    return instant.date()


def _week(instant: datetime) -> Hashable:
    return instant.isocalendar()[:2]


def _month(instant: datetime) -> Hashable:
    return instant.year, instant.month
