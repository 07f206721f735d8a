"""As many long computations run at once as there are workers, and they end when that is asked of them."""

import asyncio
import resource
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from helios_agent.actions import runner
from helios_agent.actions.train import STAGING, sweep
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.errors import JobStopped, Refused
from helios_agent.journal import draws, events, intents
from helios_agent.work.engine import Progress, Spent, Wishes, unmetered
from helios_agent.work.turns import Turns
from tests.journal.story import SATURDAY

GAMES = ("powerball", "megamillions", "simulated")


class Endless:
    """An engine whose jobs begin, keep something, and go on until they are asked to stop."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.wishes: dict[str, Wishes] = {}
        """In the order in which jobs came."""
        self.turns = Turns(2)

    async def run(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None = None,
        *,
        time_limit_s: float,
        stop: asyncio.Event | None = None,
        priority: int = 0,
        on_spent: Spent = unmetered,
    ) -> dict[str, Any]:
        assert isinstance(stop, Wishes)
        self.wishes[spec["game"]] = stop
        async with self.turns.turn(priority, stop):
            self.begun.append(spec["game"])
            await asyncio.to_thread(Path(spec["checkpoint"]).mkdir, parents=True, exist_ok=True)
            await stop.wait()
            raise JobStopped()

    async def close(self) -> None:
        """Every job has ended."""


@pytest.fixture
def engine() -> Endless:
    return Endless()


@pytest.fixture
async def agent(tmp_path: Path, clock: VirtualClock, engine: Endless) -> AsyncIterator[Agent]:
    """An agent that watches three games, each with a draw, and has two workers."""
    config = Config.model_validate(
        {
            "paths": {"state": tmp_path / "state", "models": tmp_path / "models"},
            "games": {name: {"feeds": []} for name in GAMES},
        }
    )
    config.paths.state.mkdir()
    async with open_agent(config, Ports(clock, open_engine=lambda *_: engine)) as opened:
        for name in GAMES:
            await opened.journal.append("draw.ingested", draws.to_payload(SATURDAY, "test") | {"game": name})
        yield opened


async def until(condition: Any, clock: VirtualClock) -> None:
    for _ in range(500):
        if await condition():
            return
        await asyncio.sleep(0.005)
        await clock.advance(0.2)
    raise AssertionError("waited in vain")


async def state(agent: Agent, intent_id: str) -> str:
    return (await intents.find(agent.store, intent_id)).state


def kept(agent: Agent) -> set[str]:
    """Return whose checkpoints are kept."""
    return {folder.name for folder in (agent.config.paths.models / STAGING).iterdir()}


async def test_as_many_run_at_once_as_there_are_workers_and_each_ends_as_was_asked(
    agent: Agent, engine: Endless, clock: VirtualClock
) -> None:
    jobs = {
        name: (await agent.request("train", name, {}, "http", priority)).id
        for name, priority in zip(GAMES, (0, 1, 2), strict=True)
    }
    lane = asyncio.create_task(runner.run_lane(agent.context, "work", 30.0, at_once=2))

    async def comes(job: str, wanted: str) -> None:
        async def come() -> bool:
            return await state(agent, jobs[job]) == wanted

        await until(come, clock)

    async def begun(count: int) -> None:
        async def counted() -> bool:
            return len(engine.begun) == count

        await until(counted, clock)

    await begun(2)
    assert set(engine.begun) == {"simulated", "megamillions"}
    assert await state(agent, jobs["powerball"]) == "ready"
    await agent.control(jobs["simulated"], "stop", "http")
    await comes("simulated", "cancelled")
    await begun(3)
    await agent.control(jobs["megamillions"], "pause", "http")
    await comes("megamillions", "paused")
    assert await state(agent, jobs["powerball"]) == "running"
    assert kept(agent) == {jobs["megamillions"], jobs["powerball"]}
    await agent.control(jobs["megamillions"], "resume", "http")
    await begun(4)
    lane.cancel()
    await asyncio.gather(lane, return_exceptions=True)
    await agent.control(jobs["megamillions"], "stop", "http")
    assert await agent.journal.record(intents.release) == 2
    assert await state(agent, jobs["powerball"]) == "ready"
    assert await state(agent, jobs["megamillions"]) == "cancelled"
    await sweep(agent.config.paths.models, agent.store)
    assert kept(agent) == {jobs["powerball"]}


async def test_a_priority_counts_for_what_was_claimed_and_waits_for_a_worker_too(
    agent: Agent, engine: Endless, clock: VirtualClock
) -> None:
    engine.turns = Turns(1)
    jobs = {name: (await agent.request("train", name, {}, "http")).id for name in GAMES}
    lane = asyncio.create_task(runner.run_lane(agent.context, "work", 30.0, at_once=3))

    async def all_wait_but_one() -> bool:
        return len(engine.wishes) == 3 and len(engine.begun) == 1

    await until(all_wait_but_one, clock)
    (busy,) = engine.begun
    *_, last = (name for name in engine.wishes if name != busy)
    assert {await state(agent, job) for job in jobs.values()} == {"running"}
    await agent.control(jobs[last], "priority", "http", 5)

    async def heard() -> bool:
        return engine.wishes[last].priority == 5

    await until(heard, clock)
    await agent.control(jobs[busy], "stop", "http")

    async def next_begun() -> bool:
        return len(engine.begun) == 2

    await until(next_begun, clock)
    assert engine.begun == [busy, last]
    lane.cancel()
    await asyncio.gather(lane, return_exceptions=True)


async def test_what_is_kept_goes_as_soon_as_a_paused_training_is_stopped(agent: Agent) -> None:
    job = (await agent.request("train", "powerball", {}, "http")).id
    await agent.control(job, "pause", "http")
    folder = agent.config.paths.models / STAGING
    for name in (job, "0123456789abcdef", f"{job}-1"):
        (folder / name / "checkpoint").mkdir(parents=True)
    await agent.recover()
    assert kept(agent) == {job}
    await agent.control(job, "stop", "http")
    assert kept(agent) == set()


async def test_what_is_kept_and_cannot_be_looked_through_now_is_looked_for_again(agent: Agent) -> None:
    job = (await agent.request("train", "powerball", {}, "http")).id
    (agent.config.paths.models / STAGING / job).mkdir(parents=True)
    await agent.control(job, "pause", "http")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # no further file can be opened
    try:
        assert (await agent.control(job, "stop", "http")).state == "cancelled"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert kept(agent) == {job}
    await sweep(agent.config.paths.models, agent.store)
    assert kept(agent) == set()


async def test_only_what_can_go_on_is_paused_and_of_what_runs_only_long_computations_are_stopped(
    agent: Agent,
) -> None:
    backup = (await agent.request("backup", "journal", {}, "cli")).id
    with pytest.raises(
        Refused, match=rf"backup {backup} cannot be paused: only train, tune can go on later\."
    ):
        await agent.control(backup, "pause", "cli")
    await agent.journal.record(lambda tx: intents.claim(tx, ("backup",)))
    with pytest.raises(Refused, match=rf"backup {backup} is running: of what runs only long computations"):
        await agent.control(backup, "stop", "cli")
    ingest = (await agent.request("ingest", "powerball", {}, "cli")).id
    assert (await agent.control(ingest, "stop", "cli")).state == "cancelled"


async def test_the_journal_tells_who_asked_for_what(agent: Agent) -> None:
    job = (await agent.request("train", "powerball", {}, "http")).id
    await agent.control(job, "priority", "cli", priority=7)
    prioritised, asked = await events.tail(agent.store, limit=2)
    assert asked.payload == {"action": "priority", "target": job, "args": {"priority": 7}, "by": "cli"}
    assert (prioritised.kind, prioritised.cause) == ("intent.prioritised", asked.seq)


async def test_nothing_is_tried_again_for_a_game_that_is_no_longer_watched(agent: Agent) -> None:
    job = (await agent.request("train", "megamillions", {}, "http")).id
    await agent.control(job, "stop", "http")
    agent.config = agent.config.model_copy(update={"games": {"powerball": agent.config.games["powerball"]}})
    again = await agent.control(job, "retry", "http")
    assert again.id != job
    assert (again.state, again.error) == ("expired", "megamillions is no longer watched")
