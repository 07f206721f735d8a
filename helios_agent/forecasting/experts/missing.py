"""The missing ball: one main ball cannot be drawn, as a cracked one that never rises."""

from __future__ import annotations

from helios_agent.forecasting.experts.ball import Ball
from helios_agent.forecasting.history import Matrix


class Missing(Ball):
    """Believes that one ball weighs nothing, until it is drawn."""

    def __init__(self, matrix: Matrix, lead: tuple[int, ...] = ()) -> None:
        super().__init__(matrix, lead, {0.0: 1.0})
