"""Registered forecasts, their scores and the ledger."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helios_agent.journal import chain
from helios_agent.store import Reader

FOREVER = 1 << 62


@dataclass(frozen=True, slots=True)
class Registered:
    """A forecast that stands in the journal. `record` is the whole of it, as it will be scored.

    `record["forecasters"]` holds log-weights by forecaster, `record["weights"]` the mixture's weights,
    `record["basis"]` what it was made from.
    """

    seq: int
    at_us: int
    game: str
    day: str
    digest: str
    record: Mapping[str, Any]


def digest(record: Mapping[str, Any]) -> str:
    """Return the SHA-256, hex, of a forecast's canonical JSON."""
    return hashlib.sha256(chain.canonical(record).encode()).hexdigest()


async def registered(store: Reader, game: str, day: str, before_us: int | None = None) -> Registered | None:
    """Return the last forecast for a draw that was registered before an instant, or None.

    Before also means earlier in the journal than the draw itself: clocks can be wrong, the chain cannot.
    """
    found = await _registered(
        store,
        "f.game = ? AND f.day = ? AND f.at_us < ? AND f.seq < coalesce("
        "(SELECT d.seq FROM draw d WHERE d.game = f.game AND d.day = f.day), f.seq + 1)",
        (game, day, before_us or FOREVER),
        1,
    )
    return found[0] if found else None


async def recent(store: Reader, game: str, limit: int, before: int | None = None) -> list[Registered]:
    """Return up to `limit` registered forecasts, newest first; `before` is an exclusive bound on seq."""
    # "+": found by seq from the newest on, not all of the game's and then sorted.
    return await _registered(store, "+f.game = ? AND f.seq < ?", (game, before or FOREVER), limit)


async def _registered(store: Reader, where: str, parameters: tuple[Any, ...], limit: int) -> list[Registered]:
    rows = await store.rows(
        "SELECT f.seq, f.at_us, f.game, f.day, f.digest, e.payload FROM forecast f"  # noqa: S608
        f" CROSS JOIN event e ON e.seq = f.seq WHERE {where} ORDER BY f.seq DESC LIMIT ?",
        (*parameters, limit),
    )
    return [
        Registered(
            row["seq"],
            row["at_us"],
            row["game"],
            row["day"],
            row["digest"],
            json.loads(row["payload"])["forecast"],
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Score:
    """What one draw did to the mixture. Gains are log scores less uniform's, in nats.

    `basis` is "registered" where the forecast stood in the journal before sales closed, else "walk-forward":
    replayed over history from earlier draws alone.
    """

    day: str
    era: str
    basis: str
    forecast: int | None
    mixture_gain: float
    mixture_nats: float
    peak_nats: float
    seq: int


SCORE_COLUMNS = "day, era, basis, forecast, mixture_gain, mixture_nats, peak_nats, seq"


async def scores(store: Reader, game: str, era: str) -> list[Score]:
    """Return every score of an era, oldest first."""
    rows = await store.rows(
        f"SELECT {SCORE_COLUMNS} FROM score WHERE game = ? AND era = ? ORDER BY day",  # noqa: S608
        (game, era),
    )
    return [Score(*row) for row in rows]


async def scored_days(store: Reader, game: str, era: str) -> set[str]:
    """Return the days of an era whose draws were scored."""
    rows = await store.rows("SELECT day FROM score WHERE game = ? AND era = ?", (game, era))
    return {row["day"] for row in rows}


async def overstated(store: Reader, game: str, era: str, limit: int) -> list[float]:
    """Return by how much the last registered forecasts of an era promised too much: see `served`."""
    rows = await store.rows(
        "SELECT expected - drawn AS too_much FROM score WHERE game = ? AND era = ? AND expected IS NOT NULL"
        " ORDER BY day DESC LIMIT ?",
        (game, era, limit),
    )
    return [row["too_much"] for row in rows]


async def meant(store: Reader, game: str, era: str, limit: int) -> list[tuple[float, float]]:
    """Return what the last registered forecasts of an era expected and gave, oldest first: see `served`."""
    rows = await store.rows(
        "SELECT expected, drawn FROM score WHERE game = ? AND era = ? AND expected IS NOT NULL"
        " ORDER BY day DESC LIMIT ?",
        (game, era, limit),
    )
    return [(row["expected"], row["drawn"]) for row in reversed(rows)]


async def gains_of(
    store: Reader, game: str, era: str, forecaster: str, after: int, limit: int
) -> list[float]:
    """Return what a forecaster gained on the last draws scored after an event, newest first, nats."""
    rows = await store.rows(
        "SELECT ledger.gain_nats FROM score CROSS JOIN ledger USING (game, day)"
        " WHERE score.game = ? AND score.era = ? AND score.seq > ? AND ledger.forecaster = ?"
        " ORDER BY score.day DESC LIMIT ?",
        (game, era, after, forecaster, limit),
    )
    return [row["gain_nats"] for row in rows]


async def scores_of(store: Reader, game: str, days: list[str]) -> dict[str, Score]:
    """Return the scores of some days."""
    rows = await store.rows(
        f"SELECT {SCORE_COLUMNS} FROM score WHERE game = ? AND day IN (SELECT value FROM json_each(?))",  # noqa: S608
        (game, json.dumps(days)),
    )
    return {row["day"]: Score(*row) for row in rows}


@dataclass(frozen=True, slots=True)
class LedgerState:
    """The ledger after its last draw: that draw's day, the state as a record, and the event of the score."""

    day: str
    record: Mapping[str, Any]
    seq: int


async def ledger(store: Reader, game: str, era: str, upto: int = FOREVER) -> LedgerState | None:
    """Return the ledger of an era after its last draw that was scored up to an event; None before any."""
    rows = await store.rows(
        "SELECT day, ledger, seq FROM score WHERE game = ? AND era = ? AND seq <= ?"
        " ORDER BY day DESC LIMIT 1",
        (game, era, upto),
    )
    return LedgerState(rows[0]["day"], json.loads(rows[0]["ledger"]), rows[0]["seq"]) if rows else None


@dataclass(frozen=True, slots=True)
class Standing:
    """One forecaster's account over an era: draws it forecast, its gain over uniform, its last weight."""

    forecaster: str
    draws: int
    gain_nats: float
    weight: float


async def standings(store: Reader, game: str, era: str) -> list[Standing]:
    """Return the account of every forecaster of an era, the one with the largest gain first."""
    rows = await store.rows(
        "SELECT l.forecaster, count(*) AS draws, sum(l.gain_nats) AS gain_nats,"
        " (SELECT w.weight FROM ledger w JOIN score v USING (game, day)"
        "  WHERE w.game = ?1 AND v.era = ?2 AND w.forecaster = l.forecaster"
        "  ORDER BY w.day DESC LIMIT 1) AS weight"
        " FROM ledger l JOIN score s USING (game, day) WHERE l.game = ?1 AND s.era = ?2"
        " GROUP BY l.forecaster ORDER BY gain_nats DESC, l.forecaster",
        (game, era),
    )
    return [Standing(**dict(row)) for row in rows]


async def gains(
    store: Reader, game: str, era: str, forecasters: Sequence[str] | None = None
) -> dict[str, dict[str, float]]:
    """Return what each forecaster, or each of some, gained on every draw of an era that it forecast.

    In nats over uniform, by forecaster, in the order of their names, and by day.
    """
    rows = await store.rows(
        "SELECT l.forecaster, l.day, l.gain_nats FROM ledger l JOIN score s USING (game, day)"
        " WHERE l.game = ?1 AND s.era = ?2"
        " AND (?3 IS NULL OR l.forecaster IN (SELECT value FROM json_each(?3))) ORDER BY l.forecaster, l.day",
        (game, era, None if forecasters is None else json.dumps([*forecasters])),
    )
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["forecaster"], {})[row["day"]] = row["gain_nats"]
    return found
