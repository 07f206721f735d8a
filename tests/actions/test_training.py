"""A training that is to begin from the newest version does, where it can, and says from which."""

from pathlib import Path

import pytest

from helios_agent.actions import train
from helios_agent.agent import Agent
from helios_agent.config import Config
from helios_agent.errors import Refused
from helios_agent.journal import models
from helios_agent.learning import training
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


async def test_what_was_trained_on_other_draws_elsewhere_is_passed_over(informed: Agent) -> None:
    intent = await done(informed, "train")
    spec = (await train.prepare(informed.context(), intent)).spec
    later = {"draws": spec["draws"][300:], "days": None, "checkpoint": None}
    version = str(training.run({**spec, **later}, lambda progress: None)["version"])
    folders.publish(Path(spec["out"]), folders.place(informed.config.paths.models, Ref(train.NAME, version)))
    ours = (await told(informed, "model.trained"))[0]
    await informed.journal.append("model.imported", ours | {"version": version, "ordinal": 2})

    assert card(informed, version).trained < card(informed, ours["version"]).trained
    assert card(informed, await trained(informed, start="newest")).begun_from == ours["version"]


async def test_another_beginning_is_refused_by_name(informed: Agent) -> None:
    intent = await done(informed, "train", start="oldest")

    assert (intent.state, intent.error) == ("failed", "start is 'oldest'; expected scratch or newest")
    with pytest.raises(Refused, match="expected scratch or newest"):
        await train.prepare(informed.context(), intent)
