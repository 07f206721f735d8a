"""Control of trainings over HTTP: who may, what is refused, and what the page says of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from helios_agent.agent import Agent
from helios_agent.journal import intents
from helios_agent.web import server
from tests.web.test_page import living, said, shown

TOKEN = "a-token-of-more-than-sixteen"


async def post(agent: Agent, path: str, body: object = None, token: str = TOKEN) -> httpx.Response:
    transport = httpx.ASGITransport(server.application(agent, TOKEN))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.post(path, json=body, headers={"authorization": f"Bearer {token}"})


PATHS = [
    *(f"/api/train/{{}}/{what}" for what in ("pause", "resume", "stop", "retry", "priority")),
    *(f"/api/train/{what}/{{}}" for what in ("pause", "resume", "stop", "retry")),
    *(f"/api/train/{what}" for what in ("pause", "resume", "stop", "retry")),
    *(f"/api/intents/{{}}/{what}" for what in ("pause", "resume", "stop", "retry", "priority")),
]


@pytest.mark.parametrize("path", PATHS)
async def test_nobody_controls_a_training_without_the_token(path: str, tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        job = (await agent.request("train", "powerball", {}, "http")).id
        refused = await post(agent, path.format(job), {"priority": 1}, TOKEN[::-1])
        state = (await shown(agent, f"/api/train/{job}")).json()
        unknown = await post(agent, path.format("deadbeef"), {"priority": 1})
    assert refused.status_code == 401
    assert (state["state"], state["wanted"], state["priority"]) == ("ready", None, 0)
    if "{}" in path:
        assert unknown.status_code == 404


async def test_no_body_is_read_of_whoever_may_not_act_or_that_is_too_large(tmp_path: Path) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(3):
            read += 1
            yield b"[" * 1000

    async with living(tmp_path) as agent:
        transport = httpx.ASGITransport(server.application(agent, TOKEN))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            stranger = await client.post("/api/train", content=body(), headers={"content-length": "3000"})
            client.headers["authorization"] = f"Bearer {TOKEN}"
            large = await client.post("/api/train", content=body(), headers={"content-length": "65537"})
            sizeless = await client.post("/api/train", content=body())
            assert read == 0
            fitting = await client.post("/api/train", content=body(), headers={"content-length": "65536"})
            upload = await client.post("/api/models/import", content=b"[" * 65537)
    assert [answer.status_code for answer in (stranger, large, sizeless, fitting)] == [401, 413, 413, 422]
    assert large.json()["detail"] == "The body has 65,537 bytes; expected at most 65,536."
    assert upload.status_code == 422


async def test_what_cannot_be_asked_is_refused_by_name(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        none_yet = await post(agent, "/api/train/stop")
        backup = (await agent.request("backup", "journal", {}, "http")).id
        not_a_training = await post(agent, f"/api/train/{backup}/stop")
        too_high = await post(agent, "/api/train", {"priority": 101})
        made_up = await post(agent, "/api/train", {"epochs": 3})
    assert (none_yet.status_code, none_yet.json()["detail"]) == (404, "There is no training job yet.")
    assert not_a_training.json()["detail"] == f"There is no training job '{backup}'."
    assert (too_high.status_code, too_high.json()["detail"][0]["field"]) == (422, "body.priority")
    assert (made_up.status_code, made_up.json()["detail"][0]["field"]) == (422, "body.epochs")


@pytest.mark.parametrize("request_", ["pause", "resume", "stop", "retry"])
async def test_the_game_whose_latest_training_is_meant_is_read_from_the_body(
    tmp_path: Path, request_: str
) -> None:
    async with living(tmp_path) as agent:
        asked = await agent.request("train", "powerball", {}, "http")
        unknown = await post(agent, f"/api/train/{request_}", {"game": "lotto"})
        query = await post(agent, f"/api/train/{request_}?game=lotto")
        untouched = await intents.find(agent.store, asked.id)
        await post(agent, "/api/train/stop", {"game": "powerball"})
        stopped = await intents.find(agent.store, asked.id)
    assert (unknown.status_code, query.status_code) == (404, 422)
    assert unknown.json()["detail"].startswith("game is 'lotto'; expected one that is watched: powerball")
    assert query.json()["detail"] == "the query has game; expected in the body, as JSON"
    assert (untouched.state, untouched.wanted) == ("ready", None)
    assert stopped.state == "cancelled"


async def test_a_training_begins_from_where_it_is_asked_to(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        scratch = await post(agent, "/api/train", {"start": "scratch"})
        refused = await post(agent, "/api/train", {"start": "oldest"})
        await post(agent, "/api/train/stop")
        newest = await post(agent, "/api/train", {"start": "newest"})
        args = [
            dict((await intents.find(agent.store, answer.json()["job_id"])).args)
            for answer in (scratch, newest)
        ]
    assert args == [{}, {"start": "newest"}]
    assert (refused.status_code, refused.json()["detail"][0]["field"]) == (422, "body.start")


async def test_the_page_says_that_a_training_waits_and_that_it_is_paused(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        asked = await post(agent, "/api/train", {"priority": 2})
        waiting = said(await shown(agent))
        paused = await post(agent, "/api/train/pause")
        still = said(await shown(agent))
    assert asked.headers["location"] == f"/api/train/{asked.json()['job_id']}"
    assert "Waiting since" in waiting
    assert "number 1 in the queue" in waiting
    assert (paused.status_code, paused.json()["state"], paused.json()["place"]) == (202, "paused", None)
    assert "Paused since" in still
