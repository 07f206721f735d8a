"""Draws as a table: CSV with the columns of the packaged history.

`draw_date,ball1,ball2,ball3,ball4,ball5,bonus,multiplier`; the names of the columns may stand in the first
line, and the multiplier may be empty or left out. Balls are taken to be in the order drawn, unless they
ascend in every row.
"""

from dataclasses import replace
from datetime import date
from functools import partial

from helios_agent import errors
from helios_agent.feeds import rows
from helios_agent.feeds.reports import FeedReport
from helios_agent.lottery import games
from helios_agent.lottery.draws import Draw

COLUMNS = (7, 8)
FIRST_COLUMN = "draw_date"


def parse(game: games.Game, text: str, source: str) -> FeedReport:
    """Read the CSV's `text`, row by row; raise `FeedMalformed` if no row of it can be read."""
    lines = enumerate(text.removeprefix("\ufeff").splitlines(), start=1)
    filled = [(line, row) for line, row in lines if row.strip() and not _names_columns(row, line)]
    if not filled:
        raise errors.FeedMalformed(f"{source}: there is no row; expected the draws of {game.title} as CSV")
    report = rows.collect(source, game, ((line, row, partial(_read_row, game, row)) for line, row in filled))
    if any(list(draw.whites) != sorted(draw.whites) for draw in report.draws):
        return report
    return replace(report, draws=tuple(replace(draw, ordered=False) for draw in report.draws))


def _names_columns(row: str, line: int) -> bool:
    return line == 1 and row.strip().startswith(FIRST_COLUMN)


def _read_row(game: games.Game, row: str) -> Draw:
    fields = [field.strip() for field in row.split(",")]
    if len(fields) not in COLUMNS:
        raise ValueError(f"row has {len(fields)} fields; expected 7 or 8")
    day, *balls = fields[:6]
    return Draw(
        game=game.name,
        day=_day(day),
        whites=tuple(rows.whole_number(f"white ball {place}", ball) for place, ball in enumerate(balls, 1)),
        bonus=rows.whole_number("bonus ball", fields[6]),
        multiplier=rows.multiplier("".join(fields[7:])),
        ordered=True,
    )


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"draw_date is {rows.shorten(text)!r}; expected a date like 2010-02-03") from None
