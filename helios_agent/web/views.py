"""What the API, the page and the command line show, gathered from the journal's tables."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

from helios_agent.actions import history, runner
from helios_agent.actions.action import WORK
from helios_agent.clock import Clock, from_us, iso, to_us
from helios_agent.config import Config
from helios_agent.config.kinds import UPKEEP_ACTIONS, ActionName
from helios_agent.errors import NotFound, Refused
from helios_agent.forecasting import served
from helios_agent.forecasting.evidence import e_bh
from helios_agent.forecasting.forecast import Forecast
from helios_agent.journal import (
    backtests,
    draws,
    events,
    forecasts,
    intents,
    models,
    outbox,
    parameters,
    searches,
    summaries,
    trainings,
)
from helios_agent.journal.forecasts import Registered
from helios_agent.journal.intents import Intent
from helios_agent.journal.trainings import Run
from helios_agent.lottery import calendar, prizes
from helios_agent.lottery.games import Game, game
from helios_agent.store import Reader

Name = TypeVar("Name", bound=str)


def one_of(what: str, name: str | None, known: Sequence[Name]) -> Name | None:
    """Return the one of some names that is meant, None for None. Raises Refused, naming what is expected."""
    if name is None:
        return None
    for each in known:
        if each == name:
            return each
    raise Refused(f"{what} is {name!r}; expected one of: {', '.join(known)}")


def chosen_game(config: Config, name: str | None) -> Game:
    """Return the game that is meant: the one named, or the first configured. Raises NotFound."""
    if name is None:
        return game(next(iter(config.games)))
    if name not in config.games:
        raise NotFound(f"game is {name!r}; expected one that is watched: {', '.join(config.games)}")
    return game(name)


def known_game(name: str | None) -> str | None:
    """Return the name of a game, be it watched or not; None for None. Raises NotFound."""
    return None if name is None else game(name).name


async def overview(store: Reader, config: Config, clock: Clock) -> dict[str, Any]:
    """Return what there is to know at a glance: every game, what is wrong, what is under way."""
    head = await events.head(store)
    games = [await game_overview(store, game(name), clock) for name in config.games]
    return {
        "now": iso(clock.now_us()),
        "journal": {"events": head.seq, "head": head.hash},
        "games": games,
        "unfair_among_all": _unfair_among_all(games, config.decisions.alarm_level),
        "incidents": [
            {"kind": i.kind, "message": i.message, "opened_at": iso(i.opened_us), "seq": i.seq}
            for i in await draws.open_incidents(store)
        ],
        "under_way": [await _under_way(store, intent) for intent in await intents.open_ones(store)],
        "webhooks": await outbox.counts(store),
    }


def _unfair_among_all(games: Sequence[Mapping[str, Any]], alarm_level: float) -> list[str]:
    """Return the games whose evidence stands out among all that are watched: see `evidence.e_bh`."""
    signals = {item["game"]: item["assessment"]["signals"] for item in games if item["assessment"]}
    now_nats = {name: measured["evidence"] for name, measured in signals.items() if "evidence" in measured}
    return e_bh(now_nats, alarm_level)


async def game_overview(store: Reader, rules: Game, clock: Clock) -> dict[str, Any]:
    """Return what there is to know at a glance about one game."""
    now = from_us(clock.now_us())
    day = calendar.next_draw_day(rules, now)
    newest = await draws.newest(store, rules.name, 1)
    era = rules.era_at(newest[0].draw.day if newest else now.date())
    registered = await forecasts.registered(store, rules.name, day.isoformat())
    training = await intents.latest(store, "train", rules.name)
    feeds = await draws.feeds(store, rules.name)
    return {
        "game": rules.name,
        "title": rules.title,
        "era": {"name": era.name, "white": era.white, "bonus": era.bonus, "pick": era.pick},
        "fair_log_score_nats": round(Forecast.uniform(era.white, era.bonus, era.pick).log_score(
            list(range(1, era.pick + 1)), 1), 6),
        "jackpot_odds_one_in": int(prizes.odds_one_in(era, era.pick, True)),
        "draws": await draws.count(store, rules.name),
        "newest_draw": newest[0].as_record() if newest else None,
        "next_draw": {"day": day.isoformat(), "at": _instant(rules, day)},
        "next_forecast": summary(registered) if registered else None,
        "assessment": await _latest_of(store, "assessment.completed", rules.name),
        "decision": await _latest_of(store, "decision.made", rules.name),
        "adjusted": await parameters.read(store, rules.name),
        "standings": [
            {"forecaster": s.forecaster, "draws": s.draws, "gain_nats": round(s.gain_nats, 6),
             "weight": s.weight}
            for s in await forecasts.standings(store, rules.name, era.name)
        ],
        "models": [model_record(m) for m in await models.active(store, rules.name, era.name)],
        "training": await job(store, training, clock) if training else None,
        "feeds": [
            {
                "source": name,
                "read_at": iso(f["read_us"]) if f["read_us"] else None,
                "failed_at": iso(f["failed_us"]) if f["failed_us"] else None,
                "failures": f["failures"],
                "error": f["error"],
            }
            for name, f in feeds.items()
        ],
    }  # fmt: skip


async def drawn(store: Reader, rules: Game, limit: int, before: str | None) -> list[dict[str, Any]]:
    """Return draws, newest first, each with its score if it has one."""
    found = await draws.newest(store, rules.name, limit, before)
    scores = await forecasts.scores_of(store, rules.name, [s.draw.day.isoformat() for s in found])
    records = []
    for item in found:
        score = scores.get(item.draw.day.isoformat())
        shown = (
            {"basis": score.basis, "forecast": score.forecast, "mixture_gain_nats": score.mixture_gain}
            if score
            else None
        )
        records.append(item.as_record() | {"score": shown})
    return records


async def registered(store: Reader, rules: Game, limit: int, before: int | None) -> list[dict[str, Any]]:
    """Return registered forecasts, newest first, whole, each with its draw's score if that is known."""
    found = await forecasts.recent(store, rules.name, limit, before)
    scores = await forecasts.scores_of(store, rules.name, [f.day for f in found])
    records = []
    for item in found:
        score = scores.get(item.day)
        used = score is not None and score.forecast == item.seq
        gain = score.mixture_gain if score is not None and used else None
        records.append(summary(item) | {"forecast": item.record, "scored": used, "mixture_gain_nats": gain})
    return records


def summary(item: Registered) -> dict[str, Any]:
    """Return a registered forecast in short: when, what digest, and how far it is from chance.

    The probabilities are the mixture's: of each ball to be among those drawn.
    """
    white, bonus = (each.tolist() for each in served.probabilities(item.record))
    return {
        "seq": item.seq,
        "registered_at": iso(item.at_us),
        "day": item.day,
        "digest": item.digest,
        "forecasters": list(item.record["forecasters"]),
        "weights": item.record["weights"],
        "basis": item.record["basis"],
        "white_probabilities": [round(p, 6) for p in white],
        "bonus_probabilities": [round(p, 6) for p in bonus],
        "likeliest": sorted(range(1, len(white) + 1), key=lambda ball: (-white[ball - 1], ball))[:5],
        "likeliest_bonus": max(range(1, len(bonus) + 1), key=lambda ball: (bonus[ball - 1], -ball)),
    }


async def evidence(store: Reader, rules: Game) -> list[dict[str, Any]]:
    """Return the evidence against fairness after each scored draw of the current era, oldest first."""
    eras = await history.eras_to_score(store, rules)
    if not eras:
        return []
    return [
        {"day": s.day, "mixture_nats": s.mixture_nats, "peak_nats": s.peak_nats, "basis": s.basis}
        for s in await forecasts.scores(store, rules.name, eras[-1].name)
    ]


async def job(store: Reader, intent: Intent, clock: Clock) -> dict[str, Any]:
    """Return a training job: its state, its epochs, how long it may still take, its result.

    Of one that ended long ago `summary` is what is left of its epochs.
    """
    epochs = await models.epochs(store, check_training(intent).id)
    run = await _run(store, intent)
    return {
        **_job_record(intent),
        "place": await _place(store, intent, clock),
        "waits_for_worker": run is not None and not run.has_begun,
        "eta_seconds": run.eta_seconds if run else None,
        "epochs": epochs,
        "summary": None if epochs else await summaries.find(store, intent.id),
    }


async def one_job(store: Reader, clock: Clock, job_id: str) -> dict[str, Any]:
    """Return whatever was asked for, with how far it is where it is a long computation. Raises NotFound."""
    intent = await intents.find(store, job_id)
    seen = {
        **await _under_way(store, intent),
        "max_attempt": intent.max_attempt,
        "place": await _place(store, intent, clock),
    }
    if intent.action == "train":
        return seen | await job(store, intent, clock)
    if intent.action == "tune":
        trained = await models.epochs(store, intent.id)
        return seen | {"trials": await searches.trials(store, intent.id), "epochs": trained}
    walked = await backtests.find(store, intent.id) if intent.action == "backtest" else None
    if walked is None:
        return seen
    eta_seconds = walked.eta_seconds if intent.state == "running" else None
    return seen | {"done": walked.done, "total": walked.total, "eta_seconds": eta_seconds}


async def jobs_of(store: Reader, game_name: str, limit: int, before: int | None) -> list[dict[str, Any]]:
    """Return the trainings of a game, those asked for last first, each with the number of its epochs."""
    found = await intents.asked_for(store, ("train",), target=game_name, before=before, limit=limit)
    counts = await summaries.counts(store, [intent.id for intent in found])
    return [{**_job_record(intent), "epochs": counts.get(intent.id, 0)} for intent in found]


async def jobs(store: Reader, clock: Clock, limit: int) -> list[dict[str, Any]]:
    """Return the long computations, those asked for last first, each with its place in the queue."""
    found = await intents.asked_for(store, runner.LANES[WORK], before=None, limit=limit)
    places = {intent_id: n for n, intent_id in enumerate(await _queue(store, clock), 1)}
    return [{**await _under_way(store, intent), "place": places.get(intent.id)} for intent in found]


async def _place(store: Reader, intent: Intent, clock: Clock) -> int | None:
    """Return the place of a long computation that waits, counted from 1, the next to be begun."""
    waiting = await _queue(store, clock) if intent.state == "ready" else []
    return waiting.index(intent.id) + 1 if intent.id in waiting else None


async def _queue(store: Reader, clock: Clock) -> list[str]:
    """Return the ids of the long computations that wait, the next to be begun first."""
    found = [i for i in await intents.open_ones(store) if i.action in runner.LANES[WORK]]
    return intents.queue(found, clock.now_us())


async def _under_way(store: Reader, intent: Intent) -> dict[str, Any]:
    run = await _run(store, intent)
    return {**intent_record(intent), "waits_for_worker": run is not None and not run.has_begun}


async def _run(store: Reader, intent: Intent) -> Run | None:
    """Return how far the attempt at a training is, None where it does not run."""
    is_running = intent.action == "train" and intent.state == "running"
    return await trainings.run(store, intent) if is_running else None


def _job_record(intent: Intent) -> dict[str, Any]:
    return {
        "job_id": intent.id,
        "game": intent.target,
        "state": intent.state,
        "wanted": intent.wanted,
        "priority": intent.priority,
        "attempt": intent.attempt,
        "max_attempt": intent.max_attempt,
        "requested_at": iso(intent.created_us),
        "due_at": iso(intent.due_us),
        "changed_at": iso(intent.changed_us),
        "error": intent.error,
        "result": intent.result,
        "cause": intent.seq,
    }


def intent_record(intent: Intent) -> dict[str, Any]:
    """Return an intent as it is shown outside."""
    return {
        "id": intent.id,
        "action": intent.action,
        "target": intent.target,
        "state": intent.state,
        "wanted": intent.wanted,
        "priority": intent.priority,
        "attempt": intent.attempt,
        "requested_at": iso(intent.created_us),
        "due_at": iso(intent.due_us),
        "expires_at": iso(intent.expires_us) if intent.state == "proposed" and intent.expires_us else None,
        "changed_at": iso(intent.changed_us),
        "error": intent.error,
        "result": intent.result,
        "cause": intent.seq,
    }


def model_record(model: models.Model) -> dict[str, Any]:
    """Return a trained model as it is shown outside."""
    return {
        "name": model.name,
        "version": model.version,
        "game": model.game,
        "era": model.era,
        "role": model.role,
        "trained_at": iso(model.trained_us),
        "trained_on_draws": model.draws,
        "last_draw": model.last_draw,
        "prior": model.prior,
        "origin": "imported" if model.job is None else "trained",
        "job_id": model.job,
        "metrics": model.metrics,
    }


def check_action(config: Config, action: ActionName, target: str | None) -> tuple[str, str]:
    """Return the (action, target) that is meant. Raises Refused or NotFound, naming what is expected."""
    if action in UPKEEP_ACTIONS:
        if target not in (None, "journal"):
            raise Refused(f"target is {target!r}; {action} takes none")
        return action, "journal"
    return action, chosen_game(config, target).name


def check_training(intent: Intent) -> Intent:
    """Return the intent. Raises NotFound when it is none of a training."""
    if intent.action != "train":
        raise NotFound(f"There is no training job {intent.id!r}.")
    return intent


def check_day(text: str | None) -> str | None:
    """Return a day as ISO 8601 text. Raises Refused when it is not one."""
    try:
        return None if text is None else date.fromisoformat(text).isoformat()
    except ValueError:
        raise Refused(f"before is {text!r}; expected a day such as 2026-09-16") from None


async def _latest_of(store: Reader, kind: str, game_name: str) -> dict[str, Any] | None:
    rows = await store.rows(
        "SELECT seq, at_us, payload FROM event WHERE kind = ? AND payload->>'game' = ?"
        " ORDER BY seq DESC LIMIT 1",
        (kind, game_name),
    )
    if not rows:
        return None
    payload: dict[str, Any] = json.loads(rows[0]["payload"])
    return {"seq": rows[0]["seq"], "at": iso(rows[0]["at_us"]), **payload}


def _instant(rules: Game, day: date) -> str:
    held: datetime = calendar.draw_instant(rules, day)
    return iso(to_us(held))
