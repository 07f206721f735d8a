"""The HTTP API of what Helios knows of itself: assessments, patterns, recommendations."""

from typing import Any

from fastapi import APIRouter, Response

from helios_agent.web import assessments, views
from helios_agent.web.api import GameName, Served, Which

router = APIRouter()


@router.get("/api/metacognitive/assessment")
async def show_assessment(agent: Served, game: GameName = None) -> dict[str, Any]:
    """Show the last assessment: every signal with its definition, healthy range and source."""
    return await assessments.latest(agent.store, views.chosen_game(agent.config, game))


@router.post("/api/metacognitive/assessment", status_code=202)
async def assess(agent: Served, response: Response, body: Which | None = None) -> dict[str, Any]:
    """Ask for an assessment."""
    rules = views.chosen_game(agent.config, body.game if body else None)
    intent = await agent.request("assess", rules.name, {}, by="http")
    response.headers["location"] = f"/api/intents/{intent.id}"
    return views.intent_record(intent)


@router.get("/api/metacognitive/patterns")
async def show_patterns(agent: Served, game: GameName = None) -> dict[str, Any]:
    """Show the patterns that the last assessment found in what was measured."""
    return await assessments.patterns(agent.store, views.chosen_game(agent.config, game))


@router.post("/api/metacognitive/recommendations")
async def recommend(agent: Served, body: Which | None = None) -> dict[str, Any]:
    """Say what follows from the last assessment, and what doing so has achieved before."""
    rules = views.chosen_game(agent.config, body.game if body else None)
    return await assessments.recommended(agent.store, rules)
