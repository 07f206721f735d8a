"""Every signal of an assessment is computed again from the events alone, by other code, and is the same.

A life of the real agent, short but eventful, leaves a journal. Here nothing is read but rows of its table
`event` up to the one that an assessment names, and nothing is used that the assessment uses.
"""

import json
import math
import re
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from helios_agent.actions import facts
from helios_agent.agent import Agent
from helios_agent.clock import to_us
from helios_agent.config import Config
from helios_agent.forecasting.experts import single_ball_hypotheses
from helios_agent.journal import intents
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import game
from helios_agent.metacognition import signals
from helios_agent.simulation import world
from helios_agent.simulation.faults import Turn
from helios_agent.simulation.life import HISTORY, Life
from helios_agent.simulation.loop import WEEK_S
from helios_agent.simulation.world import Numbers, World
from helios_agent.store.readers import Reader, Readers
from tests.journal.story import progress

GAME, ERA = "simulated", "2000-01-01"
WHITE, PICK = 35, 5
WEEKS = 12.5
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000


SCHEDULES: tuple[Mapping[str, Any], ...] = (
    {"name": "ingest", "action": "ingest", "cron": "30 1,8 * * tue,thu,sun", "timezone": "America/New_York"},
    {"name": "assess", "action": "assess", "cron": "30 2 * * *", "jitter": "10m"},
    {"name": "backup", "action": "backup", "every": "2d"},
    {"name": "verify", "action": "verify", "cron": "42 4 * * sun"},
)


class Unfair(World):
    """A world in which ball 1 is in every other draw."""

    def drawn(self, day: date) -> Numbers:
        fair = super().drawn(day)
        is_rigged = day.toordinal() % 2 and 1 not in fair.whites
        return Numbers((1, *fair.whites[1:]), fair.bonus) if is_rigged else fair


class Eventful(Life):
    """A life in which everything that signals tell of happens."""

    def __init__(self, folder: Path, seed: int, start: date) -> None:
        super().__init__(folder, seed, start, SCHEDULES)
        self.outside = Unfair(f"machine {seed}", self.clock, start - HISTORY, self._at_point)

    def _settle_in(self, folder: Path) -> None:
        self.folder = folder
        settings = world.settings(folder, self._zone, self._schedules)
        self.config = Config.model_validate({**settings, "retention": {"age": "400d"}})

    async def _take(self, turn: Turn) -> None:
        if turn.kind != "do":
            await super()._take(turn)
        elif self._agent is not None:
            self.disk.room_bytes //= 2
            await DEEDS[str(turn.value)](self._agent)


async def promote(agent: Agent) -> None:
    (row,) = await agent.store.rows("SELECT name, version FROM model WHERE role = 'challenger'")
    await agent.request("promote", f"{GAME}/{row['name']}@{row['version']}", {}, by="http")


async def search(agent: Agent) -> None:
    ended = {"job": "s-1", "game": GAME, "trials": 3, "cpu_seconds": 9.5, "adopted": False}
    await agent.journal.append("search.completed", ended)


async def backtest(agent: Agent) -> None:
    told = progress("b-1", 10) | {"game": GAME, "era": ERA}
    await agent.journal.append("backtest.progress", told)
    found = {"report": "b-1.json", "bytes": 9, "sha256": "0" * 64, "summary": {"found": []}}
    await agent.journal.append("backtest.completed", told | found)


async def alert(agent: Agent) -> None:
    await agent.journal.append("alert.raised", {"about": f"{GAME}/change", "message": "It seems changed."})


async def choose(agent: Agent) -> None:
    bets = (("train", 1), ("train", 0), ("train", 1), ("compact", 0))
    for n, (action, success) in enumerate((*bets, ("backup", 1))):
        choice = f"c-{n}"
        made = {
            "id": choice, "decision": 1, "game": GAME, "action": action, "target": GAME, "context": "quiet",
            "urgency": 1.5, "price": 0.25,
        }  # fmt: skip
        measured = {
            "id": choice, "game": GAME, "action": action, "impact": 0.5, "unit": "nats", "success": success,
            "regret": 0.0, "sentence": "So it was.",
        }  # fmt: skip
        spent = {"job": choice, "action": "train", "target": GAME, "cpu_seconds": 20.5 + n}
        await agent.journal.append("choice.made", made)
        await agent.journal.append("work.spent", spent)
        await agent.journal.append("work.spent", spent | {"job": f"a person's {n}"})
        await agent.journal.append("decision.measured", measured)


async def fail(agent: Agent, error: str = "The training took longer than learning.time_limit.") -> None:
    def change(tx: Transaction) -> None:
        intents.request(tx, "train", GAME, {}, tx.append("action.requested", {"by": "http"}).seq)
        intent = intents.claim(tx, ("train",))
        if intent is not None:
            intents.fail(tx, intent, error)

    await agent.journal.record(change)


async def diverge(agent: Agent) -> None:
    await fail(agent, "training diverged after 3 epochs: loss is nan")


DEEDS: Mapping[str, Callable[[Agent], Awaitable[None]]] = {
    each.__name__: each for each in (promote, search, backtest, alert, choose, fail, diverge)
}


def turn(week: float, kind: str, value: Any, host: str = "") -> Turn:
    return Turn(week * WEEK_S, kind, host, value)


TURNS = [
    turn(3.0, "mood", "wrong", "texas.test"),
    turn(4.0, "mood", "", "texas.test"),
    turn(5.1, "do", "promote"),
    turn(6.1, "restart", 30 * 3600.0),
    turn(7.1, "do", "search"),
    turn(8.1, "do", "backtest"),
    turn(9.1, "mood", "down", "texas.test"),
    turn(9.1, "mood", "down", "newyork.test"),
    turn(9.9, "mood", "", "texas.test"),
    turn(9.9, "mood", "", "newyork.test"),
    turn(10.05, "step", 2 * 3600.0),
    turn(10.5, "right", 0.0),
    turn(11.1, "do", "alert"),
    turn(11.2, "mood", "down", "first.test"),
    turn(11.6, "do", "fail"),
    turn(11.7, "do", "diverge"),
    turn(12.4, "do", "choose"),
]


@dataclass(frozen=True)
class Event:
    seq: int
    at_us: int
    kind: str
    payload: Mapping[str, Any]


class Past:
    """The events up to one, looked at from a later instant."""

    def __init__(self, events: list[Event], assessment: Event) -> None:
        as_of = assessment.payload["as_of"]
        self.events = [event for event in events if event.seq <= as_of["seq"]]
        self.now_us, self.given = as_of["at_us"], assessment.payload["given"]

    def of(self, *kinds: str, **fields: Any) -> list[Event]:
        return [
            event
            for event in self.events
            if event.kind in kinds and all(event.payload.get(name) == value for name, value in fields.items())
        ]

    def since(self, days: int, *kinds: str, **fields: Any) -> list[Event]:
        return [event for event in self.of(*kinds, **fields) if event.at_us >= self.now_us - days * DAY_US]

    @cached_property
    def draws(self) -> dict[str, Mapping[str, Any]]:
        told = self.of("draw.ingested", "history.imported", game=GAME)
        return {event.payload["day"]: event.payload for event in told if event.payload["day"] >= ERA}

    @cached_property
    def scores(self) -> list[Event]:
        scored = self.of("forecast.scored", "history.scored", game=GAME, era=ERA)
        return sorted(scored, key=lambda event: event.payload["day"])

    @cached_property
    def registered(self) -> list[Event]:
        return [event for event in self.scores if event.kind == "forecast.scored"]

    @cached_property
    def gains(self) -> list[float]:
        return [event.payload["mixture_gain"] for event in self.scores]

    @property
    def ledger(self) -> Mapping[str, Any]:
        return self.scores[-1].payload["ledger"]

    @property
    def weights(self) -> dict[str, float]:
        standings = self.ledger["standings"]
        wealth = {name: s["prior"] * math.exp(s["gain_nats"]) for name, s in standings.items()}
        wealth["reserve"] = 1.0 - sum(s["prior"] for s in standings.values())
        total = sum(wealth.values())
        switching = wealth.pop("switching") / total
        shares = self.ledger["shares"]
        return {name: w / total + switching * shares.get(name, 0.0) for name, w in wealth.items()}

    @property
    def detector(self) -> Mapping[str, Any] | None:
        told = self.of("alert.raised", about=f"{GAME}/change")
        return None if told and told[-1].seq > self.scores[-1].seq else self.ledger["detector"]

    @cached_property
    def roles(self) -> dict[str, Event]:
        """Return the event by which the challenger joined, and that by which the champion was promoted."""
        roles: dict[str, Event] = {}
        for event in self.events:
            version = event.payload.get("version")
            holds = {role: held.payload["version"] for role, held in roles.items()}
            if event.kind in ("model.trained", "model.imported"):
                roles["challenger"] = event
            elif event.kind == "model.promoted":
                roles["champion"] = event
                if holds.get("challenger") == version:
                    del roles["challenger"]
            elif event.kind in ("model.rolled-back", "model.retired", "model.deleted"):
                raise AssertionError(f"in this life there was no {event.kind}")
        return roles

    @cached_property
    def joined(self) -> list[Event]:
        return self.of("model.trained", "model.imported", game=GAME, era=ERA)

    def gains_of(self, event: Event | None) -> list[float]:
        """Return what the model of an event gained on the last draws after it."""
        if event is None:
            return []
        name = f"{event.payload['name']}@{event.payload['version']}"
        later = [score.payload["gains"] for score in self.scores if score.seq > event.seq]
        return [gains[name] for gains in later if name in gains][-50:]

    @cached_property
    def missing(self) -> list[int]:
        """Return the instants, in microseconds, of draws that were held and are not known."""
        found = []
        day = date.fromisoformat(min(self.draws))
        while True:
            held = datetime(day.year, day.month, day.day, 22, 59, tzinfo=ZoneInfo("America/New_York"))
            held_us = round(held.astimezone(UTC).timestamp()) * 1_000_000
            if held_us > self.now_us:
                return found
            if day.weekday() in (0, 2, 5) and day.isoformat() not in self.draws:
                found.append(held_us)
            day += timedelta(days=1)

    @cached_property
    def incidents(self) -> set[str]:
        open_now: set[str] = set()
        for event in self.of("incident.opened", "incident.closed"):
            (open_now.add if event.kind == "incident.opened" else open_now.discard)(event.payload["key"])
        return open_now

    def hours_since(self, event: Event) -> float:
        return max(0, self.now_us - event.at_us) / HOUR_US

    def spent(self, days: int) -> float:
        chosen = {event.payload["id"] for event in self.of("choice.made")}
        spent = self.since(days, "work.spent")
        return sum(event.payload["cpu_seconds"] for event in spent if event.payload["job"] in chosen)


def inclusion(record: Mapping[str, Any]) -> list[float]:
    """Return each main ball's chance to be drawn: w_i e_{k-1}(others)/e_k(all), and that of a repeat."""
    weights = [math.exp(theta) for theta in record["white"]]

    def symmetric(values: list[float]) -> list[float]:
        sums = [1.0] + [0.0] * PICK
        for value in values:
            for k in range(PICK, 0, -1):
                sums[k] += value * sums[k - 1]
        return sums

    total = symmetric(weights)[PICK]
    chances = [w * symmetric(weights[:i] + weights[i + 1 :])[PICK - 1] / total for i, w in enumerate(weights)]
    again = record.get("repeat")
    if again:
        share, draws = again["share"], max(1, again["draws"])
        chances = [(1 - share) * p + share * n / draws for p, n in zip(chances, again["counts"], strict=True)]
    return chances


def half_width(past: Past) -> float:
    T = len(past.gains)
    spread = math.sqrt(fmean((gain - fmean(past.gains)) ** 2 for gain in past.gains))
    rho2 = (2 * math.log(20) + math.log(1 + 2 * math.log(20))) / 500
    return spread * math.sqrt(2 * (T * rho2 + 1) / (T**2 * rho2) * math.log(math.sqrt(T * rho2 + 1) * 20))


def calibration_error(past: Past) -> float | None:
    scored = past.registered[-50:]
    if len(scored) < 30:
        return None
    errors = []
    for score in scored:
        (event,) = [e for e in past.of("forecast.registered") if e.seq == score.payload["forecast"]]
        record = event.payload["forecast"]
        weights, shares = dict(record["weights"]), record["shares"]
        switching = weights.pop("switching")
        weights = {name: weight + switching * shares.get(name, 0.0) for name, weight in weights.items()}
        made = {name: inclusion(forecast) for name, forecast in record["forecasters"].items()}
        silent = sum(weight for name, weight in weights.items() if name not in made)
        chances = [
            silent * PICK / WHITE + sum(weights[name] * balls[i] for name, balls in made.items())
            for i in range(WHITE)
        ]
        drawn = past.draws[score.payload["day"]]["whites"]
        errors.append((sum(p * p for p in chances) - sum(chances[ball - 1] for ball in drawn)) / PICK)
    return fmean(errors)


def expert_disagreement(past: Past) -> float | None:
    last = past.of("forecast.registered", game=GAME)[-1:]
    if not last or last[0].payload["day"] <= max(past.draws):
        return None
    made = [inclusion(f) for n, f in last[0].payload["forecast"]["forecasters"].items() if n != "uniform"]
    variances = [
        fmean((said[i] - fmean(other[i] for other in made)) ** 2 for said in made) for i in range(WHITE)
    ]
    return math.sqrt(fmean(variances))


def believed(past: Past) -> dict[str, float]:
    return {name: weight for name, weight in past.weights.items() if name not in ("uniform", "reserve")}


def of_trial(past: Past, value: Callable[[Mapping[str, Any]], float]) -> float | None:
    trial, holder = past.ledger["trial"], past.roles.get("challenger")
    if not trial or holder is None:
        return None
    champion = past.roles.get("champion")
    parties = [f"{e.payload['name']}@{e.payload['version']}" if e else "uniform" for e in (holder, champion)]
    return value(trial) if [trial["challenger"], trial["champion"]] == parties else None


def smallest_visible_factor(past: Past) -> float | None:
    found = []
    share, draws = PICK / WHITE, len(past.scores)
    priors = single_ball_hypotheses(WHITE, past.ledger["standings"]["ball"]["prior"])
    for factor, prior in priors.items():
        if factor > 1:
            # The chance to be drawn at which the hypothesis gains log(100/prior) over all draws.
            chance = (math.log(100 / prior) / draws + math.log(1 + share * (factor - 1))) / math.log(factor)
            if chance < 1:
                found.append(chance / (1 - chance) * (1 - share) / share)
    return min(found, default=None)


def measured(past: Past, name: str, at: int = -1) -> float | None:
    return past.joined[at].payload["metrics"].get(name) if len(past.joined) >= abs(at) else None


def difference(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def mean(values: list[float], least: int = 1) -> float | None:
    return fmean(values) if len(values) >= least else None


def loss(past: Past, role: str) -> float | None:
    holder = past.roles.get(role)
    if holder is None:
        return None
    name = f"{holder.payload['name']}@{holder.payload['version']}"
    gained = [score.payload["gains"][name] for score in past.scores if name in score.payload["gains"]]
    return -sum(gained) if gained else None


def staleness(past: Past) -> float:
    return float(len(past.draws) - max((e.payload["draws"] for e in past.joined), default=0))


def failed(past: Past) -> list[Event]:
    """Return how the trainings ended that failed since the last that succeeded."""
    asked = [
        e.payload["id"]
        for e in past.of("intent.created", "intent.proposed", target=GAME)
        if e.payload["action"] in ("train", "tune")
    ]
    ends = {e.payload["id"]: e for e in past.of("intent.done", "intent.failed", "intent.dead")}
    failed = []
    for intent in reversed([intent for intent in asked if intent in ends]):
        if ends[intent].kind == "intent.done":
            break
        failed.append(ends[intent])
    return failed


def failed_trainings(past: Past) -> float:
    return float(len(failed(past)))


def diverged_trainings(past: Past) -> float:
    return float(sum(
        end.kind == "intent.failed" and end.payload["error"].startswith("training diverged")
        for end in failed(past)
    ))  # fmt: skip


def draws_since(past: Past, kind: str) -> float:
    ended = past.of(kind, game=GAME)
    return float(sum(score.seq > (ended[-1].seq if ended else 0) for score in past.scores))


def schedule_lateness(past: Past) -> float | None:
    fired: dict[str, dict[int, Event]] = {}
    for event in past.of("schedule.fired", "schedule.rewound"):
        known = fired.setdefault(event.payload["schedule"], {})
        if event.kind == "schedule.fired":
            known[event.payload["due_us"]] = event
        else:
            for due_us in [due_us for due_us in known if due_us > event.payload["after_us"]]:
                del known[due_us]
    last = [max(known.items()) for known in fired.values() if known]
    recent = [(due_us, e) for due_us, e in last if e.at_us >= past.now_us - 30 * DAY_US]
    return max((max(0, e.at_us - due_us) / HOUR_US for due_us, e in recent), default=None)


def webhook_failures(past: Past) -> float:
    told = {event.seq for event in past.since(7, *{event.kind for event in past.events})}
    failed = {event.payload["id"] for event in past.of("webhook.failed", "webhook.dead")}
    sent = {event.payload["id"] for event in past.of("webhook.sent")}
    queued = [event.payload for event in past.of("webhook.queued")]
    return float(sum(m["event"] in told and m["id"] in failed - sent for m in queued))


def last_or_begin(past: Past, kind: str) -> float:
    return past.hours_since((past.of(kind) or past.events[:1])[-1])


def effectiveness(past: Past) -> float | None:
    bets = ("train", "train-warm", "tune", "backtest", "ingest", "compact")
    told = [
        event
        for event in past.of("decision.measured", game=GAME)
        if event.payload["success"] is not None and event.payload["action"] in bets
    ]
    last = sorted(told, key=lambda event: (event.at_us, event.payload["id"]))[-50:]
    return mean([float(event.payload["success"]) for event in last])


RECOMPUTED: Mapping[str, Callable[[Past], float | None]] = {
    "evidence": lambda p: sum(p.gains),
    "evidence_peak": lambda p: max([0.0, *(sum(p.gains[: n + 1]) for n in range(len(p.gains)))]),
    "fairness_p": lambda p: math.exp(-max([0.0, *(sum(p.gains[: n + 1]) for n in range(len(p.gains)))])),
    "evidence_registered": lambda p: sum(event.payload["mixture_gain"] for event in p.registered),
    "draws_known": lambda p: float(len(p.draws)),
    "draws_scored": lambda p: float(len(p.scores)),
    "draws_registered": lambda p: float(len(p.registered)),
    "skill": lambda p: fmean(p.gains),
    "skill_low": lambda p: fmean(p.gains) - half_width(p),
    "skill_high": lambda p: fmean(p.gains) + half_width(p),
    "calibration_error": calibration_error,
    "confidence": lambda p: sum(believed(p).values()),
    "leader_weight": lambda p: max(believed(p).values()),
    "expert_disagreement": expert_disagreement,
    "regret": lambda p: max(s["gain_nats"] for s in p.ledger["standings"].values()) - sum(p.gains),
    "change": lambda p: p.detector and p.detector["shiryaev_roberts_nats"],
    "change_clearest": lambda p: p.detector and p.detector["cusum_nats"],
    "change_age": lambda p: p.detector and p.detector["suspected_draws"],
    "challenger": lambda p: of_trial(p, lambda trial: trial["comparison"]["peak_nats"]),
    "challenger_trial": lambda p: of_trial(p, lambda trial: trial["ordinal"]),
    "challenger_gain": lambda p: mean(p.gains_of(p.roles.get("challenger"))),
    "champion_gain": lambda p: mean(p.gains_of(p.roles.get("champion"))),
    "challenger_loss": lambda p: loss(p, "challenger"),
    "champion_loss": lambda p: loss(p, "champion"),
    "validation_gap": lambda p: difference(
        measured(p, "training_gain_nats"), measured(p, "validation_gain_nats")
    ),
    "live_gap": lambda p: difference(
        measured(p, "validation_gain_nats"), mean(p.gains_of(p.joined[-1] if p.joined else None), 6)
    ),
    "learning_progress": lambda p: difference(
        measured(p, "validation_gain_nats"), measured(p, "validation_gain_nats", -2)
    ),
    "smallest_visible_factor": smallest_visible_factor,
    "staleness": staleness,
    "failed_trainings": failed_trainings,
    "diverged_trainings": diverged_trainings,
    "draws_since_search": lambda p: draws_since(p, "search.completed"),
    "draws_since_backtest": lambda p: draws_since(p, "backtest.completed"),
    "decision_effectiveness": effectiveness,
    "missing_draws": lambda p: float(len(p.missing)),
    "draw_overdue": lambda p: max(
        [age for us in p.missing if (age := (p.now_us - us) / HOUR_US) <= 720.0], default=0.0
    ),
    "feed_silence": lambda p: p.hours_since(p.of("feed.read", game=GAME)[-1]),
    "feed_disagreement": lambda p: float(sum(key.startswith(f"dispute:{GAME}:") for key in p.incidents)),
    "open_incidents": lambda p: float(len(p.incidents)),
    "compute_day": lambda p: p.spent(1),
    "compute_month": lambda p: p.spent(30),
    "compute_left_day": lambda p: p.given["cpu_per_day"] - p.spent(1),
    "compute_left_month": lambda p: p.given["cpu_per_month"] - p.spent(30),
    "storage_used": lambda p: p.given["used_bytes"] / p.given["allowed_bytes"],
    "disk_free": lambda p: p.given["free_bytes"] / p.given["allowed_bytes"],
    "schedule_lateness": schedule_lateness,
    "webhook_failures": webhook_failures,
    "backup_age": lambda p: last_or_begin(p, "backup.completed"),
    "verification_age": lambda p: last_or_begin(p, "journal.verified"),
}


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Config:
    """The configuration of an agent whose life has ended."""
    life = Eventful(tmp_path_factory.mktemp("life") / "home", 7, date(2026, 3, 2))
    life.run(WEEKS * WEEK_S, TURNS)
    life.clock.loop.close()
    return life.config


@pytest.fixture(scope="module")
def events(lived: Config) -> list[Event]:
    """All that its journal tells."""
    with closing(sqlite3.connect(lived.database)) as connection:
        rows = connection.execute("SELECT seq, at_us, kind, payload FROM event ORDER BY seq").fetchall()
    events = [Event(seq, at_us, kind, json.loads(payload)) for seq, at_us, kind, payload in rows]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    return events


@pytest.fixture(scope="module")
def assessed(events: list[Event]) -> list[tuple[Past, Mapping[str, Any]]]:
    """The assessments at which signals were farthest from 0, with what the journal said by then."""
    made = [event for event in events if event.kind == "assessment.completed"]
    chosen = {0, len(made) - 1, *(_farthest(made, signal.name) for signal in signals.SIGNALS)}
    return [(Past(events, made[n]), made[n].payload["signals"]) for n in sorted(chosen)]


def _farthest(made: list[Event], name: str) -> int:
    """Return at which assessment a signal was farthest from 0."""
    values = [event.payload["signals"][name] for event in made]
    return max(range(len(made)), key=lambda n: -1.0 if values[n] is None else abs(values[n]))


@pytest.mark.parametrize("name", [signal.name for signal in signals.SIGNALS])
def test_a_signal_is_what_the_events_alone_give(
    name: str, assessed: list[tuple[Past, Mapping[str, Any]]]
) -> None:
    told = [found[name] for _, found in assessed]
    ours = [RECOMPUTED[name](past) for past, _ in assessed]
    assert told == [value if value is None else pytest.approx(value, rel=1e-8, abs=3e-9) for value in ours]
    assert any(value is not None for value in told)


def test_the_life_was_eventful(assessed: list[tuple[Past, Mapping[str, Any]]]) -> None:
    """Every signal had more than one value, so that a constant would not have passed for it."""
    names = [signal.name for signal in signals.SIGNALS]
    never_changed = [
        name for name in names if not any(a[name] != b[name] for (_, a), (_, b) in pairwise(assessed))
    ]
    assert never_changed == [], never_changed


def awaited(past: Past) -> list[tuple[int, float]]:
    """Return day of the week and hours until it was stored of each draw that was forecast before."""
    found, forecast = [], set()
    for event in past.of("forecast.registered", "draw.ingested", game=GAME):
        day = date.fromisoformat(event.payload["day"])
        if event.kind == "forecast.registered":
            forecast.add(day)
        elif day in forecast:
            held = datetime(day.year, day.month, day.day, 22, 59, tzinfo=ZoneInfo("America/New_York"))
            found.append((day, (event.at_us / 1e6 - held.timestamp()) / 3600))
    return [(day.weekday(), hours) for day, hours in sorted(found)]


def training_costs(past: Past) -> dict[str, list[float]]:
    chosen = {event.payload["id"]: event.payload["action"] for event in past.of("choice.made")}
    found: dict[str, list[float]] = {}
    for model in past.of("model.trained", game=GAME):
        job = model.payload["job"]
        spent = sum(e.payload["cpu_seconds"] for e in past.of("work.spent", job=job))
        if job in chosen and spent:
            found.setdefault(chosen[job], []).append(spent / model.payload["draws"])
    return found


async def test_the_series_are_what_the_events_alone_give(lived: Config, events: list[Event]) -> None:
    end = Event(0, 0, "", {"as_of": {"seq": events[-1].seq, "at_us": events[-1].at_us}, "given": {}})
    past = Past(events, end)
    readers = await Readers.open(lived.database)
    async with readers.moment() as store:
        told = (await facts.gather(store, lived, game(GAME), past.now_us)).past
    await readers.close()
    steady = {n: [e.payload["gains"][n] for e in past.scores] for n in ("recent-50", "recent-200")}
    networks = {f"the {role}": past.gains_of(event) for role, event in past.roles.items()}
    assert told.gains == steady | networks
    calibrations = [e.payload["calibration"] for e in past.registered]
    assert told.meant == [(c["expected"], c["drawn"]) for c in calibrations]
    assert len(told.meant) > 30
    assert (told.white_count, told.pick) == (WHITE, PICK)
    ours = awaited(past)
    assert [day for day, _ in told.delays] == [day for day, _ in ours]
    assert [hours for _, hours in told.delays] == pytest.approx([hours for _, hours in ours])
    assert len(ours) > 20
    assert told.costs == {action: pytest.approx(costs) for action, costs in training_costs(past).items()}
    assert told.costs


ENDS = r"FROM event ORDER BY seq( DESC)? LIMIT 1$"
"""How the first event of all, or the last, is asked for."""


class Explained:
    """A reader that keeps how SQLite goes about each query."""

    def __init__(self, store: Reader) -> None:
        self._store = store
        self.plans: dict[str, list[str]] = {}

    async def rows(self, sql: str, parameters: Iterable[Any] | dict[str, Any] = ()) -> list[sqlite3.Row]:
        plan = await self._store.rows(f"EXPLAIN QUERY PLAN {sql}", parameters)
        self.plans[sql] = [step["detail"] for step in plan]
        return await self._store.rows(sql, parameters)


async def test_no_query_of_an_assessment_goes_through_the_whole_journal(lived: Config) -> None:
    readers = await Readers.open(lived.database)
    async with readers.moment() as store:
        explained = Explained(store)
        await facts.gather(explained, lived, game(GAME), to_us(world.midnight(date(2026, 6, 1))))
    await readers.close()
    through_all = [
        (sql, step)
        for sql, plan in explained.plans.items()
        for step in plan
        if re.match(r"(SCAN|BLOOM FILTER ON) (event|e)\b", step) and not re.search(ENDS, sql)
    ]
    assert through_all == []
