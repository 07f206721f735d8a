"""Decide: weigh what could be done next, ask for what was chosen, and keep the whole reckoning."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from loguru import logger

from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.clock import SECOND_US, from_us
from helios_agent.config import Config
from helios_agent.decisions import engine
from helios_agent.errors import Refused
from helios_agent.forecasting import detection
from helios_agent.journal import intents
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import Game, game

HOUR_S = 3600
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
        signals = json.loads(assessed[0]["payload"])["signals"]
        decision = engine.decide(
            rules.name,
            signals,
            policy(context.config, rules, from_us(tx.now_us())),
            _hours_since(tx),
            _under_way(tx),
        )
        payload = {
            "game": rules.name,
            "assessment": assessed[0]["seq"],
            "candidates": [candidate.as_record() for candidate in decision.candidates],
            "rationale": decision.rationale,
        }
        event = tx.append("decision.made", payload, cause)
        for candidate in decision.chosen:
            args = {"reason": candidate.reason} if candidate.action == "alert" else {}
            intents.request(tx, candidate.action, candidate.target, args, event.seq)
        logger.bind(action="decide", game=rules.name).info("{}", decision.rationale)
        return {"decision": event.seq, "rationale": decision.rationale}

    return commit


ACTION = Action("decide", CORE, run)


def policy(config: Config, rules: Game, now: datetime) -> engine.Policy:
    """Return the configured limits as the engine's policy for a game."""
    settings = config.decisions
    draws_per_year = len(rules.weekdays_at(now.date())) * DAYS_PER_YEAR / DAYS_PER_WEEK
    return engine.Policy(
        retrain_after_draws=settings.retrain_after_draws,
        backup_after_hours=settings.backup_after / HOUR_S,
        alarm_level=settings.alarm_level,
        change_alarm_nats=detection.threshold_nats(settings.change_alarm_years, draws_per_year),
        cooldown_hours=settings.cooldown / HOUR_S,
        fewest_draws=config.learning.draws_needed,
        autonomy={str(action): level for action, level in settings.autonomy.items()},
    )


def _hours_since(tx: Transaction) -> dict[tuple[str, str], float]:
    """Return how long ago each (action, target) was last asked for by a decision."""
    rows = tx.rows(
        "SELECT i.action, i.target, max(i.created_us) AS last_us FROM intent i"
        " JOIN event made ON made.seq = i.seq JOIN event why ON why.seq = made.cause"
        " WHERE why.kind = 'decision.made' GROUP BY i.action, i.target"
    )
    now_us = tx.now_us()
    return {(r["action"], r["target"]): (now_us - r["last_us"]) / SECOND_US / HOUR_S for r in rows}


def _under_way(tx: Transaction) -> frozenset[tuple[str, str]]:
    rows = tx.rows(
        "SELECT action, target FROM intent WHERE state IN ('proposed', 'ready', 'running', 'paused')"
    )
    return frozenset((row["action"], row["target"]) for row in rows)
