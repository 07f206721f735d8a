"""Settings that decisions have changed: factors of what is configured, by game."""

from collections.abc import Iterable, Mapping

from helios_agent.errors import Refused
from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader, Row

BOUNDS: Mapping[str, tuple[float, float]] = {
    "learning_rate": (1 / 16, 4.0),
    "retrain_after_draws": (1 / 4, 8.0),
    "evaluation_draws": (1.0, 8.0),
}
"""What may be changed, and the least and the greatest factor."""

_OF_GAME = "SELECT name, factor FROM parameter WHERE game = ? AND factor <> 1 ORDER BY name"


def check(name: str, factor: object) -> float:
    """Return the factor of a setting. Raises Refused, naming what is expected, where it may not be that."""
    if name not in BOUNDS:
        raise Refused(f"name is {name!r}; expected one of: {', '.join(BOUNDS)}")
    least, greatest = BOUNDS[name]
    if isinstance(factor, int | float) and not isinstance(factor, bool) and least <= factor <= greatest:
        return float(factor)
    raise Refused(f"factor is {factor!r}; expected a number from {least:g} to {greatest:g} for {name}")


def factors(tx: Transaction, game: str) -> dict[str, float]:
    """Return the factors of a game that are not 1, by the name of the setting."""
    return _by_name(tx.rows(_OF_GAME, (game,)))


async def read(store: Reader, game: str) -> dict[str, float]:
    """Return what `factors` does, outside a transaction."""
    return _by_name(await store.rows(_OF_GAME, (game,)))


def _by_name(rows: Iterable[Row]) -> dict[str, float]:
    return {row["name"]: row["factor"] for row in rows}
