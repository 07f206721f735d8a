"""The HTTP API of the memory: how much there is, look for something, take tables out, have it compacted."""

import asyncio
import os
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from helios_agent.journal import events, formats, room, tables, takeout
from helios_agent.web import memory, views
from helios_agent.web.api import LAST, Limit, Served
from helios_agent.web.memory import Memory

router = APIRouter()

Since = Annotated[str | None, Query(description="not earlier than this time")]
Until = Annotated[str | None, Query(description="earlier than this time")]
Model = Annotated[str | None, Query(description="a model's name, version or name@version")]
Kinds = Annotated[list[str] | None, Query(description="glob patterns, such as draw.*", max_length=20)]
Text = Annotated[str | None, Query(min_length=1, max_length=200, description="part of the payload")]


def _memory(request: Request) -> Memory:
    found: Memory = request.app.state.memory
    return found


@router.get("/api/memory/stats")
async def stats(agent: Served) -> dict[str, Any]:
    """Show what the memory holds and the room that it takes, table by table."""
    return await asyncio.to_thread(room.stats, agent.config)


@router.get("/api/memory/search")
async def search(
    agent: Served,
    request: Request,
    text: Text = None,
    kind: Kinds = None,
    model: Model = None,
    since: Since = None,
    until: Until = None,
    before: Annotated[int | None, Query(ge=1, le=LAST, description="only earlier events")] = None,
    limit: Limit = 50,
    archives: Annotated[bool, Query(description="also what was archived and removed")] = False,
) -> dict[str, Any]:
    """Look for events, newest first, also in archives; `before` says where to go on."""
    filters = events.Filters(
        before=before,
        kinds=tuple(kind or ()),
        since_us=events.instant_us("since", since),
        until_us=events.instant_us("until", until),
        model=model,
        text=text,
    )
    folder = agent.config.archives if archives else None
    asked = takeout.Search(agent.config.database, folder, filters, limit)
    return await _memory(request).search(asked)


@router.get("/api/memory/export")
async def export(
    agent: Served,
    request: Request,
    table: Annotated[str, Query(description="which: see the documentation")],
    form: Annotated[formats.Format, Query(alias="format")] = "csv",
    game: Annotated[str | None, Query(description="only of this game")] = None,
    kind: Kinds = None,
    model: Model = None,
    since: Since = None,
    until: Until = None,
) -> StreamingResponse:
    """Send a table, or some of its rows, as one file."""
    filters = tables.Filters(
        since_us=events.instant_us("since", since),
        until_us=events.instant_us("until", until),
        game=game,
        model=model,
        kinds=tuple(kind or ()),
    )
    file = await _memory(request).take_out(takeout.Export(agent.config.database, table, form, filters))
    headers = {
        "content-disposition": f'attachment; filename="{table}.{form}"',
        "content-length": str(os.fstat(file.fileno()).st_size),
    }
    return StreamingResponse(memory.parts(file), media_type=formats.MEDIA_TYPES[form], headers=headers)


@router.post("/api/memory/compact", status_code=202)
async def compact(agent: Served, response: Response) -> dict[str, Any]:
    """Ask for a compaction."""
    intent = await agent.request("compact", "journal", {}, by="http")
    response.headers["location"] = f"/api/intents/{intent.id}"
    return views.intent_record(intent)
