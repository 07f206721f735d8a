"""Decide: weigh what could be done next, ask for what was chosen, and keep the whole reckoning.

Before that it is judged what came of earlier choices, as far as that can be told by now: this decision learns
from it.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from loguru import logger

from helios_agent.actions import knowledge, outcomes
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.clock import SECOND_US, from_us
from helios_agent.config import Config
from helios_agent.decisions import engine
from helios_agent.decisions import situation as situations
from helios_agent.decisions.catalogue import CATALOGUE
from helios_agent.decisions.engine import Candidate
from helios_agent.decisions.policy import Policy, QuietHours
from helios_agent.decisions.situation import Belief, OpenGoal, Situation
from helios_agent.errors import Refused
from helios_agent.forecasting import detection
from helios_agent.journal import choices, goals, intents, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import Game, game
from helios_agent.metacognition import knowledge as learned

HOUR_S = 3600
HOUR_US = HOUR_S * SECOND_US
DAY_US, MONTH_US = 24 * HOUR_US, 30 * 24 * HOUR_US
DAYS_PER_WEEK, DAYS_PER_YEAR = 7, 365.25


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        assessed = tx.rows(
            "SELECT seq, payload FROM event WHERE kind = 'assessment.completed' AND payload->>'game' = ?"
            " ORDER BY seq DESC LIMIT 1",
            (rules.name,),
        )
        if not assessed:
            raise Refused(f"{rules.title} has not been assessed yet, so there is nothing to decide from.")
        limits = policy(context.config, rules, from_us(tx.now_us()))
        outcomes.measure(tx, rules, limits, cause)
        signals = json.loads(assessed[0]["payload"])["signals"]
        seed = _seed(context.config.learning.seed, rules.name, assessed[0]["seq"])
        found, used = _informed(tx, situation(tx, rules, signals, seed), limits)
        inputs = found.to_record()
        it = Situation.from_record(inputs)  # as it is journaled: so it can be decided again
        decision = engine.decide(it, limits)
        digest = _keep(tx, limits, cause)
        payload = {
            "game": rules.name,
            "assessment": assessed[0]["seq"],
            "policy": digest,
            "inputs": inputs,
            "context": decision.context,
            "candidates": [candidate.as_record() for candidate in decision.candidates],
            "rationale": decision.rationale,
            "without": list(decision.without),
            "knowledge": used,
        }
        event = tx.append("decision.made", payload, cause)
        for candidate in decision.chosen:
            _ask_for(tx, rules, candidate, decision.context, event.seq)
        logger.bind(action="decide", game=rules.name).info("{}", decision.rationale)
        return {"decision": event.seq, "rationale": decision.rationale}

    return commit


ACTION = Action("decide", CORE, run)


def policy(config: Config, rules: Game, now: datetime) -> Policy:
    """Return the configured policy as the engine takes it, for a game."""
    settings = config.decisions
    draws_per_year = len(rules.weekdays_at(now.date())) * DAYS_PER_YEAR / DAYS_PER_WEEK
    quiet = settings.quiet_hours
    return Policy(
        retrain_after_draws=settings.retrain_after_draws,
        tune_after_draws=settings.tune_after_draws,
        backtest_after_draws=settings.backtest_after_draws,
        evaluation_draws=settings.evaluation_draws,
        ingest_after_hours=settings.ingest_after / HOUR_S,
        backup_after_hours=settings.backup_after / HOUR_S,
        verify_after_hours=settings.verify_after / HOUR_S,
        compact_at=settings.compact_at,
        alarm_level=settings.alarm_level,
        change_alarm_nats=detection.threshold_nats(settings.change_alarm_years, draws_per_year),
        fewest_draws=config.learning.draws_needed,
        cooldown_hours=settings.cooldown / HOUR_S,
        cpu_seconds_per_day=settings.budget.cpu_per_day,
        cpu_seconds_per_month=settings.budget.cpu_per_month,
        cpu_price=settings.cpu_price,
        disk_price=settings.disk_price,
        approval_hours=settings.approval / HOUR_S,
        autonomy={str(action): level for action, level in settings.autonomy.items()},
        cooldowns_hours={str(action): limit / HOUR_S for action, limit in settings.cooldowns.items()},
        quiet_hours=QuietHours(quiet.start, quiet.end, quiet.timezone) if quiet else None,
    )


def situation(tx: Transaction, rules: Game, signals: Mapping[str, float | None], seed: int) -> Situation:
    """Return a game as it stands in this transaction."""
    now_us, name = tx.now_us(), rules.name
    champion, challenger = (models.holder(tx, name, role) for role in ("champion", "challenger"))
    beliefs = {key: Belief(float(w), float(lost)) for key, (w, lost) in choices.outcomes(tx, name).items()}
    found = {
        spec.name: cost
        for spec in CATALOGUE.values()
        if (cost := choices.usual_cost(tx, spec.name, spec.intent, name)) is not None
    }
    return Situation(
        game=name,
        now_us=now_us,
        seed=seed,
        signals=signals,
        champion=champion.forecaster if champion else None,
        challenger=challenger.forecaster if challenger else None,
        hours_since={key: (now_us - at_us) / HOUR_US for key, at_us in choices.last_us(tx).items()},
        under_way=_under_way(tx),
        beliefs=beliefs,
        costs=found,
        spent_day=choices.spent_since(tx, now_us - DAY_US),
        spent_month=choices.spent_since(tx, now_us - MONTH_US),
    )


def _informed(tx: Transaction, it: Situation, limits: Policy) -> tuple[Situation, list[str]]:
    """Return a situation with its open goals and what other games teach, and the fragments that say so."""
    context = situations.context(it.signals, limits)
    fragments = knowledge.for_decision(tx, it.game, context, CATALOGUE)
    lent, costs = {}, dict(it.costs)
    used: set[str] = set()
    for spec in CATALOGUE.values():
        prior = learned.priors(fragments, it.game, spec.name, context)
        if spec.prior is not None and prior.used:
            lent[spec.name, context] = Belief(prior.wins, prior.losses)
            used.update(prior.used)
        cost = learned.costs(fragments, it.game, spec.name)
        if spec.name not in costs and cost.cpu_seconds is not None:
            costs[spec.name] = cost.cpu_seconds
            used.update(cost.used)
    wanted = tuple(
        OpenGoal(goal.id, goal.metric, goal.priority)
        for goal in goals.every(tx)
        if (goal.game, goal.state) == (it.game, "open")
    )
    return replace(it, lent=lent, costs=costs, goals=wanted), sorted(used)


def _seed(seed: int, name: str, assessment: int) -> int:
    text = f"{seed}:{name}:{assessment}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


def _under_way(tx: Transaction) -> frozenset[tuple[str, str]]:
    rows = tx.rows(
        "SELECT action, target FROM intent WHERE state IN ('proposed', 'ready', 'running', 'paused')"
    )
    return frozenset((row["action"], row["target"]) for row in rows)


def _keep(tx: Transaction, limits: Policy, cause: int) -> str:
    """Journal a policy unless it is the last one of which that was done; return its digest."""
    digest = limits.digest()
    last = tx.rows(
        "SELECT payload->>'digest' AS digest FROM event WHERE kind = 'policy.set' ORDER BY seq DESC LIMIT 1"
    )
    if not last or last[0]["digest"] != digest:
        tx.append("policy.set", {"digest": digest, "policy": limits.to_record()}, cause)
    return digest


def _ask_for(tx: Transaction, rules: Game, candidate: Candidate, context: str, decision: int) -> None:
    """Ask for what was chosen, and remember that it was."""
    action, args = CATALOGUE[candidate.action].intent, dict(candidate.args)
    intent_id = intents.request(tx, action, candidate.target, args, decision)
    tx.append(
        "choice.made",
        {
            "id": intent_id,
            "decision": decision,
            "game": rules.name,
            "action": candidate.action,
            "target": candidate.target,
            "context": context,
            "urgency": round(candidate.urgency or 0.0, 6),
            "price": round(candidate.price, 6),
        },
        decision,
    )
