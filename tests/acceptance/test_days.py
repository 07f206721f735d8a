"""Days in the life of the agent, on a clock that the test moves, with real feeds on loopback."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from helios_agent.actions import history, runner
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.forecasting.detection import Detector
from helios_agent.forecasting.experts import EXPERTS
from helios_agent.journal import draws, events, forecasts, intents, models
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import game
from tests.acceptance.conftest import SMALL_NETWORK, World, settle

HOUR = 3600
WITH_NETWORK = {"autonomy": {"train": "act"}}
BEFORE_THE_DRAW = datetime(2026, 9, 18, 12, tzinfo=UTC)
"""The packaged history ends on 2026-09-16; the next draw is that of Saturday the 19th."""
SATURDAY = "2026-09-19,10,20,30,40,50,6,2"
MONDAY = "2026-09-21,11,21,31,41,51,7,3"
ERA = "2015-10-07"


def configuration(folder: Path, world: World, **sections: Any) -> Config:
    return Config.model_validate(
        {
            "paths": {"state": folder / "state", "models": folder / "models"},
            "games": world.feeds(),
            "learning": {"network": SMALL_NETWORK, "training": {"epochs": 1}},
            "decisions": {"autonomy": {"train": "observe"}},
            **sections,
        }
    )


@asynccontextmanager
async def living(config: Config, clock: VirtualClock) -> AsyncIterator[Agent]:
    config.paths.state.mkdir(exist_ok=True)
    async with open_agent(config, Ports(clock)) as agent:
        await agent.recover()
        await agent.journal.append("agent.started", {"games": ["powerball"], "schedules": []})
        await settle(agent)
        yield agent


async def ask(agent: Agent, action: str) -> None:
    await agent.request(action, "powerball", {}, by="test")
    await settle(agent)


async def kinds(agent: Agent, *patterns: str) -> list[dict[str, Any]]:
    found = await events.tail(agent.store, limit=10_000, kinds=patterns)
    return [dict(event.payload) for event in reversed(found)]


async def test_a_registered_forecast_is_scored_when_its_draw_comes_in(tmp_path: Path, world: World) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world, decisions=WITH_NETWORK), clock) as agent:
        last = (await forecasts.recent(agent.store, "powerball", 1))[0]
        assert last.day == "2026-09-19"
        named = [name.partition("@")[0] for name in last.record["forecasters"]]
        assert named == sorted([*EXPERTS, "powerballnet"])
        await clock.advance(48 * HOUR)
        world.rows.append(SATURDAY)
        await ask(agent, "ingest")
        score = (await forecasts.scores(agent.store, "powerball", ERA))[-1]
        assert (score.day, score.basis, score.forecast) == ("2026-09-19", "registered", last.seq)
        entry = (await kinds(agent, "forecast.scored"))[0]
        assert set(entry["gains"]) == {*last.record["forecasters"], "switching"}
        assert entry["gains"]["uniform"] == 0.0
        assert entry["weights"] == last.record["weights"]
        assert (await forecasts.recent(agent.store, "powerball", 1))[0].day == "2026-09-21"


async def test_draws_missed_while_away_are_caught_up_without_pretending_they_were_forecast(
    tmp_path: Path, world: World
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    config = configuration(tmp_path, world)
    async with living(config, clock):
        pass
    await clock.advance(5 * 24 * HOUR)
    world.rows += [SATURDAY, MONDAY]
    async with living(config, clock) as agent:
        scores = (await forecasts.scores(agent.store, "powerball", ERA))[-2:]
        assert [(s.day, s.basis) for s in scores] == [
            ("2026-09-19", "registered"), ("2026-09-21", "walk-forward"),
        ]  # fmt: skip


async def test_once_an_alert_has_told_of_a_change_the_watch_for_the_next_begins_anew(
    tmp_path: Path, world: World
) -> None:
    clock, rules = VirtualClock(BEFORE_THE_DRAW), game("powerball")
    async with living(configuration(tmp_path, world), clock) as agent:
        before = await history.ledger_of(agent.store, rules, rules.eras[-1])
        assert before.detector.draws == 1408
        await agent.journal.append("alert.raised", {"about": "powerball/change", "message": "Look."})
        after = await history.ledger_of(agent.store, rules, rules.eras[-1])
        assert after == replace(before, detector=Detector())
        await clock.advance(48 * HOUR)
        world.rows.append(SATURDAY)
        await ask(agent, "ingest")
        assert (await kinds(agent, "forecast.scored"))[0]["ledger"]["detector"]["draws"] == 1
        assert (await history.ledger_of(agent.store, rules, rules.eras[-1])).detector.draws == 1


async def test_a_forecaster_that_never_had_a_standing_is_not_scored(tmp_path: Path, world: World) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world), clock) as agent:
        made = (await forecasts.recent(agent.store, "powerball", 1))[0]
        told = made.record["forecasters"]
        record = {**made.record, "forecasters": {**told, "of-old": told["uniform"]}}
        again = {"game": "powerball", "day": made.day, "digest": forecasts.digest(record), "forecast": record}
        await agent.journal.append("forecast.registered", again)
        await clock.advance(48 * HOUR)
        world.rows.append(SATURDAY)
        await ask(agent, "ingest")
        assert set((await kinds(agent, "forecast.scored"))[0]["gains"]) == {*told, "switching"}


async def test_where_no_expert_answers_chance_is_registered_and_each_is_an_incident(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world), clock) as agent:
        await clock.advance(48 * HOUR)
        monkeypatch.setattr("helios_agent.work.engine.SHORT_JOB_S", 0.0)
        for _ in range(3):
            await ask(agent, "forecast")
            await clock.advance(300)
            await settle(agent)
        found = await draws.open_incidents(agent.store)
        assert {incident.kind for incident in found} == {"expert-unusable"}
        assert len(found) == len(EXPERTS) - 1
        forecast = (await forecasts.recent(agent.store, "powerball", 1))[0]
        assert (forecast.day, list(forecast.record["forecasters"])) == ("2026-09-21", ["uniform"])
        monkeypatch.undo()
        await ask(agent, "forecast")
        assert await draws.open_incidents(agent.store) == []
        forecast = (await forecasts.recent(agent.store, "powerball", 1))[0]
        assert list(forecast.record["forecasters"]) == sorted(EXPERTS)


async def test_a_challenger_is_tried_against_chance_and_can_be_promoted_once(
    tmp_path: Path, world: World
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world, decisions=WITH_NETWORK), clock) as agent:
        (network,) = await models.active(agent.store, "powerball", ERA)
        await clock.advance(48 * HOUR)
        world.rows.append(SATURDAY)
        await ask(agent, "ingest")
        trial = (await kinds(agent, "forecast.scored"))[0]["ledger"]["trial"]
        assert (trial["challenger"], trial["champion"]) == (network.forecaster, "uniform")
        assert (trial["ordinal"], trial["comparison"]["draws"]) == (1, 1)
        signals = (await kinds(agent, "assessment.completed"))[-1]["signals"]
        assert signals["challenger"] == trial["comparison"]["peak_nats"]
        await ask(agent, "promote")
        (promoted,) = await kinds(agent, "model.promoted")
        assert (promoted["version"], promoted["in_place_of"]) == (network.version, None)
        peak_nats = trial["comparison"]["peak_nats"]
        assert (promoted["by"], promoted["trial"]) == ("test", {"draws": 1, "peak_nats": peak_nats})
        (network,) = await models.active(agent.store, "powerball", ERA)
        assert network.role == "champion"
        await ask(agent, "assess")
        assert (await kinds(agent, "assessment.completed"))[-1]["signals"]["challenger"] is None
        refused = await agent.request("promote", "powerball", {}, by="test")
        await settle(agent)
        assert (await intents.find(agent.store, refused.id)).error == (
            "There is no challenger of Powerball to promote."
        )


SALES_CLOSE = datetime(2026, 9, 20, 1, 59, tzinfo=UTC)
"""An hour before Saturday's draw."""


async def test_once_sales_have_closed_nothing_is_registered_for_the_draw_and_that_is_journaled(
    tmp_path: Path, world: World
) -> None:
    clock = VirtualClock(SALES_CLOSE)
    async with living(configuration(tmp_path, world), clock) as agent:
        assert await forecasts.recent(agent.store, "powerball", 1) == []
        refused = (await kinds(agent, "forecast.refused"))[0]
        assert (refused["game"], refused["day"]) == ("powerball", "2026-09-19")
        assert "closed at 2026-09-20T01:59:00Z" in refused["reason"]
        await clock.advance(24 * HOUR)
        world.rows.append(SATURDAY)
        await ask(agent, "ingest")
        assert (await forecasts.scores(agent.store, "powerball", ERA))[-1].basis == "walk-forward"
        assert (await forecasts.recent(agent.store, "powerball", 1))[0].day == "2026-09-21"


@pytest.mark.parametrize("late_s", [0.0, 3_600.0, 24.0 * 3_600.0])
async def test_a_forecast_registered_after_sales_closed_is_never_used(
    tmp_path: Path, world: World, late_s: float
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world), clock) as agent:
        honest = (await forecasts.recent(agent.store, "powerball", 1))[0]
        await clock.advance((SALES_CLOSE - BEFORE_THE_DRAW).total_seconds() + late_s)
        record = {**honest.record, "weights": {"uniform": 1.0}}
        late = {
            "game": "powerball",
            "day": honest.day,
            "digest": forecasts.digest(record),
            "forecast": record,
        }
        await agent.journal.append("forecast.registered", late)
        await clock.advance(48 * HOUR)
        world.rows.append(SATURDAY)
        await ask(agent, "ingest")
        assert (await forecasts.scores(agent.store, "powerball", ERA))[-1].forecast == honest.seq


async def test_feeds_that_fail_are_incidents_and_asked_again_with_growing_patience(
    tmp_path: Path, world: World
) -> None:
    world.down = True
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world), clock) as agent:
        assert {i.kind for i in await draws.open_incidents(agent.store)} == {"feed-unreachable"}
        waits = []
        for _ in range(8):
            waits.append((await kinds(agent, "ingest.completed"))[-1]["retry_s"])
            await clock.advance(waits[-1])
            await settle(agent)
        assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600]
        world.down = False
        await clock.advance(HOUR)
        await settle(agent)
        assert await draws.open_incidents(agent.store) == []
        assert (await kinds(agent, "ingest.completed"))[-1]["failed"] == []


async def test_a_malformed_row_is_an_incident_that_names_it_and_the_good_rows_land(
    tmp_path: Path, world: World
) -> None:
    world.texas_extra = ["Powerball,9,19,2026,10,20,30,40,99,6,2"]
    world.rows.append(MONDAY)
    clock = VirtualClock(datetime(2026, 9, 23, tzinfo=UTC))
    async with living(configuration(tmp_path, world), clock) as agent:
        (incident,) = await draws.open_incidents(agent.store)
        assert "Powerball,9,19,2026,10,20,30,40,99,6,2" in incident.message
        assert "white ball 5 is 99; expected 1 to 69" in incident.message
        days = [s.draw.day.isoformat() for s in await draws.newest(agent.store, "powerball", 2)]
        assert days == ["2026-09-21", "2026-09-16"]
        world.texas_extra = []
        world.rows.append(SATURDAY)
        await ask(agent, "ingest")
        assert await draws.open_incidents(agent.store) == []
        assert (await kinds(agent, "score.completed"))[-1]["passed_over"] == 1


async def test_a_source_that_contradicts_what_is_stored_changes_nothing_and_opens_an_incident(
    tmp_path: Path, world: World
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    world.rows[-1] = "2026-09-16,21,24,25,3,64,7,2"
    async with living(configuration(tmp_path, world), clock) as agent:
        found = await draws.open_incidents(agent.store)
        assert [i.kind for i in found] == ["draw-disputed", "draw-disputed"]
        assert (
            "texas says 3 21 24 25 64 + 7, but packaged said 2 21 24 25 64 + 7, which stays"
            in found[0].message
        )
        newest = (await draws.newest(agent.store, "powerball", 1))[0].draw
        assert newest.whites == (21, 24, 25, 2, 64)


async def test_a_draw_that_has_not_been_held_is_not_believed(tmp_path: Path, world: World) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    world.rows.append(SATURDAY)
    async with living(configuration(tmp_path, world), clock) as agent:
        assert (
            "2026-09-19, which has not been held yet" in (await draws.open_incidents(agent.store))[0].message
        )
        assert (await draws.newest(agent.store, "powerball", 1))[0].draw.day.isoformat() == "2026-09-16"


async def test_a_model_that_cannot_be_read_is_an_incident_and_the_others_forecast_without_it(
    tmp_path: Path, world: World
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world, decisions=WITH_NETWORK), clock) as agent:
        weights = next((tmp_path / "models").rglob("weights.safetensors"))
        weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")
        await clock.advance(48 * HOUR)
        world.rows.append(SATURDAY)
        await ask(agent, "ingest")
        (incident,) = await draws.open_incidents(agent.store)
        assert incident.kind == "model-unusable"
        forecast = (await forecasts.recent(agent.store, "powerball", 1))[0]
        assert list(forecast.record["forecasters"]) == sorted(EXPERTS)


async def test_a_forecast_made_with_the_draw_already_known_is_never_used_whatever_the_clock_says(
    tmp_path: Path, world: World
) -> None:
    config = configuration(tmp_path, world)
    later = VirtualClock(datetime(2026, 9, 20, 12, tzinfo=UTC))
    world.rows.append(SATURDAY)
    config.paths.state.mkdir()
    async with open_agent(config, Ports(later)) as agent:
        for _ in range(2):  # the packaged draws, then the feeds
            await agent.request("ingest", "powerball", {}, by="test")
            intent = await agent.journal.record(lambda tx: intents.claim(tx, ("ingest",)))
            assert intent is not None
            await runner.carry_out(agent.context(), intent)
        assert (await draws.newest(agent.store, "powerball", 1))[0].draw.day.isoformat() == "2026-09-19"
    behind = VirtualClock(BEFORE_THE_DRAW)
    async with living(config, behind) as agent:
        await ask(agent, "forecast")
        (incident,) = await draws.open_incidents(agent.store)
        assert "The clock is wrong: it is before the draw of 2026-09-19" in incident.message
        assert await forecasts.recent(agent.store, "powerball", 1) == []
        assert {s.basis for s in await forecasts.scores(agent.store, "powerball", ERA)} == {"walk-forward"}


async def test_a_forecast_that_stands_after_its_draw_in_the_journal_does_not_count_as_registered(
    tmp_path: Path, world: World
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world), clock) as agent:
        honest = (await forecasts.recent(agent.store, "powerball", 1))[0]
        known = draws.to_payload(
            Draw("powerball", date(2026, 9, 19), (1, 2, 3, 4, 5), 6, None, ordered=True), "texas"
        )
        await agent.journal.append("draw.ingested", known)
        peeking = {**honest.record, "weights": {"uniform": 1.0}}
        payload = {"game": "powerball", "day": honest.day, "digest": forecasts.digest(peeking)}
        await agent.journal.append("forecast.registered", {**payload, "forecast": peeking})
        found = await forecasts.registered(agent.store, "powerball", honest.day)
        assert found is not None
        assert found.seq == honest.seq


async def test_a_worker_that_is_killed_costs_an_attempt_and_not_the_work(
    tmp_path: Path, world: World
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world), clock) as agent:
        job = (await agent.request("train", "powerball", {}, by="test")).id
        claimed = await agent.journal.record(lambda tx: intents.claim(tx, ("train",)))
        assert claimed is not None
        working = asyncio.create_task(runner.carry_out(agent.context(), claimed))
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if workers := worker_processes():
                break
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        await working
        waiting = await intents.find(agent.store, job)
        assert (waiting.state, waiting.attempt) == ("ready", 1)
        assert "was killed by signal 9" in (waiting.error or "")
        await clock.advance(60)
        await settle(agent)
        assert (await intents.find(agent.store, job)).state == "done"


def worker_processes() -> list[int]:
    return [
        worker
        for server in children_of(os.getpid())
        if b"helios_agent.work.forkserver" in Path(f"/proc/{server}/cmdline").read_bytes()
        for worker in children_of(server)
    ]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_training_that_takes_too_long_is_stopped_and_is_an_incident_until_one_succeeds(
    tmp_path: Path, world: World
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    endless = {
        "network": SMALL_NETWORK,
        "training": {"epochs": 10_000, "patience": 10_000},
        "time_limit": "5s",
    }
    async with living(configuration(tmp_path, world, learning=endless), clock) as agent:
        await ask(agent, "train")
        assert worker_processes() == []
        (incident,) = await draws.open_incidents(agent.store)
        assert incident.message == (
            "train of powerball failed: The training took longer than learning.time_limit, 5 s."
        )
    async with living(configuration(tmp_path, world), clock) as agent:
        await ask(agent, "train")
        assert await draws.open_incidents(agent.store) == []


async def test_the_packaged_history_does_not_wait_for_the_feeds(tmp_path: Path, world: World) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world), clock) as agent:
        first, second = (await kinds(agent, "ingest.completed"))[:2]
        assert (first["new"], first["confirmed"], first["retry_s"]) == (2000, 0, 0.0)
        assert (second["new"], second["confirmed"], second["retry_s"]) == (0, 2010, None)


async def test_incidents_close_when_what_they_tell_of_is_over(tmp_path: Path, world: World) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    world.rows.append(SATURDAY)
    world.down = True
    config = configuration(tmp_path, world)
    async with living(config, clock) as agent:
        world.down = False
        await ask(agent, "ingest")
        assert {i.kind for i in await draws.open_incidents(agent.store)} == {"draw-unheld"}
        await clock.advance(48 * HOUR)
        await ask(agent, "ingest")
        assert await draws.open_incidents(agent.store) == []
        world.down = True
        await ask(agent, "ingest")
        assert len(await draws.open_incidents(agent.store)) == 2
    without = configuration(tmp_path, world, games={"powerball": {"feeds": []}})
    async with living(without, clock) as agent:
        assert await draws.open_incidents(agent.store) == []


async def test_a_clock_that_is_before_the_packaged_draws_is_one_incident_until_it_is_right(
    tmp_path: Path, world: World
) -> None:
    config = configuration(tmp_path, world)
    async with living(config, VirtualClock(datetime(2000, 1, 1, tzinfo=UTC))) as agent:
        (incident,) = await draws.open_incidents(agent.store)
        assert incident.message == (
            "The clock says 2000-01-01T00:00:00Z, but 2000 packaged draws are later than that"
        )
        assert await draws.count(agent.store, "powerball") == 0
        assert len(await kinds(agent, "ingest.completed")) == 1
    async with living(config, VirtualClock(BEFORE_THE_DRAW)) as agent:
        assert await draws.open_incidents(agent.store) == []
        assert await draws.count(agent.store, "powerball") == 2000


async def test_packaged_draws_that_a_wrong_clock_kept_out_come_in_when_it_is_right(
    tmp_path: Path, world: World
) -> None:
    config = configuration(tmp_path, world, games={"powerball": {"feeds": []}})
    async with living(config, VirtualClock(datetime(2015, 1, 1, tzinfo=UTC))) as agent:
        assert 0 < await draws.count(agent.store, "powerball") < 2000
        assert {i.kind for i in await draws.open_incidents(agent.store)} == {"clock-wrong"}
    async with living(config, VirtualClock(BEFORE_THE_DRAW)) as agent:
        assert await draws.count(agent.store, "powerball") == 2000
        assert await draws.open_incidents(agent.store) == []


async def test_where_a_network_never_answers_the_others_forecast_without_it(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    async with living(configuration(tmp_path, world, decisions=WITH_NETWORK), clock) as agent:
        await clock.advance(48 * HOUR)
        # A worker that is given no time at all hangs for all we can tell.
        monkeypatch.setattr("helios_agent.actions.forecast.MODEL_LIMIT_S", 0.0)
        await ask(agent, "forecast")
        for _ in range(2):
            assert await draws.open_incidents(agent.store) == []
            await clock.advance(300)
            await settle(agent)
        (incident,) = await draws.open_incidents(agent.store)
        assert incident.kind == "model-unusable"
        forecast = (await forecasts.recent(agent.store, "powerball", 1))[0]
        assert (forecast.day, list(forecast.record["forecasters"])) == ("2026-09-21", sorted(EXPERTS))
        monkeypatch.undo()
        await ask(agent, "forecast")
        assert await draws.open_incidents(agent.store) == []
        answered = (await forecasts.recent(agent.store, "powerball", 1))[0].record["basis"]["models"]
        assert len(answered) == 1


async def test_a_game_that_is_no_longer_watched_does_nothing_more(tmp_path: Path, world: World) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    world.down = True
    both = world.feeds() | {"megamillions": world.feeds()["powerball"]}
    async with living(configuration(tmp_path, world, games=both), clock) as agent:
        await ask(agent, "ingest")
        await agent.request("ingest", "megamillions", {}, by="test")
        await agent.request("score", "megamillions", {}, by="test")
        await settle(agent)
        await agent.request("ingest", "megamillions", {}, by="test")
    world.down = False
    async with living(configuration(tmp_path, world), clock) as agent:
        assert await draws.open_incidents(agent.store) == []
        assert {intent.target for intent in await intents.open_ones(agent.store)} <= {"powerball", "journal"}
        assert {e["reason"] for e in await kinds(agent, "intent.expired")} == {
            "megamillions is no longer watched"
        }


@pytest.mark.parametrize("level", ["observe", "act"])
async def test_an_action_that_may_only_be_observed_is_decided_against(
    tmp_path: Path, world: World, level: str
) -> None:
    clock = VirtualClock(BEFORE_THE_DRAW)
    config = configuration(tmp_path, world, decisions={"autonomy": {"train": level}})
    async with living(config, clock) as agent:
        decision = (await kinds(agent, "decision.made"))[0]
        (candidate,) = [c for c in decision["candidates"] if c["action"] == "train"]
        assert candidate["chosen"] is (level == "act")
        assert candidate["blocked"] == (None if level == "act" else "its autonomy is observe")
        assert len(await kinds(agent, "model.trained")) == (1 if level == "act" else 0)
