"""Bind the address early, serve in the daemon's own loop, close when told."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException as StarletteHTTPException

import helios_agent
from helios_agent.agent import Agent
from helios_agent.config.model import Http
from helios_agent.errors import ConfigError, HeliosError, NotFound, PortTaken, Refused
from helios_agent.web import (
    analytics_api,
    api,
    backtests_api,
    decisions_api,
    goals_api,
    knowledge_api,
    memory_api,
    metacognition_api,
    models_api,
    page,
    predictions_api,
    proposals,
    reflections_api,
    searches_api,
    self_knowledge,
)
from helios_agent.web.guard import guard, problem
from helios_agent.web.memory import Memory
from helios_agent.web.predictions import Predictions

GRACE_S = 3
STATUS_OF: dict[type[HeliosError], int] = {NotFound: 404, Refused: 422, ConfigError: 422, HeliosError: 500}


def bind(http: Http) -> socket.socket:
    """Return a listening socket on the configured address. Raises PortTaken, naming it."""
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    # Named as TCP, so that asyncio knows it and sends each part of an answer at once (TCP_NODELAY).
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((http.host, http.port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"http: {http.host}:{http.port} cannot be bound: {error.strerror}. Stop what uses it, or choose "
            "another port with HELIOS_HTTP__PORT."
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """Return the URL at which a socket is served."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def application(agent: Agent, token: str | None) -> FastAPI:
    """Return the ASGI application that stands before an agent."""
    app = FastAPI(title="Helios Agent", version=helios_agent.__version__, redoc_url=None, docs_url=None)
    app.state.agent, app.state.predictions = agent, Predictions(agent)
    app.state.models = self_knowledge.Models()
    app.state.searching = asyncio.Semaphore(1)
    app.state.memory = Memory(agent.config.paths.state)
    app.include_router(api.router)
    app.include_router(models_api.router)
    app.include_router(predictions_api.router)
    app.include_router(backtests_api.router)
    app.include_router(searches_api.router)
    app.include_router(memory_api.router)
    app.include_router(metacognition_api.router)
    app.include_router(analytics_api.router)
    app.include_router(reflections_api.router)
    app.include_router(decisions_api.router)
    app.include_router(proposals.router)
    app.include_router(goals_api.router)
    app.include_router(knowledge_api.router)
    app.include_router(page.router)
    app.mount("/static", StaticFiles(directory=page.STATIC), name="static")
    app.middleware("http")(guard(agent.config.http, token))

    @app.exception_handler(HeliosError)
    async def _known(_: Request, error: HeliosError) -> JSONResponse:
        status = next(code for kind, code in STATUS_OF.items() if isinstance(error, kind))
        return problem(status, str(error))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        faults = [
            {"field": ".".join(map(str, e["loc"])), "value": repr(e.get("input")), "expected": e["msg"]}
            for e in error.errors()
        ]
        told = "; ".join(f"{fault['field']} is {fault['value']}: {fault['expected']}" for fault in faults)
        return problem(422, told, errors=faults)

    @app.exception_handler(StarletteHTTPException)
    async def _refused(_: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), dict(error.headers or {}))

    return app


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the agent decides when to stop."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Door:
    """Serves an agent over a bound socket until it is told to close."""

    def __init__(self, listener: socket.socket, token: str | None) -> None:
        self._listener = listener
        self._token = token

    async def serve(self, agent: Agent, closing: asyncio.Event) -> None:
        """Answer requests until `closing` is set, then let those under way end."""
        server = _Server(
            uvicorn.Config(
                application(agent, self._token),
                http="httptools",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[self._listener]), name="door.http")
        waiting = asyncio.create_task(closing.wait(), name="door.closing")
        await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        server.should_exit = True
        await serving
