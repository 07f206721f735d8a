"""The page as the server sends it, from the first second on."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from helios_agent import wording
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.journal import draws, intents, summaries
from helios_agent.journal.journal import Transaction
from helios_agent.metacognition import signals, verdict
from helios_agent.web import server, text, views
from tests.metacognition.facts import NOTHING

NOW = datetime(2026, 9, 18, 12, tzinfo=UTC)
FACTS = replace(
    NOTHING,
    now_us=int(NOW.timestamp() * 1e6),
    gains=[0.01, -0.02],
    peak_nats=0.01,
    weights={"uniform": 0.5, "tilt": 0.25, "reserve": 0.25},
    draws=2,
    upkeep=replace(NOTHING.upkeep, backup_us=int(NOW.timestamp() * 1e6)),
)


@asynccontextmanager
async def living(folder: Path, *games: str) -> AsyncIterator[Agent]:
    """An agent that has done nothing yet."""
    config = Config.model_validate(
        {
            "paths": {"state": folder / "state", "models": folder / "models"},
            "games": {name: {"feeds": []} for name in games or ("powerball",)},
        }
    )
    config.paths.state.mkdir()
    async with open_agent(config, Ports(VirtualClock(NOW))) as agent:
        yield agent


async def shown(agent: Agent, path: str = "/") -> httpx.Response:
    transport = httpx.ASGITransport(server.application(agent, None))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path)


def said(answer: httpx.Response) -> str:
    """Return the words of a page, without its marks."""
    body = answer.text.partition("<body>")[2]
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


async def overview(agent: Agent) -> dict[str, Any]:
    """What `helios status` shows."""
    return {**await views.overview(agent.store, agent.config, agent.journal.clock), "held_by": None}


async def assess(agent: Agent, **changes: Any) -> None:
    found = signals.assess(replace(FACTS, **changes))
    said = verdict.of("Powerball", found, 0.01, 8.0, None)
    payload = {"game": "powerball", "signals": found, "verdict": said}
    await agent.journal.append("assessment.completed", payload)


async def training(agent: Agent, then: Callable[[Transaction, intents.Intent], Any]) -> None:
    def change(tx: Transaction) -> None:
        cause = tx.append("action.requested", {"action": "train"}).seq
        intents.request(tx, "train", "powerball", {}, cause)
        intent = intents.claim(tx, ("train",))
        assert intent is not None
        then(tx, intent)

    await agent.journal.record(change)


def begin(tx: Transaction, intent: intents.Intent, epoch: int = 0) -> None:
    told = {"job": intent.id, "epoch": epoch, "step_loss": 19.5, "draws": 2, "start": "scratch"}
    tx.append("training.started", told | {"start_version": None}, intent.seq)


def epoch(tx: Transaction, job: str, number: int) -> None:
    tx.append(
        "training.epoch",
        {"job": job, "epoch": number, "epochs": 40, "loss": 19.4, "validation_loss": 19.5,
         "validation_gain_nats": -0.01, "seconds": 2.0, "eta_seconds": 95.0},
    )  # fmt: skip


async def test_an_empty_journal_is_a_page_that_says_so(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        answer = await shown(agent)
    assert answer.status_code == 200
    words = said(answer)
    for sentence in (
        "Nothing can be said about Powerball yet.",
        "No forecast of this draw is registered yet.",
        "No draw has been scored yet, so there is no evidence to show.",
        "Nothing has been measured yet.",
        "No forecaster has been scored yet.",
        "No draw is stored yet.",
        "No training has been asked for yet.",
        "It has not assessed itself yet.",
        "There is no network of the present rules yet.",
        "Nothing has been decided yet.",
        "No goal is set.",
        "Nothing has been learned yet.",
        "It has not reflected yet; it does so once a week.",
        "On : Helios decides for itself. It was never switched.",
        "24 hours 0 7,200 7,200",
        "Nothing waits for a person’s answer.",
        "No feed of this game has been asked yet.",
        "Nothing that Helios watches is wrong.",
        "Nothing: Helios waits for its next scheduled instant.",
        "No event has been journaled yet.",
    ):
        assert sentence in words
    assert 'role="img"' not in answer.text
    assert "starting" in words


async def test_the_next_draw_is_known_from_the_calendar_alone(tmp_path: Path) -> None:
    async with living(tmp_path, "powerball", "megamillions") as agent:
        answer = await shown(agent)
    assert "Saturday, 19 September 2026" in said(answer)
    assert "22:59 in New York" in said(answer)
    assert 'datetime="2026-09-20T02:59:00Z"' in answer.text
    assert "23:00 in New York" in said(answer)


async def test_nothing_is_inline_and_nothing_comes_from_another_host(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await assess(agent)
        answer = await shown(agent)
        links = re.findall(r'(?:src|href)="([^"#]+)"', answer.text)
        found = [await shown(agent, link.replace("&amp;", "&")) for link in links]
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*src=)|\son\w+=", answer.text)
    assert all(link.startswith("/") for link in links)
    assert [each.status_code for each in found] == [200] * len(links)
    assert "default-src 'self'" in answer.headers["content-security-policy"]


async def test_every_signal_is_shown_with_its_unit_and_definition(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await assess(agent)
        answer = await shown(agent)
    words = said(answer)
    for signal in signals.SIGNALS:
        assert wording.TITLES[signal.name] in words
        assert signal.definition.split("(")[0].split("'")[0] in words.replace("&#39;", "'")
    assert "Silence of the feeds cannot be said yet" in words
    assert "Draws scored 2 draws" in words
    assert "Evidence against fairness −0.010 nats" in words


async def test_a_sign_of_unfairness_is_said_in_the_verdict(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await assess(agent, gains=[3.0, 2.5], peak_nats=5.5)
        words = said(await shown(agent))
    assert "Powerball shows signs of not being fair" in words
    assert "probability at most 0.0041" in words


async def test_draws_that_are_missing_are_owned_up_to_beside_the_verdict(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await assess(agent, missing_since_us=(FACTS.now_us - 3_600_000_000,))
        assert "Not up to date: 1 draw was held that no source has told of." in said(await shown(agent))
        await assess(agent)
        assert "Not up to date" not in said(await shown(agent))


@pytest.mark.parametrize(
    ("nats", "other", "named", "told"),
    [
        (5.4, -0.5, ["powerball"], "Powerball stands out"),
        (5.2, -0.5, [], "No game stands out"),
        (5.4, 4.7, ["powerball", "megamillions"], "Powerball and Mega Millions stand out"),
    ],
)
async def test_several_games_are_judged_together(
    tmp_path: Path, nats: float, other: float, named: list[str], told: str
) -> None:
    """Of two games, one alone must reach e = 2/0.01, 5.30 nats; two both 1/0.01, 4.61 nats."""
    async with living(tmp_path, "powerball", "megamillions") as agent:
        for game, evidence in (("powerball", nats), ("megamillions", other)):
            payload = {"game": game, "signals": {"evidence": evidence}, "verdict": "Something."}
            await agent.journal.append("assessment.completed", payload)
        seen = await overview(agent)
        words = said(await shown(agent))
    assert sorted(seen["unfair_among_all"]) == sorted(named)
    assert f"{told} when all 2 games are judged together" in words
    assert f"judged together  {told.replace('No', 'no')} (e-BH)" in text.overview(seen)


async def test_what_the_agent_has_set_by_itself_is_told_where_there_is_such(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        before = said(await shown(agent)), text.overview(await overview(agent))
        for name, factor in (("learning_rate", 0.5), ("retrain_after_draws", 2.0)):
            adjusted = {"game": "powerball", "name": name, "factor": factor, "before": 1.0, "reason": "x"}
            await agent.journal.append("parameter.adjusted", adjusted)
        words, told = said(await shown(agent)), text.overview(await overview(agent))
    factors = "learning rate × 0.5, number of draws until the next training × 2"
    assert "et by itself" not in "".join(before)
    assert f"Set by itself, as factors of what is configured: {factors}." in words
    assert f"  set by itself: {factors}" in told.splitlines()


async def test_an_assessment_of_an_earlier_release_may_lack_signals(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        old = {"game": "powerball", "signals": {"draws_scored": 7.0}, "verdict": "No sign of anything."}
        await agent.journal.append("assessment.completed", old)
        words = said(await shown(agent))
    assert "No sign of anything." in words
    assert "Draws scored 7 draws" in words
    assert "p-value of fairness cannot be said yet" in words
    assert "The last assessment is of an earlier release, and says nothing of this." in words


async def test_what_comes_from_outside_is_shown_and_never_obeyed(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:

        def change(tx: Transaction) -> None:
            cause = tx.append("feed.failed", {"game": "powerball", "source": "x", "error": "<b>"}).seq
            draws.open_incident(tx, "x", "feed-unreachable", "x: <script>alert(1)</script>", cause)

        await agent.journal.record(change)
        answer = await shown(agent)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
    assert "<script>" not in answer.text
    assert "Feed unreachable" in said(answer)


async def test_a_training_that_waits_for_a_worker_says_so_everywhere(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await training(agent, lambda tx, intent: None)
        words, seen = said(await shown(agent)), (await shown(agent, "/api/status")).json()
        job = (await shown(agent, "/api/train/status")).json()
        listed = text.jobs(await views.jobs(agent.store, agent.journal.clock, 9))
        await agent.request("backup", "journal", {}, "http")
        await agent.journal.record(lambda tx: intents.claim(tx, ("backup",)))
        others = (await shown(agent, "/api/status")).json()["under_way"]
    assert "Running ; it waits for a worker." in words
    assert (job["state"], job["waits_for_worker"], job["eta_seconds"]) == ("running", True, None)
    (told,) = (line for line in text.overview(seen).splitlines() if "train powerball" in line)
    assert told.startswith("running  train powerball, due ")
    assert told.endswith(", waits for a worker")
    assert "running, waits for a worker, attempt 1" in listed
    assert {one["action"]: one["waits_for_worker"] for one in others} == {"train": True, "backup": False}


async def test_a_training_that_has_just_begun_has_no_numbers(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await training(agent, begin)
        words = said(await shown(agent))
    assert "Running ; its first epoch has not ended yet." in words
    assert "No epoch has ended yet." in words
    assert "No network of the present rules is trained yet." in words


async def test_a_training_shows_how_far_it_is(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await training(
            agent, lambda tx, intent: [begin(tx, intent), *(epoch(tx, intent.id, n) for n in (1, 2, 3))]
        )
        answer = await shown(agent)
    assert "Running , epoch 3 of at most 40. About 1 min 35 s left" in said(answer)
    assert '<progress max="40" value="3"' in answer.text


async def test_of_how_long_it_may_take_the_attempt_before_says_nothing(tmp_path: Path) -> None:
    async def seen(agent: Agent) -> tuple[str, Any, bool]:
        words = re.search(r"Running [^.]*\.", said(page := await shown(agent)))
        job = (await shown(agent, "/api/train/status")).json()
        return words[0] if words else "", job["eta_seconds"], "<progress" in page.text

    async with living(tmp_path) as agent:

        def lose(tx: Transaction, intent: intents.Intent) -> None:
            begin(tx, intent)
            for number in (1, 2, 3):
                epoch(tx, intent.id, number)
            intents.retry(tx, intent, "lost", tx.now_us())
            intents.claim(tx, ("train",))

        await training(agent, lose)
        job = await intents.latest(agent.store, "train")
        assert job is not None
        claimed = await seen(agent)
        await agent.journal.record(lambda tx: begin(tx, job, epoch=2))
        begun = await seen(agent)
        await agent.journal.record(lambda tx: epoch(tx, job.id, 3))
        told = await seen(agent)
    assert claimed == ("Running ; it waits for a worker.", None, False)
    assert begun == ("Running ; its next epoch has not ended yet.", None, False)
    assert told == ("Running , epoch 3 of at most 40.", 95.0, True)


async def test_a_training_that_ended_long_ago_shows_what_is_left_of_it(tmp_path: Path) -> None:
    def end(tx: Transaction, intent: intents.Intent) -> None:
        for number in (1, 2, 3):
            epoch(tx, intent.id, number)
        intents.finish(tx, intent, {})
        summaries.summarise(tx, [intent.id], intent.seq)

    async with living(tmp_path) as agent:
        await training(agent, end)
        words = said(await shown(agent))
        (listed,) = (await shown(agent, "/api/train/history")).json()
        job = (await shown(agent, f"/api/train/{listed['job_id']}")).json()
    assert ", after 3 epochs." in words
    assert "It ended long ago: of its epochs this is left." in words
    assert "Epochs 3, the best was epoch 1" in words
    assert "19.5000, a gain of −0.0100 nats a draw" in words
    assert "No epoch has ended yet." not in words
    assert listed["epochs"] == 3
    assert job["epochs"] == []
    assert job["summary"] == {
        "epochs": 3, "first_loss": 19.4, "final_loss": 19.4, "best_loss": 19.5, "best_epoch": 1,
        "best_gain_nats": -0.01, "instability": 0.0, "seconds": 6.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("end", "state"),
    [
        (lambda tx, intent: intents.fail(tx, intent, "the loss was not a number"), "Failed"),
        (lambda tx, intent: intents.retry(tx, intent, "the loss was not a number", 0), "Waiting"),
    ],
)
async def test_a_training_that_went_wrong_says_why(
    tmp_path: Path, end: Callable[[Transaction, intents.Intent], Any], state: str
) -> None:
    async with living(tmp_path) as agent:
        await training(agent, end)
        words = said(await shown(agent))
    assert f"Training {state}" in words
    assert "the loss was not a number" in words
