"""Forecast: register, while tickets are sold, what every forecaster and the mixture say of the next draw."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from loguru import logger

from helios_agent.actions import history
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.actions.history import EraDraws
from helios_agent.clock import from_us, iso, to_us
from helios_agent.errors import HeliosError, JobFailed, Refused, WorkerLost
from helios_agent.forecasting import ledger as ledgers
from helios_agent.forecasting.experts import EXPERTS
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.mixture import UNIFORM
from helios_agent.journal import draws, forecasts, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.journal.models import Model
from helios_agent.lottery import calendar
from helios_agent.lottery.games import game
from helios_agent.registry import folders
from helios_agent.registry.names import Ref
from helios_agent.work import engine

MODEL_LIMIT_S = engine.SHORT_JOB_S
"""How long a network may take to answer."""


class SalesClosed(HeliosError):
    """Sales for the draw closed while its forecast was made."""


class DrawsChanged(HeliosError):
    """Another draw became known while the forecast was made, which is to know it too."""


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)
    day = calendar.next_draw_day(rules, from_us(context.clock.now_us()))
    closes_us = to_us(calendar.sales_close(rules, day))
    era = rules.era_at(day)
    known = await history.of_era(context.store, rules, era)
    last_day = known.days[-1] if known.days else None
    if last_day is not None and last_day >= day.isoformat():
        raise Refused(
            f"The clock is wrong: it is before the draw of {day}, but that of {last_day} is stored."
        )
    ledger = await history.ledger_of(context.store, rules, era)
    active = await models.active(context.store, rules.name, era.name)
    basis = {
        "draws": len(known.days),
        "last_draw": last_day,
        "scored": ledger.draws,
        "experts": [*EXPERTS],
        "models": [model.forecaster for model in active],
    }
    existing = await forecasts.registered(context.store, rules.name, day.isoformat())
    if existing is not None and existing.record["basis"] == basis:
        return lambda tx, cause: {"day": day.isoformat(), "digest": existing.digest, "new": False}
    if context.clock.now_us() >= closes_us:
        return partial(_refuse, rules.name, day.isoformat(), closes_us)

    made, failed = await _ask_experts(context, intent, known)
    broken: dict[str, str] = {}
    for model in active:
        try:
            made[model.forecaster] = await _ask_model(context, model, known)
        except JobFailed as error:
            if isinstance(error, WorkerLost) and intent.attempt < intent.max_attempt:
                raise  # it may answer next time; after the last attempt the others forecast without it
            logger.bind(action="forecast", model=model.forecaster).error("{}", error)
            broken[model.forecaster] = str(error)
        else:
            if model.forecaster not in ledger.standings:
                ledger = ledgers.join(ledger, model.forecaster, model.prior)
    basis["experts"] = [name for name in EXPERTS if name not in failed]
    basis["models"] = [model.forecaster for model in active if model.forecaster not in broken]
    is_new = existing is None or existing.record["basis"] != basis
    record = {
        "game": rules.name,
        "day": day.isoformat(),
        "era": era.name,
        "draw_at": iso(to_us(calendar.draw_instant(rules, day))),
        "sales_close_at": iso(closes_us),
        "basis": basis,
        "forecasters": {name: forecast.to_record() for name, forecast in made.items()},
        "weights": ledger.weights(),
        "shares": dict(ledger.shares),
    }
    digest = forecasts.digest(record)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        stored = tx.rows(
            "SELECT count(*) AS n FROM draw WHERE game = ? AND day >= ?", (rules.name, era.name)
        )[0]
        if tx.now_us() >= closes_us:
            raise SalesClosed(f"Sales for the draw of {day} closed before its forecast could be registered.")
        if stored["n"] != len(known.days):
            raise DrawsChanged(f"A draw became known while the forecast of {day} was made.")
        for key in draws.open_keys(tx):
            if key.startswith(f"expert:{rules.name}:") and key.rpartition(":")[2] not in failed:
                draws.close_incident(tx, key, cause)
        for name, message in failed.items():
            draws.open_incident(tx, f"expert:{rules.name}:{name}", "expert-unusable", message, cause)
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


def _refuse(game_name: str, day: str, closes_us: int, tx: Transaction, cause: int) -> Mapping[str, Any]:
    reason = f"Sales for the draw of {day} closed at {iso(closes_us)}: nothing more is registered for it."
    logger.bind(action="forecast", game=game_name).warning("{}", reason)
    tx.append("forecast.refused", {"game": game_name, "day": day, "reason": reason}, cause)
    return {"day": day, "digest": None, "new": False}


async def _ask_experts(
    context: Context, intent: Intent, known: EraDraws
) -> tuple[dict[str, Forecast], dict[str, str]]:
    """Return what the experts forecast, and what failed of them. Uniform always has its say."""
    try:
        said = await context.engine.run("forecast", known.spec(), time_limit_s=engine.SHORT_JOB_S)
    except JobFailed as error:
        if isinstance(error, WorkerLost) and intent.attempt < intent.max_attempt:
            raise
        said = {"forecasters": {}, "broken": {name: str(error) for name in EXPERTS}}
    era = known.era
    made = {UNIFORM: Forecast.uniform(era.white, era.bonus, era.pick)}
    made |= {name: Forecast.from_record(record) for name, record in said["forecasters"].items()}
    failed = {name: message for name, message in said["broken"].items() if name != UNIFORM}
    for name, message in failed.items():
        logger.bind(action="forecast", expert=name).error("{}", message)
    return made, failed


async def _ask_model(context: Context, model: Model, known: EraDraws) -> Forecast:
    """Return a trained network's forecast. Raises JobFailed when it has none."""
    folder = folders.place(context.config.paths.models, Ref(model.name, model.version))
    said = await context.engine.run(
        "model-forecast",
        {"artefact": str(folder), "draws": known.rows, "version": model.version},
        time_limit_s=MODEL_LIMIT_S,
    )
    try:
        made = Forecast(said["white"], said["bonus"], known.era.pick).rounded()
    except ValueError as error:
        raise JobFailed(f"{model.forecaster} has no forecast: {error}") from error
    balls = (made.white.size, made.bonus.size)
    if balls != (known.era.white, known.era.bonus):
        raise JobFailed(
            f"{model.forecaster} forecasts {balls[0]} white and {balls[1]} bonus balls; "
            f"expected {known.era.white} and {known.era.bonus}"
        )
    return made
