"""The HTTP API: what can be asked and requested, and how refusals look (RFC 9457)."""

import asyncio
from typing import Annotated, Any, Literal, get_args

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from helios_agent.actions.train import SCRATCH
from helios_agent.agent import Agent, Health
from helios_agent.clock import SECOND_US
from helios_agent.config.kinds import ActionName
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import events, intents
from helios_agent.web import answers, metrics, views

router = APIRouter()

LAST = 2**63 - 1
"""The largest number an event can have."""

Seq = Annotated[int, Path(ge=1, le=LAST)]
Limit = Annotated[int, Query(ge=1, le=1000, description="how many at most")]
Before = Annotated[int | None, Query(ge=1, le=LAST, description="only what earlier events asked for")]
LOWEST, HIGHEST = -100, 100
Priority = Annotated[int, Field(ge=LOWEST, le=HIGHEST, description="the highest is begun first")]
JobRequest = Literal["pause", "resume", "stop", "retry"]
GameName = Annotated[str | None, Query(description="which game; the first configured if not given")]


async def agent_of(request: Request) -> Agent:  # async, or it would be called in a thread
    """Return the agent that this server stands before."""
    agent: Agent = request.app.state.agent
    return agent


Served = Annotated[Agent, Depends(agent_of)]


def searching(request: Request) -> asyncio.Semaphore:
    """Return what lets one search of the journal go on at a time, so that a reader is left for all else."""
    one: asyncio.Semaphore = request.app.state.searching
    return one


async def no_query(request: Request) -> None:
    """Refuse a request that says in its query what is read from its body."""
    if request.query_params:
        raise Refused(f"the query has {', '.join(request.query_params)}; expected in the body, as JSON")


class Which(BaseModel):
    """Of which game."""

    model_config = ConfigDict(extra="forbid")
    game: str | None = None


class TrainRequest(BaseModel):
    """Ask for a training. Everything else comes from the configuration."""

    model_config = ConfigDict(extra="forbid")
    game: str | None = None
    start: Literal["scratch", "newest"] = Field("scratch", description="which weights it begins from")
    priority: Priority = 0


class PriorityRequest(BaseModel):
    """Give what waits another priority."""

    model_config = ConfigDict(extra="forbid")
    priority: Priority


class IntentRequest(BaseModel):
    """Ask for any action."""

    model_config = ConfigDict(extra="forbid")
    action: ActionName
    target: str | None = None
    priority: Priority = 0


@router.get("/health")
@router.get("/api/health", include_in_schema=False)
async def health(agent: Served) -> JSONResponse:
    """Say whether the agent is ready (200), or not (503), and why."""
    state = agent.health()
    return JSONResponse(_said(state), status_code=200 if state.ready else 503)


@router.get("/live")
async def live(agent: Served) -> JSONResponse:
    """Say whether every part of the agent gives signs of life (200), or a restart may help (503)."""
    state = agent.health()
    return JSONResponse(_said(state), status_code=200 if state.alive else 503)


def _said(state: Health) -> dict[str, Any]:
    return {"status": state.status, "alive": state.alive, "reasons": list(state.reasons)}


@router.get("/api/status")
async def status(agent: Served) -> dict[str, Any]:
    """Show everything at a glance."""
    return {
        **_said(agent.health()),
        "boot": agent.journal.boot,
        "up_seconds": (agent.journal.clock.mono_us() - agent.begun_mono_us) // SECOND_US,
        **await views.overview(agent.store, agent.config, agent.journal.clock),
    }


@router.get("/api/draws")
async def draws(
    agent: Served,
    game: GameName = None,
    limit: Limit = 50,
    before: Annotated[str | None, Query(description="only draws earlier than this day")] = None,
) -> list[dict[str, Any]]:
    """List draws, newest first, with their source, their event and their score."""
    rules = views.chosen_game(agent.config, game)
    return await views.drawn(agent.store, rules, limit, views.check_day(before))


@router.get("/api/forecasts")
async def forecasts(
    agent: Served,
    game: GameName = None,
    limit: Annotated[int, Query(ge=1, le=100, description="how many at most")] = 10,
    before: Annotated[
        int | None, Query(ge=1, le=LAST, description="only forecasts of earlier events")
    ] = None,
) -> list[dict[str, Any]]:
    """List registered forecasts, newest first, whole: what will be, or was, scored."""
    return await views.registered(agent.store, views.chosen_game(agent.config, game), limit, before)


@router.get("/api/evidence")
async def evidence(agent: Served, game: GameName = None) -> list[dict[str, Any]]:
    """Show the evidence against fairness after each scored draw of the current era, oldest first."""
    return await views.evidence(agent.store, views.chosen_game(agent.config, game))


@router.get("/api/journal", response_model=list[dict[str, Any]])
async def journal(
    request: Request,
    agent: Served,
    limit: Limit = 50,
    before: Annotated[int | None, Query(ge=1, le=LAST)] = None,
    after: Annotated[int | None, Query(ge=0, le=LAST)] = None,
    kind: Annotated[list[str] | None, Query(description="glob patterns, such as draw.*")] = None,
    cause: Annotated[
        int | None, Query(ge=1, le=LAST, description="only what followed from this event")
    ] = None,
    since: Annotated[str | None, Query(description="not earlier than this time")] = None,
    until: Annotated[str | None, Query(description="earlier than this time")] = None,
    model: Annotated[str | None, Query(description="a model's name, version or name@version")] = None,
    text: Annotated[
        str | None, Query(min_length=1, max_length=200, description="part of the payload")
    ] = None,
) -> Response:
    """List events, newest first. The header `link` says where to look on."""
    async with searching(request):
        found = await events.page(
            agent.store,
            limit=limit,
            before=before,
            after=after,
            kinds=kind or (),
            cause=cause,
            since_us=events.instant_us("since", since),
            until_us=events.instant_us("until", until),
            model=model,
            text=text,
        )
    records = [event.as_record() for event in found.events]
    return await answers.rendered(records, answers.further(request, found.following))


@router.post("/api/train", status_code=202)
@router.post("/api/train/start", status_code=202, include_in_schema=False)
async def train(agent: Served, response: Response, body: TrainRequest | None = None) -> dict[str, Any]:
    """Ask for a training; where one already waits, or is paused, that one is meant."""
    body = body or TrainRequest()
    rules = views.chosen_game(agent.config, body.game)
    args: dict[str, object] = {} if body.start == SCRATCH else {"start": body.start}
    intent = await agent.request("train", rules.name, args, by="http", priority=body.priority)
    return await _training(agent, intent, response)


@router.get("/api/train/history")
async def training_history(
    agent: Served, game: GameName = None, limit: Limit = 50, before: Before = None
) -> list[dict[str, Any]]:
    """List the trainings of a game, those asked for last first."""
    return await views.jobs_of(agent.store, views.chosen_game(agent.config, game).name, limit, before)


@router.get("/api/train/status", include_in_schema=False)
async def latest_training(agent: Served, game: GameName = None) -> dict[str, Any]:
    """Show the latest training job."""
    return await views.job(agent.store, await _latest(agent, game), agent.journal.clock)


@router.get("/api/train/{job_id}")
@router.get("/api/train/status/{job_id}", include_in_schema=False)
async def training(agent: Served, job_id: str) -> dict[str, Any]:
    """Show a training job: state, place in the queue, epochs, time left, result."""
    return await views.job(agent.store, await intents.find(agent.store, job_id), agent.journal.clock)


@router.post("/api/train/{job_id}/priority", status_code=202)
async def prioritise_training(
    agent: Served, job_id: str, body: PriorityRequest, response: Response
) -> dict[str, Any]:
    """Give a training job another priority."""
    job = views.check_training(await intents.find(agent.store, job_id))
    asked = await agent.control(job.id, "priority", by="http", priority=body.priority)
    return await _training(agent, asked, response)


def _add_training_request(request: JobRequest) -> None:
    """Add the routes by which this is asked of a training job: the one that is named, or the latest."""

    async def of_one(agent: Served, job_id: str, response: Response) -> dict[str, Any]:
        job = views.check_training(await intents.find(agent.store, job_id))
        return await _training(agent, await agent.control(job.id, request, by="http"), response)

    async def of_latest(
        agent: Served, response: Response, _: Annotated[None, Depends(no_query)], body: Which | None = None
    ) -> dict[str, Any]:
        job = await _latest(agent, body.game if body else None)
        return await _training(agent, await agent.control(job.id, request, by="http"), response)

    for path, ask in (
        (f"/api/train/{{job_id}}/{request}", of_one),
        (f"/api/train/{request}/{{job_id}}", of_one),
        (f"/api/train/{request}", of_latest),
    ):
        router.add_api_route(
            path, ask, methods=["POST"], status_code=202,
            include_in_schema=path.endswith(f"}}/{request}"), name=f"{request}_training",
            description=f"Ask a training job to {request}.",
        )  # fmt: skip


for _request in get_args(JobRequest):
    _add_training_request(_request)


async def _latest(agent: Agent, game: str | None) -> intents.Intent:
    intent = await intents.latest(agent.store, "train", views.chosen_game(agent.config, game).name)
    if intent is None:
        raise NotFound("There is no training job yet.")
    return intent


async def _training(agent: Agent, intent: intents.Intent, response: Response) -> dict[str, Any]:
    """Return a training job as the answer to a request that concerns it."""
    response.headers["location"] = f"/api/train/{intent.id}"
    return await views.job(agent.store, intent, agent.journal.clock)


@router.post("/api/intents", status_code=202)
async def request_intent(agent: Served, body: IntentRequest, response: Response) -> dict[str, Any]:
    """Ask for an action."""
    action, target = views.check_action(agent.config, body.action, body.target)
    intent = await agent.request(action, target, {}, by="http", priority=body.priority)
    response.headers["location"] = f"/api/intents/{intent.id}"
    return views.intent_record(intent)


@router.get("/api/intents/{intent_id}")
async def show_intent(agent: Served, intent_id: str) -> dict[str, Any]:
    """Show what became of a requested action."""
    return views.intent_record(await intents.find(agent.store, intent_id))


@router.post("/api/intents/{intent_id}/priority", status_code=202)
async def prioritise_intent(agent: Served, intent_id: str, body: PriorityRequest) -> dict[str, Any]:
    """Give what was asked for another priority."""
    asked = await agent.control(intent_id, "priority", by="http", priority=body.priority)
    return views.intent_record(asked)


@router.post("/api/intents/{intent_id}/{request}", status_code=202)
async def ask_of_intent(agent: Served, intent_id: str, request: JobRequest) -> dict[str, Any]:
    """Pause, resume or stop what was asked for, or try it again; show the intent that answers to it now."""
    return views.intent_record(await agent.control(intent_id, request, by="http"))


@router.post("/api/reload")
async def reload(agent: Served) -> dict[str, Any]:
    """Read the configuration again and live by it; show what changed. What is wrong is refused whole."""
    return {"changed": await agent.reload()}


@router.get("/metrics")
async def show_metrics(agent: Served) -> Response:
    """Show metrics in Prometheus' text format."""
    return Response(await metrics.render(agent), media_type=metrics.CONTENT_TYPE)
