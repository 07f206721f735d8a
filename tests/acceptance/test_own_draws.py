"""Draws from a file, and from a simulated machine, as a user configures them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.journal import draws, events, forecasts
from tests.acceptance.conftest import settle

NOON = datetime(2026, 9, 18, 12, tzinfo=UTC)
"""A Friday; the simulated lottery is drawn on Mondays, Wednesdays and Saturdays."""
DAY_S = 86_400


@asynccontextmanager
async def living(folder: Path, feed: dict[str, Any], clock: VirtualClock) -> AsyncIterator[Agent]:
    config = Config.model_validate(
        {
            "paths": {"state": folder / "state", "models": folder / "models"},
            "games": {"simulated": {"feeds": [feed]}},
            "decisions": {"autonomy": {"train": "observe", "backtest": "observe"}},
        }
    )
    config.paths.state.mkdir(exist_ok=True)
    async with open_agent(config, Ports(clock)) as agent:
        await agent.recover()
        await agent.journal.append("agent.started", {"games": ["simulated"], "schedules": []})
        await settle(agent)
        yield agent


async def ask(agent: Agent) -> None:
    await agent.request("ingest", "simulated", {}, by="test")
    await settle(agent)


async def known(agent: Agent) -> list[str]:
    return [held.draw.day.isoformat() for held in await draws.newest(agent.store, "simulated", 10)]


async def count(agent: Agent, kind: str) -> int:
    return len(await events.tail(agent.store, limit=1000, kinds=(kind,)))


async def test_a_simulated_machine_that_becomes_unfair_is_found_out_and_named_simulated(
    tmp_path: Path,
) -> None:
    machine = {"begins": "2024-01-01", "weights": {7: 5.0}, "unfair_from": "2025-01-01"}
    feed = {"name": "machine", "kind": "simulated", "machine": machine}
    clock = VirtualClock(NOON)
    async with living(tmp_path, feed, clock) as agent:
        held = await count(agent, "history.imported")
        assert held == await count(agent, "history.scored") > 400
        assert await count(agent, "draw.ingested") == 0
        (assessed, *_) = await events.tail(agent.store, limit=1, kinds=("assessment.completed",))
        assert assessed.payload["signals"]["evidence_peak"] > 20
        assert assessed.payload["verdict"].startswith("Simulated lottery shows signs of not being fair")

        (registered, *_) = await forecasts.recent(agent.store, "simulated", 1)
        assert registered.day == "2026-09-19"
        await clock.advance(2 * DAY_S)
        await ask(agent)
        (newest, *_) = await draws.newest(agent.store, "simulated", 1)
        assert (newest.draw.day.isoformat(), newest.source) == ("2026-09-19", "machine")
        assert await count(agent, "draw.ingested") == await count(agent, "forecast.scored") == 1


async def test_a_file_is_read_again_as_it_grows_and_is_an_incident_while_it_cannot_be(tmp_path: Path) -> None:
    file = tmp_path / "draws.csv"
    clock = VirtualClock(NOON)
    async with living(tmp_path, {"name": "own", "kind": "file", "path": str(file)}, clock) as agent:
        (incident,) = await draws.open_incidents(agent.store)
        assert incident.key == "feed:simulated:own"
        assert incident.message == f"own: {file}: No such file or directory"

        file.write_text("2026-09-12,1,2,3,4,5,6\n2026-09-14,9,8,7,6,5,4\n")
        await ask(agent)
        assert await draws.open_incidents(agent.store) == []
        assert await known(agent) == ["2026-09-14", "2026-09-12"]

        await ask(agent)
        (read, *_) = await events.tail(agent.store, limit=1, kinds=("feed.read",))
        assert (read.payload["source"], read.payload["unchanged"]) == ("own", True)

        with file.open("a") as opened:
            opened.write("2026-09-16,11,12,13,14,15,6\n")
        await ask(agent)
        assert await known(agent) == ["2026-09-16", "2026-09-14", "2026-09-12"]
