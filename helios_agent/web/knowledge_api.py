"""The HTTP API of what the agent remembers: what was learned, how much room it takes, and making room."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from helios_agent.web import knowledge, views
from helios_agent.web.api import Served

router = APIRouter()

Kind = Literal["effect", "fairness", "leader", "feed", "cost"]


@router.get("/api/memory/knowledge")
async def list_knowledge(
    agent: Served,
    game: Annotated[str | None, Query(description="only of this game")] = None,
    kind: Annotated[Kind | None, Query(description="only of this kind")] = None,
    text: Annotated[
        str | None, Query(min_length=1, max_length=200, description="part of the subject or the sentence")
    ] = None,
) -> list[dict[str, Any]]:
    """List what the agent has learned and not forgotten, what was learned last first."""
    return await knowledge.listed(agent.store, game, kind, text)


@router.get("/api/memory/stats")
async def show_stats(agent: Served) -> dict[str, Any]:
    """Show how much the agent remembers, and how much room that takes."""
    return await knowledge.stats(agent.store, agent.config)


@router.post("/api/memory/compact", status_code=202)
async def compact(agent: Served, response: Response) -> dict[str, Any]:
    """Ask for old events to be archived, and for what was of no use to be forgotten."""
    intent = await agent.request("compact", "journal", {}, by="http")
    response.headers["location"] = f"/api/intents/{intent.id}"
    return views.intent_record(intent)
