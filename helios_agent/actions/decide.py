"""Decide: weigh what could be done next, ask for what was chosen, and keep the whole reckoning.

Before that it is judged what came of earlier choices, as far as that can be told by now: this decision learns
from it.
"""

import hashlib
from collections.abc import Mapping, Sequence
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
from helios_agent.decisions.catalogue import CATALOGUE, patience_hours
from helios_agent.decisions.engine import Candidate, Decision
from helios_agent.decisions.policy import Policy, QuietHours
from helios_agent.decisions.situation import Belief, OpenGoal, Situation
from helios_agent.errors import Refused
from helios_agent.forecasting import detection
from helios_agent.journal import assessments, autonomy, choices, goals, intents, models, parameters, spending
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import Game, game
from helios_agent.metacognition import knowledge as learned
from helios_agent.metacognition.knowledge import Fragment

HOUR_S = 3600
HOUR_US = HOUR_S * SECOND_US
DAY_US, MONTH_US = 24 * HOUR_US, 30 * 24 * HOUR_US
REMEMBERED_US = round(situations.REMEMBERED_HOURS * HOUR_US)
DAYS_PER_WEEK, DAYS_PER_YEAR = 7, 365.25


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        assessed = assessments.last(tx, rules.name)
        if assessed is None:
            raise Refused(f"{rules.title} has not been assessed yet, so there is nothing to decide from.")
        if _is_decided(tx, rules, assessed.seq):  # what has been done since does not show in it
            intents.request(tx, "assess", rules.name, {}, cause)
            told = "All was decided that follows from the last assessment: another one was asked for."
            return {"decision": None, "rationale": told}
        limits = policy(context.config, rules, from_us(tx.now_us()))
        on_trial = outcomes.measure(tx, rules, limits, cause)
        measured = assessed.payload["signals"]
        seed = _seed(context.config.learning.seed, rules.name, measured)
        stands = situation(tx, rules, assessed.payload, seed, on_trial)
        state = situations.context(stands, limits)
        fragments = knowledge.for_decision(tx, rules.name, state, CATALOGUE)
        found, used = _informed(tx, stands, fragments, state)
        inputs = found.to_record()
        it = Situation.from_record(inputs)  # as it is journaled: so it can be decided again
        decision = engine.decide(it, limits)
        digest = _keep(tx, limits, cause)
        payload = {
            "game": rules.name,
            "assessment": assessed.seq,
            "policy": digest,
            "inputs": inputs,
            "context": decision.context,
            "candidates": [candidate.as_record() for candidate in decision.candidates],
            "rationale": decision.rationale,
            "without": list(decision.without),
            "knowledge": sorted(used | _borne_out(it, decision, fragments, limits)),
        }
        event = tx.append("decision.made", payload, cause)
        for candidate in decision.chosen:
            _ask_for(tx, it, candidate, decision.context, event.seq, limits)
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
        fewest_draws_to_search=config.learning.draws_needed_to_search,
        autonomy={str(action): level for action, level in settings.autonomy.items()},
        cooldowns_hours={str(action): limit / HOUR_S for action, limit in settings.cooldowns.items()},
        quiet_hours=QuietHours(quiet.start, quiet.end, quiet.timezone) if quiet else None,
    )


def _is_decided(tx: Transaction, rules: Game, assessment: int) -> bool:
    last = tx.rows(
        "SELECT payload->>'assessment' AS assessment FROM event"
        " WHERE kind = 'decision.made' AND payload->>'game' = ? ORDER BY seq DESC LIMIT 1",
        (rules.name,),
    )
    return bool(last) and last[0]["assessment"] == assessment


def situation(
    tx: Transaction, rules: Game, assessed: Mapping[str, Any], seed: int, on_trial: int | None
) -> Situation:
    """Return a game as it stands in this transaction. `assessed` is what its latest assessment said."""
    now_us, name = tx.now_us(), rules.name
    holders = {role: models.holder(tx, name, role) for role in ("champion", "challenger")}
    champion = holders["champion"]
    roles = {role: holder.forecaster if holder else None for role, holder in holders.items()}
    era = assessed.get("era")
    beliefs = {key: Belief(float(w), float(lost)) for key, (w, lost) in choices.outcomes(tx, name).items()}
    found = {
        spec.name: cost
        for spec in CATALOGUE.values()
        if (cost := choices.usual_cost(tx, spec.name, spec.intent, name)) is not None
    }
    under_way = [_expected_cost(tx, action, of) for action, of in choices.not_over(tx)]
    return Situation(
        game=name,
        now_us=now_us,
        seed=seed,
        signals=_of_these(assessed["signals"], assessed.get("roles", roles), roles),
        era=era,
        champion=roles["champion"],
        challenger=roles["challenger"],
        can_roll_back=champion is None or models.can_give_way(tx, champion),
        on_trial=on_trial,
        hours_since={
            key: (now_us - at_us) / HOUR_US
            for key, at_us in choices.last_us(tx, now_us - REMEMBERED_US).items()
        },
        alerted=choices.alerted(tx, name, era),
        under_way=_under_way(tx),
        beliefs=beliefs,
        costs=found,
        spent_day=spending.since(tx, now_us - DAY_US) + sum(under_way),
        spent_month=spending.since(tx, now_us - MONTH_US) + sum(under_way),
        factors=parameters.factors(tx, name),
        is_on=autonomy.is_on(tx),
    )


def _of_these(
    signals: Mapping[str, float | None], then: Mapping[str, str | None], now: Mapping[str, str | None]
) -> Mapping[str, float | None]:
    """Return the signals, without those about a champion or challenger that is no longer what it was then."""
    changed = tuple(role for role in now if then[role] != now[role])
    if changed:
        changed = (*changed, "challenger")  # which is measured against the champion
    return {name: None if name.startswith(changed) else value for name, value in signals.items()}


def _expected_cost(tx: Transaction, action: str, game_name: str) -> float:
    spec = CATALOGUE[action]
    cost = choices.usual_cost(tx, action, spec.intent, game_name)
    return spec.cpu_seconds if cost is None else cost


def _informed(
    tx: Transaction, it: Situation, fragments: Sequence[Fragment], context: str
) -> tuple[Situation, set[str]]:
    """Return a situation with its open goals and what was learned, and the fragments that are in it."""
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
        OpenGoal(goal.id, goal.metric, goal.priority, goal.direction)
        for goal in goals.every(tx)
        if (goal.game, goal.state) == (it.game, "open")
    )
    hours = learned.telling(fragments, it.game).hours
    return replace(it, lent=lent, costs=costs, told_within_hours=hours, goals=wanted), used


def _borne_out(it: Situation, decision: Decision, fragments: Sequence[Fragment], limits: Policy) -> set[str]:
    """Return the fragments of the game itself that told in a decision.

    Of a feed's delay where it was the limit of a draw that was missing; of an effect where the bet was due,
    for then what came of it earlier decided whether it was made; of a cost where it was weighed, by what was
    measured of the same jobs.
    """
    used: set[str] = set()
    for candidate in decision.candidates:
        if candidate.action == engine.WAIT:
            continue
        if candidate.action in it.costs:
            used.update(learned.own(fragments, it.game, "cost", candidate.action))
        if CATALOGUE[candidate.action].prior is not None and (candidate.urgency or 0.0) >= 1.0:
            used.update(learned.own(fragments, it.game, "effect", f"{candidate.action}/{decision.context}"))
    if it.signals.get("draw_overdue") and patience_hours(it, limits) == it.told_within_hours:
        used.update(learned.telling(fragments, it.game).used)
    return used


def _seed(seed: int, name: str, signals: Mapping[str, float | None]) -> int:
    """Return what chance begins from: the same until the next draw, however often it is decided till then."""
    text = f"{seed}:{name}:{signals.get('draws_known')}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6])


def _under_way(tx: Transaction) -> frozenset[tuple[str, str]]:
    rows = tx.rows(
        "SELECT action, target FROM intent WHERE state IN ('proposed', 'ready', 'running', 'paused')"
    )
    return frozenset((row["action"], row["target"]) for row in rows)


def _keep(tx: Transaction, limits: Policy, cause: int) -> str:
    """Journal a policy unless that was done already; return its digest."""
    digest = limits.digest()
    known = "SELECT 1 FROM event WHERE kind = 'policy.set' AND payload->>'digest' = ?"
    if not tx.rows(known, (digest,)):
        tx.append("policy.set", {"digest": digest, "policy": limits.to_record()}, cause)
    return digest


def _ask_for(
    tx: Transaction, it: Situation, candidate: Candidate, context: str, decision: int, limits: Policy
) -> None:
    """Ask for what was chosen, or propose it, and remember that it was chosen."""
    what = CATALOGUE[candidate.action].intent, candidate.target, dict(candidate.args), decision
    if candidate.proposed:
        expires_us = tx.now_us() + round(limits.approval_hours * HOUR_US)
        intent_id = intents.propose(tx, *what, expires_us=expires_us, reason=candidate.reason)
    else:
        intent_id = intents.request(tx, *what)
    tx.append(
        "choice.made",
        {
            "id": intent_id,
            "decision": decision,
            "game": it.game,
            "action": candidate.action,
            "target": candidate.target,
            "context": context,
            "urgency": round(candidate.urgency or 0.0, 6),
            "price": round(candidate.price, 6),
            "era": it.era,
            "champion": it.champion,
            "peak_nats": it.signals.get("evidence_peak"),
        },
        decision,
    )
