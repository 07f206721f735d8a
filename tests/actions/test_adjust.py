"""A setting is changed by a factor within its bounds, and the next training has it."""

from typing import Any

import pytest
from pydantic import ValidationError

from helios_agent.actions import decide, train
from helios_agent.agent import Agent
from helios_agent.config.model import Schedule
from helios_agent.journal import parameters
from helios_agent.lottery.games import POWERBALL
from helios_agent.registry import folders
from helios_agent.registry.names import Ref
from helios_agent.web import views
from tests.actions.conftest import done, told

BOUNDS = {"learning_rate": (0.0625, 4), "retrain_after_draws": (0.25, 8), "evaluation_draws": (1, 8)}


async def adjusted(agent: Agent, name: str, factor: Any, reason: Any = "a test") -> tuple[str, str | None]:
    intent = await done(agent, "adjust", f"powerball/{name}", factor=factor, reason=reason)
    return intent.state, intent.error


async def rate(agent: Agent, action: str) -> float:
    """Return the learning rate of a training or a search that begins now."""
    intent = await agent.request(action, "powerball", {}, by="test")
    spec = (await train.prepare(agent.context(), intent)).spec
    return float(spec["training"]["learning_rate"])


async def test_what_is_adjusted_is_journaled_and_shown(informed: Agent) -> None:
    assert await adjusted(informed, "learning_rate", 0.5, "it diverged") == ("done", None)
    assert await adjusted(informed, "learning_rate", 0.25, "it diverged again") == ("done", None)
    assert await adjusted(informed, "retrain_after_draws", 2) == ("done", None)
    shown = await views.overview(informed.store, informed.config, informed.journal.clock)

    assert (await told(informed, "parameter.adjusted"))[:2] == [
        {"game": "powerball", "name": "learning_rate", "factor": 0.5, "before": 1.0, "reason": "it diverged"},
        {"game": "powerball", "name": "learning_rate", "factor": 0.25, "before": 0.5,
         "reason": "it diverged again"},
    ]  # fmt: skip
    assert shown["games"][0]["adjusted"] == {"learning_rate": 0.25, "retrain_after_draws": 2.0}
    assert await parameters.read(informed.store, "megamillions") == {}

    # Back at what is configured there is nothing to show, and no change is no event.
    assert await adjusted(informed, "learning_rate", 1.0) == ("done", None)
    assert await adjusted(informed, "learning_rate", 1) == ("done", None)
    assert await parameters.read(informed.store, "powerball") == {"retrain_after_draws": 2.0}
    assert len(await told(informed, "parameter.adjusted")) == 4


async def test_trainings_and_searches_use_the_learning_rate_that_was_arrived_at(informed: Agent) -> None:
    configured = informed.config.learning.training.learning_rate
    assert await rate(informed, "train") == configured
    await adjusted(informed, "learning_rate", 0.25)
    trained = await done(informed, "train")

    assert await rate(informed, "train") == await rate(informed, "tune") == configured / 4
    assert trained.state == "done"
    assert trained.result is not None
    ref = Ref(train.NAME, trained.result["version"])
    card = folders.verify(folders.place(informed.config.paths.models, ref), ref.version)
    assert card.training["learning_rate"] == configured / 4


async def test_decisions_see_the_factors(informed: Agent) -> None:
    await adjusted(informed, "retrain_after_draws", 2)
    seen = await informed.journal.record(lambda tx: decide.situation(tx, POWERBALL, {"signals": {}}, 1, None))

    assert (seen.factor("retrain_after_draws"), seen.factor("evaluation_draws")) == (2.0, 1.0)


@pytest.mark.parametrize(("name", "bounds"), BOUNDS.items())
async def test_what_is_out_of_bounds_is_refused_by_name(
    informed: Agent, name: str, bounds: tuple[float, float]
) -> None:
    least, greatest = bounds
    for factor in (least * 0.99, greatest * 1.01, 0, -1, True, "2", None, [1]):
        state, error = await adjusted(informed, name, factor)
        assert state == "failed"
        expected = f"expected a number from {least:g} to {greatest:g} for {name}"
        assert error == f"factor is {factor!r}; {expected}"
    assert await told(informed, "parameter.adjusted") == []
    for factor in bounds:
        assert (await adjusted(informed, name, factor))[0] == "done"


async def test_what_there_is_not_is_refused_by_name(informed: Agent) -> None:
    assert await adjusted(informed, "batch", 2) == (
        "failed",
        "name is 'batch'; expected one of: learning_rate, retrain_after_draws, evaluation_draws",
    )
    assert await adjusted(informed, "learning_rate", 2, "") == (
        "failed", "reason is ''; expected why learning_rate is to be changed",
    )  # fmt: skip
    assert await told(informed, "parameter.adjusted") == []


def test_no_schedule_adjusts_anything() -> None:
    with pytest.raises(ValidationError, match="action"):
        Schedule.model_validate({"name": "adjust", "action": "adjust", "every": "1d"})
