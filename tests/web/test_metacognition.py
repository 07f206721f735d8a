"""What is told of an assessment over HTTP and in a terminal."""

from pathlib import Path

import httpx
import pytest

from helios_agent.actions import assess, facts
from helios_agent.agent import Agent
from helios_agent.lottery.games import game
from helios_agent.metacognition.signals import SIGNALS
from helios_agent.web import assessments, server
from tests.web.test_page import living

ASSESSMENT = "/api/metacognitive/assessment"


def client(agent: Agent) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(server.application(agent, None)), base_url="http://localhost"
    )


async def judge(agent: Agent) -> None:
    """Assess a game of which nothing is known, as the action does."""
    rules = game("powerball")
    async with agent.store.moment() as store:
        gathered = await facts.gather(store, agent.config, rules, agent.journal.clock.now_us())
    await agent.journal.append("assessment.completed", assess.judge(gathered, agent.config, rules))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ASSESSMENT),
        ("GET", "/api/metacognitive/patterns"),
        ("POST", "/api/metacognitive/recommendations"),
    ],
)
async def test_before_the_first_assessment_there_is_nothing_to_tell(
    tmp_path: Path, method: str, path: str
) -> None:
    async with living(tmp_path) as agent, client(agent) as http:
        answer = await http.request(method, path)
    assert answer.status_code == 404
    assert answer.json()["detail"] == "Powerball has not been assessed yet."


async def test_an_assessment_explains_every_signal(tmp_path: Path) -> None:
    async with living(tmp_path) as agent, client(agent) as http:
        await judge(agent)
        seen = (await http.get(ASSESSMENT)).json()
    assert [signal["name"] for signal in seen["signals"]] == [signal.name for signal in SIGNALS]
    backup = next(signal for signal in seen["signals"] if signal["name"] == "backup_age")
    assert backup == {
        "name": "backup_age",
        "value": 0.0,
        "unit": "hours",
        "definition": "Time since the last verified backup, or since the journal was begun if there is none.",
        "healthy": [None, 48.0],
        "is_healthy": True,
        "source": "The last backup.completed, else the oldest event in the database: its time.",
    }
    assert {signal["name"] for signal in seen["signals"] if signal["is_healthy"] is None} == {
        signal["name"] for signal in seen["signals"] if signal["value"] is None
    }
    assert [each["about"] for each in seen["recommendations"]][:2] == ["learning rate", "focus"]
    assert seen["strategy"]["name"] == "active learning"
    assert seen["knowledge_gaps"][0]["what"] == "a ball that is too heavy"
    assert seen["as_of"]["seq"] == seen["seq"] - 1
    assert seen["confidence"] == pytest.approx(0.4925, abs=1e-4)
    assert seen["predicted_performance"] == {"mean": None, "low": None, "high": None}


async def test_to_ask_for_an_assessment_is_to_ask_for_an_action(tmp_path: Path) -> None:
    async with living(tmp_path) as agent, client(agent) as http:
        answer = await http.post(ASSESSMENT, json={"game": "powerball"})
        unknown = await http.post(ASSESSMENT, json={"game": "keno"})
        found = (await http.get(answer.headers["location"])).json()
    assert (answer.status_code, unknown.status_code) == (202, 404)
    assert (found["action"], found["target"]) == ("assess", "powerball")


async def test_recommendations_tell_what_their_action_achieved(tmp_path: Path) -> None:
    choice = {
        "id": "c-1", "decision": 1, "game": "powerball", "action": "tune", "target": "powerball",
        "context": "quiet", "urgency": 1.0, "price": 0.0,
    }  # fmt: skip
    measured = {
        "id": "c-1", "game": "powerball", "action": "tune", "impact": 0.5, "unit": "nats", "success": 1,
        "regret": 0.0, "sentence": "It helped.",
    }  # fmt: skip
    async with living(tmp_path) as agent, client(agent) as http:
        await judge(agent)
        payload = {
                "game": "powerball", "signals": {"learning_progress": -0.5},
                "unhealthy": ["learning_progress"],
            }  # fmt: skip
        await agent.journal.append("assessment.completed", payload)
        before = (await http.post("/api/metacognitive/recommendations")).json()
        await agent.journal.append("choice.made", choice)
        await agent.journal.append("decision.measured", measured)
        after = (await http.post("/api/metacognitive/recommendations", json={})).json()
        patterns = (await http.get("/api/metacognitive/patterns")).json()
    exploration = [found["recommendations"][2] for found in (before, after)]
    assert [(each["about"], each["action"]) for each in exploration] == [("exploration", "tune")] * 2
    assert exploration[0]["effect"] == "nothing measured yet"
    assert exploration[1]["effect"] == "tune did what it was chosen for in 1 of 1 measured case"
    assert patterns["patterns"] == []


async def test_as_text_it_says_what_is_wrong_and_what_is_not_known(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await judge(agent)
        seen = await assessments.latest(agent.store, game("powerball"))
    wrong = {
        "name": "storage_used",
        "value": 0.95,
        "unit": "share",
        "healthy": [None, 0.9],
        "is_healthy": False,
    }
    said = assessments.as_text(seen | {"signals": [*seen["signals"], wrong]}).splitlines()
    assert said[1] == "No draw of Powerball has been scored yet, so nothing can be said."
    assert said[2].startswith("strategy: active learning. These rules have 0 draws")
    assert "  feed_silence             not known" in said
    assert any(line.startswith("learning rate: leave it: no training diverged") for line in said)
    assert "memory: leave it: there is room" in said
    assert said[-1] == "  storage_used             0.95 share  unhealthy: should be at most 0.9"


async def test_as_text_it_says_what_was_gained_and_what_is_recommended(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await judge(agent)
        payload = {
            "game": "powerball", "verdict": "So it is.", "signals": {"learning_progress": -0.5}, "units": {},
            "unhealthy": ["learning_progress"],
            "predicted_performance": {"mean": -0.0005, "low": -0.002, "high": 0.001},
        }  # fmt: skip
        await agent.journal.append("assessment.completed", payload)
        said = assessments.as_text(await assessments.latest(agent.store, game("powerball"))).splitlines()
    assert (
        "gained so far: -0.00050 nats a draw on average; with 95 % confidence between -0.00200 and +0.00100"
        in said
    )
    assert "exploration: more: the newest network is worse than the one before (nothing measured yet)" in said
