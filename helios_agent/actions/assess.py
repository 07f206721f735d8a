"""Assess: measure every signal of a game from journaled facts, and say what they mean."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from loguru import logger

from helios_agent.actions import decide, facts, goals, knowledge
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.actions.facts import Gathered
from helios_agent.clock import from_us
from helios_agent.config import Config
from helios_agent.decisions.policy import Policy
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import Game, game
from helios_agent.metacognition import gaps, measures, series, signals, strategy, verdict


async def run(context: Context, intent: Intent) -> Commit:
    rules, config = game(intent.target), context.config
    async with context.store.moment() as store:
        gathered = await facts.gather(store, config, rules, context.clock.now_us())
    payload = await asyncio.to_thread(judge, gathered, config, rules)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        assessed = tx.append("assessment.completed", payload, cause)
        goals.measure(tx, rules.name, payload["signals"], assessed.seq)
        knowledge.learn(tx, config, rules, payload["signals"], assessed.seq)
        return {"verdict": payload["verdict"]}

    logger.bind(action="assess", game=rules.name).info("{}", payload["verdict"])
    return commit


ACTION = Action("assess", CORE, run)


def limits_of(policy: Policy, factors: Mapping[str, float]) -> signals.Limits:
    """Return by which limits decisions are made: those of the policy, as decisions have changed them."""
    return signals.Limits(
        retrain_after_draws=policy.retrain_after_draws * factors.get("retrain_after_draws", 1.0),
        ingest_after_hours=policy.ingest_after_hours,
        backup_after_hours=policy.backup_after_hours,
        verify_after_hours=policy.verify_after_hours,
        compact_at=policy.compact_at,
        alarm_level=policy.alarm_level,
        budget_day_cpu_seconds=policy.cpu_seconds_per_day,
        budget_month_cpu_seconds=policy.cpu_seconds_per_month,
    )


def judge(gathered: Gathered, config: Config, rules: Game) -> dict[str, Any]:
    """Return what an assessment says of what was gathered."""
    seen, upkeep = gathered.facts, gathered.facts.upkeep
    policy = decide.policy(config, rules, from_us(seen.now_us))
    measured = signals.assess(seen)
    healthy = signals.healthy(limits_of(policy, gathered.factors))
    unhealthy = signals.unhealthy(measured, healthy)
    found = gaps.find(seen, gathered.seen, measured, policy.fewest_draws, policy.alarm_level)
    chosen = strategy.choose(
        measured,
        unhealthy,
        fewest_draws=policy.fewest_draws,
        alarm_level=policy.alarm_level,
        change_alarm_nats=policy.change_alarm_nats,
        alarmed_on=gathered.alarmed_on,
    )
    low, high = measured["skill_low"], measured["skill_high"]
    return {
        "game": rules.name,
        "era": gathered.era,
        "roles": {"champion": seen.networks.champion, "challenger": seen.networks.challenger},
        "as_of": {"seq": gathered.seq, "at_us": seen.now_us},
        "given": {
            "cpu_per_day": upkeep.budget_day_s,
            "cpu_per_month": upkeep.budget_month_s,
            "used_bytes": upkeep.used_bytes,
            "allowed_bytes": upkeep.allowed_bytes,
            "free_bytes": upkeep.free_bytes,
        },
        "signals": measured,
        "units": {signal.name: signal.unit for signal in signals.SIGNALS},
        "healthy": {name: list(bounds) for name, bounds in healthy.items()},
        "unhealthy": unhealthy,
        "verdict": verdict.of(
            rules.title, measured, policy.alarm_level, policy.change_alarm_nats, gathered.alarmed_on
        ),
        "confidence": measured["confidence"],
        "leader": measures.leader(seen.weights),
        "predicted_performance": {"mean": measured["skill"], "low": low, "high": high},
        "uncertainty": {
            "width": None if low is None or high is None else signals.rounded(high - low),
            "spread": measured["expert_disagreement"],
        },
        "knowledge_gaps": [asdict(gap) for gap in found],
        "strategy": asdict(chosen),
        "patterns": series.found_in(gathered.past),
    }
