"""Gather what the journal's tables say about a game: the facts of an assessment."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from loguru import logger

from helios_agent import files
from helios_agent.actions import history
from helios_agent.clock import from_us, to_us
from helios_agent.config import Config
from helios_agent.decisions import catalogue, situation
from helios_agent.decisions.catalogue import CATALOGUE
from helios_agent.forecasting import mixture, served
from helios_agent.forecasting.comparison import Trial
from helios_agent.forecasting.ledger import Ledger
from helios_agent.journal import (
    assessments,
    backtests,
    draws,
    events,
    forecasts,
    models,
    parameters,
    retention,
    searches,
    spending,
)
from helios_agent.journal.assessments import DAY_US, MESSAGES_US, WINDOW_US
from helios_agent.journal.forecasts import Score
from helios_agent.journal.models import Model
from helios_agent.lottery import calendar
from helios_agent.lottery.games import WEEKDAY_NAMES, Era, Game
from helios_agent.metacognition.facts import Facts, Networks, Upkeep
from helios_agent.metacognition.gaps import Seen
from helios_agent.metacognition.measures import HOUR_US, RECENT
from helios_agent.metacognition.series import LENGTH, STEADY, Past
from helios_agent.store import Reader

BETS = tuple(spec.name for spec in CATALOGUE.values() if spec.prior is not None)
"""Actions of which it is not sure beforehand that they are of use."""


@dataclass(frozen=True)
class Gathered:
    """Facts, what happened by ball, condition and draw, and up to which event they are told.

    factors: by which decisions have multiplied settings of the game. era: the rules of its newest draw.
    alarmed_on: the day of the last alarm about a change of its machine, if it still stands.
    """

    facts: Facts
    seen: Seen
    past: Past
    factors: Mapping[str, float]
    era: str
    alarmed_on: date | None
    seq: int


async def gather(store: Reader, config: Config, rules: Game, now_us: int) -> Gathered:
    """Gather what is known about a game. Every query of `store` is to see the same moment."""
    head = await events.head(store)
    newest = await draws.newest(store, rules.name, 1)
    era = rules.era_at(newest[0].draw.day if newest else from_us(now_us).date())
    scores = await forecasts.scores(store, rules.name, era.name)
    ledger = await history.ledger_of(store, rules, era)
    known = await models.of_era(store, rules.name, era.name)
    trained = [model for model in known if model.role in models.ACTIVE]
    champion, challenger = (models.in_role(trained, role) for role in ("champion", "challenger"))
    missing = await history.missing_days(store, rules, from_us(now_us))
    feeds = await draws.feeds(store, rules.name)
    incidents = await draws.open_incidents(store)
    counts = await assessments.drawn(store, rules.name, era.name)
    draw_count = await draws.count(store, rules.name, era.name)
    facts = Facts(
        now_us=now_us,
        white_count=era.white,
        pick=era.pick,
        gains=[s.mixture_gain for s in scores],
        registered_gains=[s.mixture_gain for s in scores if s.basis == "registered"],
        peak_nats=ledger.peak_nats,
        overstated=await forecasts.overstated(store, rules.name, era.name, RECENT),
        disagreement=await _disagreement(store, rules, newest[0].draw.day if newest else date.min),
        weights=mixture.effective(mixture.posterior(ledger.standings), ledger.shares),
        standings=ledger.standings,
        detector=ledger.detector,
        trial=_trial(ledger, challenger, champion),
        draws=draw_count,
        draws_trained_on=max((model.draws for model in known), default=None),
        networks=await _networks(store, rules, era, trained),
        draws_since_search=_since(scores, await searches.last_completed(store, rules.name)),
        draws_since_backtest=_since(scores, await backtests.last_completed(store, rules.name)),
        trainings=await assessments.trainings(store, rules.name),
        successes=await assessments.successes(store, rules.name, BETS, RECENT),
        missing_since_us=tuple(to_us(calendar.draw_instant(rules, day)) for day in missing),
        feed_read_us=max((f["read_us"] for f in feeds.values() if f["read_us"] is not None), default=None),
        disputes=sum(incident.key.startswith(f"dispute:{rules.name}:") for incident in incidents),
        upkeep=await _upkeep(store, config, now_us, len(incidents)),
    )
    seen = Seen(
        draw_count, _counted(counts[0], era.white), _counted(counts[1], era.bonus), _conditions(scores)
    )
    past = Past(
        gains=await _gains(store, rules, era, trained),
        meant=await forecasts.meant(store, rules.name, era.name, LENGTH),
        white_count=era.white,
        pick=era.pick,
        delays=await _delays(store, rules, era),
        costs=await assessments.training_costs(store, rules.name, LENGTH),
    )
    since_us = now_us - round(situation.ALARMED_HOURS * HOUR_US)
    alarm_us = await assessments.alarm_us(store, catalogue.change_of(rules.name), era.name, since_us)
    return Gathered(
        facts,
        seen,
        past,
        await parameters.read(store, rules.name),
        era.name,
        None if alarm_us is None else from_us(alarm_us).date(),
        head.seq,
    )


def _trial(ledger: Ledger, challenger: str | None, champion: str | None) -> Trial | None:
    """Return the trial of those who are challenger and champion now, None before its first draw."""
    trial = ledger.trial
    parties = (challenger, champion or mixture.UNIFORM)
    return trial if trial and (trial.challenger, trial.champion) == parties else None


async def _gains(store: Reader, rules: Game, era: Era, active: Sequence[Model]) -> dict[str, list[float]]:
    """Return what each forecaster whose gains may show a pattern gained on draws, oldest first."""
    since = {name: (name, 0) for name in STEADY}
    for model in active:
        joined = await models.promoted(store, model) if model.role == "champion" else model.seq
        since[f"the {model.role}"] = model.forecaster, joined or model.seq
    return {
        name: (await forecasts.gains_of(store, rules.name, era.name, forecaster, after, LENGTH))[::-1]
        for name, (forecaster, after) in since.items()
    }


async def _delays(store: Reader, rules: Game, era: Era) -> list[tuple[int, float]]:
    """Return the day of the week of each draw that was awaited, and the hours until it was stored."""
    found = []
    for day, at_us in await assessments.stored(store, rules.name, era.name, LENGTH):
        held = calendar.draw_instant(rules, date.fromisoformat(day))
        found.append((date.fromisoformat(day).weekday(), (at_us - to_us(held)) / HOUR_US))
    return found


async def _disagreement(store: Reader, rules: Game, newest: date) -> float | None:
    registered = await forecasts.recent(store, rules.name, 1)
    if not registered or registered[0].day <= newest.isoformat():
        return None
    return served.disagreement(registered[0].record)


async def _networks(store: Reader, rules: Game, era: Era, active: Sequence[Model]) -> Networks:
    joined = await models.newest(store, rules.name, era.name, 2)
    champion = next((model for model in active if model.role == "champion"), None)
    challenger = next((model for model in active if model.role == "challenger"), None)

    async def gains(model: Model | None, since: int | None) -> list[float]:
        if model is None or since is None:
            return []
        return await forecasts.gains_of(store, rules.name, era.name, model.forecaster, since, RECENT)

    newest = joined[0] if joined else None
    return Networks(
        newest=newest.metrics if newest else None,
        before=joined[1].metrics if len(joined) > 1 else None,
        challenger=challenger.forecaster if challenger else None,
        champion=champion.forecaster if champion else None,
        newest_gains=await gains(newest, newest.seq if newest else None),
        challenger_gains=await gains(challenger, challenger.seq if challenger else None),
        champion_gains=await gains(champion, await models.promoted(store, champion) if champion else None),
    )


async def _upkeep(store: Reader, config: Config, now_us: int, open_incidents: int) -> Upkeep:
    begun = await events.oldest(store)
    begun_us = begun.at_us if begun else now_us
    backup = await events.latest(store, "backup.completed")
    verified = await events.latest(store, "journal.verified")
    budget = config.decisions.budget
    return Upkeep(
        spent_day_s=await spending.known_since(store, now_us - DAY_US),
        spent_month_s=await spending.known_since(store, now_us - WINDOW_US),
        budget_day_s=budget.cpu_per_day,
        budget_month_s=budget.cpu_per_month,
        used_bytes=await retention.used(store),
        allowed_bytes=config.retention.size,
        free_bytes=await asyncio.to_thread(_free_bytes, config.paths.state),
        firings_us=await assessments.firings(store, now_us - WINDOW_US),
        unsent=await assessments.unsent(store, now_us - MESSAGES_US),
        open_incidents=open_incidents,
        backup_us=backup.at_us if backup else begun_us,
        verified_us=verified.at_us if verified else begun_us,
    )


def _free_bytes(folder: Path) -> int | None:
    try:
        return files.free_bytes.get()(folder)
    except OSError as error:
        logger.bind(action="assess").warning("how much of its disk is free cannot be said: {}", error)
        return None


def _since(scores: Sequence[Score], seq: int | None) -> int:
    return sum(score.seq > (seq or 0) for score in scores)


def _counted(counts: Mapping[int, int], balls: int) -> list[int]:
    return [counts.get(ball, 0) for ball in range(1, balls + 1)]


def _conditions(scores: Sequence[Score]) -> dict[str, list[float]]:
    """Return the mixture's gains by the day of the week, and by how the draws were forecast."""
    found: dict[str, list[float]] = defaultdict(list)
    bases = {"registered": "forecast before they were held", "walk-forward": "replayed"}
    for score in scores:
        found[f"on a {WEEKDAY_NAMES[date.fromisoformat(score.day).weekday()]}"].append(score.mixture_gain)
        found[bases[score.basis]].append(score.mixture_gain)
    return dict(found)
