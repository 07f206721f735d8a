"""What a training begins from, and that one which fails leaves all as it was."""

import re
from pathlib import Path

import pytest

from helios_agent.actions import train
from helios_agent.agent import Agent
from helios_agent.config import Config
from helios_agent.errors import DIVERGED, Refused
from helios_agent.journal import models
from helios_agent.journal.models import Model
from helios_agent.registry import folders
from helios_agent.registry.card import ModelCard
from helios_agent.registry.names import Ref
from tests.actions.conftest import ERA, NETWORK, done, settings, told


def card(agent: Agent, version: str) -> ModelCard:
    return folders.verify(folders.place(agent.config.paths.models, Ref(train.NAME, version)), version)


async def trained(agent: Agent, **args: str) -> str:
    """Train, and return the version."""
    intent = await done(agent, "train", **args)
    assert intent.result is not None, intent.error
    return str(intent.result["version"])


async def test_it_begins_from_the_newest_version_that_has_its_architecture(informed: Agent) -> None:
    nothing = await trained(informed, start="newest")
    begun = await trained(informed, start="newest")
    again = await trained(informed, start="newest")
    scratch = await trained(informed)

    assert card(informed, nothing).begun_from is None
    assert card(informed, begun).begun_from == nothing
    assert card(informed, again).begun_from == begun
    assert scratch == nothing  # the same spec, the same bytes
    assert [(one["start"], one["start_version"]) for one in await told(informed, "training.started")] == [
        ("scratch", None), ("newest", nothing), ("newest", begun), ("scratch", None),
    ]  # fmt: skip

    # A larger one has no such version to begin from; the next one of the old size does.
    small = informed.config
    informed.config = larger(informed)
    first_large = await trained(informed, start="newest")
    assert card(informed, first_large).begun_from is None
    informed.config = small
    assert card(informed, await trained(informed, start="newest")).begun_from == again
    newest = (await models.of_era(informed.store, "powerball", ERA))[-1]
    assert newest.role == "challenger"


def larger(agent: Agent) -> Config:
    return Config.model_validate(settings(agent.config.paths.state.parent, network=NETWORK | {"hidden": 16}))


async def test_what_is_damaged_or_has_seen_too_much_is_passed_over(informed: Agent) -> None:
    first = await trained(informed)
    second = await trained(informed, start="newest")
    weights = folders.place(informed.config.paths.models, Ref(train.NAME, second)) / "weights.safetensors"
    weights.write_bytes(b"damaged")
    assert card(informed, await trained(informed, start="newest")).begun_from == first

    # Of the draws that are now kept for validation, both have learned from some.
    folder = informed.config.paths.state.parent
    careful = settings(folder, training={"epochs": 2, "validation": 0.4})
    informed.config = Config.model_validate(careful)
    assert card(informed, await trained(informed, start="newest")).begun_from is None


async def test_another_beginning_is_refused_by_name(informed: Agent) -> None:
    intent = await done(informed, "train", start="oldest")

    assert (intent.state, intent.error) == ("failed", "start is 'oldest'; expected scratch or newest")
    with pytest.raises(Refused, match="expected scratch or newest"):
        await train.prepare(informed.context(), intent)


async def test_a_training_that_diverges_fails_and_leaves_the_networks_as_they_were(informed: Agent) -> None:
    """A network so wide has logits beyond all bounds after a few steps of such a size."""

    async def standing() -> tuple[list[Model], dict[Path, bytes]]:
        stored = [path for path in sorted(informed.config.paths.models.rglob("*")) if path.is_file()]
        return (
            await models.of_era(informed.store, "powerball", ERA),
            {path: path.read_bytes() for path in stored},
        )

    await trained(informed)
    assert (await done(informed, "promote")).state == "done"
    await trained(informed, start="newest")
    before = await standing()
    reckless = {"epochs": 2, "learning_rate": 1.0, "precision": "fp32"}
    informed.config = Config.model_validate(
        settings(informed.config.paths.state.parent, network=NETWORK | {"hidden": 256}, training=reckless)
    )
    intent = await done(informed, "train")

    assert (intent.state, intent.result) == ("failed", None)
    reason = rf"{DIVERGED} after \d epochs: loss is (nan|inf); lower training.learning_rate \(now 1\)"
    assert re.fullmatch(reason, str(intent.error))
    assert await standing() == before
    assert [model.role for model in before[0]] == ["champion", "challenger"]
    (failed,) = await told(informed, "intent.failed")
    assert failed["error"] == intent.error
    assert len(await told(informed, "model.trained")) == 2
