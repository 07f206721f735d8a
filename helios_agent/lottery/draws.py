"""What a draw is, and when one is valid under the rules of its day."""

from dataclasses import dataclass
from datetime import date
from typing import NoReturn

from helios_agent import errors
from helios_agent.lottery import games

MULTIPLIER_MAX = 10
"""The largest multiplier either game has drawn. A larger one means that columns were confused."""


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw of one game, under its nominal date.

    `whites` stand in the order drawn if `ordered`, and ascending if not. `multiplier` is None where
    none was drawn (or none was told).
    """

    game: str
    day: date
    whites: tuple[int, ...]
    bonus: int
    multiplier: int | None
    ordered: bool

    def same_balls(self, other: "Draw") -> bool:
        """Return whether both hold the same white balls, in any order, and the same bonus ball."""
        return sorted(self.whites) == sorted(other.whites) and self.bonus == other.bonus


def validate(game: games.Game, draw: Draw) -> None:
    """Return if `draw` can have happened in `game`; else raise `DrawInvalid`.

    The message names game, date, field, value and what was expected.
    """
    if draw.game != game.name:
        _refuse(draw, "game", repr(draw.game), repr(game.name))
    era = game.era_at(draw.day)
    weekdays = game.weekdays_at(draw.day)
    if draw.day.weekday() not in weekdays:
        expected = " or ".join(games.WEEKDAY_NAMES[weekday] for weekday in weekdays)
        _refuse(draw, "day", f"a {games.WEEKDAY_NAMES[draw.day.weekday()]}", expected)
    if len(draw.whites) != era.pick:
        _refuse(draw, "whites", f"{len(draw.whites)} balls {draw.whites}", f"{era.pick} balls")
    for place, ball in enumerate(draw.whites, start=1):
        if not 1 <= ball <= era.white:
            _refuse(draw, f"white ball {place}", str(ball), f"1 to {era.white}")
        if ball in draw.whites[: place - 1]:
            _refuse(draw, f"white ball {place}", f"{ball} again", f"{era.pick} different balls")
    if not draw.ordered and list(draw.whites) != sorted(draw.whites):
        _refuse(draw, "whites", str(draw.whites), "ascending balls where the drawn order is not known")
    if not 1 <= draw.bonus <= era.bonus:
        _refuse(draw, "bonus ball", str(draw.bonus), f"1 to {era.bonus}")
    if draw.multiplier is not None and not 1 <= draw.multiplier <= MULTIPLIER_MAX:
        _refuse(draw, "multiplier", str(draw.multiplier), f"none, or 1 to {MULTIPLIER_MAX}")


def _refuse(draw: Draw, field: str, value: str, expected: str) -> NoReturn:
    raise errors.DrawInvalid(f"{draw.game} {draw.day}: {field} is {value}; expected {expected}")
