"""Trainings: what one begins from, how long each takes, and that a failed one leaves all as it was."""

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from helios_agent.actions import runner, train
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.errors import DIVERGED, JobFailed, Refused
from helios_agent.journal import draws, intents, models
from helios_agent.journal.models import Model
from helios_agent.learning import training
from helios_agent.registry import folders
from helios_agent.registry.card import ModelCard
from helios_agent.registry.names import Ref
from helios_agent.work.engine import Progress, Spent, unmetered
from tests.actions.conftest import ERA, NETWORK, claimed, done, settings, told
from tests.actions.test_metering import LONG, learning, running
from tests.journal.story import SATURDAY


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


class Busy:
    """An engine that has a worker free after ten minutes, and then tells of an epoch every few seconds."""

    def __init__(self, clock: VirtualClock, resumed: int) -> None:
        self.clock = clock
        self.resumed = resumed

    async def run(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None = None,
        *,
        time_limit_s: float,
        stop: asyncio.Event | None = None,
        priority: int = 0,
        on_spent: Spent = unmetered,
    ) -> dict[str, Any]:
        assert on_progress is not None
        await self.clock.advance(600)
        await on_progress({"started": True, "epoch": self.resumed, "step_loss": 19.5})
        for number, seconds in enumerate((1, 3), start=self.resumed + 1):
            await self.clock.advance(seconds)
            losses = {"loss": 19.5, "validation_loss": 19.5, "validation_gain_nats": 0.0}
            await on_progress({"epoch": number, "epochs": 9, "epochs_left": 9 - number, **losses})
        raise JobFailed("That is enough.")

    async def close(self) -> None:
        """Every job has ended."""


@pytest.mark.parametrize(("resumed", "left_s"), [(0, [8 * 1.0, 7 * 2.0]), (4, [4 * 1.0, 3 * 2.0])])
async def test_what_it_waits_for_a_worker_is_no_part_of_an_epoch_nor_of_what_it_may_still_take(
    tmp_path: Path, clock: VirtualClock, resumed: int, left_s: list[float]
) -> None:
    config = Config.model_validate(settings(tmp_path))
    config.paths.state.mkdir()
    async with open_agent(config, Ports(clock, open_engine=lambda *_: Busy(clock, resumed))) as agent:
        await agent.journal.append("draw.ingested", draws.to_payload(SATURDAY, "test"))
        assert (await done(agent, "train")).error == "That is enough."
        epochs = await told(agent, "training.epoch")
    assert [epoch["seconds"] for epoch in epochs] == [1.0, 3.0]
    assert [epoch["eta_seconds"] for epoch in epochs] == left_s


async def test_a_training_that_cannot_keep_what_it_did_is_paused_all_the_same_and_begins_anew(
    informed: Agent,
) -> None:
    learning(informed, **LONG)
    intent, carrying = await running(informed)
    kept = informed.config.paths.models / train.STAGING / intent.id / "checkpoint"
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text("no folder")
    await informed.control(intent.id, "pause", by="test")
    await carrying
    paused = await intents.find(informed.store, intent.id)
    assert (paused.state, paused.attempt, paused.error) == ("paused", 0, None)
    kept.unlink()
    learning(informed)
    await informed.control(intent.id, "resume", by="test")
    await runner.carry_out(informed.context(), await claimed(informed, "train"))
    assert (await intents.find(informed.store, intent.id)).state == "done"
    assert [started["epoch"] for started in await told(informed, "training.started")] == [0, 0]


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
