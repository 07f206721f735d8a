"""What can be asked of the journal, in code and over HTTP."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import events, intents
from helios_agent.journal.journal import Journal
from helios_agent.web import server
from tests.journal.story import GAME, epoch, model

NOON_US = 1_789_732_800_000_000  # 2026-09-18 12:00 UTC, when the journal begins


async def seqs(journal: Journal, **filters: Any) -> list[int]:
    return [event.seq for event in await events.tail(journal.store, **{"limit": 99, **filters})]


@pytest.fixture
async def told(journal: Journal, clock: VirtualClock) -> Journal:
    """Six events, an hour apart."""
    for kind, payload, cause in (
        ("test.begun", {"text": "Zürich"}, None),
        ("test.happened", {"text": "100 % sure"}, 1),
        ("test.happened", {"text": "a_b", "more": "C:\\new"}, 1),
        ("other.happened", {"text": "axb ZÜRICH zurich"}, 2),
        ("test.ended", {}, 1),
        ("test.begun", {"number": 12345}, None),
    ):
        await journal.append(kind, payload, cause)
        await clock.advance(3600)
    return journal


async def test_what_followed_from_an_event(told: Journal) -> None:
    assert await seqs(told, cause=1) == [5, 3, 2]
    assert await seqs(told, cause=1, kinds=["test.happened"]) == [3, 2]
    assert await seqs(told, cause=6) == []


async def test_what_happened_in_a_span_of_time(told: Journal) -> None:
    hour_us = 3600 * 10**6
    assert await seqs(told, since_us=NOON_US + 3 * hour_us) == [6, 5, 4]
    assert await seqs(told, until_us=NOON_US + 3 * hour_us) == [3, 2, 1]
    assert await seqs(told, since_us=NOON_US + hour_us, until_us=NOON_US + 3 * hour_us) == [3, 2]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("zurich", [4]), ("rich", [4, 1]), ("ZÜR", [4]), ("100 %", [2]), ("0%0", []), ("a_b", [3]),
        ("A_B", [3]), ("C:\\\\new", [3]), ('"text":"a', [4, 3]), ("12345", [6]), ("nowhere", []),
    ],
)  # fmt: skip
async def test_what_tells_of_something(text: str, found: list[int], told: Journal) -> None:
    assert await seqs(told, text=text) == found


async def test_every_filter_narrows_what_the_others_leave(told: Journal) -> None:
    assert await seqs(told, text="text", cause=1, before=4, after=1, kinds=["test.*"], since_us=NOON_US) == [
        3,
        2,
    ]
    assert await seqs(told, text="text", limit=1, until_us=NOON_US + 1) == [1]


@pytest.fixture
async def trained(journal: Journal, clock: VirtualClock) -> Journal:
    """Two networks, each trained by a job of its own, and a forecast that names one of them."""
    await clock.advance(1)
    for ordinal, version in enumerate(("aaa", "bbb"), start=1):
        cause = (await journal.append("test.happened", {})).seq
        job = await journal.record(lambda tx, cause=cause: intents.request(tx, "train", GAME, {}, cause))
        running = await journal.record(lambda tx: intents.claim(tx, ("train",)))
        assert running is not None
        await journal.append("training.epoch", epoch(job, 1, 9.5), running.seq)
        await journal.append("model.trained", model(version, ordinal) | {"job": job}, running.seq)
        await journal.record(lambda tx, running=running: intents.finish(tx, running, {}))
    await journal.append("test.happened", {"forecast": {"forecasters": {"powerballnet@bbb": {}, "tilt": {}}}})
    await journal.append("test.happened", {"key": "model:powerball:powerballnet@aaa", "text": "bbb"})
    return journal


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("aaa", [14, 6, 5, 4, 3, 2]), ("powerballnet@aaa", [14, 6, 5, 4, 3, 2]),
        ("bbb", [13, 12, 11, 10, 9, 8]),
        ("powerballnet", [14, 13, 12, 11, 10, 9, 8, 6, 5, 4, 3, 2]),
    ],
)  # fmt: skip
async def test_what_concerns_a_model(name: str, found: list[int], trained: Journal) -> None:
    assert await seqs(trained, model=name) == found


async def test_a_model_that_was_never_trained_is_refused_naming_those_that_were(trained: Journal) -> None:
    with pytest.raises(NotFound, match=r"model is 'ccc'; expected .*: powerballnet@aaa, powerballnet@bbb$"):
        await seqs(trained, model="ccc")


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-09-18", NOON_US - 12 * 3600 * 10**6), ("2026-09-18T12:00", NOON_US),
        ("2026-09-18T12:00:00Z", NOON_US), ("2026-09-18T08:00:00.000001-04:00", NOON_US + 1), (None, None),
    ],
)  # fmt: skip
def test_a_time_is_read_as_utc_unless_it_names_a_zone(text: str | None, microseconds: int | None) -> None:
    assert events.instant_us("since", text) == microseconds


@pytest.mark.parametrize("text", ["", "yesterday", "2026-13-01", "12:00"])
def test_what_is_no_time_is_refused_naming_the_field(text: str) -> None:
    with pytest.raises(
        Refused, match=f"since is {text!r}; expected a time such as 2026-09-16 or 2026-09-16T04"
    ):
        events.instant_us("since", text)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "state").mkdir()
    return Config.model_validate(
        {
            "paths": {"state": tmp_path / "state", "models": tmp_path / "models"},
            "games": {"powerball": {"feeds": []}},
        }
    )


@pytest.fixture
async def agent(config: Config, clock: VirtualClock) -> AsyncIterator[Agent]:
    async with open_agent(config, Ports(clock)) as opened:
        for place in range(5):
            await opened.journal.append("test.happened", {"place": f"no. {place}"}, place or None)
            await clock.advance(60)
        yield opened


@pytest.mark.parametrize("sought", [{"text": "Zürich"}, {"cause": 1}, {"model": "aaa"}])
async def test_a_page_looks_through_so_many_events_and_says_where_to_look_on(
    sought: events.Filters, trained: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trained.append("test.happened", {"text": "Zürich", "version": "powerballnet@aaa"}, 1)
    for _ in range(6):
        await trained.append("test.happened", {})
    monkeypatch.setattr(events, "WINDOW", 5)
    pages: list[list[int]] = []
    before = None
    while not pages or before is not None:
        looked_at = await events.page(trained.store, limit=2, before=before, **sought)
        pages.append([event.seq for event in looked_at.events])
        before = looked_at.following
    assert (pages[0], len(pages) > 3) == ([], True)
    assert [seq for page in pages for seq in page] == await seqs(trained, **sought)


async def test_what_an_index_tells_is_found_at_once_however_far_back(
    told: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "WINDOW", 2)
    assert await events.page(told.store, limit=9, kinds=["test.ended"]) == events.Page(
        await events.tail(told.store, limit=9, kinds=["test.ended"]), None
    )
    assert (await events.page(told.store, limit=2, before=4)).following == 2
    assert (await events.page(told.store, limit=1, before=2)).following is None


async def get(agent: Agent, query: str) -> httpx.Response:
    transport = httpx.ASGITransport(server.application(agent, None))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(f"/api/journal?{query}")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("cause=2", [3]), ("text=NO.+4", [5]), ("since=2026-09-18T12:03:00Z", [5, 4]),
        ("since=2026-09-18T12:01&until=2026-09-18T12:03", [3, 2]), ("text=no&limit=2&before=4", [3, 2]),
    ],
)  # fmt: skip
async def test_the_api_takes_the_same_filters(query: str, found: list[int], agent: Agent) -> None:
    assert [event["seq"] for event in (await get(agent, query)).json()] == found


@pytest.mark.parametrize(
    ("query", "status", "detail"),
    [
        ("since=soon", 422, "since is 'soon'; expected a time"),
        ("until=2026-99-99", 422, "until is '2026-99-99'; expected a time"),
        ("model=ccc", 404, "model is 'ccc'; expected a name"),
        ("cause=0", 422, "cause"),
        ("text=", 422, "text"),
    ],
)
async def test_the_api_refuses_bad_values_naming_the_field(
    query: str, status: int, detail: str, agent: Agent
) -> None:
    answer = await get(agent, query)
    assert answer.status_code == status
    assert detail in str(answer.json()["detail"])


async def test_the_api_says_where_to_look_on_until_all_was_looked_at(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = (await events.head(agent.store)).seq
    monkeypatch.setattr(events, "WINDOW", 2)
    found: list[list[int]] = []
    query = "text=no.+0&limit=2"
    while query:
        answer = await get(agent, query)
        found.append([event["seq"] for event in answer.json()])
        query = answer.headers.get("link", "").partition("?")[2].partition(">")[0]
    assert (len(found), [seq for page in found for seq in page]) == (-(-last // 2), [1])


async def test_the_api_gives_events_as_they_are(agent: Agent) -> None:
    await agent.journal.append(
        "test.happened", {"text": 'Zürich ☃ " \\', "deep": [[{"a": [1, 2.5e-9, None, True]}]]}
    )
    answer = await get(agent, "limit=1000")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == [e.as_record() for e in await events.tail(agent.store, limit=1000)]


async def test_one_search_goes_on_at_a_time_and_leaves_a_reader_for_all_else(agent: Agent) -> None:
    app = server.application(agent, None)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        async with app.state.searching:
            waits = asyncio.create_task(client.get("/api/journal?text=no"))
            goals = await client.get("/api/goals")
            await asyncio.sleep(0.1)
            assert (goals.status_code, waits.done()) == (200, False)
        assert (await waits).status_code == 200
