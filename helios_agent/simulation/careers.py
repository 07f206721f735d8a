"""Careers: years of the real agent before one machine and under one policy, and what it made of them.

What is asked of a career is not whether anything was lost (see `invariants`), but whether the agent learned
what its decisions are worth. Everything is read from the journal that the life left behind.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from helios_agent import files
from helios_agent.actions import records
from helios_agent.clock import SECOND_US, to_us
from helios_agent.decisions import engine
from helios_agent.decisions.catalogue import CATALOGUE, change_of
from helios_agent.decisions.policy import Policy
from helios_agent.decisions.replay import Recorded
from helios_agent.decisions.situation import Situation
from helios_agent.forecasting.mixture import RESERVE, UNIFORM
from helios_agent.lottery import calendar
from helios_agent.lottery.games import SIMULATED
from helios_agent.simulation import drums, world
from helios_agent.simulation.faults import Turn
from helios_agent.simulation.life import HISTORY, Life
from helios_agent.simulation.machines import ChangePoint, Machine
from helios_agent.simulation.told import Told, journal
from helios_agent.simulation.world import FEED_HOSTS, MATRIX
from helios_agent.store.readers import read_only

START = date(2026, 1, 1)
DAY_S = 86_400.0
YEAR_S = 365.25 * DAY_S
PULSE_S = DAY_S
GAME = SIMULATED.name
ZONE = SIMULATED.timezone
ALARMS = (f"{GAME}/evidence", change_of(GAME))
"""What an alert is about that says that the machine is not fair."""
LEARNING = ("train", "train-warm", "tune", "backtest")
"""What decisions can choose that takes processor time to learn from."""
ROUNDED_US = 1_800
"""A decision is made from hours with six decimals."""
LEADS = 0.5
"""A forecaster with more weight than this leads the mixture."""

INGEST = {"name": "ingest", "action": "ingest", "cron": "30 8 * * tue,thu,sun", "timezone": ZONE}
ASSESS = {"name": "assess", "action": "assess", "cron": "0 12 * * *", "timezone": ZONE}
COMPACT = {"name": "compact", "action": "compact", "cron": "0 5 1 * *"}
LEAN = (INGEST, COMPACT)
"""After every draw its result is asked for, and all else follows from that."""

SMALL: Mapping[str, Any] = MappingProxyType(
    {
        "network": {
            "sequence": 8, "hidden": 8, "layers": 1, "heads": 2, "embedding": 4, "dropout": 0.0,
        },
        "training": {"learning_rate": 0.01, "epochs": 12, "patience": 3},
        "search": {"trials": 2, "folds": 2, "block": 20},
    }
)  # fmt: skip
"""A network that is trained in a tenth of a second, and learns what a machine of these worlds does."""


@dataclass(frozen=True)
class Hands:
    """How it is decided what is learned: the configuration's section `decisions`, and what is scheduled."""

    decisions: Mapping[str, Any] = field(default_factory=dict)
    schedules: Sequence[Mapping[str, Any]] = ()


RARELY = {"backup_after": "60d", "verify_after": "180d"}
"""Both take longer the longer the journal is, and neither is in question here."""
UNLIMITED = {
    "budget": {"cpu_per_day": 1e9, "cpu_per_month": 1e9}, "cpu_price": 0.0, "disk_price": 0.0,
}  # fmt: skip
IDLE = {"autonomy": dict.fromkeys(LEARNING, "observe")}
POLICIES: Mapping[str, Hands] = {
    "agent": Hands(RARELY),
    "unlimited": Hands({**RARELY, **UNLIMITED}),
    "always": Hands(
        {**RARELY, **IDLE},
        ({"name": "retrain", "action": "train", "cron": "0 10 * * tue,thu,sun", "timezone": ZONE},),
    ),
    "weekly": Hands(
        {**RARELY, **IDLE},
        ({"name": "retrain", "action": "train", "cron": "0 10 * * sun", "timezone": ZONE},),
    ),
}
"""The agent; the same without limit or price; and two that train by the calendar, whatever comes of it."""


def _fair(_: int) -> Machine:
    return drums.fair(MATRIX)


def _one_ball(seed: int) -> Machine:
    return drums.weighted_balls(MATRIX, [1 + seed % MATRIX.white], 3.0)


def _all_balls(seed: int) -> Machine:
    weights = 0.4 * np.random.default_rng([*f"weights {seed}".encode()]).standard_normal(MATRIX.white)
    return drums.Weighted(MATRIX, weights, np.zeros(MATRIX.bonus))


MACHINES = {"fair": _fair, "one ball x3": _one_ball, "log-sd 0.4": _all_balls}
"""What the machine becomes, by name: before, all are fair."""


@dataclass(frozen=True)
class Plan:
    """A career to be lived: for how many years, and at the beginning of which year the machine changes."""

    machine: str
    policy: str
    seed: int
    years: int = 10
    change_year: int = 5

    @property
    def change(self) -> date:
        """The day from which the machine is what it becomes."""
        return START + timedelta(seconds=(self.change_year - 1) * YEAR_S)

    def draws(self) -> dict[date, world.Numbers]:
        """Return all draws of this world. Those before the change are the same for every machine."""
        first, last = START - HISTORY, START + timedelta(seconds=(self.years + 1) * YEAR_S)
        before = calendar.draw_days(SIMULATED, first, self.change - calendar.DAY)
        machine = ChangePoint(_fair(self.seed), MACHINES[self.machine](self.seed), len(before))
        return world.draws_of(machine, f"draws {self.seed}", first, last)


@dataclass
class Career:
    """What came of a career. Lists by year, the first first; days count from the beginning.

    cpu_seconds: what jobs took, as `inline.cost_s` reckons it; learning: the part of it that trainings,
    searches and backtests took. false_alarms: alerts that the machine is unfair, before it was. delay: draws
    of the changed machine until the first such alert, None if none came. promotions: days on which a model
    became champion. leader: who first led the mixture after the change, and after how many of its draws.
    choices: how often each action was chosen, by year and context. broken: what did not hold of decisions.
    """

    draws: list[int]
    cpu_seconds: list[float]
    learning: list[float]
    false_alarms: int
    delay: int | None
    promotions: list[float]
    leader: tuple[str, int] | None
    choices: list[dict[str, dict[str, int]]]
    regret: list[float]
    outcomes: dict[str, dict[str, list[int]]]
    """By action and context: how often it helped, and how often it was measured."""
    reflections: list[str]
    broken: list[str]

    def per_draw(self, first: int, last: int) -> float:
        """Return the CPU seconds that learning took per draw from year `first` to `last`, counted from 1."""
        return sum(self.learning[first - 1 : last]) / max(1, sum(self.draws[first - 1 : last]))


def live(folder: Path, plan: Plan, turns: Sequence[Turn] = (), **changes: Any) -> Life:
    """Live a career. `changes` are sections of the configuration, but `schedules` are further schedules."""
    hands = POLICIES[plan.policy]
    sections: dict[str, Any] = {
        "webhooks": {},
        "retention": {},
        "backup": {"daily": 1, "weekly": 0, "monthly": 0},
        "expected": {"draw": "5d", "assessment": "8d", "backup": "90d"},
        "learning": SMALL,
        "decisions": hands.decisions,
        "games": {GAME: {"feeds": [_FEED]}},
    }
    schedules = (*LEAN, *hands.schedules, *changes.pop("schedules", ()))
    life = Life(
        folder, plan.seed, START, schedules, changes={**sections, **changes}, draws=plan.draws(),
        pulse_s=PULSE_S,
    )  # fmt: skip
    files.observer.set(life.disk.on_file)
    life.run(plan.years * YEAR_S, turns)
    return life


_FEED = {"name": "new-york", "kind": "socrata", "url": f"http://{FEED_HOSTS[1]}/draws.json"}
"""The feed that is asked for new draws alone, not for all there ever were."""


def summary(life: Life, plan: Plan) -> Career:
    """Return what came of a life that was lived by a plan."""
    with closing(sqlite3.connect(read_only(life.config.database), uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        events = journal(life.config, connection)
        decisions = records.recorded(connection, life.config.archives)
    by_kind: dict[str, list[Told]] = {}
    for event in events:
        by_kind.setdefault(event.kind, []).append(event)

    def of(*kinds: str) -> list[Told]:
        return [event for kind in kinds for event in by_kind.get(kind, ())]

    scored = of("history.scored", "forecast.scored")
    spent, measured = of("work.spent"), of("decision.measured")
    alerts = [event for event in of("alert.raised") if event.payload["about"] in ALARMS]
    change_us = to_us(world.midnight(plan.change)) if plan.machine != "fair" else None
    late = [event for event in scored if change_us is not None and event.payload["day"] >= str(plan.change)]
    false, right = _parted(alerts, change_us)
    return Career(
        draws=_by_year(plan, ((event.at_us, 1) for event in scored), int),
        cpu_seconds=_by_year(plan, ((e.at_us, e.payload["cpu_seconds"]) for e in spent), float),
        learning=_by_year(
            plan,
            ((e.at_us, e.payload["cpu_seconds"]) for e in spent if e.payload["action"] in LEARNING),
            float,
        ),
        false_alarms=len(false),
        delay=sum(event.seq < right[0].seq for event in late) if right else None,
        promotions=[days(event) for event in of("model.promoted")],
        leader=_leader(late),
        choices=_choices(plan, of("choice.made")),
        regret=_by_year(plan, ((e.at_us, e.payload["regret"] or 0.0) for e in measured), float),
        outcomes=_outcomes(of("choice.made"), measured),
        reflections=[event.payload["text"] for event in of("reflection.completed")],
        broken=[
            *(f"the loop complained: {complaint}" for complaint in life.complaints),
            *thrashing(of("choice.made"), of("policy.set")),
            *not_repeated(decisions),
        ],
    )


def thrashing(choices: Sequence[Told], policies: Sequence[Told]) -> Iterator[str]:
    """Yield what was decided again within its cooldown, and pairs of which one a decision is enough."""
    last_us: dict[tuple[str, str], int] = {}
    together: dict[tuple[int, object], str] = {}
    told = {event.seq: Policy.from_record(event.payload["policy"]) for event in policies}
    for event in choices:
        payload = event.payload
        action, target = payload["action"], payload["target"]
        policy = next(policy for seq, policy in reversed(told.items()) if seq < event.seq)
        since_us = event.at_us - last_us.get((action, target), -(1 << 62))
        if since_us < policy.cooldown_of(action) * 3600 * SECOND_US - ROUNDED_US:
            yield f"event {event.seq}: {action} {target} again after {since_us / 3600 / SECOND_US:.1f} h"
        last_us[action, target] = event.at_us
        group = CATALOGUE[action].group
        contest = (payload["decision"], (group, target) if group == action else group)
        if contest in together:
            yield f"decision {payload['decision']} chose {together[contest]} and {action} {target}"
        together[contest] = f"{action} {target}"


def not_repeated(decisions: Iterable[Recorded]) -> Iterator[str]:
    """Yield the decisions that do not come out the same when made again from what was journaled."""
    for one in decisions:
        again = engine.decide(Situation.from_record(one.inputs), one.policy)
        if [candidate.as_record() for candidate in again.candidates] != [*one.candidates]:
            yield f"decision {one.seq} comes out differently when it is made again"


def days(event: Told) -> float:
    """Return how many days after the beginning an event was."""
    return (event.at_us - to_us(world.midnight(START))) / SECOND_US / DAY_S


def _year(event_us: int, plan: Plan) -> int:
    years = (event_us - to_us(world.midnight(START))) / SECOND_US / YEAR_S
    return min(int(years), plan.years - 1)


def _by_year(plan: Plan, amounts: Iterable[tuple[int, Any]], kind: type) -> list[Any]:
    totals = [kind()] * plan.years
    for at_us, amount in amounts:
        totals[_year(at_us, plan)] += amount
    return totals


def _parted(alerts: Sequence[Told], change_us: int | None) -> tuple[list[Told], list[Told]]:
    """Return the alerts before the change, and those after it."""
    early = [event for event in alerts if change_us is None or event.at_us < change_us]
    return early, [event for event in alerts if event not in early]


def _leader(late: Sequence[Told]) -> tuple[str, int] | None:
    for number, event in enumerate(late, 1):
        weights: Mapping[str, float] = event.payload["weights"]
        leading = [n for n, w in weights.items() if w > LEADS and n not in (UNIFORM, RESERVE)]
        if leading:
            return leading[0], number
    return None


def _choices(plan: Plan, choices: Sequence[Told]) -> list[dict[str, dict[str, int]]]:
    counted: list[dict[str, Counter[str]]] = [{} for _ in range(plan.years)]
    for event in choices:
        year = counted[_year(event.at_us, plan)]
        year.setdefault(event.payload["action"], Counter())[event.payload["context"]] += 1
    return [{action: dict(contexts) for action, contexts in year.items()} for year in counted]


def _outcomes(choices: Sequence[Told], measured: Sequence[Told]) -> dict[str, dict[str, list[int]]]:
    contexts = {event.payload["id"]: event.payload["context"] for event in choices}
    found: dict[str, dict[str, list[int]]] = {}
    for event in measured:
        if event.payload["success"] is not None:
            by_context = found.setdefault(event.payload["action"], {})
            helped = by_context.setdefault(contexts[event.payload["id"]], [0, 0])
            helped[0] += event.payload["success"]
            helped[1] += 1
    return found
