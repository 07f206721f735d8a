"""The HTTP API of goals: see them, set one, withdraw one."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from helios_agent.actions import goals as actions
from helios_agent.config.decisions import Goal
from helios_agent.web import goals
from helios_agent.web.api import Served

router = APIRouter()


@router.get("/api/goals")
async def list_goals(
    agent: Served,
    game: Annotated[str | None, Query(description="only of this game")] = None,
    state: Annotated[goals.State | None, Query(description="only those in this state")] = None,
) -> list[dict[str, Any]]:
    """List goals, the most pressing first, with how far they are."""
    return await goals.listed(agent.store, game, state)


@router.get("/api/goals/{goal_id}")
async def show_goal(agent: Served, goal_id: str) -> dict[str, Any]:
    """Show a goal, and how far it is."""
    return await goals.shown(agent.store, goal_id)


@router.post("/api/goals", status_code=201)
async def set_goal(agent: Served, body: Goal, response: Response) -> dict[str, Any]:
    """Set a goal; it is measured by the next assessment, which is asked for."""
    change = partial(actions.set_out, config=agent.config, setting=body, by="http")
    goal_id = await agent.journal.record(change)
    response.headers["location"] = f"/api/goals/{goal_id}"
    return await goals.shown(agent.store, goal_id)


@router.delete("/api/goals/{goal_id}")
async def withdraw_goal(agent: Served, goal_id: str) -> dict[str, Any]:
    """Withdraw a goal that a person has set."""
    await agent.journal.record(partial(actions.withdraw, config=agent.config, goal_id=goal_id, by="http"))
    return await goals.shown(agent.store, goal_id)
