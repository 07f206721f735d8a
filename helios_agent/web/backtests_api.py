"""The HTTP API of backtests: ask for one, see how far it is, read its report."""

import asyncio
import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from helios_agent.actions import backtest
from helios_agent.agent import Agent
from helios_agent.clock import iso
from helios_agent.config import Config
from helios_agent.errors import HeliosError, NotFound
from helios_agent.journal import backtests, intents
from helios_agent.journal.backtests import Backtest
from helios_agent.journal.intents import Intent
from helios_agent.store import Reader
from helios_agent.web import backtest_report, views
from helios_agent.web.api import Before, GameName, Priority, Served

router = APIRouter()

ITS_OWN_STYLE_ALONE = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What a report's page may load: it has its style in itself, and needs nothing else."""


class BacktestRequest(BaseModel):
    """Ask for a backtest. What is left out is decided by the stored draws."""

    model_config = ConfigDict(extra="forbid")
    game: str | None = None
    first: str | None = Field(None, alias="from")
    last: str | None = Field(None, alias="to")
    forecasters: list[str] = Field([], max_length=100)
    refit_every: int = Field(backtest.REFIT_EVERY, ge=1, le=10_000)
    priority: Priority = 0


@router.post("/api/backtests", status_code=202)
async def ask(agent: Served, body: BacktestRequest, response: Response) -> dict[str, Any]:
    """Ask for a backtest; where the very same already waits, that one is meant."""
    rules = views.chosen_game(agent.config, body.game)
    target, args = await backtest.plan(
        agent.store,
        agent.config,
        rules,
        first=body.first,
        last=body.last,
        forecasters=body.forecasters,
        refit_every=body.refit_every,
    )
    intent = await agent.request("backtest", target, args, by="http", priority=body.priority)
    response.headers["location"] = f"/api/backtests/{intent.id}"
    return record(intent, None)


@router.get("/api/backtests")
async def list_backtests(
    agent: Served,
    game: GameName = None,
    limit: Annotated[int, Query(ge=1, le=100, description="how many at most")] = 20,
    before: Before = None,
) -> list[dict[str, Any]]:
    """List backtests, newest first."""
    rules = views.chosen_game(agent.config, game)
    jobs = await backtests.newest(agent.store, rules.name, limit, before)
    return [await _shown(agent.store, job) for job in jobs]


@router.get("/api/backtests/{job_id}")
async def show(agent: Served, job_id: str) -> dict[str, Any]:
    """Show a backtest: its state, how far it is, what was gained so far, what was found."""
    return await _shown(agent.store, job_id)


@router.get("/api/backtests/{job_id}/report.json")
async def report_as_data(agent: Served, job_id: str) -> Response:
    """Show the report of a backtest as data: every figure, and the gains draw by draw."""
    return Response(await _report(agent, job_id), media_type="application/json")


@router.get("/api/backtests/{job_id}/report", response_class=HTMLResponse)
async def report(agent: Served, job_id: str) -> HTMLResponse:
    """Show the report of a backtest as a page that needs nothing else."""
    content = await _report(agent, job_id)
    page = await asyncio.to_thread(lambda: backtest_report.page(json.loads(content)))
    return HTMLResponse(page, headers={"content-security-policy": ITS_OWN_STYLE_ALONE})


def record(intent: Intent | None, known: Backtest | None) -> dict[str, Any]:
    """Return a backtest as it is shown outside. Its intent may have left the database, but only when done.

    What a decision asks for is settled when it begins: until then its span is None.
    """
    asked = intent.args if intent else {}
    return {
        "id": intent.id if intent else known and known.job,
        "game": intent.target.partition("/")[0] if intent else known and known.game,
        "from": known.first if known else asked.get("from"),
        "to": known.last if known else asked.get("to"),
        "forecasters": known.forecasters if known else asked.get("forecasters"),
        "state": intent.state if intent else "done",
        "wanted": intent.wanted if intent else None,
        "priority": intent.priority if intent else None,
        "attempt": intent.attempt if intent else None,
        "requested_at": iso(intent.created_us) if intent else None,
        "changed_at": iso(max(intent.changed_us if intent else 0, known.changed_us if known else 0)),
        "done": known.done if known else 0,
        "total": known.total if known else None,
        "gains": known.gains if known else {},
        "eta_seconds": known.eta_seconds if known and intent and intent.state == "running" else None,
        "error": intent.error if intent else None,
        "summary": known.summary if known else None,
        "report": f"/api/backtests/{known.job}/report" if known and known.report else None,
        "cause": intent.seq if intent else known and known.seq,
    }


async def _shown(store: Reader, job: str) -> dict[str, Any]:
    known = await backtests.find(store, job)
    intent = await _intent(store, job)
    if known is None and intent is None:
        raise NotFound(f"There is no backtest {job!r}.")
    return record(intent, known)


async def _intent(store: Reader, job: str) -> Intent | None:
    try:
        intent = await intents.find(store, job)
    except NotFound:
        return None
    return intent if intent.action == "backtest" else None


async def _report(agent: Agent, job: str) -> bytes:
    known = await backtests.find(agent.store, job)
    if known is None or known.report is None:
        shown = await _shown(agent.store, job)
        raise NotFound(f"The backtest {job!r} has no report: it is {shown['state']}.")
    return await asyncio.to_thread(_read, agent.config, known)


def _read(config: Config, known: Backtest) -> bytes:
    """Return a report. Raises NotFound where its file is gone, HeliosError where it was changed."""
    path = config.backtests / str(known.report)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"{path}, the report of backtest {known.job!r}, is not there any more.") from None
    if hashlib.sha256(content).hexdigest() != known.sha256:
        raise HeliosError(f"{path} is not the report that was journaled: its SHA-256 is another.")
    return content
