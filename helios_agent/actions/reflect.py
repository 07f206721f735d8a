"""Reflect: tell what happened to a game since the last reflection, from the record alone."""

from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions import side_by_side
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.clock import SECOND_US, iso
from helios_agent.forecasting import mixture
from helios_agent.forecasting.ledger import Ledger
from helios_agent.journal import events, forecasts, models, reflections
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.journal.reflections import Span
from helios_agent.lottery.games import Game, game
from helios_agent.metacognition import analytics, reflection
from helios_agent.store import Reader

DAY_US = 86_400 * SECOND_US


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)
    made = await record(context.store, rules, context.clock.now_us())
    text = reflection.text(rules.title, made)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        event = tx.append("reflection.completed", {**made, "text": text}, cause)
        return {"reflection": event.seq, "text": text}

    logger.bind(action="reflect", game=rules.name).info("{}", text)
    return commit


ACTION = Action("reflect", CORE, run)


async def record(store: Reader, rules: Game, now_us: int) -> dict[str, Any]:
    """Return what happened to a game since its last reflection, or since the journal began."""
    last = await reflections.newest(store, rules.name, 1)
    head = await events.head(store)
    if last:
        since = dict(last[0].payload["to"])
    else:
        oldest = await events.oldest(store)
        since = {"seq": 0, "at": iso(oldest.at_us if oldest else now_us)}
    span = Span(rules.name, since["seq"], head.seq)
    trained = await side_by_side.facts(store, await reflections.trained(store, span))
    alarms = await reflections.alarms(store, span)
    by_action = await reflections.spent(store, span)
    evidence, leader = await _standing(store, span)
    return {
        "game": rules.name,
        "from": since,
        "to": {"seq": head.seq, "at": iso(now_us)},
        "draws": await reflections.scored(store, span),
        "evidence": evidence,
        "alarms": alarms,
        "leader": leader,
        "trained": [analytics.record(each) for each in trained],
        "trainings_failed": await reflections.failed_trainings(store, span),
        "roles": await reflections.role_changes(store, span),
        "trends": await _trends(store, rules),
        "patterns": await reflections.patterns(store, span),
        "learned": await reflections.learned(store, span),
        "decisions": await reflections.decisions(store, span),
        "compute": {
            "cpu_seconds": sum(by_action.values()),
            "by_action": by_action,
            "since_alarm": await _since_alarm(store, rules, span, now_us),
        },
    }


async def _standing(store: Reader, span: Span) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the evidence before and after the span, and who has the largest weight for the next draw."""
    rows = await store.rows("SELECT era FROM score WHERE game = ? ORDER BY day DESC LIMIT 1", (span.game,))
    if not rows:
        return {"before_nats": None, "now_nats": None, "peak_nats": None}, None
    era = str(rows[0]["era"])
    scores = [score for score in await forecasts.scores(store, span.game, era) if score.seq <= span.upto]
    before = [score.mixture_nats for score in scores if score.seq <= span.after]
    state = await forecasts.ledger(store, span.game, era)
    if not scores or state is None:
        return {"before_nats": None, "now_nats": None, "peak_nats": None}, None
    evidence = {
        "before_nats": before[-1] if before else None,
        "now_nats": scores[-1].mixture_nats,
        "peak_nats": scores[-1].peak_nats,
    }
    ledger = Ledger.from_record(state.record)
    weights = mixture.effective(ledger.weights(), ledger.shares)
    weights.pop(mixture.RESERVE, None)

    async def account(names: list[str]) -> dict[str, Any] | None:
        if not names:
            return None
        name = max(names, key=lambda each: (weights[each], each))
        told = await reflections.account_since(store, span, era, name)
        return {"forecaster": name, "weight": weights[name], **told}

    first = await account([*weights])
    best = await account([name for name in weights if name != mixture.UNIFORM])
    return evidence, {"first": first, "best": best} if first else None


async def _trends(store: Reader, rules: Game) -> list[dict[str, Any]]:
    """Return the trends from each model of the newest rules to the next; without the values."""
    found = await models.of_game(store, rules.name)
    newest = [model for model in found if model.era == found[-1].era]
    records = [analytics.record(each) for each in await side_by_side.facts(store, newest)]
    trends = analytics.trends(records, [*analytics.METRICS.values()])
    return [
        {name: trend[name] for name in ("metric", "unit", "models", "tau", "p", "clear")} for trend in trends
    ]


async def _since_alarm(store: Reader, rules: Game, span: Span, now_us: int) -> dict[str, Any] | None:
    """Return what jobs took since the first alarm under the newest rules, and in as long before it."""
    era = await side_by_side.newest_era(store, rules)
    ever = await reflections.alarms(store, Span(rules.name, 0, span.upto))
    first = next((alarm for alarm in ever if era is not None and alarm["at"] >= era), None)
    if first is None:
        return None
    at_us = events.instant_us("at", first["at"]) or 0
    return {
        "at": first["at"],
        "days": (now_us - at_us) / DAY_US,
        "cpu_seconds": await reflections.spent_between(store, rules.name, at_us, now_us + 1),
        "before": await reflections.spent_between(store, rules.name, 2 * at_us - now_us, at_us),
    }
