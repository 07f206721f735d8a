"""Everything that a decision can choose: what makes it due, what it needs, and how it is paid for.

Pure: a situation and a policy in, options out. A *duty* is worth doing whenever it is due. A *bet* may help
or not: how often it did, in the same context, decides how soon it is made again.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from helios_agent.decisions import situation as situations
from helios_agent.decisions.policy import Policy
from helios_agent.decisions.situation import ALARMED, QUIET, SUSPICIOUS, Belief, Situation
from helios_agent.forecasting import comparison, detection

HEAT = {QUIET: 1.0, SUSPICIOUS: 2.0, ALARMED: 4.0}
"""How many times more pressing learning is in each context."""
FAILURES = 3
"""So many trainings that failed in a row are a matter for a person."""
LEAST_FACTOR, MOST_FACTOR = 1 / 16, 8.0
RESTORED_AFTER_HOURS = 90 * 24.0
"""After so long without a failure a learning rate that was lowered is raised again."""
JUDGED = 6
"""Measured trainings from which on it is said whether they help …"""
UNDECIDED = 12
"""… and from which on that it cannot be said."""
USELESS = 0.25
"""Share of trainings that helped, below which the next is put off."""
WEIGHTS = {"low": 0.1, "medium": 0.25, "high": 0.5, "critical": 1.0}
"""How much more pressing a goal makes what serves it, by its priority."""

TRAINING = ("train", "train-warm")
GIB = 1024**3
MODEL_GIB = 8e6 / GIB
"""A trained network on disk."""


@dataclass(frozen=True)
class Option:
    """One thing that could be done now. An urgency of 1 is at the limit; None: a signal is unknown."""

    target: str
    urgency: float | None
    reason: str
    blocked: str | None = None
    unknown: tuple[str, ...] = ()
    args: dict[str, Any] = field(default_factory=dict)


Offer = Callable[[Situation, Policy], Iterable[Option]]


@dataclass(frozen=True)
class Spec:
    """An action as decisions know it.

    `intent` is the action that is asked for, with `args` besides an option's own. Of each `group` one at
    most is chosen in a decision, and its cooldown is common. `prior`: wins and losses that a bet is credited
    with before anything was measured; None for a duty. `cpu_seconds`, `disk_gib`: what it is taken to cost
    before that was measured. `serves`: signals that it moves.
    """

    name: str
    kind: str
    offer: Offer
    intent: str
    group: str
    args: dict[str, Any] = field(default_factory=dict)
    prior: Belief | None = None
    cpu_seconds: float = 0.0
    disk_gib: float = 0.0
    long: bool = False
    serves: tuple[str, ...] = ()
    tells: bool = False
    """Whether all it does is tell a person: then no switch stops it."""


def _ratio(value: float | None, limit: float) -> float | None:
    return None if value is None else value / limit


def _hours_since(it: Situation, action: str, target: str) -> float:
    return it.hours_since.get((action, target), float("inf"))


def _alert(it: Situation, policy: Policy) -> Iterable[Option]:
    alarm, peak = situations.alarm_nats(policy), it.signals.get("evidence_peak")
    yield Option(
        f"{it.game}/evidence",
        _ratio(peak, alarm),
        f"the evidence against fairness reached {peak or 0.0:.2f} nats; the alarm is at {alarm:.2f}",
        unknown=() if peak is not None else ("evidence_peak",),
    )
    change, clearest = it.signals.get("change"), it.signals.get("change_clearest")
    yield Option(
        change_of(it.game),
        situations.change_alarm(it.signals, policy),
        f"the evidence that the machine has changed, most likely {it.signals.get('change_age') or 0.0:.0f} "
        f"draws ago, is {change or 0.0:.2f} nats, {clearest or 0.0:.2f} for that moment; the alarm is at "
        f"{policy.change_alarm_nats:.2f} and {detection.CLEAR_NATS:g}",
    )


def change_of(game: str) -> str:
    """Return what an alert is about that tells of a change of a game's machine."""
    return f"{game}/change"


def _ask(it: Situation, policy: Policy) -> Iterable[Option]:
    overdue, patience = it.signals.get("draw_overdue"), FAILURES * policy.ingest_after_hours
    yield Option(
        f"{it.game}/feeds",
        _ratio(overdue, patience),
        f"a draw has been missing for {overdue or 0.0:.1f} h, and asking the feeds again has not helped; a "
        f"person is asked after {patience:g} h",
        unknown=() if overdue is not None else ("draw_overdue",),
    )
    failed = it.signals.get("failed_trainings")
    yield Option(
        f"{it.game}/training",
        _ratio(failed, FAILURES),
        f"trainings that failed in a row: {failed or 0.0:.0f}; a person is asked after {FAILURES}",
        unknown=() if failed is not None else ("failed_trainings",),
    )
    used = it.signals.get("storage_used")
    yield Option(
        "journal/storage",
        used,
        f"the database uses {used or 0.0:.0%} of what it may",
        unknown=() if used is not None else ("storage_used",),
    )


def _train(it: Situation, policy: Policy) -> Iterable[Option]:
    stale, known = it.signals.get("staleness"), it.signals.get("draws_known")
    limit = policy.retrain_after_draws * it.factor("retrain_after_draws")
    failed, blocked = it.signals.get("failed_trainings") or 0.0, None
    if known is not None and known < policy.fewest_draws:
        blocked = f"this era has too few draws to train on: {known:.0f} of {policy.fewest_draws}"
    elif failed >= FAILURES:
        blocked = f"the last {failed:.0f} trainings failed, and a person was asked"
    yield Option(
        it.game,
        _heated(it, policy, _ratio(stale, limit)),
        f"draws that the newest network has not seen: {stale or 0.0:.0f}; the limit is {limit:g}",
        blocked,
        unknown=() if stale is not None else ("staleness",),
    )


def _train_warm(it: Situation, policy: Policy) -> Iterable[Option]:
    return _train(it, policy) if _has_network(it) else ()


def _has_network(it: Situation) -> bool:
    return it.champion is not None or it.challenger is not None


def _heated(it: Situation, policy: Policy, urgency: float | None) -> float | None:
    return None if urgency is None else urgency * HEAT[situations.context(it.signals, policy)]


def _tune(it: Situation, policy: Policy) -> Iterable[Option]:
    yield from _since(it, policy, "draws_since_search", policy.tune_after_draws, "search")


def _backtest(it: Situation, policy: Policy) -> Iterable[Option]:
    yield from _since(it, policy, "draws_since_backtest", policy.backtest_after_draws, "backtest")


def _since(it: Situation, policy: Policy, signal: str, limit: int, what: str) -> Iterable[Option]:
    since = it.signals.get(signal)
    yield Option(
        it.game,
        _heated(it, policy, _ratio(since, limit)),
        f"draws since the last {what}: {since or 0.0:.0f}; the limit is {limit}",
        None if _has_network(it) else "there is no network yet",
        unknown=() if since is not None else (signal,),
    )


def _ingest(it: Situation, policy: Policy) -> Iterable[Option]:
    overdue = it.signals.get("draw_overdue")
    yield Option(
        it.game,
        _ratio(overdue, policy.ingest_after_hours),
        f"a draw has been missing for {overdue or 0.0:.1f} h; the feeds are asked after "
        f"{policy.ingest_after_hours:g} h",
        unknown=() if overdue is not None else ("draw_overdue",),
    )


def _promote(it: Situation, policy: Policy) -> Iterable[Option]:
    if it.challenger is None:
        return
    better, trial = it.signals.get("challenger"), max(1, int(it.signals.get("challenger_trial") or 1))
    needed = -math.log(comparison.promotion_alpha(trial, policy.alarm_level))
    yield Option(
        it.game,
        _ratio(better or 0.0, needed),
        f"the evidence that the newest network is better than the champion reached {better or 0.0:.2f} nats; "
        f"this trial needs {needed:.2f}",
    )


def _rollback(it: Situation, policy: Policy) -> Iterable[Option]:
    if it.champion is not None:
        yield _lost(it, policy, it.champion, "champion")


def _retire(it: Situation, policy: Policy) -> Iterable[Option]:
    if it.challenger is not None:
        yield _lost(it, policy, it.challenger, "challenger")


def _lost(it: Situation, policy: Policy, model: str, role: str) -> Option:
    """Offer to part with a model that loses to chance: the loss is the log of an e-process for chance."""
    loss, limit = it.signals.get(f"{role}_loss"), situations.alarm_nats(policy)
    return Option(
        f"{it.game}/{model}",
        _ratio(loss or 0.0, limit),
        f"the {role} has lost {loss or 0.0:.2f} nats to chance; the limit is {limit:.2f}",
    )


def _adjust(it: Situation, policy: Policy) -> Iterable[Option]:
    yield from _learning_rate(it)
    yield from _cadence(it, policy)
    yield from _evaluation(it, policy)


def _learning_rate(it: Situation) -> Iterable[Option]:
    name = "learning_rate"
    target, factor = f"{it.game}/{name}", it.factor(name)
    failed = it.signals.get("failed_trainings")
    if factor > LEAST_FACTOR:
        reason = f"trainings that failed in a row: {failed or 0.0:.0f}; a smaller learning rate may do better"
        yield Option(
            target, failed, reason, None, () if failed is not None else ("failed_trainings",),
            _factor(factor / 2, reason),
        )  # fmt: skip
    if factor < 1.0 and failed == 0.0:
        hours = _hours_since(it, "adjust", target)
        reason = f"no training failed since the learning rate was lowered, {hours / 24:.0f} days ago"
        yield Option(target, hours / RESTORED_AFTER_HOURS, reason, args=_factor(factor * 2, reason))


def _cadence(it: Situation, policy: Policy) -> Iterable[Option]:
    name = "retrain_after_draws"
    target, factor = f"{it.game}/{name}", it.factor(name)
    context, (wins, measured) = situations.context(it.signals, policy), _trainings(it, QUIET)
    if context == QUIET and factor < MOST_FACTOR and measured >= JUDGED:
        share = wins / measured
        reason = f"{wins:.0f} of {measured:.0f} trainings helped while nothing was suspected"
        yield Option(target, USELESS / max(share, USELESS / 4), reason, args=_factor(factor * 2, reason))
    if context != QUIET and factor > 1.0:
        reason = f"the game is {context}: what helped little while nothing was suspected may help now"
        yield Option(target, HEAT[context], reason, args=_factor(1.0, reason))


def _evaluation(it: Situation, policy: Policy) -> Iterable[Option]:
    name = "evaluation_draws"
    target, factor = f"{it.game}/{name}", it.factor(name)
    context, (wins, measured) = situations.context(it.signals, policy), _trainings(it, QUIET)
    if context == QUIET and factor < MOST_FACTOR and measured >= UNDECIDED * factor:
        undecided = 1.0 - abs(2.0 * wins / measured - 1.0)  # 1 where as many helped as did not
        reason = f"{wins:.0f} of {measured:.0f} trainings helped: too near to half to say whether they do"
        yield Option(target, undecided / 0.6, reason, args=_factor(factor * 2, reason))
    if context == ALARMED and factor > 1.0:
        reason = "the game is alarmed: what a network is worth must be known soon"
        yield Option(target, HEAT[context], reason, args=_factor(1.0, reason))


def _trainings(it: Situation, context: str) -> tuple[float, float]:
    """Return how many trainings of a context helped, and how many were measured."""
    found = [it.beliefs[key] for action in TRAINING if (key := (action, context)) in it.beliefs]
    wins = sum(belief.wins for belief in found)
    return wins, wins + sum(belief.losses for belief in found)


def _factor(factor: float, reason: str) -> dict[str, Any]:
    return {"factor": factor, "reason": reason}


def _backup(it: Situation, policy: Policy) -> Iterable[Option]:
    yield _old(it, "backup_age", policy.backup_after_hours, "backup")


def _verify(it: Situation, policy: Policy) -> Iterable[Option]:
    yield _old(it, "verification_age", policy.verify_after_hours, "verification of the journal")


def _old(it: Situation, signal: str, limit_hours: float, what: str) -> Option:
    age = it.signals.get(signal)
    return Option(
        "journal",
        _ratio(age, limit_hours),
        f"the last {what} is {age or 0.0:.1f} h old; the limit is {limit_hours:g} h",
        unknown=() if age is not None else (signal,),
    )


def _compact(it: Situation, policy: Policy) -> Iterable[Option]:
    used = it.signals.get("storage_used")
    yield Option(
        "journal",
        _ratio(used, policy.compact_at),
        f"the database uses {used or 0.0:.0%} of what it may; the limit is {policy.compact_at:.0%}",
        unknown=() if used is not None else ("storage_used",),
    )


EVEN = Belief(1.0, 1.0)
HOPEFUL = Belief(3.0, 1.0)
SKILL = ("skill", "evidence", "confidence", "challenger", "learning_progress")

CATALOGUE: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        Spec("alert", "notice", _alert, "alert", "alert", tells=True),
        Spec("ask", "notice", _ask, "ask", "ask", tells=True),
        Spec(
            "train", "training schedule", _train, "train", "training", prior=EVEN, cpu_seconds=20.0,
            disk_gib=MODEL_GIB, long=True, serves=(*SKILL, "staleness"),
        ),
        Spec(
            "train-warm", "training schedule", _train_warm, "train", "training", {"start": "newest"}, EVEN,
            cpu_seconds=10.0, disk_gib=MODEL_GIB, long=True, serves=(*SKILL, "staleness"),
        ),
        Spec(
            "tune", "training schedule", _tune, "tune", "training", prior=EVEN, cpu_seconds=900.0,
            disk_gib=MODEL_GIB, long=True, serves=(*SKILL, "draws_since_search"),
        ),
        Spec(
            "backtest", "evaluation trigger", _backtest, "backtest", "backtest", prior=EVEN,
            cpu_seconds=120.0, long=True, serves=("draws_since_backtest", "calibration_error"),
        ),
        Spec(
            "ingest", "evaluation trigger", _ingest, "ingest", "ingest", prior=HOPEFUL,
            serves=("draw_overdue", "missing_draws", "feed_silence"),
        ),
        Spec("promote", "promotion", _promote, "promote", "champion", serves=SKILL),
        Spec("rollback", "rollback", _rollback, "rollback", "champion", serves=SKILL),
        Spec("retire", "rollback", _retire, "retire", "champion"),
        Spec("adjust", "parameter adjustment", _adjust, "adjust", "adjust"),
        Spec("backup", "maintenance", _backup, "backup", "backup", serves=("backup_age",)),
        Spec("verify", "maintenance", _verify, "verify", "verify", serves=("verification_age",)),
        Spec("compact", "maintenance", _compact, "compact", "compact", serves=("storage_used",)),
    )
}  # fmt: skip
"""By name: those of config.model.Chosen."""
