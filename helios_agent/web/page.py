"""The page that a person reads, and what it needs that is not data."""

from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.templating import Jinja2Templates

from helios_agent.journal import events
from helios_agent.lottery.games import game
from helios_agent.web import chart, views
from helios_agent.web.api import Served

HERE = Path(__file__).parent
STATIC = HERE / "static"
JOURNAL_LINES = 12
DRAWS = 8

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(HERE / "templates")


def _short_time(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M UTC")


def _signed(value: float | None, decimals: int = 3) -> str:
    return "—" if value is None else f"{value:+.{decimals}f}".replace("-", "−")


templates.env.filters |= {"time": _short_time, "signed": _signed}


@router.get("/")
async def index(request: Request, agent: Served) -> Response:
    """Show the agent to a person."""
    seen = await views.overview(agent.store, agent.config, agent.journal.clock)
    games: list[dict[str, Any]] = []
    for item in seen["games"]:
        rules = game(item["game"])
        series = await views.evidence(agent.store, rules)
        games.append(
            item
            | {
                "recent": await views.drawn(agent.store, rules, DRAWS, None),
                "chart": chart.evidence(series, agent.config.decisions.alarm_level),
            }
        )
    tail = await events.tail(agent.store, limit=JOURNAL_LINES)
    return templates.TemplateResponse(
        request,
        "index.html",
        {
            "health": agent.health(),
            "seen": seen,
            "games": games,
            "journal": [event.as_record() for event in tail],
            "alarm_level": agent.config.decisions.alarm_level,
        },
    )
