"""The missing ball: one main ball cannot be drawn, as a cracked one that never rises."""

from __future__ import annotations

from helios_agent.forecasting.experts.ball import Ball
from helios_agent.forecasting.history import Matrix


def missing(matrix: Matrix, lead: tuple[int, ...] = ()) -> Ball:
    """Return an expert that believes that one ball weighs nothing, until it is drawn."""
    return Ball(matrix, lead, {0.0: 1.0})
