"""Reckon the gains of every registered forecast anew, from the journal and the draws alone."""

import json
import math
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence

from helios_agent.forecasting.forecast import Forecast
from helios_agent.simulation.told import Told

DECIMALS = 9
WITHIN = 3e-9
"""Told figures are rounded to nine decimals; a mixture's gain is the difference of two such."""


def wrong(events: Sequence[Told], connection: sqlite3.Connection) -> Iterator[str]:
    """Yield every gain that is not what the registered forecast and the draw give, in words."""
    registered = {event.seq: event for event in events if event.kind == "forecast.registered"}
    balls = {
        row["day"]: (json.loads(row["whites"]), row["bonus"])
        for row in connection.execute("SELECT * FROM draw")
    }
    rows = {(row["day"], row["forecaster"]) for row in connection.execute("SELECT * FROM ledger")}
    totals: dict[str, float] = defaultdict(float)
    for event in events:
        if event.kind not in ("forecast.scored", "history.scored"):
            continue
        told, day = event.payload, event.payload["day"]
        priors = {name: standing["prior"] for name, standing in told["ledger"]["standings"].items()}
        gains = told["gains"]
        if event.kind == "forecast.scored":
            record = registered[told["forecast"]].payload["forecast"]["forecasters"]
            gains = {name: _gain(Forecast.from_record(made), *balls[day]) for name, made in record.items()}
            if gains.keys() != told["gains"].keys() or _apart(gains, told["gains"]):
                yield f"event {event.seq}: the gains on {day} are {gains}, but {told['gains']} is told"
        yield from (
            f"the gain of {name} on {day} is not in the ledger" for name in gains if (day, name) not in rows
        )
        before = _log_wealth(priors, totals)
        for name, gain in gains.items():
            totals[name] += gain
        mixture = _log_wealth(priors, totals) - before
        if abs(mixture - told["mixture_gain"]) > WITHIN:
            yield f"event {event.seq}: the mixture gained {mixture} on {day}, not {told['mixture_gain']}"


def _gain(forecast: Forecast, whites: Sequence[int], bonus: int) -> float:
    fair = Forecast.uniform(forecast.white.size, forecast.bonus.size, forecast.pick)
    return round(forecast.log_score(whites, bonus) - fair.log_score(whites, bonus), DECIMALS)


def _apart(ours: dict[str, float], told: dict[str, float]) -> bool:
    return any(abs(ours[name] - told[name]) > WITHIN for name in ours)


def _log_wealth(priors: dict[str, float], totals: dict[str, float]) -> float:
    """Return the mixture's cumulative gain: what no forecaster holds is kept, as a fair machine would."""
    held = sum(prior * math.exp(totals[name]) for name, prior in priors.items())
    return math.log(held + 1.0 - sum(priors.values()))
