"""The HTTP API of predictions: keep a network ready, ask it, let it go."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import Field

from helios_agent.web import views
from helios_agent.web.api import Served, Which, no_query
from helios_agent.web.predictions import MOST_PICKS, Predictions

router = APIRouter(dependencies=[Depends(no_query)])


async def predictions_of(request: Request) -> Predictions:
    """Return what asks the agent's loaded networks."""
    asked: Predictions = request.app.state.predictions
    return asked


Asked = Annotated[Predictions, Depends(predictions_of)]


class PredictionRequest(Which):
    """Ask for a prediction."""

    picks: int = Field(5, ge=1, le=MOST_PICKS, description="how many tickets")


class ModelRequest(Which):
    """Name a model."""

    name: str


class ModelPredictionRequest(PredictionRequest):
    """Ask a model for a prediction."""

    name: str


@router.get("/api/predictors")
async def predictors(asked: Asked) -> list[dict[str, Any]]:
    """Show the networks that are kept ready, and how they are doing."""
    return asked.standings()


@router.post("/api/models/{name}/load")
async def load(agent: Served, asked: Asked, name: str, body: Which | None = None) -> dict[str, Any]:
    """Keep a network ready to answer."""
    body = body or Which()
    return await asked.load(views.chosen_game(agent.config, body.game), name)


@router.post("/api/models/load")
async def load_named(agent: Served, asked: Asked, body: ModelRequest) -> dict[str, Any]:
    """Keep a network ready to answer."""
    return await load(agent, asked, body.name, body)


@router.post("/api/models/{name}/unload")
async def unload(agent: Served, asked: Asked, name: str, body: Which | None = None) -> dict[str, Any]:
    """Let a network go that was kept ready."""
    body = body or Which()
    return await asked.unload(views.chosen_game(agent.config, body.game), name)


@router.post("/api/models/{name}/predict")
async def predict(
    agent: Served, asked: Asked, name: str, body: PredictionRequest | None = None
) -> dict[str, Any]:
    """Show what a network says of the next draw; it is loaded where it is not yet."""
    body = body or PredictionRequest()
    return await asked.predict(views.chosen_game(agent.config, body.game), name, body.picks)


@router.post("/api/predict")
async def predict_named(agent: Served, asked: Asked, body: ModelPredictionRequest) -> dict[str, Any]:
    """Show what a network says of the next draw; it is loaded where it is not yet."""
    return await predict(agent, asked, body.name, body)
