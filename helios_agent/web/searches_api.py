"""The HTTP API of searches: how far they are, and what they found. They are asked for as any action is."""

import math
from typing import Annotated, Any

from fastapi import APIRouter, Query

from helios_agent.config import Config
from helios_agent.errors import NotFound
from helios_agent.journal import intents, searches
from helios_agent.journal.intents import Intent
from helios_agent.store import Reader
from helios_agent.web import views
from helios_agent.web.api import Before, GameName, Served

router = APIRouter()


@router.get("/api/searches")
async def list_searches(
    agent: Served,
    game: GameName = None,
    limit: Annotated[int, Query(ge=1, le=100, description="how many at most")] = 20,
    before: Before = None,
) -> list[dict[str, Any]]:
    """List searches, newest first, with what they tried."""
    rules = views.chosen_game(agent.config, game)
    found = await intents.asked_for(agent.store, ("tune",), target=rules.name, before=before, limit=limit)
    return [await _record(agent.store, agent.config, intent) for intent in found]


@router.get("/api/searches/{job_id}")
async def show_search(agent: Served, job_id: str) -> dict[str, Any]:
    """Show a search: its state, every configuration that it tried, and what it found."""
    intent = await intents.find(agent.store, job_id)
    if intent.action != "tune":
        raise NotFound(f"There is no search {job_id!r}.")
    return await _record(agent.store, agent.config, intent)


async def _record(store: Reader, config: Config, intent: Intent) -> dict[str, Any]:
    settings, tried = config.learning.search, await searches.trials(store, intent.id)
    spent = math.fsum(trial["cpu_seconds"] for trial in tried)
    left = settings.trials - len(tried)
    # Those to come are taken to be like those there were, on a core of their own; no trial begins after the
    # budget is spent.
    each = spent / len(tried) if tried else 0.0
    if each > 0.0:
        left = min(left, math.ceil((settings.cpu - spent) / each))
    left = max(0, left) if intent.state in intents.OPEN_STATES else 0
    return views.intent_record(intent) | {
        "trials": tried,
        "trials_left": left,
        "cpu_seconds": spent,
        "eta_seconds": left * each if intent.state == "running" and tried else None,
    }
