"""Goals and knowledge over HTTP: what is shown, who may set goals, and what is refused."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from helios_agent.agent import Agent
from helios_agent.web import server, text
from tests.acceptance.conftest import settle
from tests.web.test_page import living, shown

TOKEN = "a-token-of-more-than-sixteen"
GOAL: dict[str, Any] = {
    "id": "many-draws", "name": "a hundred draws", "game": "powerball", "metric": "draws_known",
    "target": 100, "direction": "at least", "priority": "high", "deadline": "2030-01-01",
}  # fmt: skip


async def ask(
    agent: Agent, method: str, path: str, body: object = None, token: str = TOKEN
) -> httpx.Response:
    transport = httpx.ASGITransport(server.application(agent, TOKEN))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, json=body, headers={"authorization": f"Bearer {token}"})


async def listed(agent: Agent, query: str = "") -> list[dict[str, Any]]:
    answer = await shown(agent, f"/api/goals{query}")
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


async def test_a_goal_is_set_measured_at_once_and_withdrawn(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        made = await ask(agent, "POST", "/api/goals", GOAL)
        before = await listed(agent)
        await settle(agent)
        after = (await shown(agent, made.headers["location"])).json()
        gone = await ask(agent, "DELETE", "/api/goals/many-draws")
        last = [await listed(agent, query) for query in ("", "?state=open", "?game=megamillions")]
    assert (made.status_code, made.headers["location"]) == (201, "/api/goals/many-draws")
    assert before == [made.json()]
    waiting = {"state": "waiting", "reason": None, "start": None, "value": None, "progress": None}
    told = {**GOAL, "target": 100.0, "after": [], "source": "person", "served_by": ["ingest"]}
    assert {name: before[0][name] for name in told | waiting} == told | waiting
    assert {name: after[name] for name in waiting} == {
        "state": "open", "reason": None, "start": 0.0, "value": 0.0, "progress": 0.0
    }  # fmt: skip
    assert (gone.status_code, gone.json()["state"]) == (200, "withdrawn")
    assert last == [[gone.json()], [], []]


@pytest.mark.parametrize(
    ("changes", "status", "detail"),
    [
        ({"metric": "luck"}, 422, "body.metric"),
        ({"game": "megamillions"}, 404, "game is 'megamillions'; expected one that is watched: powerball"),
        ({"after": ["nobody"]}, 422, "after names 'nobody', which is no goal"),
        ({"after": ["many-draws"]}, 422, "after makes many-draws wait for itself"),
        ({"deadline": "2020-01-01"}, 422, "deadline is over already"),
        ({"deadline": "2200-01-02"}, 422, "body.deadline"),
        ({"deadline": "9999-12-31"}, 422, "body.deadline"),
        ({"target": "much"}, 422, "body.target"),
        ({"target": True}, 422, "body.target"),
        ({"direction": "up"}, 422, "body.direction"),
        ({"priority": "urgent"}, 422, "body.priority"),
        ({"id": "Many Draws"}, 422, "body.id"),
        ({"progress": 1}, 422, "body.progress"),
    ],
)
async def test_what_cannot_be_set_is_refused_by_name_and_leaves_nothing(
    changes: dict[str, Any], status: int, detail: str, tmp_path: Path
) -> None:
    async with living(tmp_path) as agent:
        refused = await ask(agent, "POST", "/api/goals", GOAL | changes)
        left = await listed(agent)
    assert (refused.status_code, refused.headers["content-type"]) == (status, "application/problem+json")
    assert refused.json()["detail"].startswith(detail)
    assert left == []


async def test_an_id_that_is_in_use_is_refused_and_what_is_no_goal_is_not_found(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await ask(agent, "POST", "/api/goals", GOAL)
        again = await ask(agent, "POST", "/api/goals", GOAL)
        none = [(await ask(agent, method, "/api/goals/nobody")) for method in ("GET", "DELETE")]
        state = await ask(agent, "GET", "/api/goals?state=lost")
    assert again.status_code == 422
    assert again.json()["detail"] == "id is 'many-draws', which is that of a goal that is waiting"
    assert [(a.status_code, a.json()["detail"]) for a in none] == 2 * [(404, "There is no goal 'nobody'.")]
    assert state.status_code == 422


async def test_nobody_sets_or_withdraws_a_goal_without_the_token(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await ask(agent, "POST", "/api/goals", GOAL)
        refused = [
            await ask(agent, "POST", "/api/goals", GOAL | {"id": "other"}, TOKEN[::-1]),
            await ask(agent, "DELETE", "/api/goals/many-draws", None, TOKEN[::-1]),
        ]
        left = await listed(agent)
    assert [answer.status_code for answer in refused] == [401, 401]
    assert [(goal["id"], goal["state"]) for goal in left] == [("many-draws", "waiting")]


async def test_knowledge_is_found_by_game_kind_and_text(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        for number, (game, kind, content) in enumerate(
            [("powerball", "effect", "It helped 100 %."), ("simulated", "effect", "Never."),
             ("powerball", "feed", "Texas is quick.")]
        ):  # fmt: skip
            learned = {"game": game, "kind": kind, "subject": f"of {number}", "content": content}
            await agent.journal.append(
                "knowledge.learned", {"id": f"k-{number}", "relevance": 0.5, "evidence": {"n": 3}, **learned}
            )
        await agent.journal.append("decision.made", {"game": "powerball", "knowledge": ["k-0"]})
        found = {
            query: [f["id"] for f in (await shown(agent, f"/api/memory/knowledge{query}")).json()]
            for query in ("", "?game=powerball", "?kind=effect", "?kind=effect&game=powerball", "?text=TEXAS",
                          "?text=100%20%25", "?text=of%201", "?text=%25")
        }  # fmt: skip
        whole = (await shown(agent, "/api/memory/knowledge")).json()
        unknown = await shown(agent, "/api/memory/knowledge?kind=rumour")
    assert found == {
        "": ["k-2", "k-1", "k-0"], "?game=powerball": ["k-2", "k-0"], "?kind=effect": ["k-1", "k-0"],
        "?kind=effect&game=powerball": ["k-0"], "?text=TEXAS": ["k-2"], "?text=100%20%25": ["k-0"],
        "?text=of%201": ["k-1"], "?text=%25": ["k-0"],
    }  # fmt: skip
    assert (whole[2]["uses"], whole[2]["evidence"], whole[1]["used_at"]) == (1, {"n": 3}, None)
    assert unknown.status_code == 422
    assert text.knowledge(whole).splitlines()[2] == (
        "2026-09-18  powerball  effect of of 0  It helped 100 %. (relevance 0.50, used once)"
    )
    assert text.knowledge([]) == "Nothing of the kind has been learned yet."
