"""What reading rows has in common, whatever the source: nothing is believed before it is checked."""

from collections.abc import Callable, Iterable
from datetime import date

from helios_agent import errors
from helios_agent.feeds.reports import TEXT_MAX, FeedReport, RejectedRow
from helios_agent.lottery import draws, games

DIGITS_MAX = 4

Row = tuple[int, str, Callable[[], draws.Draw]]
"""A row's line (from 1), its text, and what reads it: a call that returns its draw or raises ValueError."""


def whole_number(field: str, text: str) -> int:
    """Return `text` as a number of one to four decimal digits; raise ValueError naming `field`."""
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX):
        raise ValueError(f"{field} is {shorten(text)!r}; expected a whole number")
    return int(digits)


def multiplier(text: str) -> int | None:
    """Return the multiplier that `text` tells, None if it is blank; raise ValueError."""
    return whole_number("multiplier", text) if text.strip() else None


def shorten(text: str) -> str:
    """Return the beginning of `text`, at most `TEXT_MAX` characters."""
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"


def collect(source: str, game: games.Game, rows: Iterable[Row]) -> FeedReport:
    """Read and validate `rows`; keep the good ones, say of each other one why not.

    A day told twice with the same balls is kept once; told with other balls, its later row is
    rejected. Raise `FeedMalformed` if there are rows and none of them can be read as a draw.
    """
    taken: dict[date, tuple[int, draws.Draw]] = {}
    rejected: list[RejectedRow] = []
    readable = False
    for line, text, read in rows:
        try:
            draw = read()
            readable = True
            draws.validate(game, draw)
        except (ValueError, errors.DrawInvalid) as problem:
            rejected.append(RejectedRow(source, line, shorten(text), str(problem)))
            continue
        earlier_line, earlier = taken.setdefault(draw.day, (line, draw))
        if not draw.same_balls(earlier):
            reason = (
                f"{game.name} {draw.day}: balls are {draw.whites} and {draw.bonus}; "
                f"expected {earlier.whites} and {earlier.bonus} as on line {earlier_line}"
            )
            rejected.append(RejectedRow(source, line, shorten(text), reason))
    if rejected and not readable:
        first = rejected[0]
        raise errors.FeedMalformed(
            f"{source}: none of {len(rejected)} rows can be read as a draw of {game.title}; "
            f"line {first.line} is {first.text!r}: {first.reason}"
        )
    ascending = tuple(draw for _, (_, draw) in sorted(taken.items(), key=lambda item: item[0]))
    return FeedReport(source=source, draws=ascending, rejected=tuple(rejected))
