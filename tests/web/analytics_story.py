"""A journal with two models, their trainings and what they and an expert gained, for an agent."""

import math
from datetime import date, timedelta
from typing import Any

from helios_agent.agent import Agent
from helios_agent.journal import intents
from helios_agent.journal.journal import Transaction
from tests.journal import story

OLD, NEW = "aaaaaaaaaaaa", "bbbbbbbbbbbb"
MODELS = tuple(f"powerballnet@{version}" for version in (OLD, NEW))
DRAWS = 30


def day(number: int) -> str:
    return (date(2026, 1, 1) + timedelta(number)).isoformat()


def made(number: int) -> dict[str, float]:
    """What each gains on a draw: the old model on all but five draws, the new one on all but ten."""
    gains = {"uniform": 0.0, "ball": 0.01 * math.sin(number)}
    if number >= 5:
        gains[MODELS[0]] = -0.01 if number % 2 else 0.02
    if number >= 10:
        gains[MODELS[1]] = -0.04 if number % 2 else 0.05
    return gains


async def train(
    agent: Agent, version: str, ordinal: int, losses: tuple[float, ...], cpu: float | None
) -> str:
    """Let a training run and leave a model; return its job."""

    def happen(tx: Transaction) -> str:
        cause = tx.append("action.requested", {"action": "train"}).seq
        intents.request(tx, "train", story.GAME, {}, cause)
        intent = intents.claim(tx, ("train",))
        assert intent is not None
        for number, loss in enumerate(losses, 1):
            tx.append("training.epoch", story.epoch(intent.id, number, loss), cause)
        if cpu is not None:
            spent = {
                "job": intent.id,
                "action": "train",
                "target": story.GAME,
                "attempt": 1,
                "cpu_seconds": cpu,
            }
            tx.append("work.spent", spent, cause)
        tx.append("model.trained", story.model(version, ordinal) | {"job": intent.id}, cause)
        intents.finish(tx, intent, {"model": "powerballnet", "version": version})
        return intent.id

    return await agent.journal.record(happen)


async def live(agent: Agent) -> list[str]:
    """Live it; return the jobs that trained the models."""
    jobs = [
        await train(agent, OLD, 1, (9.5, 9.0, 9.25), 20.0),
        await train(agent, NEW, 2, (9.5, 9.4), None),
    ]
    for number in range(DRAWS):
        gains = made(number)
        scored: dict[str, Any] = story.score(day(number), gains)
        scored["ledger"]["standings"] = {name: {"prior": 0.2, "gain_nats": g} for name, g in gains.items()}
        await agent.journal.append("history.scored", scored)
    return jobs
