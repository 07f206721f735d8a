"""Do one thing and wait for it: through the running daemon, or, where none runs, by oneself."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from helios_agent.actions import backtest, runner
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.config import Config
from helios_agent.errors import HeliosError, JobFailed, Refused
from helios_agent.journal import intents
from helios_agent.lottery.games import Game
from helios_agent.store import lock

POLL_S = 0.5


def daemon_url(state: Path) -> str | None:
    """Return the URL of the daemon that holds a state folder, or None where none runs."""
    found = re.search(r"https?://\S+/", lock.holder(state) or "")
    return found[0] if found else None


async def carry_out(config: Config, action: str, target: str, token: str | None) -> dict[str, Any]:
    """Ask for an action, wait until it ends, and return its result.

    Raises JobFailed when it did not succeed, Refused when the daemon refuses the request.
    """
    url = daemon_url(config.paths.state)
    while True:
        if url is None:
            result = await _by_oneself(config, action, target)
        else:
            result = await _through_daemon(url, action, target, token)
        # The first ingestion brings the packaged draws and asks for another, which asks the feeds.
        if result.get("retry_s") != 0.0:
            return result


async def run_backtest(config: Config, rules: Game, asked: Mapping[str, Any], token: str | None) -> Any:
    """Ask for a backtest, wait until it ends, and return its report.

    asked: "from", "to", "forecasters" and "refit_every", as in the body of POST /api/backtests. Raises
    JobFailed when it did not succeed, Refused when what is asked for cannot be done.
    """
    url = daemon_url(config.paths.state)
    if url is not None:
        body = {"game": rules.name, **asked}
        async with _client(url, token) as http:
            found = await _waited_for(http, url, "/api/backtests", body, "job_id")
            if found["state"] == "done":
                return (await http.get(f"{found['report']}.json")).raise_for_status().json()
        raise JobFailed(f"backtest ended as {found['state']}: {found['error']}")
    with lock.hold(config.paths.state, "helios backtest"):
        async with open_agent(config, Ports()) as agent:
            await agent.recover()
            plan = {"first": asked["from"], "last": asked["to"]}
            plan |= {name: asked[name] for name in ("forecasters", "refit_every")}
            target, args = await backtest.plan(agent.store, config, rules, **plan)
            result = await _done_by(agent, "backtest", target, args)
    return json.loads((config.backtests / result["report"]).read_text("utf-8"))


async def _through_daemon(url: str, action: str, target: str, token: str | None) -> dict[str, Any]:
    async with _client(url, token) as http:
        body = {"action": action, "target": target}
        intent = await _waited_for(http, url, "/api/intents", body, "id")
    return _result(action, intent["state"], intent["error"], intent["result"])


def _client(url: str, token: str | None) -> httpx.AsyncClient:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=url, headers=headers, trust_env=False)


async def _waited_for(
    http: httpx.AsyncClient, url: str, path: str, body: Mapping[str, Any], key: str
) -> dict[str, Any]:
    """Ask the daemon for something, and return it, whose id is under `key`, when it has ended."""
    try:
        answer = await http.post(path, json=body)
        if not answer.is_success:
            raise Refused(f"The daemon at {url} refuses: {answer.json()['detail']}")
        seen: dict[str, Any] = answer.json()
        while seen["state"] in intents.OPEN_STATES:
            await asyncio.sleep(POLL_S)
            seen = (await http.get(f"{path}/{seen[key]}")).raise_for_status().json()
    except httpx.HTTPError as error:
        raise HeliosError(f"The daemon at {url} does not answer: {error}") from error
    return seen


async def _by_oneself(config: Config, action: str, target: str) -> dict[str, Any]:
    with lock.hold(config.paths.state, f"helios {action}"):
        async with open_agent(config, Ports()) as agent:
            await agent.recover()
            return await _done_by(agent, action, target, {})


async def _done_by(agent: Agent, action: str, target: str, args: dict[str, Any]) -> dict[str, Any]:
    """Have an agent that nobody else moves carry out an action; return its result."""
    intent = await agent.request(action, target, args, by="cli")
    while intent.state in intents.OPEN_STATES:
        claimed = await agent.journal.record(lambda tx: intents.claim(tx, (action,)))
        if claimed is None:
            await agent.journal.clock.sleep(POLL_S)
        else:
            await runner.carry_out(agent.context(), claimed)
        intent = await intents.find(agent.store, intent.id)
    return _result(action, intent.state, intent.error, intent.result)


def _result(action: str, state: str, error: str | None, result: Any) -> dict[str, Any]:
    if state != "done":
        raise JobFailed(f"{action} ended as {state}: {error}")
    return dict(result)
