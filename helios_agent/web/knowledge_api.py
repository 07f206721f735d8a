"""The HTTP API of what the agent has learned."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from helios_agent.web import knowledge
from helios_agent.web.api import Served

router = APIRouter()


@router.get("/api/memory/knowledge")
async def list_knowledge(
    agent: Served,
    game: Annotated[str | None, Query(description="only of this game")] = None,
    kind: Annotated[knowledge.Kind | None, Query(description="only of this kind")] = None,
    text: Annotated[
        str | None, Query(min_length=1, max_length=200, description="part of the subject or the sentence")
    ] = None,
) -> list[dict[str, Any]]:
    """List what the agent has learned and not forgotten, what was learned last first."""
    return await knowledge.listed(agent.store, game, kind, text)
