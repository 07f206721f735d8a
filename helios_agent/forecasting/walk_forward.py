"""Replay a history as if it were live: forecast, then look, then score."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting.experts import EXPERTS, Expert
from helios_agent.forecasting.history import History
from helios_agent.forecasting.ledger import Ledger, Scored

REPORT_EVERY_DRAWS = 100


def walk_forward(
    history: History, first: int, ledger: Ledger, experts: Mapping[str, Expert] = EXPERTS
) -> Iterator[tuple[int, Scored, Ledger]]:
    """Yield (t, what draw t did, the ledger after it) for t = first..T-1.

    The forecasts of draw t are made from the t draws before it, and rounded as registered ones are.
    """
    if not 0 <= first <= len(history):
        raise ValueError(f"first is {first}; expected 0..{len(history)}, the number of draws")
    for t in range(first, len(history)):
        known = history.before(t)
        forecasts = {name: expert(known).rounded() for name, expert in experts.items()}
        ledger, scored = ledgers.score(ledger, forecasts, history.whites[t].tolist(), int(history.bonus[t]))
        yield t, scored, ledger


def run(spec: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Carry out a walk-forward job described in JSON, reporting {"done": draws, "total": draws} as it goes.

    spec: {"rows": [[main balls…, bonus], …] oldest first, "pick", "white", "bonus": the game's matrix,
    "first": index of the first draw to score, "ledger": record of the ledger before it}.
    Returns {"scored": [one entry per draw]}, nats rounded to 9 decimals; "ledger" is the record of
    the ledger after the draw.
    """
    history = History.from_rows(spec["rows"], spec["pick"], spec["white"], spec["bonus"])
    first = int(spec["first"])
    total = len(history) - first
    entries: list[dict[str, Any]] = []
    for t, scored, ledger in walk_forward(history, first, Ledger.from_record(spec["ledger"])):
        entries.append(
            {
                "index": t,
                "gains": scored.gains,
                "weights": scored.weights,
                "mixture_gain": scored.mixture_gain,
                "ledger": ledger.to_record(),
            }
        )
        if len(entries) % REPORT_EVERY_DRAWS == 0 or len(entries) == total:
            report({"done": len(entries), "total": total})
    return {"scored": entries}
