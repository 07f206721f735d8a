"""Predictions over HTTP: a real agent, real networks in their predictors, and no other work."""

import asyncio
import hashlib
import math
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.feeds import packaged
from helios_agent.forecasting.forecast import Forecast
from helios_agent.journal import chain, draws
from helios_agent.journal.journal import Transaction
from helios_agent.learning.specs import NetworkSpec
from helios_agent.lottery.games import game
from helios_agent.registry.card import Matrix
from helios_agent.web import server
from tests.work import networks
from tests.work.conftest import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = datetime(2026, 9, 18, 12, tzinfo=UTC)
ERA = "2015-10-07"
MATRIX = Matrix(white=69, bonus=26, pick=5)
SIZES = NetworkSpec(sequence=8, hidden=8, layers=1, heads=2, embedding=4)
METRICS = {"confidence_bias_nats": 0.001, "confidence_error_nats": 0.02}
DRAWS = 40


def write(models: Path, seed: int) -> str:
    version = networks.write(models / "staging", SIZES, MATRIX, DRAWS, seed, METRICS)
    (models / "powerballnet").mkdir(exist_ok=True)
    (models / "staging").rename(models / "powerballnet" / version)
    return version


def trained(version: str, ordinal: int) -> dict[str, Any]:
    return {
        "name": "powerballnet", "version": version, "game": "powerball", "era": ERA, "ordinal": ordinal,
        "prior": 0.5**ordinal, "last_draw": "2026-09-16", "draws": DRAWS, "metrics": METRICS, "job": "job-1",
    }  # fmt: skip


@dataclass(frozen=True)
class House:
    """An agent behind its server, with a champion and a challenger."""

    agent: Agent
    http: httpx.AsyncClient
    champion: str
    challenger: str

    async def post(self, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
        answer = await self.http.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def loaded(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.http.get("/api/predictors")).json()
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    folder = tmp_path_factory.mktemp("house")
    config = Config.model_validate(
        {
            "paths": {"state": folder / "state", "models": folder / "models"},
            "games": {"powerball": {"feeds": []}, "megamillions": {"feeds": []}},
        }
    )
    for path in (config.paths.state, config.paths.models):
        path.mkdir()
    first, second = write(config.paths.models, 1), write(config.paths.models, 2)
    report = packaged.read(game("powerball"))

    def begin(tx: Transaction) -> None:
        for draw in report.draws[-DRAWS:]:
            tx.append("history.imported", draws.to_payload(draw, packaged.SOURCE))
        tx.append("model.trained", trained(first, 1))
        tx.append("model.promoted", {"game": "powerball", "name": "powerballnet", "version": first})
        tx.append("model.trained", trained(second, 2))

    async with open_agent(config, Ports(VirtualClock(NOW))) as agent:
        await agent.journal.record(begin)
        transport = httpx.ASGITransport(server.application(agent, None))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            yield House(agent, http, f"powerballnet@{first}", f"powerballnet@{second}")


async def test_a_model_is_loaded_predicts_and_is_unloaded(house: House) -> None:
    ready = await house.post("/api/models/powerballnet/load")
    assert (ready["model"], ready["state"], ready["answers"]) == (house.champion, "ready", 0)
    said = await house.post("/api/models/powerballnet/predict")
    assert (said["model"], said["day"], said["draws"], said["last_draw"]) == (
        house.champion,
        "2026-09-19",
        DRAWS,
        "2026-09-16",
    )
    assert [item["answers"] for item in await house.loaded()] == [1]
    gone = await house.post("/api/models/powerballnet/unload")
    assert (gone["model"], gone["state"], await house.loaded()) == (house.champion, "unloaded", [])
    again = await house.post("/api/models/powerballnet/unload", status=404)
    assert again["detail"] == f"{house.champion} is not loaded"


async def test_a_prediction_is_a_distribution_with_the_true_odds_of_its_picks(house: House) -> None:
    said = await house.post("/api/predict", {"name": "powerballnet", "picks": 7})
    forecast = Forecast.from_record(said["forecast"])

    assert math.isclose(sum(said["white_probabilities"]), 5, abs_tol=1e-4)
    assert math.isclose(sum(said["bonus_probabilities"]), 1, abs_tol=1e-4)
    assert said["white_probabilities"] == [round(p, 6) for p in forecast.inclusion().tolist()]
    assert len(said["picks"]) == 7
    for pick in said["picks"]:
        probability = math.exp(forecast.log_score(pick["whites"], pick["bonus"]))
        assert (pick["probability"], pick["one_in"]) == (probability, round(1 / probability))
        assert pick["fair_one_in"] == math.comb(69, 5) * 26
    chances = [pick["probability"] for pick in said["picks"]]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 1 / said["picks"][0]["fair_one_in"]
    best = sorted(range(69), key=lambda ball: -forecast.white[ball])[:5]
    assert said["picks"][0]["whites"] == sorted(ball + 1 for ball in best)


async def test_the_digest_is_that_of_what_was_said(house: House) -> None:
    said = await house.post("/api/predict", {"name": "powerballnet"})
    record = {name: said[name] for name in ("game", "day", "model", "draws", "last_draw", "forecast")}

    assert said["digest"] == hashlib.sha256(chain.canonical(record).encode()).hexdigest()
    assert (await house.post("/api/predict", {"name": "powerballnet"})) == said


async def test_the_confidence_is_labelled_as_what_it_is(house: House) -> None:
    confidence = (await house.post("/api/predict", {"name": "powerballnet"}))["confidence"]

    assert confidence["validation_bias_nats"] == METRICS["confidence_bias_nats"]
    assert confidence["validation_error_nats"] == METRICS["confidence_error_nats"]
    assert "expects its forecast to gain over chance" in confidence["meaning"]


async def test_a_version_can_be_named_and_the_aliases_do_the_same(house: House) -> None:
    ready = await house.post("/api/models/load", {"name": house.challenger})
    assert (ready["model"], ready["state"]) == (house.challenger, "ready")
    by_path = await house.post(f"/api/models/{house.challenger}/predict", {"picks": 1})
    by_name = await house.post("/api/predict", {"name": house.challenger, "game": "powerball", "picks": 1})
    other = await house.post("/api/predict", {"name": house.champion, "picks": 1})

    assert by_path == by_name
    assert by_path["forecast"] != other["forecast"]


async def test_the_draws_are_kept_once_by_whatever_name_a_model_is_asked(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, sent = house.agent.predictors.predict, []

    async def listening(forecaster: str, artefact: Path, version: str, rows: Any) -> dict[str, Any]:
        sent.append(rows)
        return await asked(forecaster, artefact, version, rows)

    monkeypatch.setattr(house.agent.predictors, "predict", listening)
    for name in ("powerballnet", house.champion, house.challenger):
        await house.post("/api/predict", {"name": name})
    assert len(sent) == 3
    assert all(rows is sent[0] for rows in sent)


async def test_a_new_draw_is_taken_into_account_at_once(house: House) -> None:
    before = await house.post("/api/models/powerballnet/predict")
    newest = (await draws.newest(house.agent.store, "powerball", 1))[0]
    payload = draws.to_payload(newest.draw, "texas") | {"day": "2026-09-17"}
    await house.agent.journal.append("draw.ingested", payload)
    after = await house.post("/api/models/powerballnet/predict")

    assert (after["draws"], after["last_draw"]) == (before["draws"] + 1, "2026-09-17")
    assert after["forecast"] != before["forecast"]


async def test_a_predictor_that_was_killed_is_shown_as_lost_and_answers_again(house: House) -> None:
    before = await house.post("/api/models/powerballnet/predict")
    (state,) = [item for item in await house.loaded() if item["model"] == house.champion]
    os.kill(state["pid"], signal.SIGKILL)
    while state["state"] == "ready":
        (state,) = [item for item in await house.loaded() if item["model"] == house.champion]
    assert state["state"] == "lost"
    assert "was killed by signal 9" in state["reason"]

    assert (await house.post("/api/models/powerballnet/predict")) == before


@pytest.mark.parametrize(
    "name",
    [
        "../powerballnet",
        "powerballnet/..",
        "/etc",
        "powerballnet@../../x",
        "",
        "powerballnet@",
        "Powerballnet\n",
    ],
)
async def test_what_cannot_be_a_name_is_refused_with_its_value(house: House, name: str) -> None:
    for path in ("/api/models/load", "/api/predict"):
        refused = await house.post(path, {"name": name}, status=422)
        assert refused["detail"].startswith(f"model is {name!r}; expected ")


async def test_what_does_not_exist_or_is_not_watched_is_not_found(house: House) -> None:
    unknown = await house.post("/api/models/powerballnet@0123456789ab/predict", status=404)
    assert unknown["detail"].startswith(
        "model is 'powerballnet@0123456789ab'; Powerball has none of that name"
    )
    elsewhere = await house.post("/api/predict", {"name": "powerballnet", "game": "megamillions"}, status=404)
    assert "Mega Millions has none of that name" in elsewhere["detail"]
    await house.post("/api/predict", {"name": "powerballnet", "game": "lotto"}, status=404)
    await house.post("/api/predict", {"name": "powerballnet", "picks": 101}, status=422)
    await house.post("/api/models/powerballnet/predict", {"picks": 0}, status=422)


async def test_a_game_or_number_is_read_from_the_body_and_refused_by_name_wherever_else_it_stands(
    house: House,
) -> None:
    for request in ("load", "unload", "predict"):
        path = f"/api/models/powerballnet/{request}"
        unknown = await house.post(path, {"game": "lotto"}, status=404)
        assert unknown["detail"].startswith("game is 'lotto'; expected one that is watched: ")
        elsewhere = await house.post(path, {"game": "megamillions"}, status=404)
        assert "Mega Millions has none of that name" in elsewhere["detail"]
        misspelt = await house.post(path, {"gmae": "powerball"}, status=422)
        assert misspelt["errors"][0]["field"] == "body.gmae"
    for path in ("/api/models/powerballnet/predict", "/api/predict"):
        query = await house.post(f"{path}?game=powerball&picks=1", {"name": "powerballnet"}, status=422)
        assert query["detail"] == "the query has game, picks; expected in the body, as JSON"


async def test_a_network_that_reads_more_draws_than_there_are_is_refused_by_number(tmp_path: Path) -> None:
    paths = {"state": tmp_path / "state", "models": tmp_path / "models"}
    config = Config.model_validate({"paths": paths, "games": {"powerball": {"feeds": []}}})
    for path in (config.paths.state, config.paths.models):
        path.mkdir()
    version = write(config.paths.models, 1)
    known = packaged.read(game("powerball")).draws[-7:]
    async with open_agent(config, Ports(VirtualClock(NOW))) as agent:
        await agent.journal.append("model.trained", trained(version, 1))
        for draw in known:
            await agent.journal.append("history.imported", draws.to_payload(draw, packaged.SOURCE))
        transport = httpx.ASGITransport(server.application(agent, None))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.post("/api/models/powerballnet/predict")
    assert (answer.status_code, answer.json()["detail"]) == (
        422,
        f"powerballnet@{version} reads the last 8 draws; of Powerball under today's rules there are 7",
    )


async def test_the_models_meant_are_those_under_the_rules_of_the_next_draw(tmp_path: Path) -> None:
    paths = {"state": tmp_path / "state", "models": tmp_path / "models"}
    config = Config.model_validate({"paths": paths, "games": {"powerball": {"feeds": []}}})
    config.paths.state.mkdir()
    version = "17e1c993042e"
    earlier = trained(version, 1) | {"era": "2012-01-18"}
    async with open_agent(config, Ports(VirtualClock(datetime(2015, 10, 1, tzinfo=UTC)))) as agent:
        await agent.journal.record(lambda tx: tx.append("model.trained", earlier))
        transport = httpx.ASGITransport(server.application(agent, None))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            answer = await http.post("/api/models/powerballnet/load")
    assert answer.json()["detail"].startswith(f"powerballnet@{version}: ")


async def test_a_model_is_unloaded_when_it_is_retired_and_may_be_loaded_again_until_it_is_deleted(
    house: House,
) -> None:
    async def change(forecaster: str, kind: str) -> None:
        name, _, version = forecaster.partition("@")
        changed = {"game": "powerball", "era": ERA, "name": name, "version": version}
        await house.agent.journal.append(kind, changed)
        async with asyncio.timeout(PATIENCE_S):
            while forecaster in [item["model"] for item in await house.loaded()]:
                pass

    watching = asyncio.create_task(house.agent.predictors.unload_retired(house.agent.journal))
    for forecaster in (house.champion, house.challenger):
        await house.post(f"/api/models/{forecaster}/load")
    await change(house.champion, "model.retired")
    assert [item["model"] for item in await house.loaded()] == [house.challenger]
    await house.post(f"/api/models/{house.champion}/load")
    await change(house.challenger, "model.retired")
    assert [item["model"] for item in await house.loaded()] == [house.champion]
    await change(house.champion, "model.deleted")
    assert await house.loaded() == []
    watching.cancel()


async def test_a_version_that_is_still_loaded_is_unloaded_whatever_became_of_it(house: House) -> None:
    version = write(house.agent.config.paths.models, 3)
    forecaster = f"powerballnet@{version}"
    await house.agent.journal.append("model.trained", trained(version, 3))
    await house.post(f"/api/models/{forecaster}/load")
    for kind in ("model.retired", "model.deleted"):
        named = {"game": "powerball", "era": ERA, "name": "powerballnet", "version": version}
        await house.agent.journal.append(kind, named)
    assert forecaster in [item["model"] for item in await house.loaded()]
    gone = await house.post(f"/api/models/{forecaster}/unload")
    assert (gone["model"], gone["state"]) == (forecaster, "unloaded")
    again = await house.post(f"/api/models/{forecaster}/unload", status=404)
    assert again["detail"] == f"{forecaster} is not loaded"


async def test_a_damaged_artefact_is_an_error_that_says_so(house: House) -> None:
    version = house.challenger.partition("@")[2]
    await house.post(f"/api/models/{house.challenger}/load")
    await house.post(f"/api/models/{house.challenger}/unload")
    weights = house.agent.config.paths.models / "powerballnet" / version / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")
    failed = await house.post(f"/api/models/{house.challenger}/load", status=500)

    assert "weights.safetensors: SHA-256 is" in failed["detail"]
    assert house.challenger not in [item["model"] for item in await house.loaded()]
