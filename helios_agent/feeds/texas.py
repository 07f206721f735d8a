"""The Texas Lottery's CSV: the whole history in one file, balls in the order drawn.

It has no header. A row reads `Powerball,2,3,2010,37,52,22,36,17,24,2`: the game's title, month, day,
year, five white balls, the bonus ball, the multiplier (empty where none was drawn).
"""

from datetime import date
from functools import partial

from helios_agent import errors
from helios_agent.feeds import rows
from helios_agent.feeds.reports import FeedReport
from helios_agent.lottery import games
from helios_agent.lottery.draws import Draw

SOURCE = "texas"


def parse(game: games.Game, text: str, source: str = SOURCE) -> FeedReport:
    """Read the CSV's `text`, row by row; raise `FeedMalformed` if no row of it can be read."""
    lines = enumerate(text.removeprefix("\ufeff").splitlines(), start=1)
    filled = [(line, row) for line, row in lines if row.strip()]
    if not filled:
        raise errors.FeedMalformed(
            f"{source}: the answer is empty; expected the draws of {game.title} as CSV"
        )
    return rows.collect(source, game, ((line, row, partial(_read_row, game, row)) for line, row in filled))


def _read_row(game: games.Game, row: str) -> Draw:
    fields = [field.strip() for field in row.split(",")]
    if len(fields) == 10:
        fields.append("")
    if len(fields) != 11:
        raise ValueError(f"row has {len(fields)} fields; expected 10 or 11")
    title, month, day, year, *balls, bonus, multiplier = fields
    if title != game.title:
        raise ValueError(f"game is {rows.shorten(title)!r}; expected {game.title!r}")
    return Draw(
        game=game.name,
        day=_day(year, month, day),
        whites=tuple(rows.whole_number(f"white ball {place}", ball) for place, ball in enumerate(balls, 1)),
        bonus=rows.whole_number("bonus ball", bonus),
        multiplier=rows.multiplier(multiplier),
        ordered=True,
    )


def _day(year: str, month: str, day: str) -> date:
    numbers = [
        rows.whole_number(field, text) for field, text in (("year", year), ("month", month), ("day", day))
    ]
    try:
        return date(*numbers)
    except ValueError as problem:
        raise ValueError(f"date is {month}/{day}/{year}; expected a month, day and year: {problem}") from None
