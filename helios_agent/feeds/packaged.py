"""The draws that come with the program: `helios_agent/lottery/history/*.csv`."""

from datetime import date
from functools import partial
from importlib import resources
from importlib.resources.abc import Traversable

from helios_agent import errors
from helios_agent.feeds import rows
from helios_agent.feeds.reports import FeedReport
from helios_agent.lottery import games
from helios_agent.lottery.draws import Draw

SOURCE = "packaged"
COLUMNS = 8
"""draw_date, ball1 to ball5, the bonus ball, the multiplier (may be empty)."""


def exist(game: games.Game) -> bool:
    """Return whether draws of `game` are packaged with Helios."""
    return _file(game).is_file()


def read(game: games.Game) -> FeedReport:
    """Return the packaged draws of `game`, balls in the order drawn; raise `NotFound` if it has none."""
    try:
        text = _file(game).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise errors.NotFound(f"no draws of {game.name!r} are packaged with Helios") from None
    lines = enumerate(text.splitlines()[1:], start=2)
    return rows.collect(SOURCE, game, ((line, row, partial(_read_row, game, row)) for line, row in lines))


def _file(game: games.Game) -> Traversable:
    return resources.files("helios_agent.lottery.history") / f"{game.name}.csv"


def _read_row(game: games.Game, row: str) -> Draw:
    fields = row.split(",")
    if len(fields) != COLUMNS:
        raise ValueError(f"row has {len(fields)} fields; expected {COLUMNS}")
    day, *balls, bonus, multiplier = fields
    return Draw(
        game=game.name,
        day=date.fromisoformat(day),
        whites=tuple(rows.whole_number(f"white ball {place}", ball) for place, ball in enumerate(balls, 1)),
        bonus=rows.whole_number("bonus ball", bonus),
        multiplier=rows.multiplier(multiplier),
        ordered=True,
    )
