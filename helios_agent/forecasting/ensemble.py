"""An ensemble whose weights are learned by Bayes' rule from the draws before each draw.

Bayes' rule over *single* forecasters, as in the served mixture, can in total never gain more than the best
of them. So the hypotheses here are the ensembles themselves: each gives the K forecasters constant weights w,
and gains log Σ_k w_k exp(g_k) on a draw on which they gain g_k, which is exactly what the mixture of their
distributions gains. The prior holds half on the K forecasters alone, and half on a lattice of all other
weights; before each draw the ensemble's weights are the posterior mean. This is the universal portfolio of
T. M. Cover (1991, Mathematical Finance 1(1), 1-29) with a finite prior, which needs no integral: it gains at
most -log p less than any hypothesis of prior p, though which one is best is known only afterwards.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

MOST_MEMBERS = 20
MOST_HYPOTHESES = 1000
FINEST = 20
"""No lattice has more steps from weight 0 to weight 1."""


@dataclass(frozen=True)
class Walk:
    """What an ensemble did.

    gains: (T,), nats over uniform on each draw, by the weights learned from the draws before it.
    weights: (K,), for the next draw; they sum to 1.
    hindsight: (K,), the constant weights of the lattice that would have gained most: hindsight_nats.
    """

    gains: Floats
    weights: Floats
    hindsight: Floats
    hindsight_nats: float


def hypotheses(members: int) -> Floats:
    """Return the weights, (M, K), that an ensemble of K members may have: those of single members first."""
    if not 1 <= members <= MOST_MEMBERS:
        raise ValueError(f"members are {members}; expected 1 to {MOST_MEMBERS}")
    steps = max(n for n in range(1, FINEST + 1) if n == 1 or comb(n + members - 1, n) <= MOST_HYPOTHESES)
    # Each way to put bars between steps: what lies between two bars is one member's weight.
    bars = np.array([*combinations(range(steps + members - 1), members - 1)], dtype=np.int64)
    ends = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, steps + members - 1)))
    lattice = (np.diff(ends, axis=1) - 1) / steps
    return np.concatenate([np.eye(members), lattice[lattice.max(axis=1) < 1.0]])


def walk(gains: ArrayLike) -> Walk:
    """Walk an ensemble through the gains of its members, (T, K), in nats. Raises ValueError unless finite."""
    values = np.asarray(gains, dtype=np.float64)
    if values.ndim != 2 or not np.isfinite(values).all():
        raise ValueError("gains are not finite numbers of nats, one row a draw and one column a member")
    members = values.shape[1]
    weights = hypotheses(members)
    single = np.arange(len(weights)) < members
    share = 0.5 if len(weights) > members else 1.0
    log_prior = np.log(np.where(single, share / members, (1.0 - share) / max(1, len(weights) - members)))
    totals, made = np.zeros(len(weights)), np.zeros(len(values))
    wealth = _log_sum(log_prior)
    for t, row in enumerate(values):
        highest = row.max()
        with np.errstate(divide="ignore"):  # a member that held the draw for all but impossible
            totals += highest + np.log(weights @ np.exp(row - highest))
        before, wealth = wealth, _log_sum(log_prior + totals)
        made[t] = wealth - before
    posterior = np.exp(log_prior + totals - wealth)
    best = int(totals.argmax())
    return Walk(made, posterior @ weights, weights[best], float(totals[best]))


def _log_sum(terms: Floats) -> float:
    highest = terms.max()
    return float(highest + np.log(np.exp(terms - highest).sum()))
