"""Control of trainings over HTTP: who may, what is refused, and what the page and the terminal say of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from helios_agent.agent import Agent
from helios_agent.errors import NotFound
from helios_agent.journal import intents, summaries
from helios_agent.journal.journal import Transaction
from helios_agent.web import server, text, views
from tests.journal import story
from tests.web.test_page import begin, epoch, living, said, shown, training

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
    assert (too_high.status_code, too_high.json()["errors"][0]["field"]) == (422, "body.priority")
    assert (made_up.status_code, made_up.json()["errors"][0]["field"]) == (422, "body.epochs")


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
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.start")


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


async def test_what_is_asked_for_by_name_has_the_priority_that_it_is_asked_for_with(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        asked = await post(agent, "/api/intents", {"action": "tune", "priority": 4})
        refused = await post(agent, "/api/intents", {"action": "tune", "priority": 101})
    assert (asked.status_code, asked.json()["priority"]) == (202, 4)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "body.priority")


async def printed(agent: Agent, job: str) -> list[str]:
    """What the terminal shows of a job, but for when it was asked for."""
    first, *lines = text.job(await views.one_job(agent.store, agent.journal.clock, job)).split("\n")
    identity, _, what = first.split("  ", 2)
    assert identity == job
    return [what, *map(str.strip, lines)]


async def test_the_terminal_shows_how_far_a_training_is_and_how_long_it_may_still_take(
    tmp_path: Path,
) -> None:
    async with living(tmp_path) as agent:
        await training(agent, lambda tx, intent: None)
        job = await intents.latest(agent.store, "train")
        assert job is not None

        def tell(tx: Transaction) -> None:
            begin(tx, job)
            for number, gain in ((1, 0.002), (2, -0.01)):
                told = {"epoch": number, "epochs": 40, "loss": 19.4, "validation_loss": 19.5, "seconds": 2.0}
                told |= {"validation_gain_nats": gain, "eta_seconds": 95.0}
                tx.append("training.epoch", {"job": job.id, **told}, job.seq)

        waits = await printed(agent, job.id)
        assert (await agent.control(job.id, "priority", "http", 3)).priority == 3
        await agent.journal.record(tell)
        running = await printed(agent, job.id)
        await agent.journal.record(lambda tx: intents.retry(tx, job, "The worker was killed.", tx.now_us()))
        lost = await printed(agent, job.id)
        over_http = (await shown(agent, f"/api/train/{job.id}")).json()
        at_the_terminal = await views.one_job(agent.store, agent.journal.clock, job.id)
    assert waits == ["train powerball  running, waits for a worker, attempt 1 of 3"]
    epochs = [
        "epoch 2 of at most 40: loss 19.4000 nats a draw",
        "a gain of -0.0100 nats a draw on the draws kept back, at best +0.0020 in epoch 1",
    ]
    left = "about 1 min 35 s left, should no later epoch be better than the best"
    assert running == ["train powerball  running, attempt 1 of 3, priority 3", *epochs, left]
    queued = (
        "train powerball  ready, number 1 in the queue, attempt 1 of 3, priority 3: The worker was killed."
    )
    assert lost == [queued, *epochs]
    assert over_http.items() <= at_the_terminal.items()


async def test_the_terminal_shows_what_became_of_a_training_and_what_is_left_of_one_of_long_ago(
    tmp_path: Path,
) -> None:
    def end(tx: Transaction, intent: intents.Intent) -> None:
        begin(tx, intent)
        epoch(tx, intent.id, 1)
        intents.finish(tx, intent, {"model": "powerballnet", "version": "17e1c993042e"})
        summaries.summarise(tx, [intent.id], intent.seq)

    async with living(tmp_path) as agent:
        await training(agent, end)
        job = await intents.latest(agent.store, "train")
        assert job is not None
        lines = await printed(agent, job.id)
    assert lines == [
        "train powerball  done, attempt 1 of 3",
        "1 epoch, long ago; the best was epoch 1 with a gain of -0.0100 nats a draw",
        "it made powerballnet@17e1c993042e",
    ]


async def test_the_terminal_shows_how_far_a_search_and_a_backtest_are_and_that_all_else_is_asked_for(
    tmp_path: Path,
) -> None:
    async with living(tmp_path) as agent:
        ids = [
            (await agent.request(action, target, {}, "cli")).id
            for action, target in (("tune", "powerball"), ("backtest", "powerball/x"), ("backup", "journal"))
        ]

        def begin_all(tx: Transaction) -> None:
            while (intent := intents.claim(tx, ("tune", "backtest"))) is not None:
                if intent.action == "tune":
                    tx.append("search.trial", story.trial(intent.id, 0), intent.seq)
                    found = story.trial(intent.id, 1) | {"state": "complete", "gain": 0.25, "gains": [0.25]}
                    tx.append("search.trial", found, intent.seq)
                else:
                    tx.append("backtest.progress", story.progress(intent.id, 40), intent.seq)

        await agent.journal.record(begin_all)
        lines = [await printed(agent, job) for job in ids]
        with pytest.raises(NotFound, match="There is no intent 'deadbeef'"):
            await printed(agent, "deadbeef")
    assert lines == [
        ["tune powerball  running, attempt 1 of 3",
         "2 configurations tried, the best with a gain of +0.2500 nats a draw"],
        ["backtest powerball/x  running, attempt 1 of 3", "40 of 100 draws foretold", "about 2 s left"],
        ["backup journal  ready"],
    ]  # fmt: skip
