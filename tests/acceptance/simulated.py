"""An agent that knows the draws of a simulated machine."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.forecasting.history import Matrix
from helios_agent.journal import draws
from helios_agent.lottery import calendar, games
from helios_agent.lottery.draws import Draw
from helios_agent.simulation import drums
from helios_agent.simulation.machines import Machine
from helios_agent.web import server
from helios_agent.work.local import LocalEngine
from tests.acceptance.conftest import SMALL_NETWORK

ERA = games.SIMULATED.eras[0]
MATRIX = Matrix(ERA.white, ERA.bonus, ERA.pick)
DRAWS = 120
NOW = datetime(2026, 9, 18, 12, tzinfo=UTC)
DAYS = [day.isoformat() for day in calendar.expected_days(games.SIMULATED, ERA.start, NOW)[:DRAWS]]
LOADED = drums.weighted_balls(MATRIX, [7], 6.0)


def held(machine: Machine, count: int = DRAWS) -> list[Draw]:
    """Return weekly draws of a machine."""
    made = machine.draw(np.random.default_rng(1), 1, count)
    rows = zip(made.whites[0].tolist(), made.bonus[0].tolist(), strict=True)
    return [
        Draw("simulated", date.fromisoformat(DAYS[t]), tuple(whites), bonus, None, ordered=True)
        for t, (whites, bonus) in enumerate(rows)
    ]


def configuration(folder: Path, **learning: Any) -> Config:
    return Config.model_validate(
        {
            "paths": {"state": folder / "state", "models": folder / "models"},
            "games": {"simulated": {"feeds": []}, "powerball": {"feeds": []}},
            "learning": {"network": SMALL_NETWORK, "training": {"epochs": 1}, **learning},
        }
    )


@asynccontextmanager
async def living(folder: Path, machine: Machine, engine: Any = None, **learning: Any) -> AsyncIterator[Agent]:
    """An agent that knows the draws of a machine."""
    config = configuration(folder, **learning)
    config.paths.state.mkdir()
    ports = Ports(VirtualClock(NOW), open_engine=lambda work, forks: engine or LocalEngine(work, forks))
    async with open_agent(config, ports) as agent:
        told = [draws.to_payload(draw, "drum") for draw in held(machine)]
        await agent.journal.record(lambda tx: [tx.append("draw.ingested", payload) for payload in told])
        yield agent


@asynccontextmanager
async def client(agent: Agent) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(server.application(agent, None))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield http
