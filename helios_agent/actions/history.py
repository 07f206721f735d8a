"""What several actions read: an era's draws as rows, its ledger, and which eras are still to be scored."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from helios_agent.decisions import catalogue
from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting.detection import Detector
from helios_agent.forecasting.experts import PRIORS
from helios_agent.forecasting.ledger import Ledger
from helios_agent.journal import draws, forecasts
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Era, Game
from helios_agent.store import Reader


def as_date(day: str) -> date:
    return date.fromisoformat(day)


@dataclass(frozen=True)
class EraDraws:
    """The stored draws of an era, oldest first.

    days: ISO dates. rows: [whites…, bonus]. ordered: whether the whites stand in the order drawn. seqs: the
    events that stored them.
    """

    era: Era
    days: Sequence[str]
    rows: Sequence[list[int]]
    ordered: Sequence[bool]
    seqs: Sequence[int]

    def spec(self, count: int | None = None) -> dict[str, Any]:
        """Return the first `count` draws, by default all, as the spec of a job: see `History.from_spec`."""
        return {
            "rows": [*self.rows[:count]],
            "ordered": [*self.ordered[:count]],
            "pick": self.era.pick,
            "white": self.era.white,
            "bonus": self.era.bonus,
        }

    def drawn_again(self, index: int, before_seq: int) -> bool:
        """Return whether draw `index` has the main balls of an earlier draw stored before an event."""
        balls = set(self.rows[index][:-1])
        earlier = zip(self.rows[:index], self.seqs[:index], strict=True)
        return any(seq < before_seq and set(row[:-1]) == balls for row, seq in earlier)


async def of_era(store: Reader, rules: Game, era: Era) -> EraDraws:
    """Return the stored draws of an era."""
    until = next((later.name for later in rules.eras if later.start > era.start), "9999")
    found = await store.rows(
        "SELECT day, whites, bonus, ordered, seq FROM draw"
        " WHERE game = ? AND day >= ? AND day < ? ORDER BY day",
        (rules.name, era.name, until),
    )
    # Every draw asks for all there ever were, several times: so all are read from JSON at once.
    whites = json.loads(f"[{','.join(row['whites'] for row in found)}]")
    return EraDraws(
        era,
        [row["day"] for row in found],
        [[*balls, row["bonus"]] for balls, row in zip(whites, found, strict=True)],
        [bool(row["ordered"]) for row in found],
        [row["seq"] for row in found],
    )


async def ledger_of(store: Reader, rules: Game, era: Era) -> Ledger:
    """Return the ledger of an era after its last scored draw, a new one before the first.

    Once an alert has told of a change, the watch for the next one begins anew.
    """
    state = await forecasts.ledger(store, rules.name, era.name)
    if state is None:
        return Ledger.start(PRIORS)
    ledger = ledgers.admit(Ledger.from_record(state.record), PRIORS)
    told = await store.rows(
        "SELECT 1 FROM event WHERE kind = 'alert.raised' AND seq > ? AND payload->>'about' = ? LIMIT 1",
        (state.seq, catalogue.change_of(rules.name)),
    )
    return replace(ledger, detector=Detector()) if told else ledger


async def eras_to_score(store: Reader, rules: Game) -> list[Era]:
    """Return the eras from the one that the ledger has reached to that of the newest draw.

    A new ledger begins with the era of the newest draw: earlier rules are history, not evidence.
    """
    newest = await draws.newest(store, rules.name, 1)
    if not newest:
        return []
    last = rules.era_at(newest[0].draw.day)
    reached = await store.rows("SELECT max(day) AS day FROM score WHERE game = ?", (rules.name,))
    first = rules.era_at(as_date(reached[0]["day"])) if reached[0]["day"] else last
    return [era for era in rules.eras if first.start <= era.start <= last.start]


async def missing_days(store: Reader, rules: Game, now: datetime, since: date = date.min) -> list[date]:
    """Return the days of draws that were held, on `since` or later, but are not stored, oldest first.

    The calendar is gone through from the first stored draw of the newest draw's era.
    """
    newest = await draws.newest(store, rules.name, 1)
    if not newest:
        return []
    era = rules.era_at(newest[0].draw.day)
    first = await store.rows(
        "SELECT min(day) AS day FROM draw WHERE game = ? AND day >= ?", (rules.name, era.name)
    )
    since = max(since, as_date(first[0]["day"]))
    rows = await store.rows(
        "SELECT day FROM draw WHERE game = ? AND day >= ?", (rules.name, since.isoformat())
    )
    known = {as_date(row["day"]) for row in rows}
    return [day for day in calendar.expected_days(rules, since, now) if day not in known]
