"""Reports of real and of made-up draws, each computed once."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helios_agent.fairness import report, sources
from helios_agent.fairness.sources import Found
from helios_agent.forecasting.history import Matrix
from helios_agent.lottery import games
from helios_agent.lottery.draws import Draw
from helios_agent.simulation import drums
from helios_agent.simulation.machines import Machine

LEVEL = 0.01
ERA = games.SIMULATED.eras[0]
MATRIX = Matrix(ERA.white, ERA.bonus, ERA.pick)

Reports = dict[str, dict[str, Any]]
Drawn = Callable[[Machine, int], Found]


def drawn_by(machine: Machine, draws: int, seed: int = 1) -> Found:
    """Return weekly draws of a machine, as those of the simulated game."""
    made = machine.draw(np.random.default_rng(seed), 1, draws)
    rows = zip(made.whites[0].tolist(), made.bonus[0].tolist(), strict=True)
    held: Sequence[Draw] = [
        Draw("simulated", ERA.start + timedelta(weeks=t), tuple(whites), bonus, None, ordered=True)
        for t, (whites, bonus) in enumerate(rows)
    ]
    return Found(games.SIMULATED, held, "state/helios.db", {"drum": draws})


@pytest.fixture(scope="session")
def drawn() -> Drawn:
    return drawn_by


@pytest.fixture(scope="session")
def real() -> Reports:
    """The audits of all packaged draws, by game."""
    found = {name: sources.find(games.game(name), [], Path("none")) for name in ("powerball", "megamillions")}
    return {name: report.report(each, LEVEL) for name, each in found.items()}


@pytest.fixture(scope="session")
def unfair() -> dict[str, Any]:
    """The audit of 400 draws of a machine whose ball 7 weighs 2.5 times each other."""
    return report.report(drawn_by(drums.weighted_balls(MATRIX, [7], 2.5), 400), LEVEL)


@pytest.fixture(scope="session")
def matrix() -> Matrix:
    return MATRIX
