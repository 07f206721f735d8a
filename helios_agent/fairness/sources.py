"""The draws that are audited: those of the database, else those packaged with the program."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from helios_agent.errors import NotFound, Refused
from helios_agent.feeds import packaged
from helios_agent.journal import draws
from helios_agent.journal.draws import StoredDraw
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import Game
from helios_agent.store import Reader


@dataclass(frozen=True)
class Found:
    """Draws of a game, oldest first, and where they are from.

    file: the database they are stored in, None for the packaged ones. told_by: how many each source told of.
    """

    game: Game
    draws: Sequence[Draw]
    file: str | None
    told_by: Mapping[str, int]


async def read(store: Reader, game: Game) -> list[StoredDraw]:
    """Return every stored draw of a game, oldest first."""
    return await draws.stored(store, game.name)


def find(game: Game, stored: Sequence[StoredDraw], database: Path) -> Found:
    """Return the stored draws, else the packaged ones. Raises NotFound where there are none."""
    if stored:
        told_by = Counter(item.source for item in stored)
        return Found(game, [item.draw for item in stored], str(database), told_by)
    if not packaged.exist(game):
        raise NotFound(
            f"game is {game.name!r}, of which {database} holds no draw and none is packaged with Helios; "
            f"expected one with draws (`helios ingest --game {game.name}` asks its feeds)"
        )
    known = sorted(packaged.read(game).draws, key=lambda draw: draw.day)
    return Found(game, known, None, {packaged.SOURCE: len(known)})


def day(option: str, text: str | None) -> date | None:
    """Read the day that an option names. Raises Refused, naming the option, for what is none."""
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        raise Refused(f"{option} is {text!r}; expected a day such as 2026-09-16") from None


def between(found: Found, first: date | None, last: date | None) -> Found:
    """Return the draws from day `first` to day `last`, both included; None for no bound.

    Raises Refused where the days are in the wrong order, NotFound where no draw is between them.
    """
    if first is not None and last is not None and first > last:
        raise Refused(f"--from is {first} and --to is {last}; expected --from not to be after --to")
    held = [d for d in found.draws if (first or date.min) <= d.day <= (last or date.max)]
    if not held:
        raise NotFound(
            f"--from is {first or 'not given'} and --to is {last or 'not given'}, between which no draw of "
            f"{found.game.name} is known; expected days of {found.draws[0].day} to {found.draws[-1].day}"
        )
    return replace(found, draws=held)
