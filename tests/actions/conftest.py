"""A real agent with a real engine, which knows the packaged draws of Powerball's current rules."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from helios_agent.actions import runner
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.config import Config
from helios_agent.feeds import packaged
from helios_agent.journal import draws, events, intents
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import POWERBALL, Game

ERA = "2015-10-07"
NETWORK = {"sequence": 8, "hidden": 8, "layers": 1, "heads": 2, "embedding": 4, "dropout": 0.0}


def settings(folder: Path, **learning: Any) -> dict[str, Any]:
    return {
        "paths": {"state": folder / "state", "models": folder / "models"},
        "games": {"powerball": {"feeds": []}},
        "learning": {"network": NETWORK, "training": {"epochs": 2}} | learning,
    }


@pytest.fixture
async def informed(tmp_path: Path) -> AsyncIterator[Agent]:
    config = Config.model_validate(settings(tmp_path))
    config.paths.state.mkdir()
    async with open_agent(config, Ports()) as opened:
        await opened.journal.record(tell)
        yield opened


def tell(tx: Transaction, game: Game = POWERBALL, era: str = ERA) -> None:
    """Have the journal know the packaged draws of a game's current rules."""
    for draw in packaged.read(game).draws:
        if draw.day.isoformat() >= era:
            tx.append("draw.ingested", draws.to_payload(draw, "test"))


async def claimed(agent: Agent, action: str) -> Intent:
    """Claim what is due of an action, which something must be."""
    intent = await agent.journal.record(lambda tx: intents.claim(tx, (action,)))
    assert intent is not None
    return intent


async def done(agent: Agent, action: str, target: str = "powerball", **args: Any) -> Intent:
    """Ask for an action, carry it out once, and return what became of it."""
    asked = await agent.request(action, target, args, by="test")
    await runner.carry_out(agent.context(), await claimed(agent, action))
    return await intents.find(agent.store, asked.id)


async def told(agent: Agent, kind: str) -> list[dict[str, Any]]:
    """Return the payloads of all events of a kind, oldest first."""
    found = await events.tail(agent.store, limit=1000, kinds=(kind,))
    return [dict(event.payload) for event in reversed(found)]
