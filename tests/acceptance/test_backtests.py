"""Backtests as one asks for them: over HTTP and on the command line, with real workers."""

import asyncio
import hashlib
import html
import json
import os
import re
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from helios_agent import cli
from helios_agent.actions import backtest, runner
from helios_agent.agent import Agent
from helios_agent.clock import VirtualClock
from helios_agent.errors import JobFailed, JobStopped, JobTooLong, WorkerLost
from helios_agent.journal import draws, events, intents, rebuild
from helios_agent.learning import backtest as jobs
from helios_agent.lottery import calendar, games
from helios_agent.lottery.draws import Draw
from helios_agent.simulation import drums
from helios_agent.web import backtest_report
from helios_agent.work.engine import Progress, Spent, unmetered
from tests.acceptance.simulated import (
    DAYS,
    DRAWS,
    ERA,
    LOADED,
    MATRIX,
    NOW,
    client,
    living,
)


class Here:
    """Computes jobs in this process. With `kills` it ends one that is to stop, else it asks it to."""

    def __init__(self, kills: bool = False) -> None:
        self.asked: list[tuple[str, Mapping[str, Any]]] = []
        self.on_report: Callable[[], Awaitable[None]] | None = None
        self._kills = kills
        # Jobs are alone in their process, and torch's random numbers are one process's.
        self._alone = asyncio.Lock()

    async def run(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None = None,
        *,
        time_limit_s: float,
        stop: asyncio.Event | None = None,
        priority: int = 0,
        on_spent: Spent = unmetered,
    ) -> dict[str, Any]:
        self.asked.append((kind, spec))
        loop, job = asyncio.get_running_loop(), jobs.run_block if kind == "backtest-block" else jobs.run

        async def hear(progress: dict[str, Any]) -> bool:
            if on_progress is not None:
                await on_progress(progress)
            if self.on_report is not None and on_progress is not None:
                await self.on_report()
            return stop is not None and stop.is_set()

        def report(progress: dict[str, Any]) -> None:
            if asyncio.run_coroutine_threadsafe(hear(progress), loop).result():
                raise Killed() if self._kills else JobStopped()

        try:
            async with self._alone:
                return await asyncio.to_thread(job, dict(spec), report)
        except Killed:
            raise JobStopped() from None

    async def close(self) -> None:
        pass


class Killed(BaseException):
    """The end of a job that nothing in it can catch."""


async def done(agent: Agent, http: httpx.AsyncClient, **asked: Any) -> dict[str, Any]:
    """Ask for a backtest, have it carried out, and return how it is shown then."""
    answer = await http.post("/api/backtests", json={"game": "simulated", **asked})
    assert answer.status_code == 202, answer.text
    intent = await agent.journal.record(lambda tx: intents.claim(tx, ("backtest",)))
    assert intent is not None
    await runner.carry_out(agent.context(), intent)
    shown: dict[str, Any] = (await http.get(answer.headers["location"])).json()
    return shown


async def test_a_backtest_is_asked_for_carried_out_and_its_report_can_be_read(tmp_path: Path) -> None:
    async with living(tmp_path, LOADED) as agent, client(agent) as http:
        shown = await done(agent, http, forecasters=["mixture", "ball", "uniform"], **{"from": DAYS[20]})
        data = await http.get(f"{shown['report']}.json")
        page = await http.get(shown["report"])
        listed = (await http.get("/api/backtests?game=simulated")).json()
        (told,) = [e.payload for e in await events.tail(agent.store, limit=9, kinds=["backtest.completed"])]
        rebuild.check(agent.config.database, agent.config.archives)

    assert (shown["state"], shown["done"], shown["total"], shown["error"]) == ("done", 100, 100, None)
    assert (shown["from"], shown["to"]) == (DAYS[20], DAYS[-1])
    assert listed == [shown]
    made = data.json()
    assert shown["summary"]["found"] == made["found"] == ["ball", "mixture"]
    assert made["draws"] == len(made["forecasters"][0]["gains"]) == 100
    assert shown["gains"] == {
        each["name"]: pytest.approx(each["total_gain_nats"], abs=1e-7) for each in made["forecasters"]
    }
    assert told["sha256"] == hashlib.sha256(data.content).hexdigest()
    assert "more was gained on chance than a fair machine allows" in page.text
    assert page.headers["content-type"].startswith("text/html")
    assert "style-src 'unsafe-inline'" in page.headers["content-security-policy"]
    assert "<script" not in page.text


async def test_the_confidence_is_called_asymptotic_and_not_shown_for_few_draws(tmp_path: Path) -> None:
    async with living(tmp_path, LOADED, Here()) as agent, client(agent) as http:
        for first, bounds in ((DAYS[20], r"\S+ to \S+"), (DAYS[21], "—")):
            shown = await done(agent, http, forecasters=["ball"], **{"from": first})
            page = (await http.get(shown["report"])).text
            text = backtest_report.text((await http.get(f"{shown['report']}.json")).json())
            assert re.search(rf"\n  ball +\d+ +\S+ +\S+ +{bounds} +\S+ +[\d.]+ +\d+ ", text)
            assert re.search(rf'<td class="n">{bounds}</td>', page)
            assert ("95% confidence, asymptotic and at any time: " in page) == (bounds != "—")
            for told in (page, " ".join(text.split())):
                assert "is asymptotic: good for many draws, not for few" in told
                assert "Of fewer than 100 draws none is shown." in told


async def test_on_fair_draws_it_says_that_nothing_was_found_and_what_would_have_been(tmp_path: Path) -> None:
    async with living(tmp_path, drums.fair(MATRIX), Here()) as agent, client(agent) as http:
        shown = await done(agent, http)

    able = len(backtest.EXPERTS_AND_MIXTURE) - 1  # uniform cannot gain
    visible = np.log(able / 0.01) / DRAWS
    assert shown["forecasters"] == [*backtest.EXPERTS_AND_MIXTURE]
    assert shown["summary"]["found"] == []
    assert shown["summary"]["visible_gain_nats"] == pytest.approx(visible)
    assert f"One that gained {visible:.4f} nats a draw on average" in shown["summary"]["verdict"]


@pytest.mark.parametrize(
    ("asked", "status", "message"),
    [
        ({"from": "1999-12-31"}, 422, f"from is 1999-12-31; expected a day from {DAYS[0]} to {DAYS[-1]}"),
        ({"to": "2031-01-01"}, 422, f"to is 2031-01-01; expected a day from {DAYS[0]} to {DAYS[-1]}"),
        ({"from": "soon"}, 422, "from is 'soon'; expected a day such as 2026-09-16"),
        ({"from": DAYS[60], "to": DAYS[20]}, 422, "expected from not to be after to"),
        ({"from": DAYS[112]}, 422, "between which there are 8 draws to foretell; expected at least 10"),
        ({"forecasters": ["ball", "oracle"]}, 422, "forecasters has 'oracle'; expected some of mixture, uni"),
        (
            {"forecasters": ["powerballnet"], "from": DAYS[49]},
            422,
            f"from is {DAYS[49]}; the network needs 50 draws under the same rules to learn from: expected "
            f"{DAYS[50]} or later",
        ),
        ({"refit_every": 0}, 422, "refit_every"),
        ({"depth": 3}, 422, "depth"),
        ({"game": "lotto"}, 404, "game is 'lotto'"),
        ({"game": "powerball"}, 422, "There are no draws of Powerball to walk through."),
    ],
)
async def test_what_cannot_be_walked_is_refused_naming_the_field(
    asked: dict[str, Any], status: int, message: str, tmp_path: Path
) -> None:
    async with living(tmp_path, LOADED, Here()) as agent, client(agent) as http:
        answer = await http.post("/api/backtests", json={"game": "simulated", **asked})
        assert await intents.open_ones(agent.store) == []

    assert answer.status_code == status
    assert message in answer.text


async def test_a_span_under_two_sets_of_rules_is_refused(tmp_path: Path) -> None:
    async with living(tmp_path, LOADED, Here()) as agent, client(agent) as http:
        for day in ("2015-10-03", "2015-10-07"):
            draw = Draw("powerball", date.fromisoformat(day), (1, 2, 3, 4, 5), 6, None, ordered=False)
            await agent.journal.append("draw.ingested", draws.to_payload(draw, "drum"))
        answer = await http.post("/api/backtests", json={"game": "powerball", "from": "2015-10-03"})

    assert answer.status_code == 422
    assert "the rules changed on 2015-10-07" in answer.json()["detail"]


async def test_a_report_that_is_not_there_or_was_changed_is_not_shown(tmp_path: Path) -> None:
    async with living(tmp_path, LOADED, Here()) as agent, client(agent) as http:
        waiting = (await http.post("/api/backtests", json={"game": "simulated"})).json()
        early = await http.get(f"/api/backtests/{waiting['id']}/report")
        shown = await done(agent, http)
        path = agent.config.backtests / f"{shown['id']}.json"
        path.write_bytes(path.read_bytes().replace(b'"found": [', b'"found": ["uniform", '))
        changed = await http.get(shown["report"])
        path.unlink()
        gone = await http.get(shown["report"])
        unknown = await http.get("/api/backtests/nothing")

    assert shown["id"] == waiting["id"]  # the very same waited already
    assert (early.status_code, early.json()["detail"]) == (
        404, f"The backtest '{waiting['id']}' has no report: it is ready."
    )  # fmt: skip
    assert (changed.status_code, gone.status_code, unknown.status_code) == (500, 404, 404)
    assert "is not the report that was journaled" in changed.json()["detail"]


async def test_a_network_is_not_walked_over_a_hole_in_the_draws(tmp_path: Path) -> None:
    async with living(tmp_path, LOADED, Here()) as agent, client(agent) as http:
        later = calendar.expected_days(games.SIMULATED, ERA.start, NOW)[DRAWS + 1]
        found = draws.to_payload(Draw("simulated", later, (1, 2, 3, 4, 5), 6, None, ordered=True), "drum")
        await agent.journal.append("draw.ingested", found)
        asked = {"game": "simulated", "from": DAYS[60]}
        refused = await http.post("/api/backtests", json=asked | {"forecasters": ["powerballnet"]})
        taken = await http.post("/api/backtests", json=asked | {"forecasters": ["ball"]})

    assert refused.status_code == 422
    assert refused.json()["detail"].startswith("forecasters has powerballnet, but days lacks ")
    assert taken.status_code == 202


async def test_different_backtests_of_a_game_wait_side_by_side(tmp_path: Path) -> None:
    async with living(tmp_path, LOADED, Here()) as agent, client(agent) as http:
        for name in ("ball", "bonus", "ball"):
            await http.post("/api/backtests", json={"game": "simulated", "forecasters": [name]})
        waiting = await intents.open_ones(agent.store)

    assert [intent.args["forecasters"] for intent in waiting] == [["ball"], ["bonus"]]


async def test_the_list_goes_on_before_the_last_that_was_shown(tmp_path: Path) -> None:
    """Also where the intent of one has left the database, and only its report is known."""
    async with living(tmp_path, LOADED, Here()) as agent, client(agent) as http:
        first = await done(agent, http, forecasters=["ball"], **{"from": DAYS[100]})
        for name in ("bonus", "places"):
            await http.post("/api/backtests", json={"game": "simulated", "forecasters": [name]})

        async def pages() -> list[dict[str, Any]]:
            found, before = [], ""
            while page := (await http.get(f"/api/backtests?game=simulated&limit=1{before}")).json():
                found += page
                before = f"&before={page[0]['cause']}"
            return found

        before = await pages()
        await agent.journal.record(lambda tx: tx.rows("DELETE FROM intent WHERE id = ?", (first["id"],)))
        after = await pages()

    assert [shown["forecasters"] for shown in before] == [["places"], ["bonus"], ["ball"]]
    assert [shown["id"] for shown in after] == [shown["id"] for shown in before]


async def test_a_day_means_the_same_however_it_is_written(tmp_path: Path) -> None:
    first, last = date.fromisoformat(DAYS[20]), date.fromisoformat(DAYS[79])
    year, week, weekday = last.isocalendar()
    written = {"from": f"{first:%Y%m%d}", "to": f"{year}-W{week:02}-{weekday}"}
    async with living(tmp_path, LOADED, Here()) as agent, client(agent) as http:
        answer = await http.post("/api/backtests", json={"game": "simulated", **written})

    assert answer.status_code == 202, answer.text
    assert (answer.json()["from"], answer.json()["to"]) == (DAYS[20], DAYS[79])


@pytest.mark.parametrize("kills", [False, True])
async def test_one_that_is_stopped_keeps_what_it_has(kills: bool, tmp_path: Path) -> None:
    engine = Here(kills)
    async with living(tmp_path, LOADED, engine) as agent, client(agent) as http:
        clock = agent.journal.clock
        assert isinstance(clock, VirtualClock)

        async def stop_after_a_while() -> None:
            (running,) = await intents.open_ones(agent.store)
            progress = (await http.get(f"/api/backtests/{running.id}")).json()
            if progress["done"] == 0:
                await clock.advance(3)  # then it tells of the next
            elif running.wanted is None:
                stopping = await http.post(f"/api/intents/{running.id}/stop")
                assert stopping.status_code == 202
                for _ in range(20):  # until that is heard
                    await clock.advance(0.1)
                    await asyncio.sleep(0.01)

        engine.on_report = stop_after_a_while
        shown = await done(agent, http, forecasters=["powerballnet"], **{"from": DAYS[50], "to": DAYS[79]})
        made = (await http.get(f"{shown['report']}.json")).json()

    assert (shown["state"], shown["summary"]["stopped"]) == ("done", True)
    assert 0 < shown["summary"]["forecasters"]["powerballnet"]["draws"] == shown["done"] < 30
    assert made["forecasters"][0]["gains"][shown["done"] :] == [None] * (30 - shown["done"])
    assert shown["summary"]["verdict"].startswith("The backtest was stopped before its end. ")


async def test_a_network_is_walked_in_blocks_and_judged_as_a_whole(tmp_path: Path) -> None:
    engine = Here()
    asked = {"from": DAYS[60], "refit_every": 20, "forecasters": ["powerballnet", "ball"]}
    async with living(tmp_path, LOADED, engine) as agent, client(agent) as http:
        shown = await done(agent, http, **asked)
        made = (await http.get(f"{shown['report']}.json")).json()

    spans = [(kind, spec["first"], spec["last"], len(spec["rows"])) for kind, spec in engine.asked]
    assert spans == [
        ("backtest", 60, 120, 120),
        ("backtest-block", 60, 80, 80),
        ("backtest-block", 80, 100, 100),
        ("backtest-block", 100, 120, 120),
        ("backtest-judge", 60, 120, 120),
    ]
    _, judged = engine.asked[-1]
    (network,) = judged["forecasters"]
    said: list[str] = []
    jobs.run_block(dict(judged), lambda progress: said.append(progress["said"]))
    alone = jobs.run(dict(judged) | {"forecasters": [network | {"said": said}]}, lambda progress: None)
    whole = {"name": "powerballnet", "watches_for": "whatever a network can learn"}
    assert made["forecasters"][0] == whole | alone["forecasters"]["powerballnet"]
    assert made["networks"]["powerballnet"]["refit_every"] == 20


DIVERGED = "training diverged in epoch 3: loss nan"
TOO_LONG = "The backtest-block job was stopped after its time limit of 3600 s."


class Failing(Here):
    """Fails all jobs of a kind, or those from a draw on, when they have told so much."""

    def __init__(self, reason: JobFailed, kind: str, first: int = 0, after: int = 0) -> None:
        super().__init__()
        self._reason, self._kind, self._first, self._after = reason, kind, first, after

    async def run(self, kind: str, spec: Mapping[str, Any], *more: Any, **options: Any) -> dict[str, Any]:
        if kind != self._kind or spec["first"] < self._first:
            return await super().run(kind, spec, *more, **options)
        (on_progress,) = more

        async def fail_after_a_while(progress: Mapping[str, Any]) -> None:
            if progress["done"] > self._after:
                raise self._reason
            await on_progress(progress)

        return await super().run(kind, spec, fail_after_a_while, **options)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (JobFailed(DIVERGED), DIVERGED),
        (JobTooLong(TOO_LONG), "a block took longer than learning.time_limit, 3600 s"),
    ],
)
async def test_a_network_that_fails_keeps_what_it_said_and_takes_nothing_from_the_others(
    reason: JobFailed, said: str, tmp_path: Path
) -> None:
    asked = {"from": DAYS[60], "refit_every": 20, "forecasters": ["powerballnet", "ball"]}
    async with (
        living(tmp_path, LOADED, Failing(reason, "backtest-block", 80, 5)) as agent,
        client(agent) as http,
    ):
        shown = await done(agent, http, **asked)
        made = (await http.get(f"{shown['report']}.json")).json()
        page = (await http.get(shown["report"])).text

    assert (shown["state"], shown["error"]) == ("done", None)
    assert made["broken"] == shown["summary"]["broken"] == {"powerballnet": said}
    network, ball = made["forecasters"]
    assert (network["draws"], ball["draws"]) == (30, 60)
    assert [gain is None for gain in network["gains"]] == [False] * 25 + [True] * 15 + [False] * 5 + [
        True
    ] * 15
    assert made["verdict"].startswith("Not judged, for want of the rest of the span: powerballnet. ")
    sentence = f"The forecaster powerballnet failed: {said}."
    assert sentence in html.unescape(page)
    assert sentence in " ".join(backtest_report.text(made).split())


async def test_one_in_which_nothing_could_be_judged_fails_with_the_reason(tmp_path: Path) -> None:
    engine = Failing(JobFailed(DIVERGED), "backtest-block")
    async with living(tmp_path, LOADED, engine) as agent, client(agent) as http:
        shown = await done(agent, http, forecasters=["powerballnet"], **{"from": DAYS[60]})
        assert not agent.config.backtests.exists()

    assert (shown["state"], shown["error"]) == ("failed", f"powerballnet: {DIVERGED}")


async def test_a_network_whose_worker_is_lost_is_walked_again(tmp_path: Path) -> None:
    engine = Failing(WorkerLost(), "backtest-block", 100)
    async with living(tmp_path, LOADED, engine) as agent, client(agent) as http:
        shown = await done(
            agent, http, refit_every=20, forecasters=["powerballnet", "ball"], **{"from": DAYS[60]}
        )

    assert (shown["state"], shown["attempt"], shown["summary"]) == ("ready", 1, None)


@pytest.mark.parametrize("reason", [JobFailed("broken"), JobTooLong(TOO_LONG)])
async def test_experts_whose_worker_fails_or_takes_too_long_fail_the_backtest_with_its_reason(
    reason: JobFailed, tmp_path: Path
) -> None:
    async with living(tmp_path, LOADED, Failing(reason, "backtest")) as agent, client(agent) as http:
        shown = await done(agent, http)
        assert shown["state"] == "failed"
        assert shown["error"] == str(reason)
        assert await draws.open_incidents(agent.store) == []  # who asked is told
        assert not agent.config.backtests.exists()


def test_a_span_is_cut_where_networks_are_trained_anew() -> None:
    assert backtest.blocks(50, 120, 50, 4) == [(50, 100), (100, 120)]
    assert backtest.blocks(60, 120, 20, 2) == [(60, 80), (80, 120)]
    assert backtest.blocks(65, 1000, 50, 4) == [(65, 250), (250, 500), (500, 750), (750, 1000)]
    assert backtest.blocks(10, 20, 50, 4) == [(10, 20)]


@pytest.fixture
def helios(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run `helios backtest` as one types it; return its exit code and what it printed."""
    for name, value in (
        ("PATHS__STATE", tmp_path / "state"),
        ("GAMES", "{simulated: {feeds: []}, powerball: {feeds: []}}"),
    ):
        monkeypatch.setenv(f"HELIOS_{name}", str(value))
    config = str(Path(__file__).parents[2] / "config/helios.yaml")

    def run(*words: str) -> tuple[int, str, str]:
        mask = os.umask(0o077)
        argv = ["helios", "backtest", *words, "--game", "simulated", "--config", config]
        monkeypatch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        os.umask(mask)
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_the_command_waits_and_prints_a_table_in_plain_words(
    helios: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    async def begin() -> None:
        async with living(tmp_path, drums.fair(MATRIX)):
            pass

    asyncio.run(begin())
    page = tmp_path / "page.html"
    code, out, _ = helios("--forecaster", "mixture", "--forecaster", "ball", "--html", str(page))

    assert code == 0
    assert out.startswith(
        f"Backtest of Simulated lottery: {DRAWS} draws, {DAYS[0]} to {DAYS[-1]}\nNothing was found in"
    )
    assert [line.split()[:2] for line in out.splitlines() if line.startswith("  ")] == [
        ["forecaster", "draws"], ["mixture", str(DRAWS)], ["ball", str(DRAWS)]
    ]  # fmt: skip
    assert '<h3 id="f-2">ball</h3>' in page.read_text("utf-8")
    (report,) = (tmp_path / "state/backtests").iterdir()
    assert json.loads(report.read_text("utf-8"))["found"] == []
    code, _, err = helios("--forecaster", "oracle")
    assert (code, "forecasters has 'oracle'" in err) == (64, True)
