"""What a decision may not do by itself it proposes, and while it is switched off it chooses nothing."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from helios_agent.actions import records
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import SECOND_US, VirtualClock
from helios_agent.config import Config
from helios_agent.decisions import replay
from helios_agent.journal import events, intents, snapshot
from helios_agent.web import decisions
from tests.acceptance.conftest import settle
from tests.conftest import START

DAY_S = 86_400.0


@asynccontextmanager
async def deciding(folder: Path, **policy: Any) -> AsyncIterator[Agent]:
    """An agent without draws whose last backup is old."""
    config = {
        "paths": {"state": folder / "state", "models": folder / "models"},
        "games": {"simulated": {"feeds": []}},
        "decisions": policy,
    }
    (folder / "state").mkdir()
    async with open_agent(Config.model_validate(config), Ports(VirtualClock(START))) as agent:
        await agent.journal.append("agent.started", {"games": [], "schedules": []})
        await agent.request("backup", "journal", {}, by="http")
        await settle(agent)
        await pass_by(agent, 3 * DAY_S)
        yield agent


async def pass_by(agent: Agent, seconds: float) -> None:
    clock = agent.journal.clock
    assert isinstance(clock, VirtualClock)
    await clock.advance(seconds)


async def decide(agent: Agent) -> Mapping[str, Any]:
    """Assess and decide; return what became of the candidate to back up."""
    await agent.request("assess", "simulated", {}, by="http")
    await settle(agent)
    made = (await decisions.newest(agent.store, decisions.Wanted(), 1))[0]
    return next(c for c in made["candidates"] if c["action"] == "backup")


async def test_what_it_may_only_propose_waits_for_a_person_and_is_done_once_he_approves(
    tmp_path: Path,
) -> None:
    async with deciding(tmp_path, autonomy={"backup": "propose"}, approval="2d") as agent:
        backup = await decide(agent)
        waiting = await intents.find(agent.store, backup["choice"])
        asked = await events.find(agent.store, waiting.seq)
        assert (backup["proposed"], backup["outcome"]["status"], waiting.state) == (
            True,
            "pending",
            "proposed",
        )
        assert waiting.expires_us == agent.journal.clock.now_us() + round(2 * DAY_S * SECOND_US)
        assert asked is not None
        assert asked.payload["reason"] == backup["reason"]
        assert (await decide(agent))["blocked"] == "it is already under way"
        await agent.answer(waiting.id, "approve", "http")
        await settle(agent)
        done = await intents.find(agent.store, waiting.id)
        with snapshot.opened(agent.config.database) as database:
            again = list(replay.unlike(records.recorded(database, agent.config.archives)))
    assert done.state == "done"
    assert again == []


async def test_what_nobody_answered_is_proposed_again_only_after_its_cooldown(tmp_path: Path) -> None:
    policy = {"autonomy": {"backup": "propose"}, "approval": "1h", "cooldown": "1d"}
    async with deciding(tmp_path, **policy) as agent:
        first = (await decide(agent))["choice"]
        await pass_by(agent, 3600)
        await agent.journal.record(intents.expire_proposals)
        assert "the cooldown is 24 h" in (await decide(agent))["blocked"]
        await pass_by(agent, DAY_S)
        second = await decide(agent)
        with snapshot.opened(agent.config.database) as database:
            found = records.recorded(database, agent.config.archives)
    assert (second["proposed"], second["choice"] != first) == (True, True)
    assert list(replay.differences(found, lambda *_: found[-1].policy)) == [], "nor when it is decided again"


async def test_it_chooses_nothing_while_it_is_switched_off_and_says_why(tmp_path: Path) -> None:
    async with deciding(tmp_path) as agent:
        await agent.switch(False, "cli")
        off = await decide(agent)
        await agent.switch(True, "cli")
        on = await decide(agent)
    assert (off["chosen"], off["blocked"], off["outcome"]) == (
        False, "a person has switched decisions off", None
    )  # fmt: skip
    assert (on["chosen"], on["proposed"], on["outcome"]["status"]) == (True, False, "completed")
