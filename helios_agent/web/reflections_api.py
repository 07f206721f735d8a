"""The HTTP API of reflections."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from helios_agent.web import reflections, views
from helios_agent.web.api import LAST, GameName, Served

router = APIRouter()


@router.get("/api/reflections")
async def list_reflections(
    agent: Served,
    game: GameName = None,
    limit: Annotated[int, Query(ge=1, le=100, description="how many at most")] = 10,
    before: Annotated[int | None, Query(ge=1, le=LAST, description="only of earlier events")] = None,
) -> list[dict[str, Any]]:
    """List reflections, newest first: what happened from each to the next."""
    rules = views.chosen_game(agent.config, game)
    return await reflections.listed(agent.store, rules.name, limit, before)


@router.get("/api/reflection/{model_name}")
async def reflect_on(agent: Served, model_name: str) -> dict[str, Any]:
    """Tell what is recorded of a model: its training, its gains, what was learned and decided of it."""
    return await reflections.of_model(agent.store, model_name)
