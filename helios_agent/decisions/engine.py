"""Decide from an assessment. Pure and deterministic: the same inputs give the same decision.

A candidate's score is how far a measured signal has gone towards its limit (signal ÷ limit). Waiting
scores 1. So whatever is past its limit outscores waiting, and is chosen unless something forbids it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helios_agent.forecasting import comparison, detection

WAIT_SCORE = 1.0


@dataclass(frozen=True)
class Policy:
    """The limits and constraints of the configuration. Times in hours."""

    retrain_after_draws: int
    backup_after_hours: float
    alarm_level: float
    change_alarm_nats: float
    """The evidence for a change at which to alert."""
    cooldown_hours: float
    fewest_draws: int
    """Draws of an era below which a network cannot be trained."""
    autonomy: Mapping[str, str]


@dataclass(frozen=True)
class Candidate:
    """Something that could be done, how pressing it is, and why it was or was not chosen."""

    action: str
    target: str
    score: float
    reason: str
    chosen: bool = False
    blocked: str | None = None

    def as_record(self) -> dict[str, Any]:
        return {
            "action": self.action, "target": self.target, "score": round(self.score, 6),
            "reason": self.reason, "chosen": self.chosen, "blocked": self.blocked,
        }  # fmt: skip


@dataclass(frozen=True)
class Decision:
    """Every candidate, the highest score first, and a sentence that says what was decided."""

    candidates: tuple[Candidate, ...]
    rationale: str

    @property
    def chosen(self) -> tuple[Candidate, ...]:
        return tuple(c for c in self.candidates if c.chosen and c.action != "wait")


def decide(
    game: str,
    signals: Mapping[str, float | None],
    policy: Policy,
    hours_since: Mapping[tuple[str, str], float],
    under_way: frozenset[tuple[str, str]],
) -> Decision:
    """Weigh every candidate for a game.

    `hours_since` says how long ago each (action, target) was last decided, `under_way` which of them
    wait or run already.
    """
    weighed = [_weigh(c, policy, hours_since, under_way) for c in _candidates(game, signals, policy)]
    acting = [c for c in weighed if c.chosen]
    wait = Candidate(
        "wait", game, WAIT_SCORE,
        "something is past its limit" if acting else "nothing that may be done is past its limit",
        chosen=not acting,
    )  # fmt: skip
    ranked = tuple(sorted((*weighed, wait), key=lambda c: (-c.score, c.action, c.target)))
    return Decision(ranked, _sentence(ranked))


def change_of(game: str) -> str:
    """Return what an alert is about that tells of a change of a game's machine."""
    return f"{game}/change"


def _candidates(game: str, signals: Mapping[str, float | None], policy: Policy) -> list[Candidate]:
    stale, known = signals["staleness"] or 0.0, signals["draws_known"] or 0.0
    too_few = (
        f"this era has too few draws to train on: {known:.0f} of {policy.fewest_draws}"
        if known < policy.fewest_draws
        else None
    )
    age, peak = signals["backup_age"] or 0.0, signals["evidence_peak"] or 0.0
    change, clearest = signals.get("change") or 0.0, signals.get("change_clearest") or 0.0
    better, trial = signals.get("challenger") or 0.0, max(1, int(signals.get("challenger_trial") or 1))
    needed = -math.log(comparison.promotion_alpha(trial, policy.alarm_level))
    alarm_nats = math.log(1 / policy.alarm_level)
    return [
        Candidate(
            "train", game, stale / policy.retrain_after_draws,
            f"draws that the newest network has not seen: {stale:.0f}; "
            f"the limit is {policy.retrain_after_draws}",
            blocked=too_few,
        ),
        Candidate(
            "alert", f"{game}/evidence", peak / alarm_nats,
            f"the evidence against fairness reached {peak:.2f} nats; the alarm is at {alarm_nats:.2f}",
        ),
        Candidate(
            "alert", change_of(game), detection.alarm(change, clearest, policy.change_alarm_nats),
            f"the evidence that the machine has changed, most likely {signals.get('change_age') or 0.0:.0f} "
            f"draws ago, is {change:.2f} nats, {clearest:.2f} for that moment; the alarm is at "
            f"{policy.change_alarm_nats:.2f} and {detection.CLEAR_NATS:g}",
        ),
        Candidate(
            "promote", game, better / needed,
            f"the evidence that the newest network is better than the champion reached {better:.2f} nats; "
            f"this trial needs {needed:.2f}",
        ),
        Candidate(
            "backup", "journal", age / policy.backup_after_hours,
            f"the last backup is {age:.1f} h old; the limit is {policy.backup_after_hours:g} h",
        ),
    ]  # fmt: skip


def _weigh(
    candidate: Candidate,
    policy: Policy,
    hours_since: Mapping[tuple[str, str], float],
    under_way: frozenset[tuple[str, str]],
) -> Candidate:
    key = (candidate.action, candidate.target)
    since = hours_since.get(key, math.inf)
    if candidate.score < WAIT_SCORE:
        blocked = "waiting scores higher"
    elif candidate.blocked is not None:
        blocked = candidate.blocked
    elif key in under_way:
        blocked = "it is already under way"
    elif since < policy.cooldown_hours:
        blocked = f"it was decided {since:.1f} h ago; the cooldown is {policy.cooldown_hours:g} h"
    elif policy.autonomy.get(candidate.action, "act") == "observe":
        blocked = "its autonomy is observe"
    else:
        blocked = None
    return Candidate(
        candidate.action, candidate.target, candidate.score, candidate.reason, blocked is None, blocked
    )


def _sentence(candidates: tuple[Candidate, ...]) -> str:
    chosen = [c for c in candidates if c.chosen]
    first = "; ".join(f"{c.action} ({c.reason})" for c in chosen)
    best_rejected = next((c for c in candidates if not c.chosen and c.action != "wait"), None)
    if best_rejected is None:
        return f"Chose {first}."
    return f"Chose {first}. Not {best_rejected.action}: {best_rejected.blocked} ({best_rejected.reason})."
