"""Score: bring the ledger up to the newest draw, in the order of the draws.

A draw whose forecast stood in the journal before sales for it closed is scored by that forecast. Any other
is scored by walk-forward: the experts forecast it from the draws before it alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from typing import Any

from loguru import logger

from helios_agent.actions import history
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.actions.history import EraDraws
from helios_agent.clock import to_us
from helios_agent.forecasting import comparison, forecast, served
from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.mixture import UNIFORM
from helios_agent.journal import draws, forecasts, models
from helios_agent.journal.forecasts import Registered
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.journal.models import Model
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Era, Game, game
from helios_agent.work import engine

REGISTERED, WALK_FORWARD = "registered", "walk-forward"


@dataclass(frozen=True)
class _Pending:
    """A draw to be scored: its place in the era's history, and its registered forecast if there is one."""

    index: int
    day: str
    registered: Registered | None


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)
    scored: list[dict[str, Any]] = []
    broken: dict[str, str] = {}
    late = 0
    for era in await history.eras_to_score(context.store, rules):
        entries, failed, passed_over = await _score_era(context, rules, era)
        scored += entries
        broken |= failed
        late += passed_over

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        for entry in scored:
            kind = "forecast.scored" if entry["basis"] == REGISTERED else "history.scored"
            tx.append(kind, entry, cause)
        for name, error in broken.items():
            draws.open_incident(tx, f"expert:{rules.name}:{name}", "expert-unusable", error, cause)
        result = {
            "game": rules.name,
            "scored": len(scored),
            "registered": sum(entry["basis"] == REGISTERED for entry in scored),
            "passed_over": late,
        }
        tx.append("score.completed", result, cause)
        return result

    if scored:
        logger.bind(action="score", game=rules.name).info(
            "{} draws scored; the mixture stands at {:+.3f} nats against chance",
            len(scored),
            scored[-1]["ledger"]["mixture_nats"],
        )
    return commit


ACTION = Action("score", CORE, run)


async def _score_era(
    context: Context, rules: Game, era: Era
) -> tuple[list[dict[str, Any]], dict[str, str], int]:
    """Return an era's new ledger entries, the experts that failed, and how many draws came too late.

    A draw that becomes known after a later one was scored is passed over: the mixture's weights
    have seen what came after it.
    """
    known = await history.of_era(context.store, rules, era)
    state = await forecasts.ledger(context.store, rules.name, era.name)
    ledger = await history.ledger_of(context.store, rules, era)
    after = state.day if state else ""
    scored_days = await forecasts.scored_days(context.store, rules.name, era.name)
    passed_over = sum(day <= after and day not in scored_days for day in known.days)
    pending = []
    for index, day in enumerate(known.days):
        if day > after:
            closes_us = to_us(calendar.sales_close(rules, history.as_date(day)))
            found = await forecasts.registered(context.store, rules.name, day, before_us=closes_us)
            pending.append(_Pending(index, day, found))
    trained = await models.of_era(context.store, rules.name, era.name)

    entries: list[dict[str, Any]] = []
    broken: dict[str, str] = {}
    for has_forecast, group in groupby(pending, key=lambda p: p.registered is not None):
        if has_forecast:
            made, ledger = _by_registered(list(group), known, ledger, trained)
        else:
            made, failed, ledger = await _by_walk_forward(context, list(group), known, ledger)
            broken |= failed
        entries += made
    return [{"game": rules.name, "era": era.name, **entry} for entry in entries], broken, passed_over


def _by_registered(
    pending: Sequence[_Pending], known: EraDraws, ledger: Ledger, trained: Sequence[Model]
) -> tuple[list[dict[str, Any]], Ledger]:
    entries = []
    priors = {model.forecaster: model.prior for model in trained}
    challenger, champion = (models.in_role(trained, role) for role in ("challenger", "champion"))
    for draw in pending:
        if draw.registered is None:
            raise ValueError(f"the draw of {draw.day} has no registered forecast")
        record = draw.registered.record["forecasters"]
        for name, prior in priors.items():  # in the order in which they were trained
            if name in record and name not in ledger.standings:
                ledger = ledgers.join(ledger, name, prior)
        # One that an earlier release knew, and that never had a standing, has nothing to be scored by.
        made = {n: Forecast.from_record(r) for n, r in record.items() if n in ledger.standings}
        *whites, bonus = known.rows[draw.index]
        again = known.drawn_again(draw.index, draw.registered.seq)
        gains = forecast.gains([*made.values()], whites, bonus, known.ordered[draw.index], again)
        ledger, scored = ledgers.score(ledger, dict(zip(made, gains.tolist(), strict=True)))
        if challenger is not None and challenger in made:
            trial = comparison.try_out(ledger.trial, challenger, champion or UNIFORM, made, whites, bonus)
            ledger = replace(ledger, trial=trial)
        done = {**asdict(scored), "ledger": ledger.to_record()}
        meant = {"calibration": served.calibration(draw.registered.record, whites)}
        entries.append(_entry(draw, REGISTERED, draw.registered.seq, done) | meant)
    return entries, ledger


async def _by_walk_forward(
    context: Context, pending: Sequence[_Pending], known: EraDraws, ledger: Ledger
) -> tuple[list[dict[str, Any]], dict[str, str], Ledger]:
    spec = known.spec(pending[-1].index + 1) | {"first": pending[0].index, "ledger": ledger.to_record()}
    result = await context.engine.run("walk-forward", spec, time_limit_s=engine.SHORT_JOB_S)
    scored = result["scored"]
    entries = [_entry(draw, WALK_FORWARD, None, done) for draw, done in zip(pending, scored, strict=True)]
    return entries, result["broken"], Ledger.from_record(scored[-1]["ledger"])


def _entry(draw: _Pending, basis: str, forecast: int | None, done: Mapping[str, Any]) -> dict[str, Any]:
    told = ("gains", "weights", "mixture_gain", "ledger")
    return {"day": draw.day, "basis": basis, "forecast": forecast, **{name: done[name] for name in told}}
