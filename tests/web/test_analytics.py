"""Cross-model analytics over HTTP and on the command line: a real agent, a real journal."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from helios_agent import cli
from helios_agent.actions import reflect
from helios_agent.agent import Agent
from helios_agent.forecasting import evidence
from helios_agent.lottery.games import game
from helios_agent.metacognition import analytics
from helios_agent.web import reflections, server
from tests.journal import story
from tests.web.analytics_story import DRAWS, MODELS, NEW, OLD, day, live, made
from tests.web.test_page import living

CONFIG = str(Path(__file__).parents[2] / "config/helios.yaml")


class House:
    """An agent behind its server."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        transport = httpx.ASGITransport(server.application(agent, None))
        self._http = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def get(self, path: str, status: int = 200) -> Any:
        answer = await self._http.get(f"/api/analytics/{path}")
        assert answer.status_code == status, answer.text
        return answer.json()

    async def post(self, path: str, body: dict[str, Any] | None = None, status: int = 200) -> Any:
        answer = await self._http.post(f"/api/analytics/{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
async def empty(tmp_path: Path) -> AsyncIterator[House]:
    async with living(tmp_path) as agent:
        yield House(agent)


@pytest.fixture
async def house(empty: House) -> House:
    await live(empty.agent)
    return empty


async def test_a_models_figures_are_those_of_its_epochs_its_spending_and_its_ledger(house: House) -> None:
    old, new = (await house.get("models"))["models"]
    gains = [made(n)[MODELS[0]] for n in range(5, DRAWS)]
    assert (old["model"], old["role"], new["role"]) == (MODELS[0], "retired", "challenger")
    assert (old["epochs"], old["training_seconds"], old["cpu_seconds"]) == (3, 6.0, 20.0)
    assert (old["first_loss"], old["final_loss"], old["best_loss"]) == (9.5, 9.25, 10.0)
    assert (old["best_epoch"], old["convergence_epoch"]) == (2, 2)
    assert old["instability"] == pytest.approx(math.sqrt((0.25 + 0.0625) / 2))
    assert (old["live_draws"], old["live_from"], old["live_to"]) == (DRAWS - 5, day(5), day(DRAWS - 1))
    assert old["live_gain_nats"] == pytest.approx(sum(gains))
    interval = evidence.skill_interval(gains, evidence.SKILL_ALPHA)
    assert [old[f"live_{bound}_nats"] for bound in ("mean", "low", "high")] == pytest.approx([*interval])
    assert old["efficiency"] == pytest.approx(sum(gains) / 20)
    assert (new["cpu_seconds"], new["efficiency"]) == (None, None)


async def test_what_is_left_of_summarised_epochs_is_shown(empty: House) -> None:
    job, _ = await live(empty.agent)
    summary = {
        "job": job, "epochs": 3, "first_loss": 9.5, "final_loss": 9.25, "best_loss": 10.0, "best_epoch": 2,
        "best_gain_nats": -0.5, "instability": 0.4, "seconds": 6.0,
    }  # fmt: skip
    before = (await empty.get("performance/" + OLD))["versions"][0]
    await empty.agent.journal.append("training.summarised", summary)
    after = (await empty.get(f"models/{OLD}/performance"))["versions"][0]
    lost = {"convergence_epoch": None, "instability": 0.4, "instability_last_third": None}
    assert after == before | lost


async def test_a_model_is_named_as_elsewhere(house: House) -> None:
    for name, versions in (("powerballnet", [*MODELS]), (OLD, [MODELS[0]]), (MODELS[1], [MODELS[1]])):
        found = await house.get(f"models/{name}/performance")
        assert [each["model"] for each in found["versions"]] == versions
    unknown = await house.get("models/nobody/performance", 404)
    assert unknown["detail"] == "There is no model 'nobody'; expected a name, a version or name@version."


async def test_figures_are_made_beside_the_event_loop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, set[int]] = {"record": set(), "compare": set(), "trends": set()}

    def watched(made: Callable[..., Any], seen: set[int]) -> Callable[..., Any]:
        def make(*given: Any) -> Any:
            seen.add(threading.get_ident())
            return made(*given)

        return make

    for name, seen in threads.items():
        monkeypatch.setattr(analytics, name, watched(getattr(analytics, name), seen))
    await house.post("compare", {"models": [OLD, NEW]})
    await house.get("cross-model")
    await reflections.of_model(house.agent.store, OLD)
    await reflect.record(house.agent.store, game(story.GAME), house.agent.journal.clock.now_us())
    assert all(threads.values())
    assert threading.get_ident() not in set.union(*threads.values())


async def test_models_are_ranked_and_followed(house: House) -> None:
    found = await house.get("cross-model")
    assert found["ranking"]["metric"] == "live_mean_nats"
    assert [r["model"] for r in found["ranking"]["order"]] == [MODELS[1], MODELS[0]]
    by_cost = (await house.get("cross-model?metric=cpu_seconds"))["ranking"]["order"]
    assert [(r["rank"], r["model"]) for r in by_cost] == [(1, MODELS[0]), (None, MODELS[1])]
    assert found["verdict"] == (
        "Powerball has 2 models for the rules from 2015-10-07; 2 forecast scored draws. "
        "No trend is clear over 2 models."
    )
    for metric in ("cpu_seconds", "best_loss"):
        refused = await house.get(f"trends?metric={metric}", 422)
        assert "equal models may show a trend; expected one of: live_mean_nats" in refused["detail"]
    for path in ("trends", "trends?metric=live_mean_nats"):
        trend = (await house.get(path))["trends"]
        assert [(t["metric"], t["models"], t["tau"]) for t in trend] == [("live_mean_nats", [*MODELS], 1.0)]
    wrong = await house.get("cross-model?metric=beauty", 422)
    assert wrong["detail"].startswith("metric is 'beauty'; expected one of: live_mean_nats, ")


@pytest.mark.parametrize("path", ["compare", "comparison"])
async def test_models_and_experts_are_compared_on_the_same_draws(house: House, path: str) -> None:
    found = await house.post(path, {"models": [OLD, MODELS[1], "ball"], "metric": "best_loss"})
    assert (found["draws"], found["from"]) == (DRAWS - 10, day(10))
    assert [m["model"] for m in found["models"]] == [*MODELS, "ball"]
    differences = [made(n)[MODELS[0]] - made(n)[MODELS[1]] for n in range(10, DRAWS)]
    assert found["pairs"][0]["mean_difference_nats"] == pytest.approx(sum(differences) / 20)
    assert [r["model"] for r in found["ranking"]["order"]] == [*MODELS]


@pytest.mark.parametrize("path", ["performance-matrix", "matrix"])
async def test_the_matrix_is_of_those_named_or_of_all(house: House, path: str) -> None:
    found = await house.post(path, {"models": [*MODELS]})
    assert found["common_draws"] == [[25, 20], [20, 20]]
    assert found["correlations"][0] == pytest.approx([1.0, 1.0])
    everyone = await house.post(path)
    assert everyone["models"] == ["ball", *MODELS, "uniform"]
    assert everyone["correlations"][3] == [None] * 4
    assert await house.get("matrix") == everyone


@pytest.mark.parametrize("path", ["ensemble/recommendations", "ensemble"])
async def test_an_ensemble_is_built_of_the_models_that_forecast_last(house: House, path: str) -> None:
    found = await house.post(path)
    assert (found["members"], found["draws"]) == ([*MODELS], 20)
    assert not found["recommended"]
    assert found["verdict"].startswith("No ensemble of these is shown to be better than ")
    assert sum(found["weights"].values()) == pytest.approx(1.0)


async def test_what_cannot_be_compared_is_refused_by_name(house: House) -> None:
    for body, status, said in (
        ({"models": [OLD]}, 422, "models name 1; expected two or more"),
        ({"models": [OLD, MODELS[0]]}, 422, "models name one of them twice"),
        ({"models": ["powerballnet", NEW]}, 422, "which has 2 versions; expected name@version"),
        ({"models": [OLD, "oracle"]}, 404, "models name 'oracle'; expected a version, name@version, or"),
        ({"models": [OLD, NEW], "metric": "beauty"}, 422, "metric is 'beauty'"),
        ({"models": [OLD, NEW], "game": "lotto"}, 404, "game is 'lotto'"),
    ):
        assert said in (await house.post("compare", body, status))["detail"]
    assert "expected 2 to 20" in (await house.post("ensemble", {"models": ["ball"]}, 422))["detail"]


async def test_models_of_other_rules_forecast_no_draw_in_common(house: House) -> None:
    other = story.model("c" * 12, 1) | {"era": story.OLDER_ERA}
    await house.agent.journal.append("model.trained", other)
    refused = await house.post("compare", {"models": [OLD, "c" * 12]}, 422)
    assert "different games or rules" in refused["detail"]


async def test_with_no_data_it_says_so(empty: House) -> None:
    assert (await empty.get("models")) == {
        "game": "powerball", "models": [], "verdict": "There is no model of Powerball yet.",
    }  # fmt: skip
    found = await empty.get("cross-model")
    assert (found["ranking"]["order"], found["verdict"]) == ([], "There is no model of Powerball yet.")
    assert "no trend to look for" in (await empty.get("trends"))["verdict"]
    assert (await empty.get("matrix"))["verdict"] == "No draw of Powerball that they forecast is scored yet."
    assert await empty.post("ensemble") == {
        "members": [], "recommended": False,
        "verdict": "No model forecast the last scored draw of Powerball; an ensemble needs two.",
    }  # fmt: skip


def test_the_commands_show_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def happen() -> None:
        async with living(tmp_path) as agent:
            await live(agent)

    asyncio.run(happen())
    monkeypatch.setenv("HELIOS_PATHS__STATE", str(tmp_path / "state"))

    def helios(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.app(["analytics", *words, "--config", CONFIG])
        assert not ended.value.code
        return capsys.readouterr().out

    models = helios("models", "--by", "best_loss")
    assert "2 models for the rules from 2015-10-07" in models
    assert f"   1  {MODELS[0]}  10" in models
    assert "3 epochs, converged at 2; 6 s, 20 CPU seconds" in models
    assert "- CPU seconds" in models
    assert "nats over 20 draws" in helios("compare", OLD, NEW)
    assert f"{MODELS[1]}" in helios("matrix")
    assert "No ensemble of these is shown to be better than" in helios("ensemble", "ball", NEW)
    assert '"recommended": false' in helios("ensemble", "--json")
