"""Decisions over HTTP: what was weighed, what became of what was chosen, and a person's word in it."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from helios_agent.agent import Agent
from helios_agent.clock import SECOND_US, VirtualClock, iso
from helios_agent.journal import events, intents
from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader, Row
from helios_agent.web import decisions, server, text
from tests.web.test_page import living, said, shown

TOKEN = "a-token-of-more-than-sixteen"
HOUR_US = 3600 * SECOND_US


async def ask(
    agent: Agent, method: str, path: str, body: object = None, token: str = TOKEN
) -> httpx.Response:
    transport = httpx.ASGITransport(server.application(agent, TOKEN))
    headers = {"authorization": f"Bearer {token}"} if method == "POST" else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.request(method, path, json=body, headers=headers)


async def get(agent: Agent, path: str) -> Any:
    answer = await ask(agent, "GET", path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def candidate(action: str, target: str = "powerball", **how: Any) -> dict[str, Any]:
    return {
        "action": action, "target": target, "type": "maintenance", "priority": "high", "args": {},
        "urgency": 1.5, "effectiveness": 1.0, "confidence": 1.0, "cpu_seconds": 0.0, "price": 0.0,
        "score": 1.5, "expected": 1.5, "reason": f"{action} is due", "chosen": False, "proposed": False,
        "blocked": "waiting scores higher",
    } | how  # fmt: skip


CHOSEN: Mapping[str, Any] = {"chosen": True, "blocked": None}


async def decided(
    agent: Agent, *candidates: dict[str, Any], game: str = "powerball", knows: bool = True
) -> tuple[int, list[str]]:
    """Journal a decision and ask for, or propose, what it chose; return its seq and the ids of its intents.

    One that does not `know` of choices is of an earlier build.
    """

    def change(tx: Transaction) -> tuple[int, list[str]]:
        made = {"game": game, "assessment": 1, "candidates": candidates, "rationale": "Chose something."}
        more = {"policy": "ab" * 8, "inputs": {"seed": 7}, "context": "quiet", "without": [], "knowledge": []}
        event = tx.append("decision.made", made | (more if knows else {}))
        asked = []
        for c in candidates:
            if not c["chosen"] or c["action"] == "wait":
                continue
            what = c["action"].removesuffix("-warm"), c["target"], c["args"], event.seq
            if c["proposed"]:
                expires_us = tx.now_us() + HOUR_US
                asked.append(intents.propose(tx, *what, expires_us=expires_us, reason=c["reason"]))
            else:
                asked.append(intents.request(tx, *what))
            if knows:
                choice = {"id": asked[-1], "decision": event.seq, "game": game, "context": "quiet"}
                weighed = {"action": c["action"], "target": c["target"], "urgency": 1.5, "price": 0.25}
                tx.append("choice.made", choice | weighed)
        return event.seq, asked

    return await agent.journal.record(change)


async def carry_out(agent: Agent, action: str, seconds: float, error: str | None = None) -> None:
    intent = await agent.journal.record(lambda tx: intents.claim(tx, (action,)))
    assert intent is not None
    assert isinstance(agent.journal.clock, VirtualClock)
    await agent.journal.clock.advance(seconds)
    end = (
        (lambda tx: intents.fail(tx, intent, error))
        if error
        else (lambda tx: intents.finish(tx, intent, {"ok": 1}))
    )
    await agent.journal.record(end)


def outcomes(made: Mapping[str, Any]) -> dict[str, Any]:
    return {c["action"]: c["outcome"] and c["outcome"]["status"] for c in made["candidates"]}


async def test_a_decision_shows_what_became_of_everything_that_it_chose(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        seq, (compact, warm, verify) = await decided(
            agent,
            candidate("compact", "journal", **CHOSEN),
            candidate("train-warm", args={"start": "newest"}, **CHOSEN),
            candidate("verify", "journal", **CHOSEN, proposed=True),
            candidate("tune", score=None, urgency=None, blocked="its signal is unknown"),
        )
        begun = iso(agent.journal.clock.now_us())
        await carry_out(agent, "compact", 2.5)
        spent = {"job": compact, "action": "compact", "target": "journal", "attempt": 1, "cpu_seconds": 1.25}
        measured = {
            "id": compact, "game": "powerball", "action": "compact", "impact": 4096.0, "unit": "bytes",
            "success": 1, "regret": 0.25, "sentence": "It cost too much.",
        }  # fmt: skip
        await agent.journal.append("work.spent", spent)
        await agent.journal.append("decision.measured", measured)
        await carry_out(agent, "train", 9, error="the loss was not a number")
        whole = await get(agent, f"/api/decisions/{seq}")
        [listed] = await get(agent, "/api/decisions/history")
        now = iso(agent.journal.clock.now_us())
        lines = text.decision(whole).splitlines()
    found = {c["action"]: c for c in whole["candidates"]}
    assert {name: c.get("choice") for name, c in found.items()} == {
        "compact": compact, "train-warm": warm, "verify": verify, "tune": None
    }  # fmt: skip
    assert found["compact"]["outcome"] == {
        "status": "completed", "state": "done", "expires_at": None, "begun_at": begun,
        "ended_at": "2026-09-18T12:00:02.500000Z", "execution_seconds": 2.5, "cpu_seconds": 1.25,
        "result": {"ok": 1}, "error": None, "measured_at": "2026-09-18T12:00:02.500000Z", "impact": 4096.0,
        "unit": "bytes", "success": True, "regret": 0.25, "worth_it": False, "sentence": "It cost too much.",
    }  # fmt: skip
    failed = found["train-warm"]["outcome"]
    assert (failed["status"], failed["error"], failed["execution_seconds"]) == (
        "failed", "the loss was not a number", 9.0
    )  # fmt: skip
    assert (failed["worth_it"], failed["impact"], failed["cpu_seconds"], failed["ended_at"]) == (
        None,
        None,
        None,
        now,
    )
    waits = found["verify"]["outcome"]
    assert (waits["status"], waits["state"]) == ("pending", "proposed")
    assert waits["expires_at"] == "2026-09-18T13:00:00Z"
    assert found["tune"]["outcome"] is None
    assert whole["inputs"] == {"seed": 7}
    assert listed == {name: value for name, value in whole.items() if name != "inputs"}
    assert (
        f"             compact journal  {compact}  completed in 2.5 s; not worth it (+4,096 bytes)" in lines
    )
    assert "    unknown  tune powerball: tune is due  [its signal is unknown]" in lines


@pytest.mark.parametrize(
    ("end", "status", "told"),
    [
        (lambda tx, i: intents.refuse(tx, i, "cli", "no"), "cancelled", "rejected: no"),
        (
            lambda tx, i: tx.append("intent.expired", {"id": i, "reason": "late"}),
            "cancelled",
            "expired: late",
        ),
        (lambda tx, i: intents.stop(tx, i, 1), "cancelled", "cancelled"),
        (lambda tx, i: intents.approve(tx, i, "cli"), "pending", "pending"),
        (lambda tx, i: (intents.approve(tx, i, "cli"), intents.pause(tx, i, 1)), "pending", "pending"),
        (
            lambda tx, i: (intents.approve(tx, i, "cli"), intents.claim(tx, ("backup",))),
            "executing",
            "executing",
        ),
    ],
)
async def test_every_state_has_a_status_by_which_decisions_are_found(
    end: Any, status: str, told: str, tmp_path: Path
) -> None:
    async with living(tmp_path) as agent:
        seq, [proposal] = await decided(agent, candidate("backup", "journal", **CHOSEN, proposed=True))
        await agent.journal.record(lambda tx: end(tx, proposal))
        for asked in ("pending", "executing", "completed", "failed", "cancelled"):
            found = await get(agent, f"/api/decisions/history?status={asked}")
            assert [made["seq"] for made in found] == ([seq] if asked == status else [])
        lines, page = text.decision(await get(agent, f"/api/decisions/{seq}")), said(await shown(agent))
    assert lines.endswith(f"{proposal}  {told}")
    assert f"chosen : {told}" in page


async def test_decisions_are_found_by_what_they_weighed_and_chose(tmp_path: Path) -> None:
    async with living(tmp_path, "powerball", "megamillions") as agent:
        clock = agent.journal.clock
        assert isinstance(clock, VirtualClock)
        seqs = []
        wait = candidate("wait", score=1.0, **CHOSEN)
        for candidates, game in (
            ((candidate("backup", "journal", **CHOSEN), candidate("train")), "powerball"),
            ((candidate("train"), wait), "powerball"),
            ((candidate("train", "megamillions", **CHOSEN), candidate("backup", "journal")), "megamillions"),
        ):
            seqs.append((await decided(agent, *candidates, game=game))[0])
            await clock.advance(60)
        await carry_out(agent, "train", 1)

        async def found(query: str) -> list[int]:
            return [seqs.index(d["seq"]) for d in await get(agent, f"/api/decisions/history?{query}")]

        assert await found("") == [2, 1, 0]
        assert await found("game=powerball") == [1, 0]
        assert await found("action=train") == [2, 1, 0]
        assert await found("chosen=true") == [2, 0]
        assert await found("action=train&chosen=true") == [2]
        assert await found("action=wait&chosen=true") == [1]
        assert await found("action=tune") == []
        assert await found("status=completed") == [2]
        assert await found("status=pending&action=train") == []
        assert await found("status=pending&action=backup") == [0]
        assert await found("limit=1") == [2]
        assert await found(f"before={seqs[2]}&limit=1") == [1]
        assert await found("since=2026-09-18T12:01:00Z") == [2, 1]
        assert await found("until=2026-09-18T12:01:00Z") == [0]
        for wrong in ("status=done", "action=dance", "limit=0", "limit=201", "since=soon", "before=0"):
            assert (await ask(agent, "GET", f"/api/decisions/history?{wrong}")).status_code == 422
        assert (await ask(agent, "GET", "/api/decisions/history?game=lotto")).status_code == 404


async def test_a_decision_with_a_rare_status_is_found_far_back(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        seq, _ = await decided(agent, candidate("backup", "journal", **CHOSEN))
        await carry_out(agent, "backup", 1, error="no disk")
        for _ in range(250):
            await decided(agent, candidate("train"), candidate("wait", **CHOSEN))
        found = await get(agent, "/api/decisions/history?status=failed&limit=5")
    assert [made["seq"] for made in found] == [seq]


class Counted:
    """Counts what is asked of a store."""

    def __init__(self, store: Reader) -> None:
        self._store, self.asked = store, 0

    async def rows(self, sql: str, parameters: Iterable[Any] | dict[str, Any] = ()) -> list[Row]:
        self.asked += 1
        return await self._store.rows(sql, parameters)


@pytest.mark.parametrize(("status", "found"), [(None, 121), ("pending", 121), ("failed", 0)])
async def test_no_more_is_asked_of_the_database_for_many_decisions_than_for_one(
    status: decisions.Status | None, found: int, tmp_path: Path
) -> None:
    asked = []
    async with living(tmp_path) as agent:
        for n in (1, 120):
            for place in range(n):
                await decided(agent, candidate("train", f"game-{n}-{place}", **CHOSEN))
            counted = Counted(agent.store)
            page = await decisions.history(counted, decisions.Wanted(status=status), 200)
            asked.append(counted.asked)
    assert (len(page.decisions), page.following) == (found, None)
    assert asked[0] == asked[1] < 12


async def test_a_page_of_decisions_looks_at_so_many_and_says_where_to_look_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decisions, "WINDOW", 3)
    async with living(tmp_path, "powerball", "megamillions") as agent:
        first, _ = await decided(agent, candidate("train", "megamillions", **CHOSEN), game="megamillions")
        for _ in range(7):
            await decided(agent, candidate("backup", "journal"), candidate("wait", **CHOSEN))
        found, path = [], "/api/decisions/history?game=megamillions&limit=2"
        while path:
            answer = await ask(agent, "GET", path)
            found.append([made["seq"] for made in answer.json()])
            path = answer.headers.get("link", "").partition("<")[2].partition(">")[0]
        everything = await decisions.newest(agent.store, decisions.Wanted(), 99)
        latest = (await get(agent, "/api/decisions/status?game=megamillions"))["latest"]
    assert found == [[], [], [first]]
    assert (len(everything), everything[-1]["seq"], latest["seq"]) == (8, first, first)


async def test_decisions_of_earlier_builds_are_found_by_what_became_of_them(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        seq, _ = await decided(agent, candidate("backup", "journal", **CHOSEN), knows=False)
        await carry_out(agent, "backup", 1)
        for later in (False, True):
            if later:
                await decided(agent, candidate("train", **CHOSEN))
            for query, found in (("completed", [seq]), ("completed&action=backup", [seq]), ("failed", [])):
                listed = await get(agent, f"/api/decisions/history?status={query}")
                assert [made["seq"] for made in listed] == found


async def test_decisions_of_earlier_builds_show_what_there_is(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        old = {"action": "backup", "target": "journal", "score": 1.5, "reason": "it is old", **CHOSEN}
        idle = {
            "action": "train",
            "target": "powerball",
            "score": 0.5,
            "reason": "x",
            "chosen": False,
            "blocked": "y",
        }
        seq, [backup] = await decided(agent, old | {"args": {}, "proposed": False}, idle, knows=False)
        await carry_out(agent, "backup", 3)
        made = await get(agent, f"/api/decisions/{seq}")
        lines = text.decisions([made]).splitlines()
    assert made["candidates"][0]["choice"] == backup
    assert outcomes(made) == {"backup": "completed", "train": None}
    assert (made["candidates"][0]["outcome"]["worth_it"], "context" in made) == (None, False)
    assert lines[1] == f"         backup journal  {backup}  completed in 3.0 s"


async def test_what_is_no_decision_is_not_found(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await agent.journal.append("test.happened", {})
        for seq, status in (("1", 404), ("99", 404), ("0", 422), ("x", 422)):
            assert (await ask(agent, "GET", f"/api/decisions/{seq}")).status_code == status


async def test_the_status_says_who_switched_what_is_left_proposed_and_believed(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        empty = await get(agent, "/api/decisions/status")
        assert empty["autonomy"] == {"is_on": True, "by": None, "since": None}
        assert (empty["proposals"], empty["latest"], empty["beliefs"]) == ([], None, [])
        assert empty["budget"]["day"] == {
            "since": "2026-09-17T12:00:00Z", "limit_cpu_seconds": 7200.0, "spent_cpu_seconds": 0.0,
            "left_cpu_seconds": 7200.0,
        }  # fmt: skip
        clock = agent.journal.clock
        assert isinstance(clock, VirtualClock)
        _, [job] = await decided(agent, candidate("train", **CHOSEN))
        for job_id, seconds in ((job, 5000.0), ("somebody's", 9999.0)):
            spent = {"job": job_id, "action": "train", "target": "powerball", "attempt": 1}
            await agent.journal.append("work.spent", spent | {"cpu_seconds": seconds})
        measured = {
            "id": job,
            "game": "powerball",
            "action": "train",
            "impact": None,
            "unit": None,
            "regret": None,
        }
        await agent.journal.append(
            "decision.measured", measured | {"success": 0, "sentence": "It did not help."}
        )
        await clock.advance(86_401)
        seq, [proposal] = await decided(agent, candidate("verify", "journal", **CHOSEN, proposed=True))
        await agent.switch(False, "cli")
        seen = await get(agent, "/api/decisions/status")
        lines = text.decision_status(seen).splitlines()
    assert seen["autonomy"] == {"is_on": False, "by": "cli", "since": "2026-09-19T12:00:01Z"}
    assert [seen["budget"][span]["spent_cpu_seconds"] for span in ("day", "month")] == [0.0, 5000.0]
    assert seen["budget"]["month"]["left_cpu_seconds"] == 67_000.0
    [waits] = seen["proposals"]
    assert (waits["id"], waits["decision"], waits["what"], waits["reason"]) == (
        proposal, seq, "Verify journal", "verify is due"
    )  # fmt: skip
    assert waits["expires_at"] == "2026-09-19T13:00:01Z"
    assert seen["latest"]["seq"] == seq
    assert seen["beliefs"] == [
        {"action": "train", "context": "quiet", "chosen": 1, "measured": 1, "successes": 0},
        {"action": "verify", "context": "quiet", "chosen": 1, "measured": 0, "successes": 0},
    ]
    assert lines[0] == "It does not decide for itself, said at the terminal at 2026-09-19T12:00:01Z"
    assert lines[-2:] == [
        "train        while nothing was suspected   succeeded 0 of 1 times measured, chosen 1 time",
        "verify       while nothing was suspected   succeeded 0 of 0 times measured, chosen 1 time",
    ]
    assert lines[2] == "last month  5,000 s of processor time spent, 67,000 s left"
    assert (
        f"proposed, to be approved until 2026-09-19T13:00:01Z: {proposal}  Verify journal: verify is due"
        in lines
    )


async def test_a_decision_is_asked_for_and_the_switch_is_thrown(tmp_path: Path) -> None:
    async with living(tmp_path, "powerball", "megamillions") as agent:
        made = await ask(agent, "POST", "/api/decisions/make")
        other = await ask(agent, "POST", "/api/decisions/make", {"game": "megamillions"})
        unknown = await ask(agent, "POST", "/api/decisions/make", {"game": "lotto"})
        stopped = [await ask(agent, "POST", "/api/decisions/autonomous/stop") for _ in range(2)]
        started = await ask(agent, "POST", "/api/decisions/autonomous/start")
        switched = await events.tail(agent.store, limit=9, kinds=["autonomy.switched"])
    assert (made.status_code, made.json()["action"], made.json()["target"]) == (202, "decide", "powerball")
    assert made.headers["location"] == f"/api/intents/{made.json()['id']}"
    assert (other.json()["target"], unknown.status_code) == ("megamillions", 404)
    assert [answer.json()["is_on"] for answer in (*stopped, started)] == [False, False, True]
    assert (
        stopped[0].json()
        == stopped[1].json()
        == {"is_on": False, "by": "http", "since": "2026-09-18T12:00:00Z"}
    )
    assert len(switched) == 2


async def test_a_proposal_is_answered_once_and_whoever_comes_later_is_told(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        _, [backup, verify] = await decided(
            agent, *(candidate(what, "journal", **CHOSEN, proposed=True) for what in ("backup", "verify"))
        )
        approved = await ask(agent, "POST", f"/api/decisions/{backup}/approve")
        again = await ask(agent, "POST", f"/api/decisions/{backup}/approve")
        reasonless = await ask(agent, "POST", f"/api/decisions/{verify}/reject", {})
        rejected = await ask(agent, "POST", f"/api/decisions/{verify}/reject", {"reason": "not now"})
        too_late = await ask(agent, "POST", f"/api/decisions/{verify}/approve")
        unknown = await ask(agent, "POST", "/api/decisions/deadbeef/approve")
    assert (approved.status_code, approved.json()["state"]) == (202, "ready")
    assert approved.headers["location"] == f"/api/intents/{backup}"
    assert (again.status_code, reasonless.status_code, unknown.status_code) == (422, 422, 404)
    assert "was approved already, at 2026-09-18T12:00:00Z by http: it is ready." in again.json()["detail"]
    assert (rejected.json()["state"], rejected.json()["error"]) == ("refused", "not now")
    assert too_late.json()["detail"] == f"verify {verify} is refused: it cannot be approved."


@pytest.mark.parametrize(
    "path", ["make", "autonomous/start", "autonomous/stop", "{}/approve", "{}/reject"]
)  # fmt: skip
async def test_nobody_has_a_word_in_it_without_the_token(path: str, tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        _, [backup] = await decided(agent, candidate("backup", "journal", **CHOSEN, proposed=True))
        before = (await events.head(agent.store)).seq
        body = {"reason": "x"} if path.endswith("reject") else None
        refused = await ask(agent, "POST", f"/api/decisions/{path.format(backup)}", body, TOKEN[::-1])
        assert (await events.head(agent.store)).seq == before
    assert refused.status_code == 401
