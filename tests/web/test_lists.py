"""What the commands that list take, and what they refuse."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from helios_agent import cli
from helios_agent.clock import VirtualClock
from tests.web.test_decisions import CHOSEN, candidate, carry_out, decided
from tests.web.test_goals import GOAL, ask
from tests.web.test_page import living, shown

CONFIG = str(Path(__file__).parents[2] / "config/helios.yaml")
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def helios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run a command as one types it; return its exit code and what it printed."""
    monkeypatch.setenv("HELIOS_PATHS__STATE", str(tmp_path / "state"))
    monkeypatch.setenv("HELIOS_PATHS__MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HELIOS_GAMES", '{"powerball": {"feeds": []}, "megamillions": {"feeds": []}}')

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["helios", *words, "-c", CONFIG])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    mask = os.umask(0o077)
    yield run
    os.umask(mask)


async def test_decisions_are_found_at_the_terminal_as_over_http(tmp_path: Path, helios: Command) -> None:
    async with living(tmp_path, "powerball", "megamillions") as agent:
        clock = agent.journal.clock
        assert isinstance(clock, VirtualClock)
        seqs = []
        for candidates, game in (
            ((candidate("backup", "journal", **CHOSEN), candidate("train")), "powerball"),
            ((candidate("train"), candidate("wait", score=1.0, **CHOSEN)), "powerball"),
            ((candidate("train", "megamillions", **CHOSEN),), "megamillions"),
        ):
            seqs.append((await decided(agent, *candidates, game=game))[0])
            await clock.advance(60)
        await carry_out(agent, "backup", 1)
        queries: dict[str, list[str]] = {
            "game=megamillions": ["--game", "megamillions"],
            "action=train": ["--action", "train"],
            "action=train&chosen=true": ["--action", "train", "--chosen"],
            "action=wait&chosen=true": ["--action", "wait", "--chosen"],
            "status=completed": ["--status", "completed"],
            "since=2026-09-18T12:01&until=2026-09-18T12:02": [
                "--since", "2026-09-18T12:01", "--until", "2026-09-18T12:02"
            ],
            f"before={seqs[1]}": ["--before", str(seqs[1])],
        }  # fmt: skip
        found: dict[str, Any] = {}
        for query in queries:
            listed = (await shown(agent, f"/api/decisions/history?{query}")).json()
            found[query] = [seqs.index(made["seq"]) for made in listed]
    assert list(found.values()) == [[2], [2, 1, 0], [2], [1], [0], [1], [0]]
    for query, options in queries.items():
        _, printed, _ = await asyncio.to_thread(helios, "decisions", "list", *options, "--json")
        assert [seqs.index(made["seq"]) for made in json.loads(printed)] == found[query]


async def test_what_is_no_game_state_or_kind_is_refused_and_told_what_there_is(
    tmp_path: Path, helios: Command
) -> None:
    async with living(tmp_path) as agent:
        await ask(agent, "POST", "/api/goals", GOAL)
        answers = [
            await shown(agent, f"/api/{path}")
            for path in ("goals?game=lotto", "memory/knowledge?game=lotto", "goals?game=", "goals?state=done",
                         "memory/knowledge?kind=rumour")
        ]  # fmt: skip
    assert [answer.status_code for answer in answers] == [404, 404, 404, 422, 422]
    games = "game is 'lotto'; expected one of: megamillions, powerball, simulated"
    assert [answer.json()["detail"] for answer in answers[:2]] == [games] * 2
    for words, code, message in (
        ("goals list --game lotto", 66, games),
        ("goals list --state done", 64, "state is 'done'; expected one of: waiting, open, reached, missed"),
        ("knowledge --game lotto", 66, games),
        ("knowledge --kind rumour", 64, "kind is 'rumour'; expected one of: effect, fairness, leader, feed"),
        ("decisions list --status done", 64, "status is 'done'; expected one of: pending, executing"),
        ("decisions list --action dance", 64, "action is 'dance'; expected one of: ingest, train"),
        ("decisions list --since soon", 64, "since is 'soon'; expected a time"),
    ):
        ended, printed, complaint = await asyncio.to_thread(helios, *words.split())
        assert (ended, printed, message in complaint) == (code, "", True), words
    # A game that is watched no more may have left goals.
    once = await asyncio.to_thread(helios, "goals", "list", "--game", "simulated")
    assert once[:2] == (0, "No goal is set, or none like that.\n")
