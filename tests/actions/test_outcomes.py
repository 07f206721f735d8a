"""What came of choices is measured from the journal, and nothing waits for what cannot come any more."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from helios_agent.actions import decide, outcomes, runner
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock, from_us
from helios_agent.config import Config
from helios_agent.decisions import engine
from helios_agent.forecasting.experts import PRIORS
from helios_agent.forecasting.ledger import Ledger
from helios_agent.journal import assessments, choices, draws, events, intents, models
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import game
from helios_agent.metacognition.signals import SIGNALS
from tests.journal import story
from tests.registry import conftest

GAME, ERA = story.GAME, story.ERA
RULES = game(GAME)
AAA, BBB = "a" * 12, "b" * 12
NEW, OLD = f"powerballnet@{AAA}", f"powerballnet@{BBB}"
NAMED = {"name": "powerballnet", "game": GAME, "era": ERA}
CALM: dict[str, float | None] = {signal.name: 0.0 for signal in SIGNALS}


@pytest.fixture
async def agent(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Agent]:
    config = Config.model_validate(
        {
            "paths": {"state": tmp_path / "state", "models": tmp_path / "models"},
            "games": {GAME: {"feeds": []}},
            "decisions": {"evaluation_draws": 2},
        }
    )
    config.paths.state.mkdir()
    async with open_agent(config, Ports(clock)) as opened:
        yield opened


async def happen(agent: Agent, kind: str, **payload: Any) -> int:
    return (await agent.journal.append(kind, payload)).seq


async def chosen(agent: Agent, action: str, result: Mapping[str, Any], **known: Any) -> None:
    """Let something be chosen, asked for and done."""
    cause = await happen(agent, "test.decided")

    def ask(tx: Transaction) -> None:
        asked = intents.request(tx, action, GAME, {"cause": cause}, cause)
        made = {"id": asked, "decision": cause, "game": GAME, "action": action, "target": GAME}
        told = {
            "context": "quiet",
            "urgency": 2.0,
            "price": 0.0,
            "era": ERA,
            "champion": None,
            "peak_nats": 0.0,
        }
        tx.append("choice.made", made | told | known, cause)
        claimed = intents.claim(tx, (action,))
        assert claimed is not None
        intents.finish(tx, claimed, result)

    await agent.journal.record(ask)


async def trained(agent: Agent, **known: Any) -> None:
    await chosen(agent, "train", {"model": "powerballnet", "version": AAA, "new": True}, **known)
    await agent.journal.append("model.trained", story.model(AAA, 1))


async def scored(agent: Agent, day: str, gains: Mapping[str, float] = {}, era: str = ERA) -> None:
    await agent.journal.append("history.scored", story.score(day, {"uniform": 0.0, **gains}, era))


async def measure(agent: Agent) -> int | None:
    """Measure what can be; return how many draws the newest network is still on trial."""
    limits = decide.policy(agent.config, RULES, from_us(agent.journal.clock.now_us()))
    cause = await happen(agent, "test.assessed")
    return await agent.journal.record(lambda tx: outcomes.measure(tx, RULES, limits, cause))


async def successes(agent: Agent) -> list[int | None]:
    told = await events.tail(agent.store, limit=99, kinds=["decision.measured"])
    return [event.payload["success"] for event in sorted(told, key=lambda event: event.seq)]


async def test_a_network_is_on_trial_until_it_has_forecast_enough(agent: Agent) -> None:
    await trained(agent)
    assert await measure(agent) == 2
    await scored(agent, "2026-09-16", {NEW: 0.2})
    assert await measure(agent) == 1
    await scored(agent, "2026-09-19", {NEW: 0.2})
    assert (await measure(agent), await successes(agent)) == (None, [1])


async def test_when_the_rules_change_no_training_waits_for_a_network_of_the_old_ones(agent: Agent) -> None:
    await trained(agent)
    await scored(agent, "2026-09-16", {NEW: 0.1})
    assert await measure(agent) == 1
    await scored(agent, "2026-09-19", era="2026-09-18")
    assert (await measure(agent), await successes(agent)) == (None, [None])


async def test_a_network_that_never_forecasts_is_not_waited_for_for_ever(agent: Agent) -> None:
    await trained(agent)
    for day in ("16", "19", "21"):
        await scored(agent, f"2026-09-{day}")
        assert await measure(agent) == 2
    await scored(agent, "2026-09-23")
    assert (await measure(agent), await successes(agent)) == (None, [None])


async def test_a_network_is_measured_against_who_was_champion_whether_or_not_the_decision_is_known(
    agent: Agent,
) -> None:
    await trained(agent, champion=OLD)
    for day in ("16", "19"):
        await scored(agent, f"2026-09-{day}", {NEW: 0.2, OLD: 0.3})
    assert await measure(agent) is None
    [told] = await events.tail(agent.store, limit=9, kinds=["decision.measured"])
    assert (told.payload["success"], told.payload["impact"]) == (0, pytest.approx(-0.1))


async def test_a_draw_that_does_not_come_is_asked_for_in_vain_once(agent: Agent) -> None:
    for _ in range(3):
        await chosen(agent, "ingest", {"new": 0})
        await measure(agent)
    assert await successes(agent) == [0, None, None]
    await agent.journal.append("draw.ingested", draws.to_payload(story.SATURDAY, "texas"))
    await chosen(agent, "ingest", {"new": 0})
    await measure(agent)
    assert await successes(agent) == [0, None, None, 0]


async def test_an_alert_is_remembered_by_the_evidence_it_told_of_under_the_same_rules(agent: Agent) -> None:
    await chosen(agent, "alert", {}, target=f"{GAME}/evidence", peak_nats=13.8, urgency=3.0)
    await chosen(agent, "alert", {}, target=f"{GAME}/change", peak_nats=None)
    told = await agent.journal.record(
        lambda tx: [choices.alerted(tx, GAME, era) for era in (ERA, "2030-01-01", None)]
    )
    assert told == [{f"{GAME}/evidence": 13.8}, {}, {}]
    assert await agent.journal.record(lambda tx: choices.alerted(tx, "megamillions", ERA)) == {}
    now_us = agent.journal.clock.now_us()
    raised = [
        await assessments.alarm_us(agent.store, f"{GAME}/change", era, since_us)
        for era, since_us in ((ERA, now_us), (ERA, now_us + 1), ("2030-01-01", 0))
    ]
    assert raised == [now_us, None, None]


async def test_while_an_alarm_stands_the_assessment_says_so(agent: Agent, clock: VirtualClock) -> None:
    async def assessed() -> tuple[str, str]:
        cause = await happen(agent, "test.decided")
        await agent.journal.record(lambda tx: intents.request(tx, "assess", GAME, {}, cause))
        intent = await agent.journal.record(lambda tx: intents.claim(tx, ("assess",)))
        assert intent is not None
        await runner.carry_out(agent.context(), intent)
        [told] = await assessments.newest(agent.store, GAME, 1)
        return told.payload["verdict"], told.payload["strategy"]["name"]

    for n in range(120):
        day = (story.WEDNESDAY.day - timedelta(days=n)).isoformat()
        draw = replace(story.WEDNESDAY, day=date.fromisoformat(day))
        await agent.journal.append("history.imported", draws.to_payload(draw, "packaged"))
    known = story.score("2026-09-16", {"uniform": 0.0}) | {"ledger": Ledger.start(PRIORS).to_record()}
    await agent.journal.append("history.scored", known)
    calm, _ = await assessed()
    await chosen(agent, "alert", {}, target=f"{GAME}/change")
    alarmed, adaptive = await assessed()
    assert "alarm" not in calm
    assert alarmed.endswith(" But on 2026-09-18 an alarm was raised: its machine seems to have changed.")
    await clock.advance(90 * 86_400 + 1)
    later, other = await assessed()
    assert "alarm" not in later
    assert (adaptive, other) == ("adaptive", "conservative")


async def test_what_was_measured_of_one_champion_is_not_held_against_another(agent: Agent) -> None:
    signals = CALM | {"champion_loss": 9.0, "challenger": 9.0, "challenger_loss": 1.0}
    for version in (AAA, BBB):
        await agent.journal.append("model.trained", story.model(version, 1))
        await agent.journal.append("model.promoted", NAMED | {"version": version})

    async def seen(roles: Mapping[str, str | None]) -> tuple[float | None, list[str]]:
        assessed = {"signals": signals, "era": ERA, "roles": roles}
        limits = decide.policy(agent.config, RULES, from_us(agent.journal.clock.now_us()))
        it = await agent.journal.record(lambda tx: decide.situation(tx, RULES, assessed, 1, None))
        made = engine.decide(it, limits)
        return it.signals["champion_loss"], [c.action for c in made.chosen]

    loss, chose = await seen({"champion": OLD, "challenger": None})
    assert (loss, "rollback" in chose) == (9.0, True)
    loss, chose = await seen({"champion": NEW, "challenger": OLD})
    assert loss is None
    assert not {"rollback", "retire", "promote"} & {*chose}


async def test_a_decision_promotes_only_who_was_tried_against_the_champion_there_is(agent: Agent) -> None:
    old, new = (conftest.put(agent.config.paths.models, seed=seed) for seed in (1, 2))
    await agent.journal.append("model.trained", story.model(old.version, 1))
    await agent.journal.append("model.promoted", NAMED | {"version": old.version})
    await agent.journal.append("model.trained", story.model(new.version, 1))
    comparison = {"draws": 40, "peak_nats": 9.0}
    trial = {"challenger": str(new), "champion": "uniform", "ordinal": 1, "comparison": comparison}
    entry = story.score("2026-09-16", {str(new): 0.0})
    entry["ledger"]["trial"] = trial
    await agent.journal.append("history.scored", entry)

    cause = await happen(agent, "test.decided")
    asked = await agent.journal.record(lambda tx: intents.request(tx, "promote", f"{GAME}/{new}", {}, cause))
    intent = await agent.journal.record(lambda tx: intents.claim(tx, ("promote",)))
    assert intent is not None
    await runner.carry_out(agent.context(), intent)
    refused = await intents.find(agent.store, asked)
    assert (refused.state, refused.error) == (
        "failed", f"{new} was not tried against {old}, which it would take the place of."
    )  # fmt: skip
    [champion] = await agent.journal.record(lambda tx: [models.holder(tx, GAME, "champion")])
    assert champion is not None
    assert champion.forecaster == str(old)


async def test_who_is_champion_by_now_is_not_retired_as_challenger(agent: Agent) -> None:
    new = conftest.put(agent.config.paths.models)
    await agent.journal.append("model.trained", story.model(new.version, 1))
    cause = await happen(agent, "test.decided")
    until_us = agent.journal.clock.now_us() + 10**12
    proposed = await agent.journal.record(
        lambda tx: intents.propose(
            tx, "retire", f"{GAME}/{new}", {}, cause, expires_us=until_us, reason="it loses to chance"
        )
    )
    await agent.request("promote", f"{GAME}/{new}", {}, by="cli")
    intent = await agent.journal.record(lambda tx: intents.claim(tx, ("promote",)))
    assert intent is not None
    await runner.carry_out(agent.context(), intent)
    gone = await intents.find(agent.store, proposed)
    assert (gone.state, gone.error) == ("expired", f"{new} is champion by now")
    assert (await models.find(agent.store, "powerballnet", new.version)).role == "champion"
