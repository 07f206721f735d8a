"""One machine of each make, fair and unfair, to try things on."""

from __future__ import annotations

import math

import numpy as np

from helios_agent.forecasting.history import Matrix
from helios_agent.simulation import drums, generators
from helios_agent.simulation.machines import ChangePoint, Machine


def scenarios(matrix: Matrix, change_at: int = 200) -> dict[str, Machine]:
    """Return machines of all makes by name, the fair one first; `change_at` is for those that change.

    Most of them are unfair enough to be found in some years of draws. Raises ValueError where one of them
    cannot be made: `matrix` should have more bonus balls than `pick`, and more white balls than bonus balls.
    """
    N, k = matrix.white, matrix.pick
    slope = np.linspace(-0.5, 0.5, N)
    not_first = np.where(np.arange(N) > N - k, -np.inf, 0.0)
    fair = drums.fair(matrix)
    missing = drums.missing_ball(matrix, math.ceil(N / 2))
    return {
        "fair": fair,
        "one ball x2": drums.weighted_balls(matrix, [1], 2.0),
        "two balls x10": drums.weighted_balls(matrix, [4, 6], 10.0),
        "half the balls x1.3": drums.weighted_balls(matrix, range(1, N // 2 + 1), 1.3),
        "missing ball": missing,
        "high balls": drums.tilted(matrix, 1.0),
        "bonus ball x2": drums.weighted_bonus(matrix, [1], 2.0),
        "random weights": drums.RandomWeights(matrix, 0.2),
        "drift": drums.Drift(matrix, 0.2, half_life_draws=200.0, every_draws=10),
        "ball sets": drums.BallSets(matrix, np.stack([slope, -slope])),
        "sticky": generators.Lagged(matrix, 2.0),
        "avoiding": generators.Lagged(matrix, 0.0),
        "repeats": generators.Repeats(matrix, 0.05),
        "positions": generators.Positional(matrix, not_first),
        "unique": generators.Unique(matrix),
        "dated": generators.Dated(matrix, every_draws=50, outcomes=3),
        "changed to missing ball": ChangePoint(fair, missing, change_at),
        "changed matrix": ChangePoint(fair, drums.fair(Matrix(N + 1, matrix.bonus, k)), change_at),
        "misread bonus ball": generators.Misread(matrix, (change_at,)),
        "misread white ball": generators.Misread(matrix, (change_at,), white=True),
    }
