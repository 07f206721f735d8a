"""What assessments learn from the facts in the journal, and what compaction forgets of it."""

import json
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from helios_agent.actions import knowledge, records, runner
from helios_agent.agent import Ports, open_agent
from helios_agent.clock import VirtualClock, from_us
from helios_agent.config import Config
from helios_agent.decisions import replay
from helios_agent.journal import draws, events, intents, rebuild, snapshot
from helios_agent.journal import knowledge as stored
from helios_agent.journal.journal import Event, Journal, Transaction
from helios_agent.journal.knowledge import StoredFragment
from helios_agent.lottery import calendar
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import POWERBALL
from helios_agent.metacognition.knowledge import YEAR_US, costs, priors
from tests.acceptance.conftest import settle
from tests.conftest import START
from tests.journal.story import score

CONFIG = Config.model_validate({"games": {"powerball": {"feeds": []}, "simulated": {"feeds": []}}})
GAME = "powerball"
NOTHING: Mapping[str, float | None] = {
    "draws_scored": 0.0, "fairness_p": None, "evidence_peak": None, "smallest_visible_factor": None
}  # fmt: skip
QUIET: Mapping[str, float | None] = {
    "draws_scored": 120.0, "fairness_p": 1.0, "evidence_peak": 0.2, "smallest_visible_factor": 2.5
}  # fmt: skip


class Life:
    """A journal, and short names for what happens in it."""

    def __init__(self, journal: Journal, clock: VirtualClock) -> None:
        self.journal, self.clock, self.number = journal, clock, 0

    async def assess(self, signals: Mapping[str, float | None] = NOTHING) -> list[Event]:
        """Assess; return what was learned by it."""

        def change(tx: Transaction) -> int:
            assessed = tx.append("assessment.completed", {"game": GAME, "signals": signals})
            knowledge.learn(tx, CONFIG, POWERBALL, signals, assessed.seq)
            return assessed.seq

        seq = await self.journal.record(change)
        return await events.tail(self.journal.store, limit=9, kinds=["knowledge.learned"], cause=seq)

    async def choose(self, success: int, action: str = "train", game: str = GAME) -> int:
        """Let a decision choose something, and the outcome be measured; return the decision."""
        self.number += 1
        intent = {"id": f"i-{self.number}", "game": game, "action": action}
        choice = {"target": game, "context": "quiet", "urgency": 1.5, "price": 0.0}
        outcome = {"impact": None, "unit": None, "success": success, "regret": 0.0, "sentence": "."}

        def change(tx: Transaction) -> int:
            decision = tx.append("decision.made", {"game": game, "knowledge": []}).seq
            tx.append("choice.made", {**intent, **choice, "decision": decision})
            tx.append("decision.measured", {**intent, **outcome})
            return decision

        return await self.journal.record(change)

    async def spend(self, seconds: float, job: str, target: str = GAME) -> int:
        spent = {"job": job, "action": "train", "target": target, "attempt": 1, "cpu_seconds": seconds}
        return (await self.journal.append("work.spent", spent)).seq

    async def scored(self, day: str, ball: float = 0.1) -> int:
        payload = score(day, {"uniform": 0.0, "ball": 1.5}) | {"weights": {"uniform": 1 - ball, "ball": ball}}
        return (await self.journal.append("history.scored", payload)).seq

    async def known(self, kind: str) -> StoredFragment:
        (found,) = await stored.stored(self.journal.store, GAME, kind)
        return found


@pytest.fixture
def life(journal: Journal, clock: VirtualClock) -> Life:
    return Life(journal, clock)


async def test_an_effect_is_learned_from_three_outcomes_and_renewed_under_the_same_id(life: Life) -> None:
    decisions = [await life.choose(0) for _ in range(2)]
    assert await life.assess() == []
    decisions.append(await life.choose(1))
    (learned,) = await life.assess()
    assert learned.payload["content"] == (
        "Training from scratch while nothing was suspected helped in 1 of 3 cases."
    )
    assert learned.payload["evidence"] == {"wins": 1, "losses": 2, "decisions": decisions}
    assert await life.assess() == []
    await life.choose(0)
    assert await life.assess() == [], "four cases say no more than three"
    for _ in range(2):
        await life.choose(0)
    (renewed,) = await life.assess()
    assert renewed.payload["id"] == learned.payload["id"]
    assert (await life.known("effect")).evidence["losses"] == 5


async def test_outcomes_that_nobody_has_measured_and_those_of_other_games_teach_nothing(life: Life) -> None:
    for _ in range(5):
        await life.choose(1, game="simulated")
    assert await life.assess() == []
    assert await stored.stored(life.journal.store) == []


async def test_that_a_duty_was_done_teaches_nothing_of_its_effect(life: Life) -> None:
    for _ in range(24):
        await life.choose(1, "backup")
    assert await life.assess() == []


async def test_costs_are_learned_under_the_name_that_decisions_have_for_an_action(life: Life) -> None:
    seqs = [await life.spend(seconds, "asked-by-hand") for seconds in (50.0, 60.0, 100.0)]
    (learned,) = await life.assess()
    assert (learned.payload["subject"], learned.payload["relevance"]) == ("train", 0.6)
    assert learned.payload["evidence"] == {
        "median_seconds": 60.0, "within_seconds": 100.0, "spendings": seqs
    }  # fmt: skip
    for _ in range(3):
        await life.choose(1, "train-warm")
        await life.spend(9.0, f"i-{life.number}")
    assert {(e.payload["kind"], e.payload["subject"]) for e in await life.assess()} == {
        ("effect", "train-warm/quiet"), ("cost", "train-warm")
    }  # fmt: skip
    for _ in range(9):
        await life.spend(61.0, "asked-by-hand", "megamillions")
    assert await life.assess() == []
    for _ in range(9):
        await life.spend(61.0, "asked-by-hand")
    assert await life.assess() == [], "61 s are hardly more than 60"


async def tell(life: Life, day: date, hours: float) -> int:
    """Let a feed tell of a draw so many hours after it."""
    held = calendar.draw_instant(POWERBALL, day)
    now = from_us(life.clock.now_us())
    await life.clock.advance((held + timedelta(hours=hours) - now).total_seconds())
    draw = Draw(GAME, day, (1, 2, 3, 4, 5), 6, None, ordered=False)
    return (await life.journal.append("draw.ingested", draws.to_payload(draw, "texas"))).seq


async def test_how_long_a_feed_takes_is_learned_from_draws_that_it_told_of_before_the_next_one(
    life: Life,
) -> None:
    days = calendar.draw_days(POWERBALL, date(2026, 9, 19), date(2026, 12, 31))
    absent = days[:3]  # the three days before the fourth draw the daemon did not run
    for day in absent[:2]:
        draw = Draw(GAME, day, (1, 2, 3, 4, 5), 6, None, ordered=False)
        held = calendar.draw_instant(POWERBALL, absent[2])
        await life.clock.advance(max(0.0, (held - from_us(life.clock.now_us())).total_seconds()))
        await life.journal.append("draw.ingested", draws.to_payload(draw, "texas"))
    seqs = [await tell(life, day, 2.0 if n % 5 else 10.0) for n, day in enumerate(days[2:21])]
    assert await life.assess() == [], "of 19 draws nothing is said"
    seqs.append(await tell(life, days[21], 2.0))
    (learned,) = await life.assess()
    assert learned.payload["content"] == (
        "The feed texas usually tells of a draw 2 h after it, nine times in ten within 10 h."
    )
    assert learned.payload["evidence"] == {"median_hours": 2.0, "within_hours": 10.0, "draws": seqs}
    await tell(life, days[22], 2.0)
    assert await life.assess() == []


async def test_a_year_without_a_sign_is_learned_once_a_year(life: Life) -> None:
    for day, count in (("2025-09-20", 0), ("2026-09-16", 0), ("2026-09-23", 1), ("2027-09-18", 0)):
        await life.scored(day)
        learned = await life.assess(QUIET)
        assert [e.payload["kind"] for e in learned] == ["fairness"] * count
    last = await life.scored("2027-09-22")
    (learned_again,) = await life.assess(QUIET)
    evidence = learned_again.payload["evidence"]
    assert (evidence["years"], evidence["scores"][1]) == (2, last)
    await life.scored("2027-09-25")
    (alarm,) = await life.assess({**QUIET, "fairness_p": 0.001, "evidence_peak": 6.9})
    assert (alarm.payload["id"], alarm.payload["relevance"]) == (learned_again.payload["id"], 1.0)


async def test_who_leads_the_mixture_is_learned_when_that_changes(life: Life) -> None:
    told = []
    for day, weight in (("16", 0.5), ("19", 0.625), ("21", 0.9), ("23", 0.25), ("26", 0.125), ("28", 0.75)):
        await life.scored(f"2026-09-{day}", weight)
        said = [event.payload["content"] for event in await life.assess(QUIET)]
        told.append([s.removeprefix("The forecaster ").partition(" the mixture")[0] for s in said])
    assert told == [[], ["ball leads"], [], ["ball no longer leads"], [], ["ball leads"]]
    found = await life.known("leader")
    assert (found.evidence["gain_nats"], found.relevance) == (3.0, 0.75)


async def test_a_decision_about_a_new_game_is_lent_what_others_learned_and_that_counts_as_use(
    life: Life,
) -> None:
    for success in (0, 0, 1, 0, 0, 0, 0, 0):
        await life.choose(success)
    for seconds in (50.0, 60.0, 100.0):
        await life.spend(seconds, "a-job")
    await life.assess()
    actions = ("train", "tune", "backup")

    def decide(tx: Transaction) -> list[Any]:
        found = knowledge.for_decision(tx, "simulated", "quiet", actions)
        lent = priors(found, "simulated", "train", "quiet")
        cost = costs(found, "simulated", "train")
        tx.append("decision.made", {"game": "simulated", "knowledge": [*lent.used, *cost.used]})
        own = knowledge.for_decision(tx, GAME, "quiet", actions)
        return [lent, cost, [f.lesson.kind for f in own]]

    lent, cost, own = await life.journal.record(decide)
    assert (lent.wins, lent.losses, cost.cpu_seconds) == (0.5, 3.5, 60.0)
    assert own == ["effect", "cost"]
    for kind in ("effect", "cost"):
        found = await life.known(kind)
        assert (found.uses, found.used_us) == (1, life.clock.now_us())


async def test_decide_itself_takes_what_was_learned_elsewhere_and_the_open_goals_and_says_so(
    tmp_path: Path,
) -> None:
    config = {"paths": {"state": tmp_path, "models": tmp_path / "models"},
              "games": {"powerball": {"feeds": []}, "simulated": {"feeds": []}}}  # fmt: skip
    async with open_agent(Config.model_validate(config), Ports(VirtualClock(START))) as agent:
        life = Life(agent.journal, VirtualClock(START))
        for success in (0, 0, 1, 0, 0, 0, 0, 0):
            await life.choose(success)
        for _ in range(3):
            await life.spend(60.0, f"i-{life.number}")
        await life.assess()
        goal = {"id": "g", "name": "g", "metric": "skill", "target": 1.0, "direction": "at least"}
        wanted = {"priority": "high", "deadline_us": None, "after": [], "source": "configuration"}
        for game, goal_id in (("simulated", "g"), ("powerball", "other")):
            await agent.journal.append("goal.set", {**goal, **wanted, "id": goal_id, "game": game})
        for goal_id in ("g", "other"):
            open_now = {"id": goal_id, "state": "open", "start": 0.0, "value": 0.0, "progress": 0.0}
            await agent.journal.append("goal.measured", open_now)
        await agent.request("assess", "simulated", {}, by="test")
        await settle(agent)
        decision = await events.latest(agent.store, "decision.made")
        known = await stored.stored(agent.store, GAME)
        with snapshot.opened(agent.config.database) as database:
            again = list(replay.unlike(records.recorded(database, agent.config.archives)))
    assert decision is not None
    assert again == []
    made = decision.payload
    assert made["game"] == "simulated"
    assert made["knowledge"] == sorted(f.id for f in known if f.kind in ("effect", "cost"))
    assert made["inputs"]["lent"] == [["train", "quiet", 0.5, 3.5]]
    assert made["inputs"]["costs"]["train"] == 60.0
    assert made["inputs"]["goals"] == [["g", "skill", "high", "at least"]]
    assert {f.kind: f.uses for f in known} == {"effect": 1, "cost": 2}, "its own game has used the cost, too"


async def test_with_one_game_what_it_learned_itself_is_used_where_it_told_and_is_said_to_be(
    tmp_path: Path,
) -> None:
    config = {"paths": {"state": tmp_path, "models": tmp_path / "models"}, "games": {GAME: {"feeds": []}}}
    async with open_agent(Config.model_validate(config), Ports(VirtualClock(START))) as agent:
        life = Life(agent.journal, VirtualClock(START))
        for success in (0, 0, 1):
            await life.choose(success)
            await life.choose(success, "tune")
            await life.spend(60.0, f"i-{life.number - 1}")
        await life.assess()
        late: dict[str, Any] = {"kind": "feed", "subject": "a", "content": "It is late."}
        late |= {"id": "late", "game": GAME, "relevance": 1.0, "evidence": {"within_hours": 12.0}}
        await agent.journal.append("knowledge.learned", late)

        async def decide(signals: Mapping[str, float | None]) -> dict[str, Any]:
            await agent.journal.append("assessment.completed", {"game": GAME, "signals": signals})
            await agent.request("decide", GAME, {}, by="test")
            intent = await agent.journal.record(lambda tx: intents.claim(tx, ("decide",)))
            assert intent is not None
            await runner.carry_out(agent.context(), intent)
            made = await events.latest(agent.store, "decision.made")
            assert made is not None
            return dict(made.payload)

        ids = {f"{f.kind} {f.subject}": f.id for f in await stored.stored(agent.store, GAME)}
        idle = await decide({"staleness": 1.0, "draw_overdue": 0.0})
        due = await decide({"staleness": 20.0, "draw_overdue": 31.0})
        alarmed = await decide(
            {"staleness": 20.0, "draw_overdue": None, "evidence": 9.0, "evidence_peak": 9.0}
        )
        uses = {f.id: f.uses for f in await stored.stored(agent.store, GAME)}
        with snapshot.opened(agent.config.database) as database:
            again = list(replay.unlike(records.recorded(database, agent.config.archives)))
    assert again == []
    assert {*ids} == {"effect train/quiet", "effect tune/quiet", "cost train", "feed a"}
    assert idle["knowledge"] == [ids["cost train"]]
    assert due["knowledge"] == sorted([ids["cost train"], ids["effect train/quiet"], "late"])
    assert alarmed["knowledge"] == [ids["cost train"]], "of an alarm nothing was learned yet"
    assert uses[ids["cost train"]] == 3
    assert (uses["late"], uses[ids["effect train/quiet"]], uses[ids["effect tune/quiet"]]) == (1, 1, 0)
    [ingest] = [c for c in due["candidates"] if c["action"] == "ingest"]
    assert ingest["urgency"] == round(31 / 12, 6)
    assert due["inputs"]["told_within_hours"] == 12.0


async def forget(life: Life) -> list[str]:
    cause = (await life.journal.append("test.compacted", {})).seq
    await life.journal.record(lambda tx: knowledge.forget(tx, cause))
    found = await events.tail(life.journal.store, limit=9, kinds=["knowledge.forgotten"], cause=cause)
    return [e.payload["reason"] for e in found]


async def test_what_says_little_is_forgotten_after_a_year_and_comes_back_only_with_a_new_fact(
    life: Life,
) -> None:
    for success in (0, 1, 0, 1):
        await life.choose(success)
    await life.assess()
    assert (await life.known("effect")).relevance == 0
    await life.clock.advance(YEAR_US / 1e6 - 1)
    assert await forget(life) == []
    await life.clock.advance(1)
    assert await forget(life) == [
        "its relevance is 0.00, less than 0.2, and in a year it was neither used nor renewed"
    ]
    assert await stored.stored(life.journal.store) == []
    assert await forget(life) == []
    assert await life.assess() == [], "nothing new has happened"
    await life.choose(1)
    (learned,) = await life.assess()
    assert learned.payload["evidence"]["wins"] == 3


async def test_compaction_forgets(tmp_path: Path) -> None:
    config = {"paths": {"state": tmp_path, "models": tmp_path / "models"}, "games": {GAME: {"feeds": []}}}
    clock = VirtualClock(START)
    async with open_agent(Config.model_validate(config), Ports(clock)) as agent:
        learned = {"game": GAME, "kind": "effect", "content": "It helped.", "evidence": {}}
        for relevance in (0.1, 0.9):
            await agent.journal.append(
                "knowledge.learned",
                {**learned, "id": f"{relevance}", "subject": f"{relevance}", "relevance": relevance},
            )
        left = []
        for years in (0.9, 0.2, 2.0):
            await clock.advance(years * YEAR_US / 1e6)
            await agent.request("compact", "journal", {}, by="test")
            intent = await agent.journal.record(lambda tx: intents.claim(tx, ("compact",)))
            assert intent is not None
            await runner.carry_out(agent.context(), intent)
            left.append([f.id for f in await stored.stored(agent.store)])
    assert left == [["0.9", "0.1"], ["0.9"], []]


async def test_what_still_holds_is_neither_forgotten_nor_learned_twice(life: Life) -> None:
    signals = {**QUIET, "fairness_p": 0.001, "evidence_peak": 6.9}
    await life.scored("2026-09-16", 0.75)
    assert {e.payload["kind"] for e in await life.assess(signals)} == {"fairness", "leader"}
    await life.clock.advance(4 * YEAR_US / 1e6)
    assert await forget(life) == []
    await life.scored("2026-09-19", 0.75)
    assert await life.assess(signals) == []


async def test_what_is_used_is_kept(life: Life) -> None:
    for success in (0, 1, 0, 1):
        await life.choose(success)
    (learned,) = await life.assess()
    for _ in range(4):
        await life.clock.advance(0.9 * YEAR_US / 1e6)
        assert await forget(life) == []
        await life.journal.append("decision.made", {"game": "x", "knowledge": [learned.payload["id"]]})
    await life.clock.advance(YEAR_US / 1e6)
    assert len(await forget(life)) == 1


async def test_the_table_is_what_the_journal_says(life: Life) -> None:
    for success in (0, 1, 0, 1, 1, 1, 1, 1):
        await life.choose(success)
        await life.assess()
    await life.clock.advance(4 * YEAR_US / 1e6)
    await forget(life)
    await life.choose(1)
    await life.assess()
    path = life.journal.store.path
    rebuild.check(path, path.parent / "archives")
    told = await events.tail(life.journal.store, limit=99, kinds=["knowledge.learned"])
    contents = [json.dumps(e.payload["content"]) for e in told]
    assert len(set(contents)) == len(contents) > 2


def test_a_year_is_a_year() -> None:
    assert from_us(YEAR_US) == datetime.fromisoformat("1971-01-01T06:00:00+00:00")
