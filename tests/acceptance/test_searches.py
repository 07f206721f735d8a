"""A search as one asks for it: paused, gone on with, and what it finds a challenger like any other."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from helios_agent.actions import runner
from helios_agent.agent import Agent
from helios_agent.clock import VirtualClock
from helios_agent.errors import WorkerLost
from helios_agent.journal import draws, events, intents, rebuild
from helios_agent.lottery import calendar, games
from helios_agent.lottery.draws import Draw
from helios_agent.simulation import drums
from helios_agent.simulation.machines import ChangePoint
from helios_agent.work.engine import Engine
from tests.acceptance.simulated import DRAWS, ERA, MATRIX, NOW, client, living

LOADED = drums.weighted_balls(MATRIX, [7, 8, 9], 60.0)
SEARCH = {"trials": 3, "folds": 1, "block": 15}
TRAINING = {"epochs": 4, "learning_rate": 1e-5, "batch": 8, "segments": 4}  # learns next to nothing
# What else there is to choose from is too large for so few heads: every trial is small.
NETWORK = {"sequence": 8, "hidden": 15, "layers": 1, "heads": 5, "embedding": 4, "dropout": 0.0}
SMALL: dict[str, Any] = {"search": SEARCH, "training": TRAINING, "network": NETWORK}


async def carry_out(agent: Agent) -> None:
    claimed = await agent.journal.record(lambda tx: intents.claim(tx, ("tune",)))
    assert claimed is not None
    await runner.carry_out(agent.context(), claimed)


async def asked(http: httpx.AsyncClient) -> str:
    answer = await http.post("/api/intents", json={"action": "tune", "target": "simulated"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def shown(http: httpx.AsyncClient, job: str) -> dict[str, Any]:
    found: dict[str, Any] = (await http.get(f"/api/searches/{job}")).json()
    return found


async def happened(agent: Agent, kind: str) -> list[dict[str, Any]]:
    return [dict(e.payload) for e in reversed(await events.tail(agent.store, limit=99, kinds=[kind]))]


async def test_a_search_that_is_paused_goes_on_from_its_trials_and_what_it_finds_becomes_the_challenger(
    tmp_path: Path,
) -> None:
    async with living(tmp_path, LOADED, **SMALL) as agent, client(agent) as http:
        job = await asked(http)

        async def pause_after_a_trial() -> None:
            with agent.journal.listening() as news:
                while not await happened(agent, "search.trial"):
                    await news.wait()
                    news.clear()
            assert (await http.post(f"/api/intents/{job}/pause")).status_code == 202

        pausing = asyncio.create_task(pause_after_a_trial())
        carrying = asyncio.create_task(carry_out(agent))
        assert isinstance(agent.journal.clock, VirtualClock)
        while not carrying.done():  # whoever looks now and then whether to stop needs time to pass
            await asyncio.wait({carrying}, timeout=0.05)
            await agent.journal.clock.advance(0.1)
        await asyncio.gather(pausing, carrying)
        paused = await shown(http, job)
        assert paused["state"] == "paused"
        assert 1 <= len(paused["trials"]) < 3
        assert (await http.post(f"/api/intents/{job}/resume")).status_code == 202
        await carry_out(agent)
        found = await shown(http, job)
        listed = (await http.get("/api/searches?game=simulated")).json()
        earlier = (await http.get(f"/api/searches?game=simulated&before={found['cause']}")).json()
        (told,) = await happened(agent, "search.completed")
        (trained,) = await happened(agent, "model.trained")
        rebuild.check(agent.config.database, agent.config.archives)
        made = agent.config.paths.models / "powerballnet" / trained["version"]
        card = json.loads(await asyncio.to_thread((made / "model.json").read_text))
        left = await asyncio.to_thread(os.listdir, agent.config.paths.models / ".staging")

    assert (found["state"], found["error"], found["trials_left"]) == ("done", None, 0)
    assert (listed, earlier) == ([found], [])
    assert found["trials"][: len(paused["trials"])] == paused["trials"]
    assert [trial["number"] for trial in found["trials"]] == [0, 1, 2]
    gains = [trial["gain"] for trial in found["trials"] if trial["gain"] is not None]
    assert told["best"]["gain"] == max(gains) > 0.0
    assert told["trials"] == 3
    assert found["result"]["version"] == trained["version"]
    assert trained["job"] == job
    assert card["architecture"]["dropout"] == told["best"]["parameters"]["dropout"]
    assert card["training"]["segments"] == told["best"]["parameters"]["segments"]
    assert left == []


class LosingTheTraining:
    """An engine that loses the first training, after whatever else it has computed."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._lost = engine, False

    async def run(self, kind: str, *asked: Any, **options: Any) -> dict[str, Any]:
        if kind == "train" and not self._lost:
            self._lost = True
            raise WorkerLost()
        return await self._engine.run(kind, *asked, **options)

    async def close(self) -> None:
        await self._engine.close()


async def test_a_search_to_which_a_draw_comes_before_its_training_ends_begins_anew_and_says_so(
    tmp_path: Path,
) -> None:
    async with living(tmp_path, LOADED, **SMALL) as agent, client(agent) as http:
        clock = agent.journal.clock
        assert isinstance(clock, VirtualClock)
        job = await asked(http)
        claimed = await agent.journal.record(lambda tx: intents.claim(tx, ("tune",)))
        assert claimed is not None
        context = agent.context()
        await runner.carry_out(replace(context, engine=LosingTheTraining(context.engine)), claimed)
        before = await shown(http, job)
        assert (before["state"], len(await happened(agent, "search.completed"))) == ("ready", 1)

        later = calendar.expected_days(games.SIMULATED, ERA.start, NOW)[DRAWS]
        drawn = Draw("simulated", later, (7, 8, 9, 10, 11), 6, None, ordered=True)
        await agent.journal.append("draw.ingested", draws.to_payload(drawn, "drum"))
        await clock.advance(runner.RETRY_S)
        await carry_out(agent)
        after = await shown(http, job)
        first, second = await happened(agent, "search.completed")
        (end,) = await events.tail(agent.store, limit=1, kinds=["search.completed"])
        told = await agent.store.rows("SELECT is_adopted, seq FROM search WHERE job = ?", (job,))
        rebuild.check(agent.config.database, agent.config.archives)

    assert (after["state"], after["error"]) == ("done", None)
    questions = [{trial["question"] for trial in search["trials"]} for search in (before, after)]
    assert [len(of) for of in questions] == [1, 1]
    assert questions[0] != questions[1]
    assert first["adopted"]
    assert second["best"] in after["trials"]
    assert [tuple(row) for row in told] == [(second["adopted"], end.seq)]


async def test_what_is_left_of_a_search_is_what_its_trials_or_its_budget_leave(tmp_path: Path) -> None:
    search = SEARCH | {"trials": 6, "cpu": 20}
    async with living(tmp_path, LOADED, **SMALL | {"search": search}) as agent, client(agent) as http:
        job = await asked(http)
        await agent.journal.record(lambda tx: intents.claim(tx, ("tune",)))
        told = []
        for number, cpu_seconds in enumerate((2.0, 8.0, 5.0, 7.0)):
            before = await shown(http, job)
            told.append((before["trials_left"], before["eta_seconds"]))
            trial = {
                "job": job, "number": number, "question": "0" * 16, "state": "failed", "parameters": {},
                "gains": [], "gain": None, "error": "training diverged", "cpu_seconds": cpu_seconds,
            }  # fmt: skip
            await agent.journal.append("search.trial", trial)
        spent = await shown(http, job)

    assert told == [(6, None), (5, 10.0), (2, 10.0), (1, 5.0)]
    assert (spent["trials_left"], spent["eta_seconds"], spent["cpu_seconds"]) == (0, 0.0, 22.0)


async def test_where_no_configuration_gains_anything_no_network_is_trained(tmp_path: Path) -> None:
    misled = ChangePoint(LOADED, drums.weighted_balls(MATRIX, [20, 21, 22], 60.0), at=90)
    learning = TRAINING | {"learning_rate": 0.02}
    once = {**SMALL, "search": {**SEARCH, "trials": 1}, "training": learning}
    async with living(tmp_path, misled, **once) as agent, client(agent) as http:
        job = await asked(http)
        await carry_out(agent)
        found = await shown(http, job)
        assert await happened(agent, "model.trained") == []
    assert (found["state"], found["result"]["best"], found["result"]["model"]) == ("done", None, None)
    assert found["trials"][0]["gain"] < 0.0


async def test_a_search_needs_enough_draws_and_another_job_is_none(tmp_path: Path) -> None:
    greedy = {**SMALL, "search": {**SEARCH, "folds": 12}}
    async with living(tmp_path, LOADED, **greedy) as agent, client(agent) as http:
        job = await asked(http)
        await carry_out(agent)
        found = await shown(http, job)
        other = (await http.post("/api/train", json={"game": "simulated"})).json()["job_id"]
        unknown = await http.get(f"/api/searches/{other}")
    assert found["state"] == "failed"
    assert "job.draws holds 120; 12 folds and a last part of 15 draws each leave -75" in found["error"]
    assert unknown.status_code == 404
