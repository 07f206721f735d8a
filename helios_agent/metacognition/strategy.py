"""How much to try just now, from what was measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from helios_agent import wording
from helios_agent.forecasting import detection

SUSPICIOUS = 0.5
"""At what part of the evidence for an alarm something may be going on."""


@dataclass(frozen=True)
class Strategy:
    """One of conservative, balanced, aggressive, adaptive and active learning, and why."""

    name: str
    why: str


def choose(
    measured: Mapping[str, float | None],
    unhealthy: list[str],
    *,
    fewest_draws: int,
    alarm_level: float,
    change_alarm_nats: float,
    alarmed_on: date | None,
) -> Strategy:
    """Return the strategy: what is in the way comes first, then what there is to find.

    `alarmed_on`: when an alarm about a change was raised, if it still stands. What is not known is named:
    nothing follows from it.
    """
    chosen = _choose(measured, unhealthy, fewest_draws, -math.log(alarm_level), change_alarm_nats, alarmed_on)
    unknown = [name for name in (*EVIDENCE, *WRONG) if measured.get(name) is None]
    if not unknown:
        return chosen
    return replace(chosen, why=f"{chosen.why} Not known: {wording.titles(unknown)}.")


def _choose(
    measured: Mapping[str, float | None],
    unhealthy: list[str],
    fewest_draws: int,
    alarm_nats: float,
    change_alarm_nats: float,
    alarmed_on: date | None,
) -> Strategy:
    evidence, peak, change, clearest = (
        measured.get(name) or 0.0 for name in ("evidence", "evidence_peak", "change", "change_clearest")
    )
    changed = detection.alarm(change, clearest, change_alarm_nats)
    known = measured.get("draws_known") or 0.0
    wrong = [WRONG[name] for name in unhealthy if name in WRONG]
    if known < fewest_draws:
        return Strategy(
            "active learning",
            f"These rules have {wording.count(known, 'draw')}, and a network needs {fewest_draws:,}: more "
            "draws help most.",
        )
    if wrong:
        return Strategy("conservative", f"First this is to be put right: {', '.join(wrong)}.")
    if changed >= 1.0:
        return Strategy(
            "adaptive",
            f"The machine seems to have changed ({wording.nats(clearest)} nats for the likeliest moment): "
            "what was learned may no longer hold.",
        )
    if alarmed_on is not None:
        return Strategy(
            "adaptive",
            f"On {alarmed_on} an alarm was raised that the machine has changed: what was learned before may "
            "no longer hold.",
        )
    if peak >= alarm_nats:
        return Strategy(
            "aggressive",
            f"The draws show signs of not being fair ({wording.nats(peak)} nats): there is something to "
            "learn.",
        )
    if max(evidence / alarm_nats, changed) >= SUSPICIOUS:
        return Strategy(
            "balanced",
            f"The evidence ({wording.nats(evidence)} nats; {wording.nats(clearest)} for a change) proves "
            "nothing, but it is something.",
        )
    if measured.get("evidence") is None:
        return Strategy("conservative", "Whether these draws can be predicted was not measured.")
    return Strategy(
        "conservative",
        f"Nothing says that these draws can be predicted ({wording.nats(evidence)} nats): to try harder is "
        "waste.",
    )


EVIDENCE = ("draws_known", "evidence", "evidence_peak", "change", "change_clearest")
WRONG = {
    "failed_trainings": "trainings fail",
    "compute_left_day": "little is left of the day's budget of processor time",
    "compute_left_month": "little is left of the month's budget of processor time",
    "storage_used": "the database is near its allowed size",
    "disk_free": "the disk has less room than the database may take",
    "draw_overdue": "a draw is overdue",
    "feed_disagreement": "feeds contradict each other",
}
"""Signals without whose health it is of no use to try more, and what is wrong where they are not healthy."""
