"""What the page shows of what the agent decided, aims at, learned and trained, game by game."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from helios_agent.actions import side_by_side
from helios_agent.journal import models
from helios_agent.lottery.games import Game
from helios_agent.metacognition import analytics
from helios_agent.store import Reader
from helios_agent.web import analytics as shown
from helios_agent.web import decisions, goals, knowledge, reflections

DECISIONS = 10
GOALS = 10
FRAGMENTS = 5
MODELS = 5
"""How many are shown at most, of each the newest; of goals the most pressing."""
STATES = ("open", "waiting", "reached", "missed")
"""Of goals that are shown, in this order."""
CHANGES = (
    "forecast.scored", "history.scored", "model.deleted", "model.imported", "model.promoted", "model.retired",
    "model.rolled-back", "model.trained", "work.spent",
)  # fmt: skip
"""Events after which models look different side by side."""


async def of_game(store: Reader, rules: Game) -> dict[str, Any]:
    """Return what the page shows of one game, but for its models."""
    told = await reflections.listed(store, rules.name, 1)
    known = await knowledge.listed(store, rules.name, None, None)
    made = await decisions.history(store, decisions.Wanted(game=rules.name), DECISIONS)
    return {
        "decisions": made.decisions,
        "goals": _pressing(await goals.listed(store, rules.name, None)),
        "learned": known[:FRAGMENTS],
        "reflection": told[0] if told else None,
    }


def _pressing(found: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [goal for state in STATES for goal in found if goal["state"] == state][:GOALS]


class Models:
    """Models side by side. What was computed is kept until the journal tells of something new about them."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int | None, dict[str, Any] | None]] = {}

    async def of_game(self, store: Reader, rules: Game) -> dict[str, Any] | None:
        """Return those that forecast and the newest others, their ensemble and correlations; None if none."""
        newest = "(SELECT max(seq) FROM event WHERE kind = value)"
        rows = await store.rows(
            f"SELECT max({newest}) AS seq FROM json_each(?)",  # noqa: S608
            (json.dumps(CHANGES),),
        )
        seq = rows[0]["seq"]
        if rules.name not in self._known or self._known[rules.name][0] != seq:
            self._known[rules.name] = seq, await _side_by_side(store, rules)
        return self._known[rules.name][1]


async def _side_by_side(store: Reader, rules: Game) -> dict[str, Any] | None:
    found = await models.of_game(store, rules.name)
    if not found:
        return None
    newest = [model for model in found if model.era == found[-1].era]
    newest.sort(key=lambda model: (model.role in models.ACTIVE, model.ordinal), reverse=True)
    facts = await side_by_side.facts(store, newest[:MODELS])
    ensemble = await shown.ensemble(store, rules, [])
    return await asyncio.to_thread(_compared, facts, ensemble["verdict"])


def _compared(facts: Sequence[analytics.Facts], ensemble: str) -> dict[str, Any]:
    together = analytics.matrix({each.model: each.gains for each in facts})
    return {
        "models": [analytics.record(each) for each in facts],
        "ensemble": ensemble,
        "matrix": _rows(together["models"], together["correlations"]),
    }


def _rows(
    names: Sequence[str], correlations: Sequence[Sequence[float | None]]
) -> list[dict[str, Any]] | None:
    """Return the matrix row by row; None where no two of them have enough draws in common."""
    is_known = any(value is not None for n, row in enumerate(correlations) for value in row[:n])
    rows = [{"model": name, "correlations": row} for name, row in zip(names, correlations, strict=True)]
    return rows if is_known else None
