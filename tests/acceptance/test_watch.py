"""The agent looks after its database: who else writes to it, and how its log grows."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from helios_agent import lifecycle
from helios_agent.agent import STALE_PULSES, Agent, Ports, open_agent
from helios_agent.clock import SystemClock, VirtualClock
from helios_agent.config import Config
from helios_agent.errors import Refused
from helios_agent.journal import draws, events, intents
from helios_agent.store import Store
from helios_agent.systemd import Notifier

PULSE_S = Ports().pulse_s
TASKS = 8
"""Scheduler, pulse, probe, dead man's switch and the lanes, that of long computations twice, sleep when there
is nothing to do."""


@pytest.fixture
def writing() -> Iterator[ThreadPoolExecutor]:
    """The thread that uses the agent's writing connection."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture
async def agent(tmp_path: Path, writing: ThreadPoolExecutor) -> AsyncIterator[Agent]:
    """An agent whose tasks all run, on a clock that the test moves."""
    config = Config.model_validate(
        {"paths": {"state": tmp_path, "models": tmp_path / "models"}, "games": {"simulated": {}}}
    )
    clock = VirtualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
    ports = Ports(clock, open_store=partial(Store.open, executor=writing))
    async with open_agent(config, ports) as agent:
        agent.start(Notifier({}))
        await all_asleep(agent)
        yield agent
        await agent.supervisor.stop()


async def pulses(agent: Agent, count: int) -> None:
    """Let so many pulses pass, and what they bring about."""
    clock = agent.journal.clock
    assert isinstance(clock, VirtualClock)
    for _ in range(count):
        await all_asleep(agent)
        await clock.advance(PULSE_S)
    await all_asleep(agent)


async def all_asleep(agent: Agent, tasks: int = TASKS) -> None:
    while agent.journal.clock.sleepers < tasks:  # type: ignore[attr-defined]
        await agent.store.rows("SELECT 1")  # real threads answer: let them


async def incidents(agent: Agent) -> list[str]:
    return [incident.kind for incident in await draws.open_incidents(agent.store)]


async def test_another_process_that_writes_is_noticed_until_the_journal_was_verified(agent: Agent) -> None:
    await pulses(agent, 3)
    assert await incidents(agent) == []
    with closing(sqlite3.connect(agent.store.path)) as intruder, intruder:
        intruder.execute("INSERT INTO feed (game, source) VALUES ('simulated', 'intruder')")
    await pulses(agent, 1)
    assert await incidents(agent) == ["foreign-writer"]
    (alert,) = await events.tail(agent.store, limit=10, kinds=["alert.raised"])
    assert str(agent.store.path) in alert.payload["message"]
    await pulses(agent, 2)
    assert await incidents(agent) == ["foreign-writer"]

    intent = await agent.request("verify", "journal", {}, by="test")
    with agent.journal.listening() as news:
        while (await intents.find(agent.store, intent.id)).state != "done":
            news.clear()
            await news.wait()
    assert await incidents(agent) == []


async def test_a_log_that_a_reader_keeps_from_being_emptied_is_an_incident_while_it_lasts(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("helios_agent.agent.WAL_LIMIT_BYTES", 200_000)
    await agent.store.tidy(SystemClock())
    with closing(sqlite3.connect(f"file:{agent.store.path}?mode=ro", uri=True)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM event").fetchone()
        payload: dict[str, Any] = {"text": "x" * 1000}
        await asyncio.gather(*(agent.journal.append("test.filled", payload) for _ in range(300)))
        await pulses(agent, 1)
        assert await incidents(agent) == ["wal-too-large"]
    await agent.store.tidy(SystemClock())
    await pulses(agent, 1)
    assert await incidents(agent) == []


async def test_a_disk_that_takes_nothing_at_the_start_is_waited_for_with_the_door_open(
    tmp_path: Path,
) -> None:
    clock = VirtualClock(datetime(2026, 3, 2, 12, tzinfo=UTC))
    config = Config.model_validate({"paths": {"state": tmp_path}, "games": {"simulated": {}}})

    async def open_read_only(path: Path) -> Store:
        store = await Store.open(path)
        writing.append(await store.write(lambda connection: connection))
        writing[0].execute("PRAGMA query_only = ON")
        return store

    asked, stop = asyncio.Event(), asyncio.Event()
    writing: list[sqlite3.Connection] = []

    async def door(agent: Agent, closing: asyncio.Event) -> None:
        asked.set()
        await closing.wait()

    async with open_agent(config, Ports(clock, open_store=open_read_only)) as agent:
        living = asyncio.create_task(lifecycle.live(agent, door, Notifier({}), stop))
        await asked.wait()
        while clock.sleepers < 1:
            await agent.store.rows("SELECT 1")
        health = agent.health()
        assert (health.status, health.alive) == ("unhealthy", True)
        assert "readonly" in health.reasons[0]
        assert await events.tail(agent.store, limit=10) == []

        writing[0].execute("PRAGMA query_only = OFF")
        await clock.advance(lifecycle.RETRY_S)
        await all_asleep(agent)
        assert agent.health().ready
        assert [e.kind for e in await events.tail(agent.store, limit=9, kinds=["agent.*"])] == [
            "agent.started"
        ]
        stop.set()
        await living


@pytest.mark.parametrize("times", [1, 3])
async def test_reloads_at_the_same_time_leave_one_sender(agent: Agent, times: int) -> None:
    agent.phase = "ready"
    await asyncio.gather(*(agent.reload() for _ in range(times)))
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert names.count("webhooks") == 1
    agent.phase = "draining"
    with pytest.raises(Refused, match="The agent is draining"):
        await agent.reload()


async def test_health_names_the_part_that_gives_no_sign_of_life(agent: Agent) -> None:
    agent.phase = "ready"
    assert (agent.health().ready, agent.health().alive) == (True, True)
    await agent.supervisor.stop()
    clock = agent.journal.clock
    assert isinstance(clock, VirtualClock)
    await clock.advance(3 * PULSE_S + 1)
    health = agent.health()
    assert (health.ready, health.alive, health.status) == (False, False, "unhealthy")
    assert [reason.partition(" has given")[0] for reason in health.reasons] == [
        "the event loop", "the scheduler", "the writer",
    ]  # fmt: skip


@pytest.mark.parametrize("in_trouble", [False, True])
async def test_a_writer_that_does_not_answer_is_named_even_if_the_disk_had_been_full(
    agent: Agent, writing: ThreadPoolExecutor, in_trouble: bool
) -> None:
    agent.phase = "ready"
    connection = await agent.store.write(lambda connection: connection)
    if in_trouble:
        connection.execute("PRAGMA query_only = ON")
        await pulses(agent, 5)
        health = agent.health()
        assert (health.ready, health.alive) == (False, True), "it does answer: that it cannot write"
    clock = agent.journal.clock
    assert isinstance(clock, VirtualClock)
    answers, may_go_on = agent.store.answers, threading.Event()
    writing.submit(may_go_on.wait)
    try:
        for _ in range(STALE_PULSES + 2):  # the first one still sees the answers to the last ones
            await clock.advance(PULSE_S)
            await all_asleep(agent, TASKS - 1)  # the probe waits for the writer
        assert agent.store.answers == answers
        assert agent.health().reasons[0].startswith("the writer has given no sign of life")
        assert not agent.health().alive
    finally:
        may_go_on.set()
        connection.execute("PRAGMA query_only = OFF")


async def test_a_game_that_is_removed_while_its_feed_is_asked_leaves_nothing_behind(tmp_path: Path) -> None:
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.set()
        await may_answer.wait()
        return httpx.Response(503)

    def watching(**games: Any) -> Config:
        return Config.model_validate({"paths": {"state": tmp_path}, "games": games})

    feed = {"name": "texas", "kind": "texas", "url": "http://feed.test/draws.csv"}
    before, after = watching(simulated={"feeds": [feed]}), watching(powerball={"feeds": []})
    ports = Ports(VirtualClock(datetime(2026, 3, 2, 12, tzinfo=UTC)), transport=httpx.MockTransport(answer))
    async with open_agent(before, ports, lambda: after) as agent, asyncio.timeout(20):
        agent.start(Notifier({}))
        agent.phase = "ready"
        intent = await agent.request("ingest", "simulated", {}, by="test")
        await asked.wait()
        await agent.reload()
        may_answer.set()
        with agent.journal.listening() as news:
            while not await events.tail(agent.store, limit=1, kinds=["incident.closed"]):
                news.clear()
                await news.wait()
        assert (await intents.find(agent.store, intent.id)).state == "done"
        assert await incidents(agent) == []
        assert {waiting.target for waiting in await intents.open_ones(agent.store)} <= {"powerball"}
        await agent.supervisor.stop()
