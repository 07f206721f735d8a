"""Do one thing and wait for it: through the running daemon, or, where none runs, by oneself."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from helios_agent.actions import runner
from helios_agent.actions.control import Request
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.config import Config
from helios_agent.errors import HeliosError, JobFailed, NotFound, Refused
from helios_agent.journal import intents
from helios_agent.store import lock

POLL_S = 0.5
ANSWER_S = 5.0
"""How long a running daemon may take to answer, or to take in the next part of what it is sent."""
WAITED_FOR = ("ready", "running")
"""States of an intent that changes by itself."""


def daemon_url(state: Path) -> str | None:
    """Return the URL of the daemon that holds a state folder, or None where none runs."""
    found = re.search(r"https?://\S+/", lock.holder(state) or "")
    return found[0] if found else None


@dataclass(frozen=True)
class Door:
    """The request that asks a running daemon for an action."""

    path: str
    method: str = "POST"
    parameters: Mapping[str, str] | None = None
    json: Mapping[str, Any] | None = None
    content: bytes | None = None
    answer_s: float | None = None
    """How long the answer may take, if not ANSWER_S."""


async def carry_out(
    config: Config,
    action: str,
    target: str,
    token: str | None,
    door: Door | None = None,
    prepare: Callable[[], None] | None = None,
    args: Mapping[str, Any] | None = None,
    priority: int = 0,
) -> dict[str, Any]:
    """Ask for an action, wait until it ends, and return its result.

    `door` is where a daemon is asked for it, if not at the one for any action; `prepare` is what must be done
    before it where none runs, and `args` are what the action then takes. Raises JobFailed when it did not
    succeed, Refused when the daemon refuses the request.
    """
    url = daemon_url(config.paths.state)
    while True:
        if url is None:
            result = await _by_oneself(config, action, target, prepare, args or {}, priority)
        else:
            result = await _through_daemon(url, action, door or _anything(action, target, priority), token)
        # The first ingestion brings the packaged draws and asks for another, which asks the feeds.
        if result.get("retry_s") != 0.0:
            return result


async def ask(
    config: Config,
    action: str,
    target: str,
    token: str | None,
    door: Door | None = None,
    args: Mapping[str, Any] | None = None,
    priority: int = 0,
) -> tuple[str, bool]:
    """Ask for an action as `carry_out` does, without waiting for it; return the id of its intent.

    And whether a daemon runs: where none does it is written down for the next one. Raises Refused.
    """

    async def by_oneself(agent: Agent) -> dict[str, Any]:
        return {"alone": (await agent.request(action, target, dict(args or {}), "cli", priority)).id}

    answer = await change(
        config, f"helios {action}", door or _anything(action, target, priority), by_oneself, token
    )
    return str(answer.get("alone") or answer.get("job_id") or answer["id"]), "alone" not in answer


async def control(
    config: Config, intent_id: str, request: Request, token: str | None, priority: int = 0
) -> str:
    """Ask something of an intent, without waiting for it; return the id of the one that answers to it now.

    Where no daemon runs what is asked of it is written down for the next one. Raises NotFound and Refused.
    """
    door = Door(
        f"/api/intents/{quote(intent_id, safe='')}/{request}",
        json={"priority": priority} if request == "priority" else None,
    )

    async def by_oneself(agent: Agent) -> dict[str, Any]:
        return {"id": (await agent.control(intent_id, request, "cli", priority)).id}

    return str((await change(config, f"helios jobs {request}", door, by_oneself, token))["id"])


async def change(
    config: Config,
    command: str,
    door: Door,
    alone: Callable[[Agent], Awaitable[dict[str, Any]]],
    token: str | None,
) -> dict[str, Any]:
    """Do something at once, through the daemon's door or, where none runs, by oneself; return its answer.

    `command` is what the lock of the state folder says meanwhile. Raises NotFound and Refused.
    """
    url = daemon_url(config.paths.state)
    if url is None:
        with lock.hold(config.paths.state, command):
            async with open_agent(config, Ports()) as agent:
                await agent.recover()
                return await alone(agent)
    async with _asking(url, token) as http:
        answer = await http.request(door.method, door.path, json=door.json, timeout=door.answer_s or ANSWER_S)
        return _accepted(url, answer)


def _anything(action: str, target: str, priority: int) -> Door:
    """Return the door at which any action is asked for."""
    return Door("/api/intents", json={"action": action, "target": target, "priority": priority})


async def _through_daemon(url: str, action: str, door: Door, token: str | None) -> dict[str, Any]:
    async with _asking(url, token) as http:
        answer = await http.request(
            door.method, door.path, params=door.parameters, json=door.json, content=door.content,
            timeout=door.answer_s or ANSWER_S,
        )  # fmt: skip
        intent = _accepted(url, answer)
        intent_id = answer.headers["location"].rpartition("/")[2]
        while intent["state"] in WAITED_FOR:
            await asyncio.sleep(POLL_S)
            intent = (await http.get(f"/api/intents/{intent_id}")).raise_for_status().json()
    return _result(action, intent_id, intent["state"], intent["error"], intent["result"])


@asynccontextmanager
async def _asking(url: str, token: str | None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=ANSWER_S, trust_env=False) as http:
        try:
            yield http
        except httpx.HTTPError as error:
            raise HeliosError(f"The daemon at {url} does not answer: {error}") from error


def _accepted(url: str, answer: httpx.Response) -> dict[str, Any]:
    if answer.is_success:
        return dict(answer.json())
    kind = NotFound if answer.status_code == httpx.codes.NOT_FOUND else Refused
    raise kind(f"The daemon at {url} refuses: {answer.json()['detail']}")


async def _by_oneself(
    config: Config,
    action: str,
    target: str,
    prepare: Callable[[], None] | None,
    args: Mapping[str, Any],
    priority: int,
) -> dict[str, Any]:
    with lock.hold(config.paths.state, f"helios {action}"):
        async with open_agent(config, Ports()) as agent:
            await agent.recover()
            if prepare is not None:
                await asyncio.to_thread(prepare)
            intent = await agent.request(action, target, dict(args), "cli", priority)
            while intent.state in WAITED_FOR:
                claimed = await agent.journal.record(lambda tx: intents.claim(tx, (action,)))
                if claimed is None:
                    await agent.journal.clock.sleep(POLL_S)
                else:
                    await runner.carry_out(agent.context(), claimed)
                intent = await intents.find(agent.store, intent.id)
    return _result(action, intent.id, intent.state, intent.error, intent.result)


def _result(action: str, intent_id: str, state: str, error: str | None, result: Any) -> dict[str, Any]:
    if state == "paused":
        raise JobFailed(f"{action} {intent_id} is paused: `helios jobs resume {intent_id}` lets it go on.")
    if state != "done":
        raise JobFailed(f"{action} ended as {state}: {error}")
    return dict(result)
