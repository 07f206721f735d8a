"""Everything that a decision can choose: what makes it due, what it needs, and how it is paid for.

Pure: a situation and a policy in, options out. A *duty* is worth doing whenever it is due. A *bet* may help
or not: how often it did, in the same context, decides how soon it is made again.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from helios_agent import wording
from helios_agent.decisions import situation as situations
from helios_agent.decisions.policy import Policy
from helios_agent.decisions.situation import ALARMED, QUIET, SUSPICIOUS, Belief, Situation
from helios_agent.forecasting import comparison, detection

HEAT = {QUIET: 1.0, SUSPICIOUS: 2.0, ALARMED: 4.0}
"""How many times more pressing learning is in each context."""
FAILURES = 3
"""So many trainings that failed in a row are a matter for a person."""
TRIED_AGAIN_HOURS = 30 * 24.0
"""So long after the last of them, another one is tried all the same."""
LEAST_FACTOR, MOST_FACTOR = 1 / 16, 8.0
RESTORED_AFTER_HOURS = 90 * 24.0
"""After so long without one that diverged a learning rate that was lowered is raised again."""
LEAST_ROOM = 0.01
"""Less room than this on a disk presses no more than it."""
MOST_PATIENCE = 2.0
"""Feeds are asked after so many times the configured hours, however late they usually tell."""
GOOD_PART = 0.25
"""A challenger that has shown this part of what a promotion asks for stays …"""
PATIENCE = 8.0
"""… until it has missed so many times the draws after which a network is due for training."""
GROWN_NATS = math.log(10.0)
"""An alert on the evidence is repeated once that is ten times as strong."""
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
"""What a trained network is taken to need on disk."""
UP, DOWN = "at least", "at most"
"""Which way an action moves a signal: as the direction of a goal is written."""


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
    with before anything was measured; None for a duty. `cpu_seconds`: what it is taken to cost before that
    was measured. `disk_gib`: what it is taken to need on disk. `serves`: signals that it moves, and whither.
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
    serves: Mapping[str, str] = field(default_factory=dict)
    tells: bool = False
    """Whether all it does is tell a person: then no switch stops it."""


def _ratio(value: float | None, limit: float) -> float | None:
    return None if value is None else value / limit


def _unknown(it: Situation, *names: str) -> tuple[str, ...]:
    return tuple(name for name in names if it.signals.get(name) is None)


def _hours_since(it: Situation, action: str, target: str) -> float:
    return it.hours_since.get((action, target), float("inf"))


def _alert(it: Situation, policy: Policy) -> Iterable[Option]:
    alarm, peak = situations.alarm_nats(policy), it.signals.get("evidence_peak")
    target, told = f"{it.game}/evidence", None
    if (before := it.alerted.get(target)) is not None and (peak or 0.0) < before + GROWN_NATS:
        told = f"it was told of at {wording.nats(before)} nats, and is not ten times as strong by now"
    yield Option(
        target,
        _ratio(peak, alarm),
        f"the evidence against the fairness of {it.game} reached {wording.nats(peak or 0.0)} nats; the alarm "
        f"is at {wording.nats(alarm)}, which a fair machine ever reaches with a probability of at most "
        f"{policy.alarm_level:g}",
        told,
        unknown=_unknown(it, "evidence_peak"),
    )
    change, clearest = it.signals.get("change"), it.signals.get("change_clearest")
    unknown = _unknown(it, "change", "change_clearest")
    yield Option(
        change_of(it.game),
        None if unknown else situations.change_alarm(it.signals, policy),
        f"the clearest sign that the machine of {it.game} has changed, "
        f"{wording.count(it.signals.get('change_age') or 0.0, 'draw')} ago, has "
        f"{wording.nats(clearest or 0.0)} nats, and an alarm needs {detection.CLEAR_NATS:g}; summed over all "
        f"moments it is {wording.nats(change or 0.0)}, and an alarm needs "
        f"{wording.nats(policy.change_alarm_nats)}",
        unknown=unknown,
    )


def change_of(game: str) -> str:
    """Return what an alert is about that tells of a change of a game's machine."""
    return f"{game}/change"


def _ask(it: Situation, policy: Policy) -> Iterable[Option]:
    overdue, patience = it.signals.get("draw_overdue"), FAILURES * patience_hours(it, policy)
    yield Option(
        f"{it.game}/feeds",
        _ratio(overdue, patience),
        f"{_missing(it, overdue)}; from {wording.hours(patience)} on a person is asked to see to the feeds",
        unknown=_unknown(it, "draw_overdue"),
    )
    failed = it.signals.get("failed_trainings")
    yield Option(
        f"{it.game}/training",
        _ratio(failed, FAILURES),
        f"trainings of {it.game} failed in a row: {failed or 0.0:,.0f}; a person is asked after {FAILURES}",
        unknown=_unknown(it, "failed_trainings"),
    )
    used = it.signals.get("storage_used")
    yield Option(
        "journal/storage",
        used,
        f"the database uses {used or 0.0:.0%} of what retention.size allows; at 100% a person is asked",
        unknown=_unknown(it, "storage_used"),
    )
    if "disk_free" in it.signals:  # it was not measured from the beginning
        free = it.signals["disk_free"]
        yield Option(
            "journal/disk",
            None if free is None else 1.0 / max(free, LEAST_ROOM),
            f"what is free of the disk is {free or 0.0:,.2f} times what retention.size allows the database; "
            "from 1 down a person is asked",
            unknown=_unknown(it, "disk_free"),
        )


def _missing(it: Situation, overdue_hours: float | None) -> str:
    if not overdue_hours:
        return f"no draw of {it.game} is missing"
    return f"a draw of {it.game} has been missing for {wording.hours(overdue_hours)}"


def _train(it: Situation, policy: Policy) -> Iterable[Option]:
    stale, known = it.signals.get("staleness"), it.signals.get("draws_known")
    limit = policy.retrain_after_draws * it.factor("retrain_after_draws")
    diverged, blocked = it.signals.get("diverged_trainings") or 0.0, None
    if known is not None and known < policy.fewest_draws:
        blocked = f"this era has too few draws to train on: {known:,.0f} of {policy.fewest_draws:,}"
    elif it.on_trial is not None:
        blocked = f"the newest network is on trial for {it.on_trial} more draws"
    elif _is_promising(it, policy) and (stale or 0.0) < PATIENCE * limit:
        blocked = "the challenger is on its way to promotion, and another would have to begin again"
    elif it.factor("learning_rate") > max(LEAST_FACTOR, 0.5**diverged) and _will_adjust(it, policy):
        blocked = "its learning rate is to be lowered first"
    blocked = _failing(it) or blocked
    yield Option(
        it.game,
        _heated(it, policy, _ratio(stale, limit)),
        f"draws that no network has seen: {stale or 0.0:,.0f}; the limit is {limit:,g}",
        blocked,
        unknown=_unknown(it, "staleness"),
    )


def _will_adjust(it: Situation, policy: Policy) -> bool:
    """Return whether the learning rate may be lowered, or a person is being asked whether it may."""
    return policy.mode_of("adjust") == "act" or ("adjust", f"{it.game}/learning_rate") in it.under_way


def _is_promising(it: Situation, policy: Policy) -> bool:
    """Return whether the challenger has shown a good part of what a promotion asks for."""
    shown = it.signals.get("challenger") or 0.0
    return it.challenger is not None and shown >= GOOD_PART * _needed(it, policy)


def _needed(it: Situation, policy: Policy) -> float:
    """Return the evidence that the challenger's trial has to show, nats."""
    trial = max(1, int(it.signals.get("challenger_trial") or 1))
    return -math.log(comparison.promotion_alpha(trial, policy.alarm_level))


def _failing(it: Situation) -> str | None:
    """Return why nothing is trained for now, where trainings fail again and again."""
    failed = it.signals.get("failed_trainings") or 0.0
    tried_hours = min(_hours_since(it, action, it.game) for action in (*TRAINING, "tune"))
    if failed < FAILURES or tried_hours >= TRIED_AGAIN_HOURS:
        return None
    told = f"the last {failed:,.0f} trainings failed, which is for a person to look at"
    return f"{told}; it is tried again after {TRIED_AGAIN_HOURS / 24:g} d"


def _train_warm(it: Situation, policy: Policy) -> Iterable[Option]:
    return _train(it, policy) if _has_network(it) else ()


def _has_network(it: Situation) -> bool:
    return it.champion is not None or it.challenger is not None


def _heated(it: Situation, policy: Policy, urgency: float | None) -> float | None:
    return None if urgency is None else urgency * HEAT[situations.context(it, policy)]


def _tune(it: Situation, policy: Policy) -> Iterable[Option]:
    blocked, known = _failing(it), it.signals.get("draws_known")
    if known is not None and known < policy.fewest_draws_to_search:
        blocked = (
            f"this era has too few draws to search on: {known:,.0f} of {policy.fewest_draws_to_search:,}"
        )
    elif it.on_trial is not None:
        blocked = f"the newest network is on trial for {it.on_trial} more draws"
    yield from _since(it, policy, "draws_since_search", policy.tune_after_draws, "search", blocked)


def _backtest(it: Situation, policy: Policy) -> Iterable[Option]:
    yield from _since(it, policy, "draws_since_backtest", policy.backtest_after_draws, "backtest")


def _since(
    it: Situation, policy: Policy, signal: str, limit: int, what: str, blocked: str | None = None
) -> Iterable[Option]:
    since = it.signals.get(signal)
    yield Option(
        it.game,
        _heated(it, policy, _ratio(since, limit)),
        f"draws since the last {what}, if there was one: {since or 0.0:,.0f}; the limit is {limit:,}",
        blocked if _has_network(it) else "there is no network yet",
        unknown=_unknown(it, signal),
    )


def _ingest(it: Situation, policy: Policy) -> Iterable[Option]:
    overdue, limit = it.signals.get("draw_overdue"), patience_hours(it, policy)
    is_learned = limit == it.told_within_hours
    learned = ", within which nine draws in ten have been told of" if is_learned else ""
    yield Option(
        it.game,
        _ratio(overdue, limit),
        f"{_missing(it, overdue)}; the feeds are asked after {wording.hours(limit)}{learned}",
        unknown=_unknown(it, "draw_overdue"),
    )


def patience_hours(it: Situation, policy: Policy) -> float:
    """Return how long a draw may be missing: as long as feeds usually take, if that is longer than told.

    What they usually take was measured with the waiting before they were asked in it: hence a most.
    """
    told = it.told_within_hours or 0.0
    return min(max(policy.ingest_after_hours, told), MOST_PATIENCE * policy.ingest_after_hours)


def _promote(it: Situation, policy: Policy) -> Iterable[Option]:
    if it.challenger is None:
        return
    better, needed = it.signals.get("challenger"), _needed(it, policy)
    yield Option(
        f"{it.game}/{it.challenger}",
        _ratio(better, needed),
        f"the evidence that the newest network is better than {'the champion' if it.champion else 'chance'} "
        f"reached {wording.nats(better or 0.0)} nats; this trial needs {wording.nats(needed)}",
        unknown=_unknown(it, "challenger"),
    )


def _rollback(it: Situation, policy: Policy) -> Iterable[Option]:
    if it.can_roll_back:
        yield from _lost(it, policy, it.champion, "champion")


def _retire(it: Situation, policy: Policy) -> Iterable[Option]:
    yield from _lost(it, policy, it.challenger, "challenger")
    if not it.can_roll_back:
        yield from _lost(it, policy, it.champion, "champion")


def _lost(it: Situation, policy: Policy, model: str | None, role: str) -> Iterable[Option]:
    """Offer to part with a model that loses to chance: the loss is the log of an e-process for chance.

    Before its first scored draw a model has lost nothing, and there is nothing to offer.
    """
    loss, limit = it.signals.get(f"{role}_loss"), situations.alarm_nats(policy)
    if model is None or loss is None:
        return
    yield Option(
        f"{it.game}/{model}",
        loss / limit,
        f"the evidence that the {role} is worse than chance is {wording.nats(loss)} nats; the limit is "
        f"{wording.nats(limit)}",
    )


def _adjust(it: Situation, policy: Policy) -> Iterable[Option]:
    yield from _learning_rate(it)
    yield from _cadence(it, policy)
    yield from _evaluation(it, policy)


def _learning_rate(it: Situation) -> Iterable[Option]:
    name = "learning_rate"
    target, factor = f"{it.game}/{name}", it.factor(name)
    diverged = it.signals.get("diverged_trainings")
    # As many halvings as trainings diverged since the last success: what has been answered is not again.
    if factor > max(LEAST_FACTOR, 0.5 ** (diverged or 0.0)):
        reason = f"trainings that diverged: {diverged or 0.0:,.0f}; a smaller learning rate may do better"
        yield Option(
            target, diverged, reason, None, _unknown(it, "diverged_trainings"), _factor(factor / 2, reason),
        )  # fmt: skip
    if factor < 1.0 and diverged == 0.0:
        hours = min(_hours_since(it, "adjust", target), situations.REMEMBERED_HOURS)
        days = "long" if hours == situations.REMEMBERED_HOURS else f"{hours / 24:.0f} days"
        reason = f"no training diverged since the learning rate was lowered, {days} ago"
        yield Option(target, hours / RESTORED_AFTER_HOURS, reason, args=_factor(factor * 2, reason))


def _cadence(it: Situation, policy: Policy) -> Iterable[Option]:
    name = "retrain_after_draws"
    target, factor = f"{it.game}/{name}", it.factor(name)
    context, (wins, measured) = situations.context(it, policy), _trainings(it, QUIET)
    if context == QUIET and factor < MOST_FACTOR and measured >= JUDGED * factor:
        share = wins / measured
        reason = f"{wins:.0f} of {measured:.0f} trainings helped while nothing was suspected"
        yield Option(target, USELESS / max(share, USELESS / 4), reason, args=_factor(factor * 2, reason))
    if context != QUIET and factor > 1.0:
        reason = f"{situations.IN_WORDS[context]}: what helped little before may help now"
        yield Option(target, HEAT[context], reason, args=_factor(1.0, reason))


def _evaluation(it: Situation, policy: Policy) -> Iterable[Option]:
    name = "evaluation_draws"
    target, factor = f"{it.game}/{name}", it.factor(name)
    context, (wins, measured) = situations.context(it, policy), _trainings(it, QUIET)
    if context == QUIET and factor < MOST_FACTOR and measured >= UNDECIDED * factor:
        undecided = 1.0 - abs(2.0 * wins / measured - 1.0)  # 1 where as many helped as did not
        reason = f"{wins:.0f} of {measured:.0f} trainings helped: too near to half to say whether they do"
        yield Option(target, undecided / 0.6, reason, args=_factor(factor * 2, reason))
    if context == ALARMED and factor > 1.0:
        reason = f"{situations.IN_WORDS[ALARMED]}: what a network is worth must be known soon"
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
        f"the last {what} is {wording.hours(age or 0.0)} old; the limit is {wording.hours(limit_hours)}",
        unknown=_unknown(it, signal),
    )


def _compact(it: Situation, policy: Policy) -> Iterable[Option]:
    used = it.signals.get("storage_used")
    yield Option(
        "journal",
        _ratio(used, policy.compact_at),
        f"the database uses {used or 0.0:.0%} of what it may; the limit is {policy.compact_at:.0%}",
        unknown=_unknown(it, "storage_used"),
    )


EVEN = Belief(1.0, 1.0)
HOPEFUL = Belief(3.0, 1.0)
SKILL = dict.fromkeys(("skill", "evidence", "confidence", "challenger", "learning_progress"), UP)
DRAWS = dict.fromkeys(("draws_known", "draws_scored"), UP) | {"smallest_visible_factor": DOWN}

CATALOGUE: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        Spec("alert", "notice", _alert, "alert", "alert", tells=True),
        Spec("ask", "notice", _ask, "ask", "ask", tells=True),
        Spec(
            "train", "training schedule", _train, "train", "training", prior=EVEN, cpu_seconds=20.0,
            disk_gib=MODEL_GIB, long=True, serves=SKILL | {"staleness": DOWN},
        ),
        Spec(
            "train-warm", "training schedule", _train_warm, "train", "training", {"start": "newest"}, EVEN,
            cpu_seconds=10.0, disk_gib=MODEL_GIB, long=True, serves=SKILL | {"staleness": DOWN},
        ),
        Spec(
            "tune", "training schedule", _tune, "tune", "training", prior=EVEN, cpu_seconds=900.0,
            disk_gib=MODEL_GIB, long=True, serves=SKILL | {"draws_since_search": DOWN},
        ),
        Spec(
            "backtest", "evaluation trigger", _backtest, "backtest", "backtest", prior=EVEN,
            cpu_seconds=120.0, long=True, serves={"draws_since_backtest": DOWN},
        ),
        Spec(
            "ingest", "evaluation trigger", _ingest, "ingest", "ingest", prior=HOPEFUL,
            serves=DRAWS | dict.fromkeys(("draw_overdue", "missing_draws", "feed_silence"), DOWN),
        ),
        Spec("promote", "promotion", _promote, "promote", "champion"),
        Spec("rollback", "rollback", _rollback, "rollback", "champion"),
        Spec("retire", "rollback", _retire, "retire", "champion"),
        Spec("adjust", "parameter adjustment", _adjust, "adjust", "adjust"),
        Spec("backup", "maintenance", _backup, "backup", "backup", serves={"backup_age": DOWN}),
        Spec("verify", "maintenance", _verify, "verify", "verify", serves={"verification_age": DOWN}),
        Spec(
            "compact", "maintenance", _compact, "compact", "compact", prior=HOPEFUL,
            serves={"storage_used": DOWN},
        ),
    )
}  # fmt: skip
"""By name: those of config.decisions.Chosen."""


def serving(metric: str, direction: str) -> list[str]:
    """Return the actions that a goal makes more pressing: those that move its signal the way it is to go."""
    return [spec.name for spec in CATALOGUE.values() if spec.serves.get(metric) == direction]
