"""How long a self-assessment and a decision take after ten years.

A journal of ten years of Powerball is made in a temporary folder, through the journal itself, under a clock
that is moved: an ingest every few hours, each draw with its registered forecast and its score, then an
assessment and a decision, a training every hundred draws, and backups: some 100,000 events. Draws and gains
are random. The assessments and decisions of the last draws are made by the actions themselves; before them
assessments are written with random signals.

Then both actions are timed, from asking for them to the commit of what they did, and what an assessment is
made from, by itself: the facts, the signals, and the patterns in what the last draws told. Bars, in processor
time on a machine that has other work, too: 150 ms for an assessment, patterns included, and 20 ms for a
decision.

    python benchmarks/metacognition.py [ROUNDS] [SEED]
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from loguru import logger

from helios_agent.actions import facts, runner
from helios_agent.actions.action import Context
from helios_agent.clock import VirtualClock, to_us
from helios_agent.config import Config
from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting.experts import PRIORS
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.mixture import SWITCHING, UNIFORM
from helios_agent.journal import draws, forecasts, intents
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.lottery import calendar
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import game
from helios_agent.metacognition import series, signals
from helios_agent.simulation.inline import InlineEngine
from helios_agent.store import Store
from helios_agent.work.metering import Meter

GAME = game("powerball")
FIRST, LAST = date(2016, 9, 17), datetime(2026, 9, 17, 12, tzinfo=UTC)
ERA = GAME.era_at(FIRST)
INGESTS = 8
TRAINED_EVERY, EPOCHS = 100, 60
DECIDED = 100
ASSESSMENT, DECISION = "the action assess", "the action decide"
BARS = {ASSESSMENT: "<= 150 ms", DECISION: "<= 20 ms"}
DONE_BY = {"train": 900.0, "tune": 7_200.0, "backtest": 600.0}
"""CPU seconds that the work of an action takes."""


@dataclass
class Life:
    """What goes on from one draw to the next while the journal is made."""

    context: Context
    clock: VirtualClock
    rng: np.random.Generator
    ledger: Ledger
    record: Mapping[str, Any]

    async def day(self, day: date, ordinal: int, decides: bool) -> None:
        """Live until after the draw of a day: ingests, forecast, draw, score, assessment, decision."""
        journal = self.context.journal
        drawn_us = to_us(calendar.draw_instant(GAME, day))
        hours = (drawn_us - self.clock.now_us()) / 3.6e9
        for number in range(INGESTS):
            await self.clock.advance(max(0.0, hours - 2) / INGESTS * 3600)
            await journal.record(lambda tx, number=number: self._ingest(tx, number))
        found = await journal.record(lambda tx: self._forecast(tx, day))
        await self.clock.advance(max(0.0, (drawn_us - self.clock.now_us()) / 1e6) + 3600)
        await journal.record(lambda tx: self._draw(tx, day, found))
        if ordinal % TRAINED_EVERY == TRAINED_EVERY - 1:
            await journal.record(lambda tx: self._train(tx, day, ordinal))
        if decides:
            for action in ("assess", "decide"):
                await carry_out(self.context, action)
            await journal.record(self._do_what_was_chosen)
        else:
            await journal.record(self._assess)

    def _carry(self, tx: Transaction, action: str, *told: tuple[str, Mapping[str, Any]]) -> str:
        """Ask for an action, do it, and tell what it did; return the intent's id."""
        cause = tx.append("schedule.fired", self._firing(tx, action)).seq
        intents.request(tx, action, GAME.name, {}, cause)
        intent = intents.claim(tx, (action,))
        if intent is None:
            raise RuntimeError(f"{action} is asked for and cannot be claimed")
        for kind, payload in told:
            tx.append(kind, payload, intent.seq)
        intents.finish(tx, intent, {"game": GAME.name})
        return intent.id

    def _firing(self, tx: Transaction, action: str) -> dict[str, Any]:
        return {"schedule": action, "due_us": tx.now_us(), "outcome": "run"}

    def _ingest(self, tx: Transaction, number: int) -> None:
        feeds = [
            {"game": GAME.name, "source": source, "etag": '"0"', "last_modified": None, "unchanged": True}
            for source in ("texas", "new-york")
        ]
        told = {"game": GAME.name, "stored": 0, "failed": []}
        self._carry(tx, "ingest", *(("feed.read", feed) for feed in feeds), ("ingest.completed", told))
        if number == 0:
            backup = {"file": f"helios-{tx.now_us()}.db", "bytes": 10_000_000, "events": 1, "head": "0" * 64}
            self._carry(tx, "backup", ("backup.completed", backup))

    def _forecast(self, tx: Transaction, day: date) -> int:
        payload = {"game": GAME.name, "day": day.isoformat(), "forecast": self.record, "digest": "0" * 64}
        return tx.append("forecast.registered", payload).seq

    def _draw(self, tx: Transaction, day: date, found: int) -> None:
        whites = self.rng.choice(ERA.white, ERA.pick, replace=False) + 1
        bonus = int(self.rng.integers(ERA.bonus)) + 1
        draw = Draw(GAME.name, day, tuple(whites.tolist()), bonus, None, True)
        names = [name for name in self.ledger.standings if name != SWITCHING]
        gains = dict(zip(names, self.rng.normal(-0.001, 0.05, len(names)).tolist(), strict=True))
        self.ledger, scored = ledgers.score(self.ledger, {**gains, UNIFORM: 0.0})
        made = asdict(scored) | {"ledger": self.ledger.to_record()}
        told = {name: made[name] for name in ("gains", "weights", "mixture_gain", "ledger")}
        entry = {"game": GAME.name, "era": ERA.name, "day": day.isoformat(), "basis": "registered"}
        self._carry(
            tx,
            "score",
            ("draw.ingested", draws.to_payload(draw, "texas")),
            ("forecast.scored", entry | {"forecast": found} | told),
            ("score.completed", {"game": GAME.name, "scored": 1, "registered": 1, "passed_over": 0}),
        )

    def _train(self, tx: Transaction, day: date, ordinal: int) -> None:
        job = self._carry(tx, "train")
        for epoch in range(1, EPOCHS + 1):
            loss = 21.0 + float(self.rng.normal(0.0, 0.01))
            told = {"job": job, "attempt": 1, "epoch": epoch, "epochs": EPOCHS, "loss": loss}
            told |= {"validation_loss": loss, "validation_gain_nats": 0.0, "seconds": 9.0, "eta_seconds": 0.0}
            tx.append("training.epoch", told)
        spent = {"job": job, "action": "train", "target": GAME.name, "attempt": 1}
        tx.append("work.spent", spent | {"cpu_seconds": DONE_BY["train"]})
        number = ordinal // TRAINED_EVERY + 1
        model = {"name": "powerballnet", "version": f"{number:012x}", "game": GAME.name, "era": ERA.name}
        model |= {"ordinal": number, "prior": 0.5**number, "last_draw": day.isoformat(), "job": job}
        tx.append("model.trained", model | {"draws": ordinal, "metrics": {"validation_gain_nats": 0.0}})

    def _assess(self, tx: Transaction) -> None:
        values = dict.fromkeys((signal.name for signal in signals.SIGNALS), 0.0)
        values |= {name: float(self.rng.normal()) for name in values}
        units = {signal.name: signal.unit for signal in signals.SIGNALS}
        payload = {"game": GAME.name, "signals": values, "units": units, "verdict": "Nothing can be said."}
        self._carry(tx, "assess", ("assessment.completed", payload))

    def _do_what_was_chosen(self, tx: Transaction) -> None:
        """Let what the decision asked for be done at once, as far as it is due."""
        while (intent := intents.claim(tx, tuple(runner.ACTIONS))) is not None:
            if intent.action in DONE_BY:
                spent = {"job": intent.id, "action": intent.action, "target": intent.target, "attempt": 1}
                tx.append("work.spent", spent | {"cpu_seconds": DONE_BY[intent.action]})
            intents.finish(tx, intent, {"found": [], "new": 0, "freed_bytes": 0})


async def carry_out(context: Context, action: str) -> None:
    """Ask for an action as a person does, and carry it out as the daemon does."""

    def ask(tx: Transaction) -> intents.Intent | None:
        intents.request(tx, action, GAME.name, {}, tx.append("action.requested", {"action": action}).seq)
        return intents.claim(tx, (action,))

    intent = await context.journal.record(ask)
    if intent is None:
        raise RuntimeError(f"{action} is asked for and cannot be claimed")
    await runner.carry_out(context, intent)
    ended = await intents.find(context.store, intent.id)
    if ended.state != "done":
        raise RuntimeError(f"{action} did not succeed: {ended.error}")


def some_forecast(rng: np.random.Generator) -> dict[str, Any]:
    """Return a record of forecasts of the size that one has."""
    made = {
        name: Forecast(rng.normal(size=ERA.white), rng.normal(size=ERA.bonus), ERA.pick).to_record()
        for name in PRIORS
    }
    return {"forecasters": made, "weights": dict(PRIORS), "basis": {"draws": 0, "head": forecasts.digest({})}}


async def live(context: Context, clock: VirtualClock, rng: np.random.Generator) -> None:
    """Make the journal of ten years."""
    record = some_forecast(rng)
    life = Life(context, clock, rng, Ledger.start(PRIORS), record)
    await context.journal.append("agent.started", {"schedules": ["ingest"], "version": "benchmark"})
    days = calendar.expected_days(GAME, FIRST, LAST)
    for ordinal, day in enumerate(days):
        await life.day(day, ordinal, decides=ordinal >= len(days) - DECIDED)


@dataclass(frozen=True)
class Moment:
    """The end of a part: the clock on the wall, and the processor time of this process, s."""

    part: str
    wall_s: float
    processor_s: float

    @classmethod
    def of(cls, part: str) -> "Moment":
        return cls(part, time.perf_counter(), time.process_time())


async def measure(context: Context, clock: VirtualClock, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return how long each part took in each round, ms by the wall and of processor time."""
    taken: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        await clock.advance(3600)
        moments = [Moment.of("")]
        async with context.store.moment() as store:
            found = await facts.gather(store, context.config, GAME, clock.now_us())
        moments.append(Moment.of("facts"))
        signals.assess(found.facts)
        moments.append(Moment.of("signals"))
        series.found_in(found.past)
        moments.append(Moment.of("patterns"))
        await carry_out(context, "assess")
        moments.append(Moment.of(ASSESSMENT))
        await carry_out(context, "decide")
        moments.append(Moment.of(DECISION))
        for begun, ended in itertools.pairwise(moments):
            ms = 1e3 * (ended.wall_s - begun.wall_s), 1e3 * (ended.processor_s - begun.processor_s)
            taken.setdefault(ended.part, []).append(ms)
    return taken


async def benchmark(folder: Path, rounds: int, seed: int) -> None:
    clock = VirtualClock(datetime.combine(FIRST, datetime.min.time(), UTC) - timedelta(hours=12))
    config = Config.model_validate({"games": {GAME.name: {}}})
    store = await Store.open(folder / "helios.db")
    async with httpx.AsyncClient() as http:
        journal = Journal(store, clock, boot="0123456789ab")
        context = Context(config, journal, http, InlineEngine("benchmark", clock), Meter())
        begun = time.perf_counter()
        await live(context, clock, np.random.default_rng(seed))
        (told,) = await store.rows("SELECT count(*) AS events, count(DISTINCT kind) AS kinds FROM event")
        made_s = time.perf_counter() - begun
        print(f"seed {seed}: {told['events']:,} events of {told['kinds']} kinds, made in {made_s:.0f} s\n")
        taken = await measure(context, clock, rounds)
    await store.close()
    print(f"{f'{rounds} rounds':<26}{'wall, median':>15}{'worst':>12}{'processor, median':>20}{'worst':>12}")
    for name, ms in taken.items():
        wall, processor = zip(*ms, strict=True)
        print(
            f"{name:<26}{statistics.median(wall):>12.1f} ms{max(wall):>9.1f} ms"
            f"{statistics.median(processor):>17.1f} ms{max(processor):>9.1f} ms   {BARS.get(name, '')}"
        )


def main() -> None:
    arguments = [int(word) for word in sys.argv[1:]]
    rounds, seed = (*arguments, *(20, 1)[len(arguments) :])
    logger.remove()
    with tempfile.TemporaryDirectory(prefix="helios-benchmark-") as folder:
        asyncio.run(benchmark(Path(folder), rounds, seed))


if __name__ == "__main__":
    main()
