"""New York's open data sets, as JSON over Socrata's API, balls ascending.

Powerball's rows read `{"draw_date": "2010-02-03T00:00:00.000", "winning_numbers": "17 22 36 37 52 24",
"multiplier": "2"}`, the sixth number being the Powerball; Mega Millions' have five numbers and a
`mega_ball`. The API answers at most 1,000 rows unless told otherwise, and in no promised order, so a
reading goes page by page in the order of the dates.
"""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial

from helios_agent import errors
from helios_agent.feeds import rows
from helios_agent.feeds.reports import FeedReport
from helios_agent.lottery import games
from helios_agent.lottery.draws import Draw

SOURCE = "new-york"
PAGE_ROWS = 1000
BONUS_FIELD: Mapping[str, str] = {"megamillions": "mega_ball"}
"""The bonus ball's own field, for the games that have one; else it ends the winning numbers."""

_DATE = re.compile(r"(\d{4}-\d{2}-\d{2})(T[\d:.]+)?", re.ASCII)


def query(offset: int, since: date | None) -> dict[str, str]:
    """Return the query of the page that begins at row `offset` (from 0) of the draws from `since` on."""
    page = {"$order": "draw_date", "$limit": str(PAGE_ROWS), "$offset": str(offset)}
    if since is not None:
        page["$where"] = f"draw_date >= '{since.isoformat()}T00:00:00'"
    return page


def records(text: str, source: str = SOURCE) -> list[object]:
    """Return the rows of one page; raise `FeedMalformed` if it is not a JSON array."""
    try:
        page: object = json.loads(text)
    except (ValueError, RecursionError):
        page = None
    if not isinstance(page, list):
        raise errors.FeedMalformed(
            f"{source}: the answer is not a JSON array; it begins {rows.shorten(text)!r}"
        )
    return page


def parse(game: games.Game, text: str, source: str = SOURCE) -> FeedReport:
    """Read one page of JSON; raise `FeedMalformed` if it holds rows and none can be read."""
    return parse_records(game, records(text, source), source)


def parse_records(game: games.Game, found: Sequence[object], source: str = SOURCE) -> FeedReport:
    """Read rows that `records` returned; a rejected row's line is its place among them, from 1."""
    numbered = enumerate(found, start=1)
    return rows.collect(
        source,
        game,
        ((line, json.dumps(record), partial(_read_record, game, record)) for line, record in numbered),
    )


def _read_record(game: games.Game, record: object) -> Draw:
    if not isinstance(record, dict):
        raise ValueError(f"row is a {type(record).__name__}; expected an object")
    numbers = _field(record, "winning_numbers").split()
    bonus_field = BONUS_FIELD.get(game.name)
    if bonus_field is not None:
        bonus = _field(record, bonus_field)
    elif numbers:
        bonus = numbers.pop()
    else:
        raise ValueError("winning_numbers is empty; expected the balls, separated by spaces")
    whites = (rows.whole_number(f"white ball {place}", ball) for place, ball in enumerate(numbers, 1))
    return Draw(
        game=game.name,
        day=_day(_field(record, "draw_date")),
        whites=tuple(sorted(whites)),
        bonus=rows.whole_number("bonus ball", bonus),
        multiplier=rows.multiplier(_field(record, "multiplier", default="")),
        ordered=False,
    )


def _field(record: Mapping[object, object], name: str, default: str | None = None) -> str:
    found = record.get(name)
    if found is None and default is not None:
        return default
    if not isinstance(found, str):
        raise ValueError(f"{name} is {rows.shorten(repr(found))}; expected text")
    return found


def _day(text: str) -> date:
    found = _DATE.fullmatch(text)
    if found is None:
        raise ValueError(f"draw_date is {rows.shorten(text)!r}; expected a date like 2010-02-03T00:00:00.000")
    try:
        return date.fromisoformat(found[1])
    except ValueError as problem:
        raise ValueError(f"draw_date is {text!r}; expected a date that exists: {problem}") from None
