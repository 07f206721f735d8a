"""Signals as series: in which of them patterns are looked for, and how."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from helios_agent.metacognition import patterns

ASSESSMENTS = 200
"""Over how many of the last assessments patterns are looked for."""
AS_THEY_ARE = (
    "expert_disagreement", "learning_progress", "live_gap", "champion_gain", "challenger_gain",
    "decision_effectiveness", "draw_overdue", "feed_silence", "open_incidents", "compute_day", "storage_used",
    "schedule_lateness", "webhook_failures",
)  # fmt: skip
INCREMENTS = ("evidence", "regret")
"""Totals: a sum of pure noise has trends. What was added from one assessment to the next has none."""


def series(history: Sequence[Mapping[str, float | None]]) -> dict[str, list[float | None]]:
    """Return the series to look at, by name, from what assessments measured, oldest first."""
    found: dict[str, list[float | None]] = {
        name: [measured.get(name) for measured in history] for name in AS_THEY_ARE
    }
    for name in INCREMENTS:
        found[f"{name}, increments"] = [
            None if (was := before.get(name)) is None or (now := after.get(name)) is None else now - was
            for before, after in pairwise(history)
        ]
    return found


def found_in(history: Sequence[Mapping[str, float | None]]) -> list[dict[str, Any]]:
    """Return every pattern as JSON-ready values. Where there is none, any is found at `patterns.LEVEL`."""
    seen = patterns.find(series(history))
    return [asdict(finding) | {"sentence": finding.sentence} for finding in seen.findings]
