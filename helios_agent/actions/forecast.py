"""Forecast: register, before it is held, what every forecaster and the mixture say of the next draw."""

from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions import history
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.clock import from_us, iso, to_us
from helios_agent.errors import HeliosError, JobFailed, Refused, WorkerLost
from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting import mixture
from helios_agent.forecasting.experts import EXPERTS
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History
from helios_agent.journal import draws, forecasts, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.journal.models import Model
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Era, game
from helios_agent.work import engine


class DrawAlreadyHeld(HeliosError):
    """The draw was held, or became known, before its forecast could be registered."""


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)
    day = calendar.next_draw_day(rules, from_us(context.clock.now_us()))
    held_us = to_us(calendar.draw_instant(rules, day))
    era = rules.era_at(day)
    days, rows = await history.rows_of(context.store, rules, era)
    if days and days[-1] >= day.isoformat():
        raise Refused(
            f"The clock is wrong: it is before the draw of {day}, but that of {days[-1]} is stored."
        )
    ledger = await history.ledger_of(context.store, rules, era)
    active = await models.active(context.store, rules.name, era.name)
    basis = {
        "draws": len(rows),
        "last_draw": days[-1] if days else None,
        "scored": ledger.draws,
        "models": [model.forecaster for model in active],
    }
    existing = await forecasts.registered(context.store, rules.name, day.isoformat())
    if existing is not None and existing.record["basis"] == basis:
        return lambda tx, cause: {"day": day.isoformat(), "digest": existing.digest, "new": False}

    known = History.from_rows(rows, era.pick, era.white, era.bonus)
    made = {name: expert(known).rounded() for name, expert in EXPERTS.items()}
    broken: dict[str, str] = {}
    for model in active:
        try:
            made[model.forecaster] = await _ask_model(context, model, era, rows)
        except JobFailed as error:
            if isinstance(error, WorkerLost) and intent.attempt < intent.max_attempt:
                raise  # it may answer next time; after the last attempt the others forecast without it
            logger.bind(action="forecast", model=model.forecaster).error("{}", error)
            broken[model.forecaster] = str(error)
        else:
            if model.forecaster not in ledger.standings:
                ledger = ledgers.join(ledger, model.forecaster, model.prior)
    basis["models"] = [model.forecaster for model in active if model.forecaster not in broken]
    is_new = existing is None or existing.record["basis"] != basis
    record = {
        "game": rules.name,
        "day": day.isoformat(),
        "era": era.name,
        "draw_at": iso(held_us),
        "basis": basis,
        "forecasters": {name: forecast.to_record() for name, forecast in made.items()},
        "weights": {name: round(weight, 9) for name, weight in mixture.posterior(ledger.standings).items()},
    }
    digest = forecasts.digest(record)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        known = tx.rows("SELECT 1 FROM draw WHERE game = ? AND day >= ?", (rules.name, day.isoformat()))
        if tx.now_us() >= held_us or known:
            raise DrawAlreadyHeld(f"The draw of {day} was held before its forecast could be registered.")
        for model in active:
            key = f"model:{rules.name}:{model.forecaster}"
            if model.forecaster in broken:
                draws.open_incident(tx, key, "model-unusable", broken[model.forecaster], cause)
            else:
                draws.close_incident(tx, key, cause)
        if existing is not None and not is_new:
            return {"day": day.isoformat(), "digest": existing.digest, "new": False}
        payload = {"game": rules.name, "day": day.isoformat(), "digest": digest, "forecast": record}
        event = tx.append("forecast.registered", payload, cause)
        logger.bind(action="forecast", game=rules.name).info(
            "forecast of {} registered as event {}, digest {}", day, event.seq, digest[:12]
        )
        return {"day": day.isoformat(), "digest": digest, "new": True}

    return commit


ACTION = Action("forecast", CORE, run)


async def _ask_model(context: Context, model: Model, era: Era, rows: list[list[int]]) -> Forecast:
    """Return a trained network's forecast. Raises JobFailed when it has none."""
    folder = context.config.paths.models / model.name / model.version
    said = await context.engine.run(
        "model-forecast",
        {"artefact": str(folder), "draws": rows, "version": model.version},
        time_limit_s=engine.SHORT_JOB_S,
    )
    return Forecast(said["white"], said["bonus"], era.pick).rounded()
