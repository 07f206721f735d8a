"""The Bayesian mixture of all forecasters.

Prior weights are fixed in advance: 1/2 to the uniform forecaster for ever, the rest to the experts and to
a reserve for models that join later. The reserve forecasts uniform until it is taken, so its wealth stays
1 and a newcomer joins exactly as if it had forecast uniform before it existed. With the posterior weights
before each draw, the mixture's cumulative gain over uniform is log Σ_j prior_j exp(gain_j) (N. Cesa-Bianchi &
G. Lugosi 2006, Prediction, Learning, and Games, chapter 9), so it can never fall below log 1/2. In
expectation over a fair machine's draws exp(cumulative gain) stays 1: it is a test martingale.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

UNIFORM = "uniform"
RESERVE = "reserve"
SWITCHING = "switching"
MIXTURE = "mixture"

RESERVE_PRIOR = 0.005
"""Prior weight that is kept for models."""
SWITCH_RATE = 0.002
"""What share of its weights `switch` gives out anew at each draw."""

DECIMALS = 9
_SLACK = 1e-9  # how far sums of prior weights may exceed 1 by rounding


@dataclass(frozen=True)
class Standing:
    """Where one forecaster stands: its prior weight and its cumulative gain over uniform in nats."""

    prior: float
    gain_nats: float

    def __post_init__(self) -> None:
        if not 0.0 < self.prior <= 1.0:
            raise ValueError(f"prior is {self.prior}; expected a weight in (0, 1]")
        if not math.isfinite(self.gain_nats):
            raise ValueError(f"gain_nats is {self.gain_nats}; expected a finite number")


def newcomer_prior(ordinal: int) -> float:
    """Return the prior weight of the `ordinal`-th model (from 1) to join after the experts.

    The m-th takes reserve/(m(m+1)), which leaves reserve/(m+1): room for any number of models.
    """
    if ordinal < 1:
        raise ValueError(f"ordinal is {ordinal}; expected 1 for the first model to join")
    return RESERVE_PRIOR / (ordinal * (ordinal + 1))


def reserve(standings: Mapping[str, Standing]) -> float:
    """Return the prior weight that no forecaster holds. Raises ValueError if they hold more than 1."""
    left = 1.0 - math.fsum(standing.prior for standing in standings.values())
    if left < -_SLACK:
        raise ValueError(f"prior weights sum to {1.0 - left}; expected at most 1")
    return max(left, 0.0)


def log_wealth(standings: Mapping[str, Standing]) -> float:
    """Return log Σ_j prior_j exp(gain_j), the reserve at gain 0: the mixture's cumulative gain, in nats."""
    terms = [math.log(standing.prior) + standing.gain_nats for standing in standings.values()]
    left = reserve(standings)
    if left > 0.0:
        terms.append(math.log(left))
    largest = max(terms)
    return largest + math.log(math.fsum(math.exp(term - largest) for term in terms))


def posterior(standings: Mapping[str, Standing]) -> dict[str, float]:
    """Return the weight of each forecaster now, and of the "reserve"; they sum to 1.

    weight_j ∝ prior_j exp(gain_j). Prior weight that no forecaster holds stays with the reserve.
    """
    if RESERVE in standings:
        raise ValueError(f"standings name a forecaster {RESERVE!r}; expected another name, this one is taken")
    wealth = log_wealth(standings)
    weights = {
        name: math.exp(math.log(standing.prior) + standing.gain_nats - wealth)
        for name, standing in standings.items()
    }
    return weights | {RESERVE: reserve(standings) * math.exp(-wealth)}


def effective(weights: Mapping[str, float], shares: Mapping[str, float]) -> dict[str, float]:
    """Return the mixture's weights with that of the switching forecaster passed on to those it is made of."""
    switching = weights.get(SWITCHING, 0.0)
    return {
        name: weight + switching * shares.get(name, 0.0)
        for name, weight in weights.items()
        if name != SWITCHING
    }


def switch(shares: Floats, priors: Floats, gains: Floats) -> tuple[Floats, Floats]:
    """Return what the switching forecaster gained on a draw, (...), and its shares after it, (..., J).

    It is a mixture of the other J forecasters that forgets: after Bayes' rule a part SWITCH_RATE of all
    shares goes back to the `priors` ((J,), summing to 1), so that one that was bad for long and is good now
    has its say after log(1/SWITCH_RATE) nats. `gains` are (..., J), in nats. M. Herbster & M. K. Warmuth
    (1998), Tracking the best expert, Machine Learning 32, 151-178.
    """
    wealths = shares * np.exp(gains)
    total = wealths.sum(axis=-1)
    return np.log(total), (1.0 - SWITCH_RATE) * wealths / total[..., np.newaxis] + SWITCH_RATE * priors


def rounded(value: float) -> float:
    """Return a figure as every account keeps it."""
    return round(value, DECIMALS) + 0.0  # + 0.0: no minus zero
