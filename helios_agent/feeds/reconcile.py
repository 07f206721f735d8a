"""Compare what sources say with what is stored: what is new, what agrees, what is in dispute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from helios_agent.feeds.reports import FeedReport, RejectedRow
from helios_agent.lottery.draws import Draw


@dataclass(frozen=True, slots=True)
class Sighting:
    """A draw and the source that told of it."""

    draw: Draw
    source: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """A source claims other balls for `day` than are stored. What is stored stays."""

    day: date
    stored: Draw
    stored_source: str
    claimed: Draw
    claimed_source: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """The outcome. `new` and `disputes` ascend by day; `confirmed` counts the claims that agreed."""

    new: tuple[Sighting, ...]
    disputes: tuple[Dispute, ...]
    rejected: tuple[RejectedRow, ...]
    confirmed: int


def reconcile(
    known: Mapping[date, Draw], known_source: Mapping[date, str], reports: Sequence[FeedReport]
) -> Reconciliation:
    """Return what `reports`, all of one game, add to the draws `known` and where they contradict them.

    The order of `reports` is their precedence: a new day's draw is that of the first report which
    tells of it, and a later report that differs disputes it, just as if it had been stored.
    Only balls are compared: sources differ in the order they give and in the multiplier.
    """
    held = {day: Sighting(draw, known_source[day]) for day, draw in known.items()}
    new: dict[date, Sighting] = {}
    disputes: list[Dispute] = []
    confirmed = 0
    for report in reports:
        for draw in report.draws:
            stored = held.get(draw.day)
            if stored is None:
                held[draw.day] = new[draw.day] = Sighting(draw, report.source)
            elif draw.same_balls(stored.draw):
                confirmed += 1
            else:
                disputes.append(Dispute(draw.day, stored.draw, stored.source, draw, report.source))
    return Reconciliation(
        new=tuple(sighting for _, sighting in sorted(new.items(), key=lambda item: item[0])),
        disputes=tuple(sorted(disputes, key=lambda dispute: dispute.day)),
        rejected=tuple(row for report in reports for row in report.rejected),
        confirmed=confirmed,
    )
