"""Decide from a situation. Pure and deterministic: the same situation and policy give the same decision.

    score = urgency × effectiveness − what it costs

Urgency is how far a measured signal has gone towards its limit (signal ÷ limit), and waiting scores 1: so
what is past its limit outscores waiting, and is chosen unless something forbids it. A duty is effective: 1.
How effective a bet is, nobody knows: that is drawn from the Beta distribution that earlier outcomes, in the
same context, leave of it (W. R. Thompson 1933, On the likelihood that one unknown probability exceeds
another, Biometrika 25, 285-294), by a seed that is journaled. A bet that never helped is put off ever longer,
and made again at once where it may have begun to help.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from helios_agent import wording
from helios_agent.decisions import situation as situations
from helios_agent.decisions.catalogue import CATALOGUE, WEIGHTS, Option, Spec
from helios_agent.decisions.policy import Policy
from helios_agent.decisions.situation import Belief, Situation

WAIT = "wait"
WAIT_SCORE = 1.0
HOUR_S = 3600.0
LOWER = "waiting scores higher"
PRIORITIES = ((4.0, "critical"), (2.0, "high"), (1.0, "medium"), (0.0, "low"))
"""From which score on a candidate has which priority."""


@dataclass(frozen=True)
class Candidate:
    """Something that could be done, how much it promises, and why it was or was not chosen.

    urgency and score are None where a signal is unknown. effectiveness: what was drawn; mean: what is
    expected of it. cpu_seconds: its expected cost; price: what its costs take from the score.
    """

    action: str
    target: str
    kind: str
    reason: str
    args: Mapping[str, Any]
    urgency: float | None
    effectiveness: float = 1.0
    mean: float = 1.0
    cpu_seconds: float = 0.0
    price: float = 0.0
    unknown: tuple[str, ...] = ()
    chosen: bool = False
    proposed: bool = False
    """Whether, chosen, it waits for a person to approve it."""
    blocked: str | None = None

    @property
    def score(self) -> float | None:
        return None if self.urgency is None else self.urgency * self.effectiveness - self.price

    @property
    def expected(self) -> float | None:
        """The score that it may be expected to have."""
        return None if self.urgency is None else self.urgency * self.mean - self.price

    @property
    def priority(self) -> str:
        score = self.score or 0.0
        return next(name for least, name in PRIORITIES if score >= least or not least)

    def as_record(self) -> dict[str, Any]:
        """Return it as it is journaled."""
        return {
            "action": self.action, "target": self.target, "type": self.kind, "priority": self.priority,
            "args": dict(self.args), "urgency": _rounded(self.urgency),
            "effectiveness": _rounded(self.effectiveness), "confidence": _rounded(self.mean),
            "cpu_seconds": _rounded(self.cpu_seconds), "price": _rounded(self.price),
            "score": _rounded(self.score), "expected": _rounded(self.expected), "reason": self.reason,
            "chosen": self.chosen, "proposed": self.proposed, "blocked": self.blocked,
        }  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """Every candidate, the highest score first, and sentences that say what was decided."""

    context: str
    candidates: tuple[Candidate, ...]
    rationale: str
    without: tuple[str, ...]
    """Signals that were unknown, without which it was decided."""

    @property
    def chosen(self) -> tuple[Candidate, ...]:
        return tuple(c for c in self.candidates if c.chosen and c.action != WAIT)


def decide(it: Situation, policy: Policy) -> Decision:
    """Weigh everything that could be done about a game."""
    context = situations.context(it, policy)
    weighed = [
        _weigh(spec, option, context, it, policy)
        for spec in CATALOGUE.values()
        for option in spec.offer(it, policy)
    ]
    ranked: list[Candidate] = []
    taken: dict[object, str] = {}
    spent = 0.0
    for candidate in sorted(weighed, key=_rank):
        blocked = candidate.blocked or _barred(candidate, it, policy, taken, spent)
        mode = policy.mode_of(candidate.action)
        if blocked is None and mode == "observe":
            blocked = "its autonomy is observe"
        if blocked is None:
            taken[_contest(candidate)] = candidate.action
            spent += candidate.cpu_seconds
        proposed = blocked is None and mode == "propose"
        ranked.append(replace(candidate, chosen=blocked is None, blocked=blocked, proposed=proposed))
    acting = [candidate for candidate in ranked if candidate.chosen]
    wait = Candidate(
        WAIT, it.game, "wait",
        "something is past its limit" if acting else "nothing that may be done is worth more",
        {}, WAIT_SCORE, chosen=not acting,
    )  # fmt: skip
    everything = tuple(sorted((*ranked, wait), key=_rank))
    without = tuple(sorted({name for candidate in weighed for name in candidate.unknown}))
    return Decision(context, everything, _sentence(everything, without), without)


def _rank(candidate: Candidate) -> tuple[float, str, str]:
    score = candidate.score
    return (math.inf if score is None else -score, candidate.action, candidate.target)


def _weigh(spec: Spec, option: Option, context: str, it: Situation, policy: Policy) -> Candidate:
    urgency = option.urgency
    reason = option.reason if urgency is not None else f"not known: {wording.titles(option.unknown)}"
    wanted = [
        goal
        for goal in it.goals
        if (way := spec.serves.get(goal.metric)) is not None and goal.direction in (way, None)
    ]
    if urgency is not None and wanted:
        urgency *= 1.0 + max(WEIGHTS[goal.priority] for goal in wanted)
        reason += f"; it serves a goal: {', '.join(sorted(goal.id for goal in wanted))}"
    drawn = mean = 1.0
    if spec.prior is not None:
        measured = it.beliefs.get((spec.name, context), Belief(0.0, 0.0))
        lent = it.lent.get((spec.name, context), Belief(0.0, 0.0))
        wins = spec.prior.wins + lent.wins + measured.wins
        losses = spec.prior.losses + lent.losses + measured.losses
        mean = wins / (wins + losses)
        source = random.Random(f"{it.seed}:{spec.name}:{option.target}")  # noqa: S311
        drawn = source.betavariate(wins, losses)
        if cases := measured.wins + measured.losses:
            reason += f"; it helped in {measured.wins:g} of {wording.count(cases, 'case')}"
        else:
            reason += "; whether it helps has not been measured yet"
        if others := lent.wins + lent.losses:
            reason += f"; what other games measured counts as {lent.wins:.3g} more of {others:.3g}"
    cpu_seconds = it.costs.get(spec.name, spec.cpu_seconds)
    args = {**spec.args, **option.args} | ({"reason": option.reason} if spec.tells else {})
    return Candidate(
        spec.name, option.target, spec.kind, reason, args, urgency, drawn, mean, cpu_seconds,
        policy.cpu_price * cpu_seconds / HOUR_S + policy.disk_price * spec.disk_gib,
        option.unknown, blocked=option.blocked,
    )  # fmt: skip


def _barred(
    candidate: Candidate, it: Situation, policy: Policy, taken: Mapping[object, str], spent: float
) -> str | None:
    """Return what forbids a candidate, None if nothing does. `spent`: CPU seconds of those chosen before."""
    spec = CATALOGUE[candidate.action]
    since = it.hours_since.get((candidate.action, candidate.target), math.inf)
    akin, since_akin = _akin(it, spec, candidate.target)
    rival = taken.get(_contest(candidate))
    cost, today, month = candidate.cpu_seconds, it.spent_day + spent, it.spent_month + spent
    if candidate.score is None:
        return "it cannot be weighed"
    if candidate.score < WAIT_SCORE:
        return LOWER
    if not it.is_on and not spec.tells:
        return "a person has switched decisions off"
    if (spec.intent, candidate.target) in it.under_way:
        return "it is already under way"
    if since < policy.cooldown_of(candidate.action):
        cooldown = wording.hours(policy.cooldown_of(candidate.action))
        return f"it was decided {wording.hours(since)} ago; the cooldown is {cooldown}"
    if since_akin < policy.cooldown_hours:
        cooldown = wording.hours(policy.cooldown_hours)
        return f"{akin} was decided {wording.hours(since_akin)} ago; the cooldown is {cooldown}"
    if rival is not None:
        return f"{rival} scores higher, and one of the two is enough"
    quiet = policy.quiet_hours
    if spec.long and quiet is not None and quiet.contain(it.now):
        return f"it is long, and until {quiet.end} ({quiet.timezone}) no long computation is begun"
    for period, used, most in (
        ("day", today, policy.cpu_seconds_per_day),
        ("month", month, policy.cpu_seconds_per_month),
    ):
        if cost > 0.0 and used + cost > most:
            left = wording.span(max(0.0, most - used))
            return (
                f"it takes about {wording.span(cost)} of processor time, and {left} is left of the "
                f"{wording.span(most)} of a {period}, what is under way counted"
            )
    return None


def _akin(it: Situation, spec: Spec, target: str) -> tuple[str, float]:
    """Return which other action of the group was last decided for the same target, and how long ago."""
    others = [other.name for other in CATALOGUE.values() if other.group == spec.group and other != spec]
    found = [(it.hours_since.get((name, target), math.inf), name) for name in others]
    hours, name = min(found, default=(math.inf, ""))
    return name, hours


def _contest(candidate: Candidate) -> object:
    """Return what candidates have in common of which one at most is chosen."""
    group = CATALOGUE[candidate.action].group
    return (group, candidate.target) if group == candidate.action else group


def _sentence(candidates: tuple[Candidate, ...], without: tuple[str, ...]) -> str:
    chosen = [c for c in candidates if c.chosen]
    first = "; ".join(f"{_named(c)} ({c.reason})" for c in chosen)
    best_rejected = next((c for c in candidates if not c.chosen and c.action != WAIT), None)
    said = f"Chose {first}."
    if best_rejected is not None:
        said += f" Not {best_rejected.action}: {best_rejected.blocked} ({best_rejected.reason})."
    if without:
        said += f" Decided without knowing: {wording.titles(without)}."
    return said


def _named(candidate: Candidate) -> str:
    return f"to propose {candidate.action}" if candidate.proposed else candidate.action


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
