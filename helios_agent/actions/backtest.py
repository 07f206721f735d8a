"""Backtest: walk forecasters over a span of the stored draws, and leave a report of what they gained.

A network's span is cut into blocks where it is trained anew anyway, so that blocks can be computed side by
side; the experts and their mixture are one job.
"""

import asyncio
import hashlib
import json
import math
from bisect import bisect_left, bisect_right
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from loguru import logger

from helios_agent import files
from helios_agent.actions import history, train
from helios_agent.actions.action import WORK, Action, Commit, Context
from helios_agent.actions.history import EraDraws
from helios_agent.clock import SECOND_US
from helios_agent.config import Config
from helios_agent.errors import JobFailed, JobStopped, JobTooLong, Refused, WorkerLost
from helios_agent.forecasting import mixture
from helios_agent.forecasting.experts import EXPERTS
from helios_agent.journal import chain, draws, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery import dates
from helios_agent.lottery.games import Game, game
from helios_agent.metacognition import backtests
from helios_agent.store import Reader

T = TypeVar("T")

FEWEST_DRAWS = 10
"""A shorter span says nothing that is worth a report."""
REFIT_EVERY = 50
BLOCKS_PER_WORKER = 2
"""Later blocks learn from more draws and take longer: with some to spare, no worker waits long."""
PROGRESS_S = 2.0
"""The least time between two events that tell of progress."""
PATIENCE = 3
"""Epochs without a better score after which a network of a backtest is trained no longer, if it is not fewer
anyway: with the exact likelihood the best is among the first few, and there are many networks to train."""
NETWORKS = (train.NAME,)
EXPERTS_AND_MIXTURE = (mixture.MIXTURE, *EXPERTS)


async def plan(
    store: Reader,
    config: Config,
    rules: Game,
    *,
    first: str | None = None,
    last: str | None = None,
    forecasters: Sequence[str] = (),
    refit_every: int = REFIT_EVERY,
) -> tuple[str, dict[str, Any]]:
    """Return the (target, args) of the intent for a backtest, with all that was left open decided.

    first, last: days, both included; by default from as early as the forecasters can to the newest draw.
    forecasters: by default the mixture and all experts. Raises Refused, naming the field, where the span is
    not within the stored draws of one era or too short, a forecaster is not known, or draws are missing that
    a network would learn from.
    """
    newest = await draws.newest(store, rules.name, 1)
    if not newest:
        raise Refused(f"There are no draws of {rules.title} to walk through.")
    oldest_day = (await draws.stored(store, rules.name))[0].draw.day.isoformat()
    newest_day = newest[0].draw.day.isoformat()
    first = None if first is None else _as_stored("from", first)
    last = None if last is None else _as_stored("to", last)
    for name, day in (("from", first), ("to", last)):
        if day is not None and not oldest_day <= day <= newest_day:
            raise Refused(
                f"{name} is {day}; expected a day from {oldest_day} to {newest_day}, between which draws of "
                f"{rules.title} are stored"
            )
    last = last or newest_day
    if first is not None and first > last:
        raise Refused(f"from is {first} and to is {last}; expected from not to be after to")
    era = rules.era_at(history.as_date(last))
    if first is not None and rules.era_at(history.as_date(first)) != era:
        raise Refused(
            f"from is {first} and to is {last}, but the rules changed on {era.name}; draws under different "
            "rules are not counted together: expected days under the same rules"
        )
    chosen = tuple(dict.fromkeys(forecasters)) or EXPERTS_AND_MIXTURE
    for name in chosen:
        if name not in (*EXPERTS_AND_MIXTURE, *NETWORKS):
            names = ", ".join((*EXPERTS_AND_MIXTURE, *NETWORKS))
            raise Refused(f"forecasters has {name!r}; expected some of {names}")
    known = await history.of_era(store, rules, era)
    needed = 0
    if set(chosen) & set(NETWORKS):  # which are trained at multiples of `refit_every` draws only
        needed = refit_every * math.ceil(config.learning.draws_needed / refit_every)
    begin, end = _span(known, first or era.name, last)
    if first is None:
        begin = max(begin, needed)
    if end - begin < FEWEST_DRAWS:
        raise Refused(
            f"from is {first or 'not given'} and to is {last}, between which there are "
            f"{max(0, end - begin)} draws to foretell; expected at least {FEWEST_DRAWS}"
            + (f", and before them {needed} for the network to learn from" if needed else "")
        )
    if begin < needed:
        earliest = known.days[needed] if needed < len(known.days) else "later"
        raise Refused(
            f"from is {first}; the network needs {needed} draws under the same rules to learn from: expected "
            f"{earliest} or later"
        )
    if needed:
        try:
            dates.check(rules.name, era.name, known.days[:end])
        except ValueError as error:
            raise Refused(
                f"forecasters has {', '.join(sorted(set(chosen) & set(NETWORKS)))}, but {error}"
            ) from None
    args = {
        "from": known.days[begin],
        "to": known.days[end - 1],
        "forecasters": list(chosen),
        "refit_every": refit_every,
    }
    digest = hashlib.sha256(chain.canonical(args).encode()).hexdigest()[:12]
    return f"{rules.name}/{digest}", args


async def usual(store: Reader, config: Config, rules: Game) -> dict[str, Any]:
    """Return the args of a backtest of which nothing is said: what forecasts now, over the latest draws.

    Those are as many as are to come from one backtest to the next (`decisions.backtest_after_draws`). The
    network, where one serves, is trained anew on the way as it is configured: one that serves today has
    learned from these draws. It is left out where it cannot be walked. Raises Refused as `plan` does.
    """
    newest = await draws.newest(store, rules.name, 1)
    if not newest:
        raise Refused(f"There are no draws of {rules.title} to walk through.")
    era = rules.era_at(newest[0].draw.day)
    known = await history.of_era(store, rules, era)
    first = known.days[-config.decisions.backtest_after_draws :][0]
    if await models.active(store, rules.name, era.name):
        everyone = (*EXPERTS_AND_MIXTURE, *NETWORKS)
        try:
            return (await plan(store, config, rules, first=first, forecasters=everyone))[1]
        except Refused as reason:
            logger.bind(action="backtest", game=rules.name).info("without the network: {}", reason)
    return (await plan(store, config, rules, first=first))[1]


def _as_stored(field_name: str, day: str) -> str:
    """Return a day, however ISO 8601 lets one write it, as the days of draws are stored, to be compared."""
    try:
        return history.as_date(day).isoformat()
    except ValueError:
        raise Refused(f"{field_name} is {day!r}; expected a day such as 2026-09-16") from None


def _span(known: EraDraws, first: str, last: str) -> tuple[int, int]:
    """Return the indices of the first draw of a span, and of the one after its last."""
    return bisect_left(known.days, first), bisect_right(known.days, last)


@dataclass
class _Part:
    """One job of a backtest, and how far it is."""

    kind: str
    spec: Mapping[str, Any]
    total: int
    network: str | None = None
    done: int = 0
    gains: Mapping[str, float] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    """What a network said, one record a draw, as JSON."""
    broken: str | None = None
    """Why a network said no more."""


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target.partition("/")[0])
    args = intent.args or await usual(context.store, context.config, rules)
    era = rules.era_at(history.as_date(args["from"]))
    known = await history.of_era(context.store, rules, era)
    first, last = _span(known, args["from"], args["to"])
    networks = {
        name: await _network(context.store, context.config, rules, args["refit_every"])
        for name in args["forecasters"]
        if name in NETWORKS
    }
    most = BLOCKS_PER_WORKER * context.config.work.workers
    parts = _parts(known, first, last, args["forecasters"], networks, most)
    told = {
        "job": intent.id,
        "game": rules.name,
        "era": era.name,
        "from": args["from"],
        "to": args["to"],
        "forecasters": args["forecasters"],
    }
    log = logger.bind(action="backtest", game=rules.name, job=intent.id)
    log.info("walking {} over {} draws", ", ".join(args["forecasters"]), last - first)
    walk = _Walk(context, intent, parts, told)
    judged, broken, stopped = await walk.walked(known.spec(last) | {"first": first, "last": last}, networks)
    if not judged:
        raise JobStopped() if stopped else JobFailed(_told(broken))
    span = backtests.Span(
        rules.name, rules.title, era.name, era.white, era.bonus, era.pick, tuple(known.days[first:last])
    )
    if broken:
        log.warning("forecasters failed: {}", _told(broken))
    accounts = {name: judged[name] for name in args["forecasters"] if name in judged}
    level = context.config.decisions.alarm_level
    made = backtests.report(span, accounts, broken, networks, level, stopped)
    content = json.dumps(made, ensure_ascii=False, allow_nan=False).encode()
    name = f"{intent.id}.json"
    await asyncio.to_thread(_write, context.config.backtests / name, content)
    found = {
        "report": name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "summary": backtests.summary(made),
    }

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        tx.append("backtest.completed", told | walk.progress() | found, cause)
        return {name: found[name] for name in ("report", "sha256")} | {
            name: made[name] for name in ("stopped", "found", "verdict")
        }

    log.info("{}", made["verdict"])
    return commit


ACTION = Action("backtest", WORK, run)


class _Walk:
    """The jobs of one backtest under way. The engine sees to how many are at the same time."""

    def __init__(
        self, context: Context, intent: Intent, parts: Sequence[_Part], told: Mapping[str, Any]
    ) -> None:
        self._context, self._intent, self._parts, self._told = context, intent, parts, told
        self._begun_us = context.clock.mono_us()
        self._told_us = self._begun_us

    async def walked(
        self, span: Mapping[str, Any], networks: Mapping[str, Mapping[str, Any]]
    ) -> tuple[dict[str, Any], dict[str, str], bool]:
        """Return what each forecaster did, by name, which of them failed and why, and if it was stopped."""
        await self._tell()
        results = await _together([self._compute(part) for part in self._parts])
        stopped = any(result is None or result["stopped"] for result in results)
        judged: dict[str, Any] = {}
        broken: dict[str, str] = {}
        said: dict[str, list[str | None]] = {name: [] for name in networks}
        for part, result in zip(self._parts, results, strict=True):
            if part.network is not None:
                said[part.network] += [*part.said, *[None] * (part.total - len(part.said))]
                if part.broken is not None:
                    broken.setdefault(part.network, part.broken)
            elif result:
                judged |= result["forecasters"]
                broken |= result["broken"]
        to_judge = [
            {"name": name, **networks[name], "said": told} for name, told in said.items() if any(told)
        ]
        if to_judge:
            spec = {**span, "forecasters": to_judge}
            result = await self._context.engine.run("backtest-judge", spec, time_limit_s=self._limit_s)
            judged |= result["forecasters"]
        return judged, broken, stopped

    @property
    def _limit_s(self) -> float:
        return self._context.config.learning.time_limit

    async def _compute(self, part: _Part) -> dict[str, Any] | None:
        """Compute one part; None where it was stopped before it had anything.

        A network that fails, as it would again, ends its part early: what else was walked is not lost by it.
        """

        async def on_progress(progress: Mapping[str, Any]) -> None:
            is_news = progress["done"] > part.done
            part.done, part.gains = progress["done"], progress["gains"]
            part.said += [progress["said"]] if "said" in progress else []
            passed_us = self._context.clock.mono_us() - self._told_us
            if is_news and passed_us >= PROGRESS_S * SECOND_US:
                await self._tell()

        try:
            return await self._context.engine.run(
                part.kind, part.spec, on_progress, time_limit_s=self._limit_s, stop=self._context.stop,
                priority=self._intent.priority,
            )  # fmt: skip
        except JobStopped:
            return None
        except JobTooLong:
            if part.network is None:
                raise
            part.broken = f"a block took longer than learning.time_limit, {self._limit_s:g} s"
        except JobFailed as failure:
            if part.network is None or isinstance(failure, WorkerLost):
                raise
            part.broken = str(failure)
        return {"stopped": False}

    async def _tell(self) -> None:
        self._told_us = self._context.clock.mono_us()
        eta = {"total": sum(part.total for part in self._parts), "eta_seconds": self._eta_seconds()}
        event = {**self._told, **self.progress(), **eta}
        await self._context.journal.append("backtest.progress", event, self._intent.seq)

    def progress(self) -> dict[str, Any]:
        """Return how many draws were foretold, and what each forecaster gained on them, nats."""
        gains: dict[str, float] = {}
        for part in self._parts:
            for name, gain in part.gains.items():
                gains[name] = mixture.rounded(gains.get(name, 0.0) + gain)
        return {"done": sum(part.done for part in self._parts), "gains": gains}

    def _eta_seconds(self) -> float | None:
        # Where a network is walked, all else takes no time to speak of.
        slow = [part for part in self._parts if part.network is not None] or self._parts
        done, total = sum(part.done for part in slow), sum(part.total for part in slow)
        passed_s = (self._context.clock.mono_us() - self._begun_us) / SECOND_US
        return round(passed_s * (total - done) / done, 3) if done else None


async def _network(store: Reader, config: Config, rules: Game, refit_every: int) -> dict[str, Any]:
    """Return a network as the spec of a job names it: as a training would make it, but for its patience."""
    learning, training = config.learning, await train.settings(store, config, rules)
    return {
        "network": learning.network.model_dump(),
        "training": training | {"patience": min(training["patience"], PATIENCE)},
        "seed": learning.seed,
        "refit_every": refit_every,
    }


def _parts(
    known: EraDraws,
    first: int,
    last: int,
    forecasters: Sequence[str],
    networks: Mapping[str, Mapping[str, Any]],
    most: int,
) -> list[_Part]:
    """Cut a backtest into jobs: the experts, which are done soon, and of each network at most `most`."""
    parts = []
    others = [name for name in forecasters if name not in networks]
    if others:
        spec = known.spec(last) | {"first": first, "last": last, "forecasters": others}
        parts.append(_Part("backtest", spec, last - first))
    for name, settings in networks.items():
        for begin, end in blocks(first, last, settings["refit_every"], most):
            of_block = {"first": begin, "last": end, "forecasters": [{"name": name, **settings}]}
            parts.append(_Part("backtest-block", known.spec(end) | of_block, end - begin, name))
    return parts


def _told(broken: Mapping[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in broken.items())


def blocks(first: int, last: int, refit_every: int, most: int) -> list[tuple[int, int]]:
    """Cut a span into at most `most` blocks of about equal length, where a network is trained anew.

    That is at multiples of `refit_every`, counted from the era's first draw (see `learning.walk_forward`).
    """
    refits = [first, *range(first - first % refit_every + refit_every, last, refit_every)]
    count = min(most, len(refits))
    begins = [refits[len(refits) * n // count] for n in range(count)]
    return list(zip(begins, [*begins[1:], last], strict=True))


async def _together(jobs: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; when one fails, end the others and raise what it raised."""
    tasks = [asyncio.create_task(job, name="backtest.part") for job in jobs]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _write(path: Path, content: bytes) -> None:
    """Write a report, in the place of one that an attempt left behind which was not committed."""
    path.parent.mkdir(exist_ok=True)
    unfinished = path.with_suffix(".part")
    files.remove(unfinished)
    files.write(unfinished, content)
    files.rename(unfinished, path)
    files.sync(path.parent.parent)
