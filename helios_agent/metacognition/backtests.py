"""What a backtest found, put together from what its jobs measured: values that are ready for JSON.

Pure: the same accounts give the same report.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helios_agent.forecasting import evidence, mixture
from helios_agent.forecasting.experts import WATCHES_FOR

SUMMARISED = (
    "draws", "total_gain_nats", "mean_gain_nats", "mean_low_nats", "mean_high_nats", "anytime_p",
    "drawdown_nats",
)  # fmt: skip


@dataclass(frozen=True)
class Span:
    """What was walked: the draws of `days` (ISO dates, oldest first) of one era of a game."""

    game: str
    title: str
    era: str
    white: int
    bonus: int
    pick: int
    days: tuple[str, ...]


def report(
    span: Span,
    accounts: Mapping[str, Mapping[str, Any]],
    broken: Mapping[str, str],
    networks: Mapping[str, Any],
    level: float,
    stopped: bool,
) -> dict[str, Any]:
    """Return the report of a backtest.

    accounts: what each forecaster did, by name: see `forecasting.accounts`. broken: which forecasters failed,
    and why; an expert was uniform from then on, a network said no more. networks: the settings of those that
    are networks. level: the largest expected share of fair ones among the forecasters that are `found` to
    gain, by e-BH over all that could gain. Who did not come to the end of the span is not judged: perhaps it
    was stopped for what it had gained, on draws that are not the first ones.
    """
    whole = {name: account for name, account in accounts.items() if account["draws"] == len(span.days)}
    log_e_values = {n: float(a["total_gain_nats"]) for n, a in whole.items() if n != mixture.UNIFORM}
    alarm_nats = math.log(max(1, len(log_e_values)) / level)
    found = evidence.e_bh(log_e_values, level)
    made = {
        "game": span.game,
        "title": span.title,
        "era": span.era,
        "white": span.white,
        "bonus": span.bonus,
        "pick": span.pick,
        "from": span.days[0],
        "to": span.days[-1],
        "draws": len(span.days),
        "stopped": stopped,
        "level": level,
        "alarm_nats": alarm_nats,
        "visible_gain_nats": alarm_nats / len(span.days) if whole else None,
        "found": found,
        "networks": dict(networks),
        "broken": dict(broken),
        "days": list(span.days),
        "forecasters": [
            {"name": name, "watches_for": _watches_for(name), **account} for name, account in accounts.items()
        ],
    }
    return made | {"verdict": verdict(made)}


def summary(made: Mapping[str, Any]) -> dict[str, Any]:
    """Return a report in short: no list in it is longer than the forecasters are many."""
    return {
        **{
            name: made[name]
            for name in ("draws", "stopped", "broken", "visible_gain_nats", "found", "verdict")
        },
        "forecasters": {
            each["name"]: {name: each[name] for name in SUMMARISED} for each in made["forecasters"]
        },
    }


def verdict(made: Mapping[str, Any]) -> str:
    """Say in plain words what was found, or that nothing was, and how small a gain would have shown."""
    title, found = made["title"], made["found"]
    span = f"{made['draws']:,} draws of {title} from {made['from']} to {made['to']}"
    cut = "The backtest was stopped before its end. " if made["stopped"] else ""
    whole = {each["name"] for each in made["forecasters"] if each["draws"] == made["draws"]}
    asked = dict.fromkeys([*(each["name"] for each in made["forecasters"]), *made["networks"]])
    unjudged = [name for name in asked if name not in whole]
    if unjudged:
        cut += f"Not judged, for want of the rest of the span: {', '.join(unjudged)}. "
    if made["visible_gain_nats"] is None:
        return f"{cut}So nothing can be said."
    if found:
        gained = {each["name"]: each["total_gain_nats"] for each in made["forecasters"]}
        names = " and ".join(f"{name} ({gained[name]:+.2f} nats)" for name in found)
        return (
            f"{cut}In {span}, more was gained on chance than a fair machine allows: by {names}. "
            "The forecasts were made now; that they were not chosen with the draws in view, nobody can check."
        )
    return (
        f"{cut}Nothing was found in {span}: none of the forecasters gained more on chance than a fair "
        f"machine allows. One that gained {made['visible_gain_nats']:.4f} nats a draw on average would have "
        "been found."
    )


def _watches_for(name: str) -> str:
    if name == mixture.MIXTURE:
        return "all that the experts watch for, together"
    return WATCHES_FOR.get(name, "whatever a network can learn")
