"""Knowledge: what the agent has learned from its own facts, in sentences, and what is made of it.

Pure: facts in, lessons out. A lesson that was learned is a fragment; a later one of the same kind and subject
takes its place once it says something else. Each has a relevance from 0 to 1, which is defined where the
lesson is drawn. The kinds:

* `effect` of "ACTION/CONTEXT": how often an action has helped in a context;
* `fairness` of an era: that an alarm was raised, or another whole year went by without a sign;
* `leader` of an era: which forecaster took the lead of the mixture;
* `feed`: how long after a draw a feed tells of it;
* `cost` of an action: the processor time that an attempt takes.

Decisions use `effect`, `feed` and `cost`; `fairness` and `leader` only report.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from helios_agent import wording

LEAST_OUTCOMES = 3
"""Measured outcomes of an action in a context before anything is said of it."""
LEAST_TELLINGS = 20
"""Draws that a feed must have told of."""
LEAST_ATTEMPTS = 3
"""Attempts at an action that must have used processor time."""
LEAD = 0.5
"""The weight of a forecaster above which it leads the mixture: more than all others together."""
CLEARLY = 1.5
"""By which factor a quantity has to move to be told again."""
LEAST_MOVE_HOURS = 0.25
"""And a feed's delay by how much."""
PRIOR_WEIGHT = 4.0
"""The most outcomes that those of other games count for, together."""

DAY_US = 86_400_000_000
YEAR_US = round(365.25 * DAY_US)
IRRELEVANT = 0.2
"""Fragments of less relevance are forgotten once they have been of no use for `UNUSED_US`."""
UNUSED_US = YEAR_US
FORGOTTEN_US = 3 * YEAR_US
"""After so long without use or renewal any fragment is forgotten."""

NOT_LEADING = ("uniform", "reserve")
"""Parts of the mixture that say nothing: their lead is chance's."""
_DOING = {
    "ingest": "Asking the feeds", "train": "Training from scratch",
    "train-warm": "Training on from the newest network", "tune": "Searching for a better network",
    "backtest": "Backtesting", "promote": "Promoting the challenger",
    "rollback": "Taking the champion back", "retire": "Retiring a model", "adjust": "Adjusting a setting",
    "compact": "Compacting the journal", "backup": "Backing up", "verify": "Verifying the journal",
    "alert": "Raising an alert", "ask": "Asking a person",
}  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """What facts say: one sentence, how relevant it is, and the numbers and events that it rests on."""

    kind: str
    subject: str
    content: str
    relevance: float
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class Fragment:
    """A lesson that was learned. Times in microseconds since 1970 UTC; used_us is None if it never was."""

    id: str
    game: str
    lesson: Lesson
    learned_us: int
    used_us: int | None


def effect(action: str, context: str, wins: int, losses: int, decisions: Sequence[int]) -> Lesson | None:
    """Say how often an action helped in a context, by the measured outcomes of these decisions (their seqs).

    None of fewer than `LEAST_OUTCOMES`. Relevance: how sure the posterior θ ~ Beta(1 + wins, 1 + losses) is
    whether it helps more often than not: 2 · |P(θ > 1/2) − 1/2|, so that 0 says nothing and 1 is certain.
    """
    if wins + losses < LEAST_OUTCOMES:
        return None
    cases = wins + losses
    # P(Beta(a, b) > 1/2) = P(Binomial(a + b − 1, 1/2) < a): integers, so exact.
    helpful = sum(math.comb(cases + 1, k) for k in range(wins + 1)) / 2 ** (cases + 1)
    return Lesson(
        "effect", f"{action}/{context}",
        f"{_doing(action)} {wording.during(context)} helped in {wins} of {cases} cases.",
        _rounded(abs(2 * helpful - 1)), {"wins": wins, "losses": losses, "decisions": list(decisions)},
    )  # fmt: skip


def fairness(era: str, signals: Mapping[str, float | None], years: int, alarm_level: float) -> Lesson | None:
    """Say that the draws of an era raised the alarm, or in how many whole years of draws nothing did.

    None before the first such year. Relevance: 1 of an alarm; of its absence 1 / the smallest weight of one
    ball, against 1 of the others, that would have shown: the less could have hidden, the more it says.
    """
    draws, p, peak = signals["draws_scored"], signals["fairness_p"], signals["evidence_peak"]
    if not draws or p is None or peak is None:
        return None
    factor = signals["smallest_visible_factor"]
    evidence = {
        "alarm": p <= alarm_level, "alarm_level": alarm_level, "draws": draws, "years": years,
        "fairness_p": p, "peak_nats": peak, "smallest_visible_factor": factor,
    }  # fmt: skip
    if p <= alarm_level:
        content = (
            f"Over {draws:,.0f} draws under the rules from {era} the forecasts gained {peak:.2f} nats on "
            f"chance at their best; a fair machine does that with probability at most {p:.2g}."
        )
        return Lesson("fairness", era, content, 1.0, evidence)
    if years < 1:
        return None
    hidden = (
        "anything could have hidden from so few draws"
        if factor is None
        else f"a single ball {factor:.2f} times as heavy as any other would on average have shown"
    )
    span = "a year" if years == 1 else f"{years} years"
    content = f"In {span} of draws under the rules from {era} no sign of unfairness was found; {hidden}."
    return Lesson("fairness", era, content, 0.0 if factor is None else _rounded(1 / factor), evidence)


def leader(
    era: str, day: str, standings: Mapping[str, tuple[float, float]], before: str | None
) -> Lesson | None:
    """Say which forecaster leads the mixture, or that the one which did, `before`, no longer does.

    standings: weight and total gain over uniform (nats) of each forecaster at the scored draw of `day`. None
    where none leads and none did. Relevance: the weight of whom it is about.
    """
    weight, name = max(((w, n) for n, (w, _) in standings.items() if n not in NOT_LEADING), default=(0.0, ""))
    if weight > LEAD:
        gain = standings[name][1]
        content = (
            f"The forecaster {name} leads the mixture under the rules from {era}: at the draw of {day} it "
            f"had the weight {weight:.2f}, after {gain:+.2f} nats against chance."
        )
    elif before is not None:
        name, (weight, gain) = before, standings.get(before, (0.0, 0.0))
        content = (
            f"The forecaster {name} no longer leads the mixture under the rules from {era}: at the draw of "
            f"{day} it had the weight {weight:.2f}."
        )
    else:
        return None
    evidence = {
        "forecaster": name, "leads": weight > LEAD, "day": day, "weight": weight, "gain_nats": gain
    }  # fmt: skip
    return Lesson("leader", era, content, _rounded(weight), evidence)


def feed(source: str, delays_hours: Sequence[float], draws: Sequence[int]) -> Lesson | None:
    """Say how long after a draw a feed usually has told of it.

    draws: the events that stored them. None of fewer than `LEAST_TELLINGS`. Relevance: how regular it is, the
    median delay / that within which nine in ten come.
    """
    if len(delays_hours) < LEAST_TELLINGS:
        return None
    usual, late = median(delays_hours), _within(delays_hours, 0.9)
    content = (
        f"The feed {source} usually tells of a draw {wording.span(usual * 3600)} after it, nine times in ten "
        f"within {wording.span(late * 3600)}."
    )
    evidence = {"median_hours": usual, "within_hours": late, "draws": list(draws)}
    return Lesson("feed", source, content, _share(usual, late), evidence)


def cost(action: str, cpu_seconds: Sequence[float], spendings: Sequence[int]) -> Lesson | None:
    """Say what an attempt at an action usually costs in processor time.

    spendings: the events that tell of them. None of fewer than `LEAST_ATTEMPTS`. Relevance: how regular it
    is, the median / that within which nine in ten remain.
    """
    if len(cpu_seconds) < LEAST_ATTEMPTS:
        return None
    usual, most = median(cpu_seconds), _within(cpu_seconds, 0.9)
    content = (
        f"{_doing(action)} usually takes {wording.span(usual)} of processor time, nine times in ten at most "
        f"{wording.span(most)}."
    )
    evidence = {"median_seconds": usual, "within_seconds": most, "spendings": list(spendings)}
    return Lesson("cost", action, content, _share(usual, most), evidence)


def is_news(lesson: Lesson, known: Fragment | None) -> bool:
    """Return whether a lesson says something that is not known.

    What is known of its subject is renewed when the answer has changed, or the evidence is much more: see
    `_CHANGED`.
    """
    if known is None:
        return True
    changed = _CHANGED[lesson.kind](known.lesson.evidence, lesson.evidence)
    return changed and lesson.content != known.lesson.content


def _effect_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """The posterior mean has crossed 1/2, or there are twice as many cases."""
    helped, helps = old["wins"] > old["losses"], new["wins"] > new["losses"]
    return bool(helped != helps or new["wins"] + new["losses"] >= 2 * (old["wins"] + old["losses"]))


def _fairness_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """The alarm was raised, it is twice as loud, or another year is over."""
    if old["alarm"] != new["alarm"]:
        return True
    if new["alarm"]:
        return bool(new["peak_nats"] >= 2 * old["peak_nats"])
    return bool(new["years"] > old["years"])


def _leader_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Another leads, or none any more."""
    return (old["forecaster"], old["leads"]) != (new["forecaster"], new["leads"])


def _feed_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return any(
        _has_moved(old[name], new[name]) and abs(old[name] - new[name]) >= LEAST_MOVE_HOURS
        for name in ("median_hours", "within_hours")
    )


def _cost_changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    return _has_moved(old["median_seconds"], new["median_seconds"])


_CHANGED: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any]], bool]] = {
    "effect": _effect_changed,
    "fairness": _fairness_changed,
    "leader": _leader_changed,
    "feed": _feed_changed,
    "cost": _cost_changed,
}


class Priors(NamedTuple):
    """What outcomes in other games are worth in this one, and the ids of the fragments that say so."""

    wins: float
    losses: float
    used: tuple[str, ...]


class Cost(NamedTuple):
    """What an attempt can be expected to cost (None: nothing is known), and by which fragments."""

    cpu_seconds: float | None
    used: tuple[str, ...]


def priors(fragments: Iterable[Fragment], game: str, action: str, context: str) -> Priors:
    """Return the outcomes of an action in a context that other games lend to a game.

    All of them, as far as they are not more than `PRIOR_WEIGHT`; else in the same proportion.
    """
    subject = f"{action}/{context}"
    lending = [f for f in _about(fragments, "effect", subject) if f.game != game]
    wins, losses = (float(sum(f.lesson.evidence[name] for f in lending)) for name in ("wins", "losses"))
    share = min(1.0, PRIOR_WEIGHT / (wins + losses)) if lending else 0.0
    return Priors(wins * share, losses * share, tuple(f.id for f in lending))


def costs(fragments: Iterable[Fragment], game: str, action: str) -> Cost:
    """Return the processor time, seconds, that an attempt at an action usually takes.

    In this game, if that is known; else the median over the others.
    """
    known = _about(fragments, "cost", action)
    used = [f for f in known if f.game == game] or known
    if not used:
        return Cost(None, ())
    seconds = median(float(f.lesson.evidence["median_seconds"]) for f in used)
    return Cost(seconds, tuple(f.id for f in used))


class Telling(NamedTuple):
    """Within how many hours nine draws in ten are told of (None: nothing is known), by which fragments."""

    hours: float | None
    used: tuple[str, ...]


def telling(fragments: Iterable[Fragment], game: str) -> Telling:
    """Return within how many hours of a draw of a game the quickest feed has told of nine in ten."""
    known = [
        (float(f.lesson.evidence["within_hours"]), f.id)
        for f in fragments
        if (f.lesson.kind, f.game) == ("feed", game)
    ]
    hours, used = min(known, default=(None, None))
    return Telling(hours, () if used is None else (used,))


def own(fragments: Iterable[Fragment], game: str, kind: str, subject: str) -> tuple[str, ...]:
    """Return the id of what a game itself has taught of a subject; empty if nothing."""
    return tuple(f.id for f in _about(fragments, kind, subject) if f.game == game)


def bearing(fragments: Iterable[Fragment], game: str, context: str, actions: Iterable[str]) -> list[Fragment]:
    """Return the fragments that bear on a decision about a game, whichever game taught them."""
    names = list(actions)
    effects = {f"{name}/{context}" for name in names}
    return [
        fragment
        for fragment in fragments
        if (fragment.lesson.kind == "cost" and fragment.lesson.subject in names)
        or (fragment.lesson.kind == "effect" and fragment.lesson.subject in effects)
        or (fragment.lesson.kind == "feed" and fragment.game == game)
    ]


def forgettable(fragments: Iterable[Fragment], now_us: int, eras: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the ids of the fragments to be forgotten, each with the reason.

    What still holds is kept: the fairness and the leader of each game's newest era, which `eras` names.
    """
    found = []
    for fragment in fragments:
        if _still_holds(fragment, eras):
            continue
        idle_us = now_us - max(fragment.learned_us, fragment.used_us or 0)
        if idle_us >= FORGOTTEN_US:
            found.append((fragment.id, "in three years it was neither used nor renewed"))
        elif idle_us >= UNUSED_US and fragment.lesson.relevance < IRRELEVANT:
            relevance = f"its relevance is {fragment.lesson.relevance:.2f}, less than {IRRELEVANT:g}"
            found.append((fragment.id, f"{relevance}, and in a year it was neither used nor renewed"))
    return found


def _still_holds(fragment: Fragment, eras: Mapping[str, str]) -> bool:
    lesson = fragment.lesson
    if lesson.subject != eras.get(fragment.game):
        return False
    return lesson.kind == "fairness" or (lesson.kind == "leader" and bool(lesson.evidence["leads"]))


def _about(fragments: Iterable[Fragment], kind: str, subject: str) -> list[Fragment]:
    found = [f for f in fragments if (f.lesson.kind, f.lesson.subject) == (kind, subject)]
    return sorted(found, key=lambda fragment: fragment.id)


def _doing(action: str) -> str:
    return _DOING.get(action, f"The action {action}")


def _within(values: Sequence[float], share: float) -> float:
    """Return the smallest of the values within which this share of them lies."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def _has_moved(old: float, new: float) -> bool:
    return max(old, new) >= CLEARLY * min(old, new) and old != new


def _share(part: float, whole: float) -> float:
    return _rounded(part / whole) if whole > 0 else 1.0


def _rounded(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 6)
