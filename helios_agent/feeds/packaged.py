"""The draws that come with the program: `helios_agent/lottery/history/*.csv`."""

from importlib import resources
from importlib.resources.abc import Traversable

from helios_agent import errors
from helios_agent.feeds import table
from helios_agent.feeds.reports import FeedReport
from helios_agent.lottery import games

SOURCE = "packaged"


def exist(game: games.Game) -> bool:
    """Return whether draws of `game` are packaged with Helios."""
    return _file(game).is_file()


def read(game: games.Game) -> FeedReport:
    """Return the packaged draws of `game`, balls in the order drawn; raise `NotFound` if it has none."""
    try:
        text = _file(game).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise errors.NotFound(f"no draws of {game.name!r} are packaged with Helios") from None
    return table.parse(game, text, SOURCE)


def _file(game: games.Game) -> Traversable:
    return resources.files("helios_agent.lottery.history") / f"{game.name}.csv"
