"""Replay a history as if it were live: forecast, then look, then score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helios_agent.forecasting import experts, mixture
from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting.experts import PRIORS
from helios_agent.forecasting.forecast import log_ratios
from helios_agent.forecasting.history import Drawn, History, Matrix, drawn_again
from helios_agent.forecasting.ledger import Ledger, Scored
from helios_agent.forecasting.panel import Panel

Floats = NDArray[np.float64]

REPORT_EVERY_DRAWS = 100


def walk_forward(
    history: History, first: int, ledger: Ledger, panel: Panel
) -> Iterator[tuple[int, Scored, Ledger]]:
    """Yield (t, what draw t did, the ledger after it) for t = first..T-1.

    The forecasts of draw t are made from the t draws before it, and rounded as registered ones are. `panel`
    has taken in the draws before `first`.
    """
    if not 0 <= first <= len(history):
        raise ValueError(f"first is {first}; expected 0..{len(history)}, the number of draws")
    for t in range(first, len(history)):
        made, drawn = panel.forecasts(), history.draw(t)
        gains = log_ratios([*made.values()], drawn).tolist()
        ledger, scored = ledgers.score(ledger, dict(zip(made, gains, strict=True)))
        panel.update(drawn)
        yield t, scored, ledger


def run(spec: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Carry out a walk-forward job described in JSON, reporting {"done": draws, "total": draws} as it goes.

    spec: see `History.from_spec`, and "first": index of the first draw to score, "ledger": record of the
    ledger before it.
    Returns {"scored": [one entry per draw], "broken": {expert: what failed}}, nats rounded to 9 decimals;
    "ledger" is the record of the ledger after the draw.
    """
    history = History.from_spec(spec)
    first = int(spec["first"])
    total = len(history) - first
    panel = Panel.after(history.before(min(first, len(history))))
    entries: list[dict[str, Any]] = []
    for t, scored, ledger in walk_forward(history, first, Ledger.from_record(spec["ledger"]), panel):
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
    return {"scored": entries, "broken": panel.broken}


def evidence_of_runs(
    whites: NDArray[np.int64], bonus: NDArray[np.int64], ordered: bool, matrix: Matrix
) -> Floats:
    """Return the mixture's cumulative gain after each draw of independent runs, shape (runs, draws), in nats.

    For the arguments see `gains_of_runs`.
    """
    return mixed(gains_of_runs(whites, bonus, ordered, matrix))


def gains_of_runs(
    whites: NDArray[np.int64], bonus: NDArray[np.int64], ordered: bool, matrix: Matrix
) -> dict[str, Floats]:
    """Return what each forecaster gains on each draw of independent runs, by name, (runs, draws), in nats.

    whites: (runs, draws, k) and bonus: (runs, draws), 1-based. What `walk_forward` computes for one history,
    without rounding, for many at once.
    """
    runs, draws, _ = whites.shape
    again = np.array([drawn_again(run) for run in whites])
    members = experts.start(matrix, (runs,))
    priors = np.array([PRIORS[name] for name in members])
    shares = np.broadcast_to(priors / priors.sum(), (runs, len(members)))
    made = {name: np.empty((runs, draws)) for name in PRIORS}
    for t in range(draws):
        drawn = Drawn(whites[:, t], bonus[:, t], np.full(runs, ordered), again[:, t])
        gains = np.moveaxis(log_ratios([expert.forecast() for expert in members.values()], drawn), 0, -1)
        for name, gain, expert in zip(members, gains.T, members.values(), strict=True):
            made[name][:, t] = gain
            expert.update(drawn)
        made[mixture.SWITCHING][:, t], shares = mixture.switch(shares, priors / priors.sum(), gains)
    return made


def mixed(gains: Mapping[str, Floats]) -> Floats:
    """Return the mixture's cumulative gain after each draw, (..., draws), in nats, from all gains on them."""
    evidence: Any = math.log(1.0 - sum(PRIORS.values()))
    for name, gain in gains.items():
        evidence = np.logaddexp(evidence, math.log(PRIORS[name]) + np.cumsum(gain, axis=-1))
    return np.asarray(evidence, dtype=np.float64)
