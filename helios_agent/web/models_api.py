"""The HTTP API of the models: list, look, take out and in, and ask for what changes their roles."""

import asyncio
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from helios_agent.actions import import_model
from helios_agent.agent import Agent
from helios_agent.errors import ArtefactInvalid, Refused
from helios_agent.journal import events, summaries
from helios_agent.journal import models as stored
from helios_agent.registry import bundles, names
from helios_agent.web import answers, models, views
from helios_agent.web.api import LAST, Limit, Served, Which, no_query, searching

router = APIRouter()


@router.get("/api/models")
async def list_models(
    agent: Served,
    game: Annotated[str | None, Query(description="only of this game")] = None,
    era: Annotated[str | None, Query(description="only of the rules from this day")] = None,
    role: Annotated[str | None, Query(description="challenger, champion, retired or deleted")] = None,
) -> list[dict[str, Any]]:
    """List models in the order in which they joined; deleted ones only by their role."""
    return await models.listed(agent.store, game, era, role)


@router.get("/api/models/{name}")
@router.get("/api/models/{name}/info", include_in_schema=False)
async def show_model(agent: Served, name: str) -> dict[str, Any]:
    """Show a model with its versions, or one version with its files, after checking every byte of them."""
    return await models.info(agent.store, agent.config, name)


@router.get("/api/models/{name}/journal", response_model=dict[str, Any])
@router.get("/api/journal/{name}", response_model=dict[str, Any], include_in_schema=False)
async def model_journal(
    request: Request,
    agent: Served,
    name: str,
    limit: Limit = 50,
    before: Annotated[int | None, Query(ge=1, le=LAST)] = None,
) -> Response:
    """Show how a version was trained, epoch by epoch, and the events that concern a model, newest first.

    The header `link` says where to look on.
    """
    named = names.name_or_ref(name)
    epochs, summary = None, None
    if isinstance(named, names.Ref):
        model = await stored.find(agent.store, named.name, named.version)
        epochs = await stored.epochs(agent.store, model.job) if model.job else []
        summary = await summaries.find(agent.store, model.job) if model.job else None
    async with searching(request):
        found = await events.page(agent.store, limit=limit, before=before, model=str(named))
    records = [event.as_record() for event in found.events]
    seen = {"model": str(named), "epochs": epochs, "summary": summary, "events": records}
    return await answers.rendered(seen, answers.further(request, found.following))


@router.get("/api/models/{name}/export")
async def export_model(agent: Served, name: str) -> StreamingResponse:
    """Send a version as one file."""
    ref = await models.kept(agent.store, name)
    packed = await asyncio.to_thread(bundles.pack, agent.config.paths.models, ref)
    headers = {
        "content-disposition": f'attachment; filename="{bundles.file_name(ref)}"',
        "content-length": str(packed.size),
    }
    return StreamingResponse(packed.parts, media_type="application/x-tar", headers=headers)


@router.post("/api/models/import", status_code=202)
async def import_file(agent: Served, request: Request, response: Response) -> dict[str, Any]:
    """Take a version's file in, as the body of the request, and ask for it to become the challenger."""
    if agent.phase != "ready":  # a start removes what came in and nobody asked for
        raise Refused(f"The agent is {agent.phase}: it takes no model in now.")
    home = agent.config.paths.models
    with bundles.taking_in(home):
        file = await asyncio.to_thread(bundles.spool, home)
        try:
            await _receive(request, file)
            bundle = await asyncio.to_thread(import_model.check, agent.config, agent.journal.clock, file)
            await asyncio.to_thread(bundle.keep, home)
        finally:
            await asyncio.to_thread(file.close)
    return await _ask(agent, "import", import_model.target(bundle), response)


async def _receive(request: Request, file: IO[bytes]) -> None:
    """Write the body of a request to a file, and go back to its beginning."""
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > bundles.LARGEST_BYTES:
            raise ArtefactInvalid(f"The file has more than {bundles.LARGEST_BYTES:,} bytes.")
        await asyncio.to_thread(file.write, part)
    await asyncio.to_thread(file.seek, 0)


@router.post("/api/models/{name}/promote", status_code=202, dependencies=[Depends(no_query)])
async def promote(agent: Served, name: str, response: Response, body: Which | None = None) -> dict[str, Any]:
    """Ask for the challenger to become the champion, whatever its trial has shown by now."""
    return await _act(agent, "promote", name, body, response)


@router.post("/api/models/{name}/rollback", status_code=202, dependencies=[Depends(no_query)])
async def rollback(agent: Served, name: str, response: Response, body: Which | None = None) -> dict[str, Any]:
    """Ask for the one before to be champion again."""
    return await _act(agent, "rollback", name, body, response)


@router.post("/api/models/{name}/retire", status_code=202)
async def retire(agent: Served, name: str, response: Response) -> dict[str, Any]:
    """Ask for a challenger or champion to forecast no more."""
    return await _act(agent, "retire", name, None, response)


@router.post("/api/models/{name}/validate", status_code=202)
async def validate(agent: Served, name: str, response: Response) -> dict[str, Any]:
    """Ask for a version to be checked in full, by loading it and having it forecast, too."""
    return await _act(agent, "validate", name, None, response)


@router.delete("/api/models/{name}", status_code=202)
async def delete(
    agent: Served,
    name: str,
    response: Response,
    confirm: Annotated[str | None, Query(description="the same name@version again")] = None,
) -> dict[str, Any]:
    """Ask for a retired version's files to be removed."""
    model = await models.meant(agent.store, agent.config, "delete", name, None)
    models.confirmed(model, confirm)
    if any(loaded.forecaster == model.forecaster for loaded in agent.predictors.standings()):
        raise Refused(f"{model.forecaster} is loaded; unload it, then delete it")
    return await _act(agent, "delete", name, None, response)


async def _act(
    agent: Agent, action: str, name: str, body: Which | None, response: Response
) -> dict[str, Any]:
    model = await models.meant(agent.store, agent.config, action, name, body.game if body else None)
    return await _ask(agent, action, models.target(model), response)


async def _ask(agent: Agent, action: str, target: str, response: Response) -> dict[str, Any]:
    intent = await agent.request(action, target, {}, by="http")
    response.headers["location"] = f"/api/intents/{intent.id}"
    return views.intent_record(intent)
