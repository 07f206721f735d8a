"""The HTTP API of decisions: ask for one, look at them, answer what they propose, switch them off and on."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from helios_agent.agent import Agent
from helios_agent.config.decisions import Chosen
from helios_agent.journal import events
from helios_agent.web import answers, decisions, views
from helios_agent.web.api import LAST, GameName, Seq, Served, searching
from helios_agent.web.decisions import LONGEST_REASON

router = APIRouter()


class DecisionRequest(BaseModel):
    """Ask for a decision."""

    model_config = ConfigDict(extra="forbid")
    game: str | None = None


class Refusal(BaseModel):
    """Why what was proposed is not to be done."""

    model_config = ConfigDict(extra="forbid")
    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON)]


@router.post("/api/decisions/make", status_code=202)
async def make(agent: Served, response: Response, body: DecisionRequest | None = None) -> dict[str, Any]:
    """Ask for a decision now, from the newest assessment."""
    rules = views.chosen_game(agent.config, body.game if body else None)
    intent = await agent.request("decide", rules.name, {}, by="http")
    response.headers["location"] = f"/api/intents/{intent.id}"
    return views.intent_record(intent)


@router.post("/api/decisions/autonomous/start")
async def start(agent: Served) -> dict[str, Any]:
    """Have the agent decide for itself again."""
    return decisions.switch_record(await agent.switch(True, by="http"))


@router.post("/api/decisions/autonomous/stop")
async def stop(agent: Served) -> dict[str, Any]:
    """Have the agent choose nothing by itself; what was asked for already goes on."""
    return decisions.switch_record(await agent.switch(False, by="http"))


@router.get("/api/decisions/history", response_model=list[dict[str, Any]])
async def history(
    request: Request,
    agent: Served,
    game: Annotated[str | None, Query(description="only of this game")] = None,
    action: Annotated[
        Chosen | Literal["wait"] | None, Query(description="only where this was a candidate")
    ] = None,
    chosen: Annotated[bool, Query(description="only where it, or anything but waiting, was chosen")] = False,
    status: Annotated[
        decisions.Status | None, Query(description="only where what was chosen stands so")
    ] = None,
    since: Annotated[str | None, Query(description="not earlier than this time")] = None,
    until: Annotated[str | None, Query(description="earlier than this time")] = None,
    limit: Annotated[int, Query(ge=1, le=decisions.MOST, description="how many at most")] = 20,
    before: Annotated[int | None, Query(ge=1, le=LAST, description="only earlier decisions")] = None,
) -> Response:
    """List decisions, newest first: every candidate, and what became of those chosen.

    The header `link` says where to look on.
    """
    wanted = decisions.Wanted(
        game=game and views.chosen_game(agent.config, game).name,
        action=action,
        chosen=chosen,
        status=status,
        since_us=events.instant_us("since", since),
        until_us=events.instant_us("until", until),
        before=before,
    )
    async with searching(request):
        page = await decisions.history(agent.store, wanted, limit)
    return await answers.rendered(page.decisions, answers.further(request, page.following))


@router.get("/api/decisions/status")
async def status(agent: Served, game: GameName = None) -> dict[str, Any]:
    """Show whether the agent decides for itself, what it may spend, proposes and believes."""
    rules = views.chosen_game(agent.config, game)
    return await decisions.status(agent.store, agent.config, rules, agent.journal.clock)


@router.get("/api/decisions/{seq}")
async def show(agent: Served, seq: Seq) -> dict[str, Any]:
    """Show one decision with everything that it was made from."""
    return await decisions.decision(agent.store, seq)


@router.post("/api/decisions/{intent_id}/approve", status_code=202)
async def approve(agent: Served, intent_id: str, response: Response) -> dict[str, Any]:
    """Let what was proposed be done."""
    return await _answer(agent, intent_id, "approve", "", response)


@router.post("/api/decisions/{intent_id}/reject", status_code=202)
async def reject(agent: Served, intent_id: str, body: Refusal, response: Response) -> dict[str, Any]:
    """Let what was proposed not be done, and say why."""
    return await _answer(agent, intent_id, "refuse", body.reason, response)


async def _answer(
    agent: Agent, intent_id: str, answer: Literal["approve", "refuse"], reason: str, response: Response
) -> dict[str, Any]:
    intent = await agent.answer(intent_id, answer, "http", reason)
    response.headers["location"] = f"/api/intents/{intent.id}"
    return views.intent_record(intent)
