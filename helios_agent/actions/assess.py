"""Assess: measure every signal of a game from journaled facts."""

from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions import goals, history, knowledge
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.clock import from_us, to_us
from helios_agent.forecasting import mixture
from helios_agent.journal import draws, events, forecasts, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Game, game
from helios_agent.metacognition import signals
from helios_agent.metacognition.signals import Facts


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)
    measured = signals.assess(await facts(context, rules))
    verdict = signals.verdict(rules.title, measured, context.config.decisions.alarm_level)
    units = {signal.name: signal.unit for signal in signals.SIGNALS}

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        payload = {"game": rules.name, "signals": measured, "units": units, "verdict": verdict}
        assessed = tx.append("assessment.completed", payload, cause)
        goals.measure(tx, rules.name, measured, assessed.seq)
        knowledge.learn(tx, context.config, rules, measured, assessed.seq)
        return {"verdict": verdict}

    logger.bind(action="assess", game=rules.name).info("{}", verdict)
    return commit


ACTION = Action("assess", CORE, run)


async def facts(context: Context, rules: Game) -> Facts:
    """Gather what the journal's tables say about a game now."""
    store, now_us = context.store, context.clock.now_us()
    newest = await draws.newest(store, rules.name, 1)
    era = rules.era_at(newest[0].draw.day if newest else from_us(now_us).date())
    known = await history.of_era(store, rules, era)
    scores = await forecasts.scores(store, rules.name, era.name)
    ledger = await history.ledger_of(store, rules, era)
    trained = await models.active(store, rules.name, era.name)
    challenger = models.in_role(trained, "challenger")
    missing = await history.missing_days(store, rules, from_us(now_us))
    backup = await events.latest(store, "backup.completed") or await events.oldest(store)
    feeds = await draws.feeds(store, rules.name)
    return Facts(
        now_us=now_us,
        white_count=era.white,
        pick=era.pick,
        gains=[s.mixture_gain for s in scores],
        registered_gains=[s.mixture_gain for s in scores if s.basis == "registered"],
        peak_nats=ledger.peak_nats,
        weights=mixture.effective(mixture.posterior(ledger.standings), ledger.shares),
        standings=ledger.standings,
        detector=ledger.detector,
        trial=ledger.trial if ledger.trial and ledger.trial.challenger == challenger else None,
        draws=len(known.days),
        draws_trained_on=max((model.draws for model in trained), default=None),
        missing_since_us=tuple(to_us(calendar.draw_instant(rules, day)) for day in missing),
        feed_read_us=max((f["read_us"] for f in feeds.values() if f["read_us"] is not None), default=None),
        open_incidents=len(await draws.open_incidents(store)),
        backup_us=backup.at_us if backup else now_us,
    )
