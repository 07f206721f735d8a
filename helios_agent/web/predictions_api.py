"""The HTTP API of predictions: keep a network ready, ask it, let it go."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from helios_agent.web import views
from helios_agent.web.api import GameName, Served
from helios_agent.web.predictions import MOST_PICKS, Predictions

router = APIRouter()

Picks = Annotated[int, Query(ge=1, le=MOST_PICKS, description="how many tickets")]


async def predictions_of(request: Request) -> Predictions:
    """Return what asks the agent's loaded networks."""
    asked: Predictions = request.app.state.predictions
    return asked


Asked = Annotated[Predictions, Depends(predictions_of)]


class ModelRequest(BaseModel):
    """Name a model."""

    model_config = ConfigDict(extra="forbid")
    name: str
    game: str | None = None


class PredictionRequest(ModelRequest):
    """Ask a model for a prediction."""

    picks: int = Field(5, ge=1, le=MOST_PICKS)


@router.get("/api/predictors")
async def predictors(asked: Asked) -> list[dict[str, Any]]:
    """Show the networks that are kept ready, and how they are doing."""
    return asked.standings()


@router.post("/api/models/{name}/load")
async def load(agent: Served, asked: Asked, name: str, game: GameName = None) -> dict[str, Any]:
    """Keep a network ready to answer."""
    return await asked.load(views.chosen_game(agent.config, game), name)


@router.post("/api/models/load")
async def load_named(agent: Served, asked: Asked, body: ModelRequest) -> dict[str, Any]:
    """Keep a network ready to answer."""
    return await asked.load(views.chosen_game(agent.config, body.game), body.name)


@router.post("/api/models/{name}/unload")
async def unload(agent: Served, asked: Asked, name: str, game: GameName = None) -> dict[str, Any]:
    """Let a network go that was kept ready."""
    return await asked.unload(views.chosen_game(agent.config, game), name)


@router.post("/api/models/{name}/predict")
async def predict(
    agent: Served, asked: Asked, name: str, game: GameName = None, picks: Picks = 5
) -> dict[str, Any]:
    """Show what a network says of the next draw; it is loaded where it is not yet."""
    return await asked.predict(views.chosen_game(agent.config, game), name, picks)


@router.post("/api/predict")
async def predict_named(agent: Served, asked: Asked, body: PredictionRequest) -> dict[str, Any]:
    """Show what a network says of the next draw; it is loaded where it is not yet."""
    return await asked.predict(views.chosen_game(agent.config, body.game), body.name, body.picks)
