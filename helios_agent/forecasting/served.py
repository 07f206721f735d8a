"""What the mixture of a registered forecast says: the forecast that is served.

Whether it means what it says shows in two averages over the k balls of a draw: the inclusion probability that
it expected of them, Σ p_i²/k, and the one that it gave to those drawn, Σ_{i drawn} p_i/k. If the forecast is
right, both have the same mean: k times their difference is half of the Brier score less its own expectation
(D. J. Spiegelhalter 1986, Probabilistic prediction in patient management and clinical trials, Statistics in
Medicine 5, 421-433). Who promises too much expects more than is drawn. Uniform is never wrong here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helios_agent.forecasting import mixture
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.mixture import UNIFORM, rounded

Floats = NDArray[np.float64]


def probabilities(record: Mapping[str, Any]) -> tuple[Floats, Floats]:
    """Return the mixture's probability of each main ball to be drawn, (N,), and of each bonus ball, (B,).

    `record` is a registered forecast. Weight of forecasters that say nothing of this draw counts as uniform;
    one that has none, since an earlier release knew it, counts for nothing.
    """
    weights = mixture.effective(record["weights"], record.get("shares", {}))
    made = {name: Forecast.from_record(r) for name, r in record["forecasters"].items() if name in weights}
    silent = sum(weight for name, weight in weights.items() if name not in made)
    first = next(iter(made.values()))
    uniform = Forecast.uniform(first.white.size, first.bonus.size, first.pick)
    white = silent * uniform.inclusion() + sum(weights[n] * f.inclusion() for n, f in made.items())
    bonus = silent * uniform.bonus_probabilities() + sum(
        weights[n] * f.bonus_probabilities() for n, f in made.items()
    )
    return white, bonus


def calibration(record: Mapping[str, Any], whites: Sequence[int]) -> dict[str, float]:
    """Return the two averages of a draw of `whites`: `expected` and `drawn`, rounded as in the ledger."""
    white, _ = probabilities(record)
    chosen = white[np.asarray(whites) - 1]
    return {
        "expected": rounded(float((white**2).sum()) / len(whites)),
        "drawn": rounded(float(chosen.sum()) / len(whites)),
    }


def disagreement(record: Mapping[str, Any]) -> float | None:
    """Return how far apart the forecasters are on a ball: the standard deviation between them of the
    inclusion probability that they give it, root mean square over the main balls.

    All but uniform count the same, whatever their weight. None for fewer than two.
    """
    made = [Forecast.from_record(r) for name, r in record["forecasters"].items() if name != UNIFORM]
    if len(made) < 2:
        return None
    spread = np.stack([forecast.inclusion() for forecast in made]).std(axis=0)
    return float(np.sqrt((spread**2).mean()))
