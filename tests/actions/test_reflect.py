"""Reflection on a quiet and on an alarmed time: every sentence against the journal that it was made from."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from helios_agent.actions import reflect, runner
from helios_agent.actions.action import Context
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.forecasting.mixture import Standing, posterior
from helios_agent.journal import events, forecasts, intents
from helios_agent.lottery.games import game
from helios_agent.metacognition import reflection
from helios_agent.store import Reader, Row
from helios_agent.web import reflections as shown
from tests.journal import story
from tests.web.analytics_story import MODELS, NEW, OLD, day, train

DAY_S = 86_400
PRIORS = {"uniform": 0.5, "ball": 0.3, "bonus": 0.1}


@pytest.fixture
async def agent(tmp_path: Path, clock: VirtualClock) -> AsyncIterator[Agent]:
    """An agent that watches one game and has done nothing yet."""
    config = Config.model_validate(
        {
            "paths": {"state": tmp_path / "state", "models": tmp_path / "models"},
            "games": {story.GAME: {"feeds": []}},
        }
    )
    config.paths.state.mkdir()
    async with open_agent(config, Ports(clock)) as opened:
        yield opened


class Ledger:
    """Scores draws of a made-up machine: the mixture gains what `ball` does, as far as it is trusted."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.day = 0
        self.totals = dict.fromkeys(PRIORS, 0.0)
        self.mixture = self.peak = 0.0

    async def score(self, gain: float, draws: int, mixture: float) -> None:
        """Score draws on each of which `ball` gains `gain`, `bonus` loses 0.01, and the mixture as told."""
        for _ in range(draws):
            self.totals["ball"] += gain
            self.totals["bonus"] -= 0.01
            self.mixture += mixture
            self.peak = max(self.peak, self.mixture)
            standings = {name: Standing(PRIORS[name], total) for name, total in self.totals.items()}
            payload = {
                "game": story.GAME, "era": story.ERA, "day": day(self.day), "basis": "registered",
                "forecast": None, "gains": {"uniform": 0.0, "ball": gain, "bonus": -0.01},
                "weights": posterior(standings), "mixture_gain": mixture,
                "ledger": {
                    "standings": {name: asdict(standing) for name, standing in standings.items()},
                    "mixture_nats": self.mixture, "peak_nats": self.peak, "draws": self.day + 1,
                },
            }  # fmt: skip
            await self.agent.journal.append("forecast.scored", payload)
            self.day += 1


async def asked(agent: Agent, action: str = "reflect") -> int:
    """Return how often an action waits to be done."""
    return sum(intent.action == action for intent in await intents.open_ones(agent.store))


async def done(agent: Agent) -> Mapping[str, Any]:
    """Ask for a reflection, have it carried out, and return it."""
    await agent.request("reflect", story.GAME, {}, "http")
    intent = await agent.journal.record(lambda tx: intents.claim(tx, ("reflect",)))
    assert intent is not None
    await runner.carry_out(agent.context(), intent)
    found = await events.latest(agent.store, "reflection.completed")
    assert found is not None
    return found.payload


def choice(number: int, action: str, decision: int) -> dict[str, Any]:
    return {
        "id": f"c-{number}", "decision": decision, "game": story.GAME, "action": action, "target": story.GAME,
        "context": "alarmed", "urgency": 1.5, "price": 0.1,
    }  # fmt: skip


async def decide(agent: Agent, *actions: str, first: int = 1) -> None:
    """Let a decision choose these actions."""
    made = await agent.journal.append("decision.made", {"game": story.GAME, "knowledge": []})
    for number, action in enumerate(actions, first):
        await agent.journal.append("choice.made", choice(number, action, made.seq))


def measured(number: int, success: int, regret: float) -> dict[str, Any]:
    return {
        "id": f"c-{number}", "game": story.GAME, "action": "train", "impact": 0.01 * success,
        "unit": "nats a draw", "success": success, "regret": regret, "sentence": "It was measured.",
    }  # fmt: skip


def spent(job: str, action: str, seconds: float) -> dict[str, Any]:
    return {"job": job, "action": action, "target": story.GAME, "attempt": 1, "cpu_seconds": seconds}


async def test_of_a_game_of_which_nothing_is_known_it_says_so(agent: Agent) -> None:
    made = await done(agent)
    assert made["text"] == (
        "From 2026-09-18T12:00Z to 2026-09-18T12:00Z, no draw of Powerball was scored, nor any before. "
        "No network was trained. No decision was made. No job took processor time."
    )
    assert (made["leader"], made["alarms"], made["patterns"]) == (None, [], None)


async def test_a_quiet_week(agent: Agent, clock: VirtualClock) -> None:
    ledger = Ledger(agent)
    await ledger.score(-0.002, 50, -0.001)
    await done(agent)
    await clock.advance(7 * DAY_S)
    await ledger.score(-0.002, 3, -0.001)
    await decide(agent)
    made = await done(agent)
    assert made["text"] == (
        "From 2026-09-18T12:00Z to 2026-09-25T12:00Z, 3 draws of Powerball were scored, 3 of them "
        "forecast in advance, and the mixture gained -0.003 nats on chance. The evidence against fairness "
        "went from -0.05 to -0.05 nats; its peak is 0.00, which a fair machine reaches with probability "
        "at most 1. Uniform, chance itself, has the largest weight for the next draw, 0.538; of those "
        "that could find something the forecaster ball has most, 0.291, and gained -0.106 nats on chance "
        "over 53 draws, of which -0.006 in this time. No network was trained. It decided once, and chose "
        "nothing. No job took processor time."
    )
    assert made["draws"]["from"] == day(50)


@pytest.mark.parametrize(
    ("before", "alarmed", "promoted_on"),
    [
        (6, "2026-09-24", "2026-10-04"),
        (8, "2026-09-26", "2026-10-06"),
    ],
)
async def test_after_a_machine_turned_unfair_it_says_what_happened(
    agent: Agent, clock: VirtualClock, before: int, alarmed: str, promoted_on: str
) -> None:
    ledger = Ledger(agent)
    await ledger.score(-0.002, 50, -0.001)
    await agent.journal.append("work.spent", spent("old", "backtest", 7.0))
    await done(agent)
    await clock.advance(before * DAY_S)
    await train(agent, OLD, 1, (9.5, 9.0), 40.0)
    await clock.advance(60)
    await ledger.score(0.4, 20, 0.25)
    alert = {"about": f"{story.GAME}/evidence", "message": "the evidence against fairness reached 4.95 nats"}
    await agent.journal.append("alert.raised", alert)
    await clock.advance(10 * DAY_S)
    await train(agent, NEW, 2, (9.5, 9.4, 9.0), 120.0)
    promoted = story.named(NEW, 2) | {
        "in_place_of": OLD, "by": "decision", "trial": {"draws": 12, "peak_nats": 6.25},
    }  # fmt: skip
    await agent.journal.append("model.promoted", promoted)
    await decide(agent, "alert", "train", "train")
    await agent.journal.append("work.spent", spent("c-2", "train", 45.0))
    await agent.journal.append("decision.measured", measured(2, 1, 0.0))
    await agent.journal.append("decision.measured", measured(3, 1, 0.5))
    await agent.journal.append(
        "knowledge.learned",
        {
            "id": "k-1", "game": story.GAME, "kind": "effect", "subject": "train/alarmed",
            "content": "A training in an alarm helped 1 time of 2.", "relevance": 0.5, "evidence": {},
        },
    )  # fmt: skip
    await ledger.score(0.4, 10, 0.4)
    finding = {"kind": "trend", "sentence": "skill rises by 0.01 a step over 12 values; by chance …"}
    await agent.journal.append("assessment.completed", {"game": story.GAME, "patterns": [finding]})
    made = await done(agent)
    text = made["text"]
    for sentence in (
        "30 draws of Powerball were scored, 30 of them forecast in advance, and the mixture gained +9.000 "
        "nats",
        "The evidence against fairness went from -0.05 to 8.95 nats; its peak is 8.95, which a fair machine "
        "reaches with probability at most 0.00013.",
        f"On {alarmed} an alarm about the evidence against fairness was raised, after 70 scored draws and "
        "with the evidence at 4.95 nats, 4.95 at its peak: the evidence against fairness reached 4.95 "
        "nats.",
        "The forecaster ball has the largest weight for the next draw, 1.000, and gained +11.900 nats on "
        "chance over 80 draws, of which +12.000 in this time.",
        f"{MODELS[0]} was trained on {alarmed}, in 2 epochs and 40.0 CPU seconds; on validation it gained",
        f"{MODELS[1]} was promoted to champion on {promoted_on}, by decision, in place of {OLD}, after 12 "
        "draws of trial that had shown 6.25 nats.",
        "It decided once, and chose alert (1), train (2). Of earlier choices that were measured now, worth "
        "it were train 1 of 2; regret 0.50 in all. What was chosen took 45.0 CPU seconds.",
        "Jobs took 205.0 CPU seconds (train 205.0). ",
        "Pattern: skill rises by 0.01 a step over 12 values; by chance … "
        "Learned: A training in an alarm helped 1 time of 2.",
    ):
        assert sentence in text
    assert text.index(f"On {alarmed} an alarm") < text.index("ball has") < text.index("was promoted")
    assert ("since the first alarm" in text) is (before >= reflect.LEAST_DAYS)
    if before < reflect.LEAST_DAYS:
        assert made["compute"]["since_alarm"] is None
        return
    assert (
        f"In the 10.0 days since the first alarm, on {alarmed}, jobs took 16.5 CPU seconds a day; in the "
        "8.0 days before it, 5.9." in text
    )
    # In as long a time before the alarm the journal has but 8 days: what is before its first event is no day.
    days_before = 8 + 60 / DAY_S
    assert made["compute"]["since_alarm"] == {
        "at": made["alarms"][0]["at"], "days": 10.0, "cpu_seconds_per_day": 16.5, "days_before": days_before,
        "cpu_seconds_per_day_before": 47 / days_before,
    }  # fmt: skip


async def test_each_reflection_begins_where_the_last_one_ended(agent: Agent) -> None:
    ledger = Ledger(agent)
    await ledger.score(0.1, 5, 0.1)
    first = await done(agent)
    again = await done(agent)
    assert again["from"] == first["to"]
    assert (first["draws"]["scored"], again["draws"]["scored"]) == (5, 0)
    assert (
        "no draw of Powerball was scored; the evidence against fairness stands at 0.50 nats." in again["text"]
    )
    assert "in this time" not in first["text"] + again["text"]


@pytest.mark.parametrize(
    ("about", "times"),
    [("powerball/evidence", 1), ("powerball/change", 1), ("powerball/draw-absent", 0), ("journal", 0)],
)
async def test_only_an_alarm_about_the_machine_asks_for_one(agent: Agent, about: str, times: int) -> None:
    await agent.journal.append("alert.raised", {"about": about, "message": "look here"})
    assert await asked(agent) == times


async def test_a_promotion_asks_for_one_and_a_reflection_for_nothing(agent: Agent) -> None:
    await agent.journal.append("model.trained", story.model(OLD, 1))
    before = await asked(agent)
    await agent.journal.append("model.promoted", story.named(OLD, 1) | {"in_place_of": None, "by": "http"})
    assert (before, await asked(agent)) == (0, 1)
    open_before = {intent.id for intent in await intents.open_ones(agent.store)}
    made = await done(agent)
    assert "was promoted to champion on 2026-09-18, by http, before its trial had a draw." in made["text"]
    assert await asked(agent) == 0
    assert {intent.id for intent in await intents.open_ones(agent.store)} < open_before


async def test_the_same_record_can_be_made_again(agent: Agent, clock: VirtualClock) -> None:
    ledger = Ledger(agent)
    await ledger.score(0.1, 5, 0.1)
    rules, now_us = game(story.GAME), clock.now_us()
    made = await reflect.record(agent.store, rules, now_us)
    assert await reflect.record(agent.store, rules, now_us) == made
    text = reflection.text(rules.title, made)
    assert (await done(agent))["text"] == text


async def test_a_forecaster_that_joined_and_has_forecast_nothing_is_said_to(agent: Agent) -> None:
    standings = {"uniform": {"prior": 0.2, "gain_nats": 0.0}, "newcomer": {"prior": 0.7, "gain_nats": 0.0}}
    ledger = {"standings": standings, "mixture_nats": 0.0, "peak_nats": 0.0, "draws": 1}
    await agent.journal.append("history.scored", story.score(day(0), {"uniform": 0.0}) | {"ledger": ledger})
    made = await done(agent)
    assert (
        "The forecaster newcomer has the largest weight for the next draw, 0.700, and has not forecast a "
        "scored draw yet." in made["text"]
    )


async def test_it_tells_of_one_moment(agent: Agent) -> None:
    ledger = Ledger(agent)
    await ledger.score(0.1, 5, 0.1)

    class Meanwhile:
        """A moment of the database, in which another draw is scored after every query."""

        def __init__(self, moment: Reader) -> None:
            self.moment = moment

        async def rows(self, sql: str, parameters: Any = ()) -> list[Row]:
            found = await self.moment.rows(sql, parameters)
            await ledger.score(0.1, 1, 0.1)
            return found

    class Moments:
        """A database that lends nothing but moments."""

        @asynccontextmanager
        async def moment(self) -> AsyncIterator[Reader]:
            async with agent.store.moment() as moment:
                yield Meanwhile(moment)

    class Watched(Context):
        """What the action may use, but for that database."""

        @property
        def store(self) -> Any:
            return Moments()

    alone = await reflect.record(agent.store, game(story.GAME), agent.journal.clock.now_us())
    await agent.request("reflect", story.GAME, {}, "http")
    head = await events.head(agent.store)
    intent = await agent.journal.record(lambda tx: intents.claim(tx, ("reflect",)))
    assert intent is not None
    context = agent.context()
    parts = context.config, context.journal, context.http, context.engine, context.meter
    commit = await reflect.run(Watched(*parts), intent)
    await agent.journal.record(lambda tx: commit(tx, head.seq))
    told = await events.latest(agent.store, "reflection.completed")
    assert told is not None
    assert ledger.day > 10
    for name in ("draws", "evidence", "leader"):
        assert told.payload[name] == alone[name]


async def test_the_ledger_is_that_of_the_event_up_to_which_it_is_asked_for(agent: Agent) -> None:
    ledger = Ledger(agent)
    await ledger.score(0.1, 2, 0.1)
    head = (await events.head(agent.store)).seq
    await ledger.score(0.1, 3, 0.1)
    states = [await forecasts.ledger(agent.store, story.GAME, story.ERA, upto) for upto in (head, head + 99)]
    assert [state and state.record["draws"] for state in states] == [2, 5]


async def test_of_a_model_it_tells_its_training_its_gains_and_what_decisions_did_about_it(
    agent: Agent,
) -> None:
    job = await train(agent, OLD, 1, (9.5, 9.0), 30.0)
    for number in range(4):
        scored = story.score(day(number), {"uniform": 0.0, MODELS[0]: 0.05})
        await agent.journal.append("history.scored", scored)
    made = await agent.journal.append("decision.made", {"game": story.GAME, "knowledge": []})
    await agent.journal.append("choice.made", choice(1, "train", made.seq) | {"id": job})
    await agent.journal.append("decision.measured", measured(1, 1, 0.25) | {"id": job})
    retire = choice(2, "retire", made.seq) | {"target": f"{story.GAME}/{MODELS[0]}"}
    await agent.journal.append("choice.made", retire)
    fragment = {
        "id": "k-1", "game": story.GAME, "kind": "model", "subject": MODELS[0], "relevance": 0.5,
        "evidence": {}, "content": f"{MODELS[0]} is of use.",
    }  # fmt: skip
    await agent.journal.append("knowledge.learned", fragment)
    await agent.journal.append(
        "knowledge.learned", fragment | {"id": "k-2", "subject": "other", "content": "No."}
    )

    found = await shown.of_model(agent.store, OLD)
    (version,) = found["versions"]
    assert [k["id"] for k in version["learned"]] == ["k-1"]
    assert [(c["action"], c["success"]) for c in version["decisions"]] == [("train", 1), ("retire", None)]
    assert version["text"] == (
        f"{MODELS[0]} was trained on 2026-09-18, in 2 epochs and 30.0 CPU seconds; on validation it gained "
        "-0.5000 nats a draw. It is challenger, and gained +0.200 nats on chance over 4 draws, between "
        "+0.0500 and +0.0500 a draw. A decision chose to train on 2026-09-18; it was not worth it (+0.01 "
        "nats a draw). A decision chose to retire on 2026-09-18; what came of it is not measured yet. "
        f"Learned: {MODELS[0]} is of use."
    )
    assert [trend["metric"] for trend in found["trends"]] == ["live_mean_nats"]
    assert "fewer than two models" in found["verdict"]


async def test_of_an_imported_model_nothing_is_made_up(agent: Agent) -> None:
    imported = {name: value for name, value in story.model(OLD, 1).items() if name != "job"}
    await agent.journal.append("model.imported", imported)
    (version,) = (await shown.of_model(agent.store, MODELS[0]))["versions"]
    assert version["text"] == (
        f"{MODELS[0]} joined on 2026-09-18; of its training nothing is known here. It is challenger, and "
        "no draw that it forecast has been scored."
    )
