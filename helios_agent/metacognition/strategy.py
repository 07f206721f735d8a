"""How much to try just now, from what was measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

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
) -> Strategy:
    """Return the strategy: what is in the way comes first, then what there is to find."""
    alarm_nats = -math.log(alarm_level)
    change, clearest = measured["change"] or 0.0, measured["change_clearest"] or 0.0
    evidence, peak = measured["evidence"] or 0.0, measured["evidence_peak"] or 0.0
    changed = detection.alarm(change, clearest, change_alarm_nats)
    known = measured["draws_known"] or 0.0
    in_the_way = [name for name in unhealthy if name in IN_THE_WAY]
    if known < fewest_draws:
        return Strategy(
            "active learning",
            f"These rules have {known:.0f} draws, and a network needs {fewest_draws}: more draws help most.",
        )
    if in_the_way:
        return Strategy("conservative", f"First this is to be put right: {', '.join(in_the_way)}.")
    if changed >= 1.0:
        return Strategy(
            "adaptive",
            f"The machine seems to have changed ({change:.2f} nats): what was learnt may hold no more.",
        )
    if peak >= alarm_nats:
        return Strategy(
            "aggressive",
            f"The draws show signs of not being fair ({peak:.2f} nats): there is something to learn.",
        )
    if max(evidence / alarm_nats, changed) >= SUSPICIOUS:
        return Strategy(
            "balanced",
            f"The evidence ({evidence:.2f} nats, {change:.2f} for a change) proves nothing, but is some.",
        )
    return Strategy(
        "conservative",
        f"Nothing says that these draws can be predicted ({evidence:.2f} nats): to try harder is waste.",
    )


IN_THE_WAY = (
    "failed_trainings", "compute_left_day", "compute_left_month", "storage_used", "draw_overdue",
    "feed_disagreement",
)  # fmt: skip
"""Signals without whose health it is of no use to try more."""
