"""Reflections over HTTP and on the command line: a real agent, a real journal."""

import asyncio
from pathlib import Path

import pytest

from helios_agent import cli
from helios_agent.actions import runner
from helios_agent.agent import Agent
from helios_agent.config import load
from helios_agent.journal import intents
from tests.web.analytics_story import DRAWS, MODELS, OLD, live
from tests.web.test_jobs import TOKEN, post
from tests.web.test_page import living, shown

CONFIG = Path(__file__).parents[2] / "config/helios.yaml"


async def reflect(agent: Agent) -> None:
    """Ask for a reflection as anybody may, and have it carried out."""
    asked = await post(agent, "/api/intents", {"action": "reflect"}, TOKEN)
    assert (asked.status_code, asked.json()["target"]) == (202, "powerball")
    intent = await agent.journal.record(lambda tx: intents.claim(tx, ("reflect",)))
    assert intent is not None
    await runner.carry_out(agent.context(), intent)


async def test_reflections_are_listed_newest_first(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        none = (await shown(agent, "/api/reflections")).json()
        await live(agent)
        await reflect(agent)
        await reflect(agent)
        newest, first = (await shown(agent, "/api/reflections")).json()
        (only,) = (await shown(agent, f"/api/reflections?limit=1&before={newest['seq']}")).json()
    assert none == []
    assert only == first
    assert newest["from"] == first["to"]
    assert first["draws"]["scored"] == DRAWS
    assert f"{MODELS[0]} was trained on 2026-09-18, in 3 epochs and 20.0 CPU seconds" in first["text"]
    assert newest["trained"] == []


async def test_a_model_is_reflected_on_by_any_of_its_names(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await live(agent)
        for name, versions in (("powerballnet", [*MODELS]), (OLD, [MODELS[0]]), (MODELS[1], [MODELS[1]])):
            found = (await shown(agent, f"/api/reflection/{name}")).json()
            assert [each["model"] for each in found["versions"]] == versions
            assert found["trends"][0]["models"] == [*MODELS]
        unknown = await shown(agent, "/api/reflection/nobody")
    assert unknown.status_code == 404


def test_the_agent_reflects_every_week() -> None:
    (weekly,) = [s for s in load(CONFIG, {}).schedules if s.action == "reflect"]
    assert (weekly.name, weekly.cron, weekly.game) == ("reflect-weekly", "30 12 * * sun", None)


def test_the_command_shows_the_latest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def happen(times: int) -> None:
        async with living(tmp_path / str(times)) as agent:
            await live(agent)
            for _ in range(times):
                await reflect(agent)

    def helios(times: int) -> str:
        monkeypatch.setenv("HELIOS_PATHS__STATE", str(tmp_path / str(times) / "state"))
        with pytest.raises(SystemExit) as ended:
            cli.app(["reflect", "--config", str(CONFIG)])
        assert not ended.value.code
        return capsys.readouterr().out

    for times in (0, 2):
        (tmp_path / str(times)).mkdir()
        asyncio.run(happen(times))
    latest = helios(2)
    assert "no draw of Powerball was scored; the evidence against fairness stands at" in latest
    assert "event" in latest.splitlines()[0]
    monkeypatch.setenv("HELIOS_PATHS__STATE", str(tmp_path / "0" / "state"))
    with pytest.raises(Exception, match="has not reflected on Powerball yet"):
        cli.app(["reflect", "--config", str(CONFIG)], standalone_mode=False)
