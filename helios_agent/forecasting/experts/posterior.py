"""Belief in finitely many ways to be unfair, and in a fair machine, that never gives any of them up."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FAIR = 0.05
"""Prior belief that nothing is wrong with the machine after all."""
CHANGE_RATE = 0.001
"""How much belief goes back to where it began, at each draw: a machine changes once in a thousand draws."""


class Posterior:
    """Bayesian weights of hypotheses about the machine, with a fixed share for changes.

    shares: (..., H) float64, of each hypothesis; fair: (...), of a fair machine. They sum to 1. After each
    draw every weight is multiplied by its hypothesis' likelihood ratio, and a share of CHANGE_RATE of the
    whole is given out anew as at the beginning (M. Herbster & M. K. Warmuth 1998, Tracking the best expert,
    Machine Learning 32, 151-178): what came true late has not lost all belief before.
    """

    def __init__(self, prior: ArrayLike, lead: tuple[int, ...], fair: float = FAIR) -> None:
        weights = np.asarray(prior, dtype=np.float64)
        self._prior, self._prior_fair = (1.0 - fair) * weights / weights.sum(), fair
        self.shares: Floats = np.broadcast_to(self._prior, (*lead, *weights.shape)).copy()
        self.fair: Floats = np.full(lead, fair)

    def update(self, ratios: Floats) -> None:
        """Take in a draw: `ratios` ((..., H)) are its likelihoods over that of a fair machine."""
        shares = self.shares * ratios
        kept = (1.0 - CHANGE_RATE) / (shares.sum(axis=-1) + self.fair)
        self.fair = self.fair * kept + CHANGE_RATE * self._prior_fair
        shares *= kept[..., np.newaxis]
        shares += CHANGE_RATE * self._prior
        self.shares = shares
