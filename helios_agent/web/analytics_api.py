"""The HTTP API of cross-model analytics: forecasters side by side."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from helios_agent.metacognition.analytics import RANKED_BY
from helios_agent.web import analytics, views
from helios_agent.web.api import GameName, Served

router = APIRouter()


class Named(BaseModel):
    """Forecasters: versions, name@version, or experts, of one game."""

    model_config = ConfigDict(extra="forbid")
    models: list[Annotated[str, Field(max_length=100)]] = Field([], max_length=50)
    game: str | None = None


class Compared(Named):
    """Forecasters, and by what metric their models are ranked."""

    metric: str = RANKED_BY


@router.get("/api/analytics/cross-model")
async def cross_model(
    agent: Served,
    game: GameName = None,
    metric: Annotated[str, Query(description="by what they are ranked")] = RANKED_BY,
) -> dict[str, Any]:
    """Show the models of a game side by side, ranked, with the trends from each to the next."""
    return await analytics.cross_model(agent.store, views.chosen_game(agent.config, game), metric)


@router.get("/api/analytics/models")
async def list_models(agent: Served, game: GameName = None) -> dict[str, Any]:
    """Show how each model of a game was trained, what that cost, and what it has gained."""
    return await analytics.listed(agent.store, views.chosen_game(agent.config, game))


@router.get("/api/analytics/models/{name}/performance")
@router.get("/api/analytics/performance/{name}", include_in_schema=False)
async def performance(agent: Served, name: str) -> dict[str, Any]:
    """Show the same of one version, or of all versions of a model."""
    return await analytics.performance(agent.store, name)


@router.get("/api/analytics/trends")
async def trends(
    agent: Served,
    game: GameName = None,
    metric: Annotated[str | None, Query(description="of this alone")] = None,
) -> dict[str, Any]:
    """Show whether what is measured of models rises or falls from each to the next."""
    return await analytics.trends(agent.store, views.chosen_game(agent.config, game), metric)


@router.post("/api/analytics/compare")
@router.post("/api/analytics/comparison", include_in_schema=False)
async def compare(agent: Served, body: Compared) -> dict[str, Any]:
    """Compare forecasters on the draws that all of them forecast."""
    rules = views.chosen_game(agent.config, body.game)
    return await analytics.compared(agent.store, rules, body.models, body.metric)


@router.post("/api/analytics/performance-matrix")
@router.post("/api/analytics/matrix", include_in_schema=False)
async def matrix_of(agent: Served, body: Named | None = None) -> dict[str, Any]:
    """Show how the gains of forecasters go together."""
    body = body or Named()
    return await analytics.matrix(agent.store, views.chosen_game(agent.config, body.game), body.models)


@router.get("/api/analytics/matrix", include_in_schema=False)
async def matrix(agent: Served, game: GameName = None) -> dict[str, Any]:
    """Show how the gains of all forecasters of a game go together."""
    return await analytics.matrix(agent.store, views.chosen_game(agent.config, game), [])


@router.post("/api/analytics/ensemble/recommendations")
@router.post("/api/analytics/ensemble", include_in_schema=False)
async def ensemble(agent: Served, body: Named | None = None) -> dict[str, Any]:
    """Build an ensemble, score it draw by draw, and say whether it is better than each of its members."""
    body = body or Named()
    return await analytics.ensemble(agent.store, views.chosen_game(agent.config, body.game), body.models)
