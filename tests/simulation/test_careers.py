"""Over years the agent learns what its decisions are worth, on a fair machine and on one that changes."""

import re
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from loguru import logger

from helios_agent.forecasting import panel
from helios_agent.simulation import careers, drums, world
from helios_agent.simulation.careers import DAY_S, GAME, Career, Plan
from helios_agent.simulation.faults import Turn
from helios_agent.simulation.inline import Experts
from helios_agent.simulation.told import journal
from helios_agent.simulation.world import FEED_HOSTS
from helios_agent.store.readers import read_only

YEARS, CHANGE_YEAR = 10, 5
SEEDS = 10
LATER = 1.2
"""How many times as late as with an unlimited budget the alarm may come."""
ALARM = re.compile(
    r"On (\S+) an alarm about (?:a change of the machine|the evidence against fairness) was raised"
)
AT_MOST = 0.1
"""What part of the compute of a training after every draw is spent on a fair machine."""


def lived(folder: Path, plan: Plan) -> Career:
    logger.remove()
    place = folder / f"{plan.machine} {plan.policy} {plan.seed}"
    return careers.summary(careers.live(place, plan), plan)


def all_lived(folder: Path, plans: Sequence[Plan]) -> list[Career]:
    with ProcessPoolExecutor(2) as pool:
        return list(pool.map(partial(lived, folder), plans))


def alarms_told(career: Career) -> list[str]:
    """Return the days of the alarms that reflections tell of, the earliest first."""
    found = [ALARM.findall(text) for text in career.reflections]
    return sorted(day for days in found for day in days)


def test_kept_experts_say_what_a_worker_says() -> None:
    machine = drums.weighted_balls(world.MATRIX, [3], 2.0)
    drawn = world.draws_of(machine, "kept", careers.START, careers.START.replace(month=6))
    rows = [[*numbers.whites, numbers.bonus] for numbers in drawn.values()]
    kept = Experts()
    for count in (20, 21, 21, 40, 30, 60):  # also fewer than before: then it begins anew
        spec = {"rows": rows[:count], "ordered": [True] * count, "pick": 5, "white": 35, "bonus": 10}
        assert kept.forecast(spec) == panel.run(spec, lambda _: None)


def test_draws_do_not_depend_on_how_many_come_after() -> None:
    fair, unfair = (Plan(machine, "agent", 4, 2, 2) for machine in ("fair", "one ball x3"))
    before = {day: numbers for day, numbers in fair.draws().items() if day < fair.change}
    assert {day: unfair.draws()[day] for day in before} == before
    assert unfair.draws() != fair.draws()


def test_a_machine_that_turns_unfair_is_found_and_is_worth_learning_from(tmp_path: Path) -> None:
    career = lived(tmp_path, Plan("one ball x3", "agent", seed=1, years=2, change_year=2))
    assert career.broken == []
    assert career.false_alarms == 0
    assert career.delay is not None
    assert career.delay <= 100
    assert career.leader is not None
    assert career.leader[0] == "ball"
    assert career.per_draw(2, 2) > 2 * career.per_draw(1, 1)
    assert alarms_told(career)[0] >= str(Plan("one ball x3", "agent", 1, 2, 2).change)


@pytest.mark.soak
def test_what_fails_is_met_by_the_right_action_soon(tmp_path: Path) -> None:
    logger.remove()
    plan = Plan("fair", "agent", seed=3, years=1, change_year=2)
    turns = [
        Turn(60 * DAY_S, "mood", FEED_HOSTS[1], "down"), Turn(66 * DAY_S, "mood", FEED_HOSTS[1], ""),
        Turn(100 * DAY_S, "diverge", "", 1.0), Turn(190 * DAY_S, "diverge", "", 0.0),
        Turn(250 * DAY_S, "full", "", 1.0), Turn(251 * DAY_S, "full", "", 0.0),
        Turn(270 * DAY_S, "crammed", "", 1.0), Turn(272 * DAY_S, "crammed", "", 0.0),
    ]  # fmt: skip
    life = careers.live(tmp_path / "life", plan, turns, schedules=(careers.ASSESS,))
    career = careers.summary(life, plan)
    assert career.broken == []
    with closing(sqlite3.connect(read_only(life.config.database), uri=True)) as connection:
        events = journal(life.config, connection)

    def assessments_until(kind: str, about: str, since_day: float) -> int:
        """Return at which assessment from a day on something was asked or adjusted."""
        later = [event for event in events if careers.days(event) >= since_day]
        answered = next(e.seq for e in later if e.kind == kind and about in (e.payload.values()))
        return sum(e.kind == "assessment.completed" and e.seq < answered for e in later)

    # The feeds fall silent on day 60; the first draw that they do not tell of is 24 hours overdue on day 62.
    assert assessments_until("question.asked", f"{GAME}/feeds", 62) <= 2
    failed = [
        event for event in events if event.kind == "intent.failed" and "diverged" in event.payload["error"]
    ]
    assert len(failed) >= 3
    assert assessments_until("parameter.adjusted", "learning_rate", careers.days(failed[0])) <= 2
    assert assessments_until("question.asked", f"{GAME}/training", careers.days(failed[2])) <= 2
    assert any(event.kind == "store.recovered" for event in events)
    assert assessments_until("question.asked", "journal/disk", 270) <= 2
    assert life.health is not None
    assert life.health.ready


@pytest.mark.soak
def test_a_fair_machine_is_not_worth_training_for(tmp_path: Path) -> None:
    agent, always = (
        all_lived(tmp_path, [Plan("fair", policy, seed, YEARS) for seed in range(count)])
        for policy, count in (("agent", SEEDS), ("always", 1))
    )
    assert [career.broken for career in (*agent, *always)] == [[]] * (SEEDS + 1)
    half = YEARS // 2 + 1
    assert max(career.per_draw(half, YEARS) for career in agent) <= AT_MOST * always[0].per_draw(half, YEARS)
    # One false alarm of a change is allowed in twenty years: in ten, 39 % of careers may have one or more.
    assert sum(career.false_alarms > 0 for career in agent) <= 8


@pytest.mark.soak
@pytest.mark.parametrize("machine", ["one ball x3", "log-sd 0.4"])
def test_to_learn_less_finds_an_unfair_machine_no_later(tmp_path: Path, machine: str) -> None:
    plans = [Plan(machine, policy, seed) for policy in ("agent", "unlimited") for seed in range(SEEDS)]
    found = all_lived(tmp_path, plans)
    for career, rival in zip(found[:SEEDS], found[SEEDS:], strict=True):
        assert career.broken == []
        assert career.delay is not None
        assert rival.delay is not None
        assert career.delay <= LATER * rival.delay
        assert career.leader is not None or career.promotions
        assert career.per_draw(CHANGE_YEAR, YEARS) > career.per_draw(1, CHANGE_YEAR - 1)
        assert alarms_told(career)[-1] >= str(Plan(machine, "agent", 0).change)
