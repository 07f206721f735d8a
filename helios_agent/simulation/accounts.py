"""Reckon the gains of every registered forecast anew, from the journal and the draws alone."""

import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.mixture import SWITCH_RATE, SWITCHING
from helios_agent.simulation.told import Told
from helios_agent.store import Row

DECIMALS = 9
WITHIN = 3e-9
"""Told figures are rounded to nine decimals; a mixture's gain is the difference of two such."""
SWITCHED_WITHIN = 1e-6
"""The shares of the switching forecaster are rounded, too."""


def wrong(events: Sequence[Told], connection: sqlite3.Connection) -> Iterator[str]:
    """Yield every gain that is not what the registered forecast and the draw give, in words."""
    registered = {event.seq: event for event in events if event.kind == "forecast.registered"}
    stored = connection.execute("SELECT * FROM draw ORDER BY day").fetchall()
    rows = {(row["day"], row["forecaster"]) for row in connection.execute("SELECT * FROM ledger")}
    totals: dict[str, float] = defaultdict(float)
    shares: dict[str, float] = {}
    for event in events:
        if event.kind not in ("forecast.scored", "history.scored"):
            continue
        told, day = event.payload, event.payload["day"]
        priors = {name: standing["prior"] for name, standing in told["ledger"]["standings"].items()}
        gains = {name: gain for name, gain in told["gains"].items() if name != SWITCHING}
        if event.kind == "forecast.scored":
            record = registered[told["forecast"]].payload["forecast"]["forecasters"]
            ours = {name: _gain(made, stored, day, told["forecast"]) for name, made in record.items()}
            if ours.keys() != gains.keys() or _apart(ours, gains):
                yield f"event {event.seq}: the gains on {day} are {ours}, but {gains} is told"
        switched, shares = _switch(shares, priors, gains)
        if abs(switched - told["gains"][SWITCHING]) > SWITCHED_WITHIN:
            yield f"event {event.seq}: {SWITCHING} gained {switched} on {day}, not {told['gains'][SWITCHING]}"
        gains = told["gains"]
        yield from (
            f"the gain of {name} on {day} is not in the ledger" for name in gains if (day, name) not in rows
        )
        before = _log_wealth(priors, totals)
        for name, gain in gains.items():
            totals[name] += gain
        mixture = _log_wealth(priors, totals) - before
        if abs(mixture - told["mixture_gain"]) > WITHIN:
            yield f"event {event.seq}: the mixture gained {mixture} on {day}, not {told['mixture_gain']}"


def _gain(record: Mapping[str, Any], stored: Sequence[Row], day: str, registered_seq: int) -> float:
    balls = {row["day"]: json.loads(row["whites"]) for row in stored}
    (drawn,) = [row for row in stored if row["day"] == day]
    again = any(
        sorted(balls[row["day"]]) == sorted(balls[day])
        for row in stored
        if row["day"] < day and row["seq"] < registered_seq
    )
    forecast = Forecast.from_record(record)
    return round(forecast.gain(balls[day], drawn["bonus"], bool(drawn["ordered"]), again), DECIMALS)


def _switch(
    shares: dict[str, float], priors: dict[str, float], gains: dict[str, float]
) -> tuple[float, dict[str, float]]:
    """Return what the forecaster that switches between the others gained, and its shares after that."""
    others = {name: prior for name, prior in priors.items() if name != SWITCHING}
    held = shares or others
    grown = {name: held.get(name, 0.0) * math.exp(gains.get(name, 0.0)) for name in others}
    total = sum(grown.values())
    moved = {
        name: (1.0 - SWITCH_RATE) * grown[name] / total + SWITCH_RATE * prior / sum(others.values())
        for name, prior in others.items()
    }
    return math.log(total / sum(held.values())), moved


def _apart(ours: dict[str, float], told: dict[str, float]) -> bool:
    return any(abs(ours[name] - told[name]) > WITHIN for name in ours)


def _log_wealth(priors: dict[str, float], totals: dict[str, float]) -> float:
    """Return the mixture's cumulative gain: what no forecaster holds is kept, as a fair machine would."""
    held = sum(prior * math.exp(totals[name]) for name, prior in priors.items())
    return math.log(held + 1.0 - sum(priors.values()))
