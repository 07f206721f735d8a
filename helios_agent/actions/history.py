"""What several actions read: an era's draws as rows, its ledger, and which eras are still to be scored."""

from datetime import date, datetime

from helios_agent.forecasting.experts import EXPERTS
from helios_agent.forecasting.ledger import Ledger
from helios_agent.journal import draws, forecasts
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Era, Game
from helios_agent.store import Reader


def as_date(day: str) -> date:
    return date.fromisoformat(day)


async def rows_of(store: Reader, rules: Game, era: Era) -> tuple[list[str], list[list[int]]]:
    """Return the days of an era's stored draws, and each draw as [whites…, bonus], oldest first."""
    stored = [
        s.draw
        for s in await draws.stored(store, rules.name, since=era.name)
        if rules.era_at(s.draw.day) == era
    ]
    return [d.day.isoformat() for d in stored], [[*d.whites, d.bonus] for d in stored]


async def ledger_of(store: Reader, rules: Game, era: Era) -> Ledger:
    """Return the ledger of an era after its last scored draw, a new one before the first."""
    state = await forecasts.ledger(store, rules.name, era.name)
    return Ledger.from_record(state.record) if state else Ledger.start(EXPERTS)


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


async def missing_days(store: Reader, rules: Game, now: datetime) -> list[date]:
    """Return the days of draws that were held but are not stored, oldest first.

    The calendar is gone through from the first stored draw of the newest draw's era.
    """
    newest = await draws.newest(store, rules.name, 1)
    if not newest:
        return []
    era = rules.era_at(newest[0].draw.day)
    rows = await store.rows(
        "SELECT day FROM draw WHERE game = ? AND day >= ? ORDER BY day", (rules.name, era.name)
    )
    known = [as_date(row["day"]) for row in rows]
    return sorted(set(calendar.expected_days(rules, known[0], now)) - set(known))
