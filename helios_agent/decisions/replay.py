"""Decide a recorded history again: by its own policies, to check it, or by another, to see what would differ.

Pure: decisions as they were journaled in, what differs out. By its own policies each decision must come out
as it was, but for the words in which it was told. By another one, cooldowns, alerts and budgets are those of
its own choices: what it would have chosen before. Signals and beliefs are as they were recorded, for nobody
knows what other choices would have brought.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from helios_agent.decisions import engine
from helios_agent.decisions.catalogue import CATALOGUE
from helios_agent.decisions.engine import Candidate, Decision
from helios_agent.decisions.policy import Policy
from helios_agent.decisions.situation import Key, Situation

HOUR_US = 3_600_000_000
DAY_US, MONTH_US = 24 * HOUR_US, 30 * 24 * HOUR_US


@dataclass(frozen=True)
class Outcome:
    """What is known of a choice that was made: whether it succeeded, in words, and its CPU seconds."""

    success: bool | None
    sentence: str | None
    cpu_seconds: float
    rejected_us: int | None = None
    """When it was rejected, or expired, if it was only proposed."""


@dataclass(frozen=True)
class Recorded:
    """A decision as it was journaled: what it was made from, by which policy, and what it chose."""

    seq: int
    at_us: int
    inputs: Mapping[str, Any]
    policy: Policy
    candidates: tuple[Mapping[str, Any], ...]
    rationale: str
    outcomes: Mapping[Key, Outcome] = field(default_factory=dict)
    """Of what it chose, by action and target."""

    @property
    def chosen(self) -> dict[Key, str]:
        """What it chose: action and target → how (`act` or `propose`)."""
        return {
            (c["action"], c["target"]): "propose" if c["proposed"] else "act"
            for c in self.candidates
            if c["chosen"] and c["action"] != engine.WAIT
        }


@dataclass(frozen=True)
class Difference:
    """A decision that comes out otherwise: what was chosen then and not now, or now and not then."""

    seq: int
    at_us: int
    dropped: tuple[Key, ...]
    """Chosen then, not now …"""
    added: tuple[Key, ...]
    """… and now, not then."""
    why: Mapping[Key, str]
    known: Mapping[Key, Outcome]
    """What came of those that were dropped."""


def unlike(recorded: Iterable[Recorded]) -> Iterator[str]:
    """Yield, for each decision that does not come out as it was recorded, what is different, in words."""
    for one in recorded:
        again = engine.decide(Situation.from_record(one.inputs), one.policy)
        now = [_figures(candidate.as_record()) for candidate in again.candidates]
        if now != [_figures(candidate) for candidate in one.candidates]:
            yield (
                f"decision {one.seq} was «{one.rationale}» and would now be «{again.rationale}»"
                if again.rationale != one.rationale
                else f"decision {one.seq}: the figures of its candidates would now be others"
            )


def _figures(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was decided of a candidate, without the words for it."""
    args = {name: value for name, value in candidate["args"].items() if name != "reason"}
    figures = {name: value for name, value in candidate.items() if name not in ("reason", "blocked")}
    return figures | {"args": args, "is_blocked": candidate["blocked"] is not None}


def differences(
    recorded: Iterable[Recorded], policy_of: Callable[[str, int], Policy]
) -> Iterator[Difference]:
    """Decide again by another policy, and yield where that differs, in order.

    policy_of: what it is for a game at an instant (microseconds). What is under way is taken as recorded, and
    what is chosen is spent at once.
    """
    chosen: dict[Key, int] = {}
    rejected: dict[Key, int] = {}
    alerted: dict[tuple[str, str | None], dict[str, float]] = {}
    spent: list[tuple[int, float]] = []
    is_first = True
    for one in recorded:
        was = Situation.from_record(one.inputs)
        if is_first:  # what had been done before the record begins
            chosen = {key: one.at_us - round(hours * HOUR_US) for key, hours in was.hours_since.items()}
            spent = [(one.at_us, was.spent_day), (one.at_us - DAY_US, was.spent_month - was.spent_day)]
            is_first = False
        chosen |= {key: at_us for key, at_us in rejected.items() if chosen[key] < at_us <= one.at_us}
        told = alerted.setdefault((was.game, was.era), dict(was.alerted))
        hours = {key: (one.at_us - at_us) / HOUR_US for key, at_us in chosen.items()}
        it = replace(
            was,
            hours_since=hours,
            alerted=told,
            spent_day=sum(cost for at_us, cost in spent if at_us > one.at_us - DAY_US),
            spent_month=sum(cost for at_us, cost in spent if at_us > one.at_us - MONTH_US),
        )
        decision = engine.decide(it, policy_of(was.game, one.at_us))
        now = {(c.action, c.target): c for c in decision.chosen}
        for key, candidate in now.items():
            chosen[key] = one.at_us
            rejected[key] = _rejected_us(one, key, candidate)
            if key[0] == "alert":
                told[key[1]] = it.signals.get("evidence_peak") or 0.0
            spent.append((one.at_us, _cost(one, key, candidate)))
        difference = _difference(one, decision, now)
        if difference is not None:
            yield difference


def _rejected_us(one: Recorded, key: Key, candidate: Candidate) -> int:
    """Return when a proposal that was made then, too, was rejected or expired, 0 if it was not."""
    outcome = one.outcomes.get(key)
    return outcome.rejected_us or 0 if outcome and candidate.proposed else 0


def _cost(one: Recorded, key: Key, candidate: Candidate) -> float:
    """Return what a choice took, if it was made, else what it may be expected to."""
    return one.outcomes[key].cpu_seconds if key in one.outcomes else candidate.cpu_seconds


def _difference(one: Recorded, decision: Decision, now: Mapping[Key, Candidate]) -> Difference | None:
    then = one.chosen
    how = {key: "propose" if candidate.proposed else "act" for key, candidate in now.items()}
    dropped = tuple(key for key in then if how.get(key) != then[key])
    added = tuple(key for key in how if then.get(key) != how[key])
    if not dropped and not added:
        return None
    blocked = {(c.action, c.target): c.blocked or "" for c in decision.candidates}
    why = {key: blocked.get(key, "it is not offered") for key in dropped}
    why |= {key: f"{'propose it: ' if now[key].proposed else ''}{now[key].reason}" for key in added}
    known = {key: one.outcomes[key] for key in dropped if key in one.outcomes}
    return Difference(one.seq, one.at_us, dropped, added, why, known)


def totals(recorded: Iterable[Recorded], found: Iterable[Difference]) -> dict[str, Mapping[str, int]]:
    """Return how often each action was chosen, and how often it would have been."""
    then: dict[str, int] = dict.fromkeys(CATALOGUE, 0)
    for one in recorded:
        for action, _ in one.chosen:
            then[action] += 1
    now = dict(then)
    for difference in found:
        for action, _ in difference.dropped:
            now[action] -= 1
        for action, _ in difference.added:
            now[action] += 1
    return {
        action: {"then": then[action], "now": now[action]}
        for action in CATALOGUE
        if then[action] or now[action]
    }
