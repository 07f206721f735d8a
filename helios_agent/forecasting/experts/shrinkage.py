"""Ball weights from counts, held close to those of a fair machine.

The main balls carry log-weights theta with a N(0, SPREAD²) prior each. To second order around the fair
machine the log-likelihood of n draws is Σ theta_i (c_i - nk/N) - ½ n λ Σ theta_i², λ = k(N-k)/(N(N-1))
being the Fisher information per draw of one centred log-weight, so the posterior mode is

    theta_i = (c_i - nk/N) / (nλ + 1/SPREAD²),

which sums to zero because the counts c_i sum to nk. The bonus ball has the posterior mean under a
symmetric Dirichlet prior with BONUS_PRIOR draws per ball.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History

SPREAD = 0.1  # prior standard deviation of a main ball's log-weight, nats
BONUS_PRIOR = 20.0  # prior draws per bonus ball


def shrunk_forecast(history: History, worth: NDArray[np.float64]) -> Forecast:
    """Forecast from counts in which draw t counts `worth[t]` times; `worth` is (T,)."""
    N, k = history.white_count, history.pick
    draws = worth.sum()
    white_counts = np.bincount(history.whites.ravel() - 1, weights=np.repeat(worth, k), minlength=N)
    bonus_counts = np.bincount(history.bonus - 1, weights=worth, minlength=history.bonus_count)
    information = draws * k * (N - k) / (N * max(N - 1, 1))
    theta = (white_counts - draws * k / N) / (information + 1.0 / SPREAD**2)
    return Forecast(theta, np.log1p(bonus_counts / BONUS_PRIOR), k)
