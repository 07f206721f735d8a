"""What is left of the epochs of trainings."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent.clock import SECOND_US, VirtualClock
from helios_agent.journal import intents, models, summaries
from helios_agent.journal.journal import Journal, Transaction


def epochs(*losses: float) -> list[dict[str, Any]]:
    return [
        {
            "epoch": n,
            "loss": 10 - n,
            "validation_loss": loss,
            "validation_gain_nats": 9 - loss,
            "seconds": 0.5 * n,
        }
        for n, loss in enumerate(losses, start=1)
    ]


def test_a_summary_tells_of_beginning_end_and_best_and_how_unsteady_it_was() -> None:
    assert summaries.summary(epochs(9.0, 8.0, 8.5, 8.0)) == {
        "epochs": 4,
        "first_loss": 9,
        "final_loss": 6,
        "best_loss": 8.0,
        "best_epoch": 2,
        "best_gain_nats": 1.0,
        "instability": math.sqrt((1.0 + 0.25 + 0.25) / 3),
        "seconds": 5.0,
    }


def test_one_epoch_alone_was_not_unsteady() -> None:
    found = summaries.summary(epochs(9.0))
    assert (found["epochs"], found["best_epoch"], found["instability"]) == (1, 1, 0.0)


@given(st.lists(st.integers(0, 3000).map(lambda n: n / 100), min_size=2, max_size=20))
def test_instability_is_no_more_than_the_largest_change(losses: list[float]) -> None:
    found = summaries.summary(epochs(*losses))
    changes = [abs(b - a) for a, b in pairwise(losses)]
    assert min(changes) * (1 - 1e-9) <= found["instability"] <= max(changes) * (1 + 1e-9)
    assert found["best_loss"] == min(losses)


def train(tx: Transaction, losses: tuple[float, ...], done: bool) -> str:
    cause = tx.append("test.happened", {}).seq
    intents.request(tx, "train", "powerball", {}, cause)
    intent = intents.claim(tx, ("train",))
    assert intent is not None
    for told in epochs(*losses):
        tx.append("training.epoch", {"job": intent.id, "epochs": 9, "eta_seconds": 1.0, **told})
    if done:
        intents.finish(tx, intent, {})
    return intent.id


async def test_what_runs_or_ended_lately_is_not_due(journal: Journal, clock: VirtualClock) -> None:
    old = await journal.record(lambda tx: train(tx, (3.0, 2.0), True))
    await clock.advance(100)
    recent = await journal.record(lambda tx: train(tx, (3.0,), True))
    running = await journal.record(lambda tx: train(tx, (3.0,), False))
    now_us = clock.now_us()
    assert await summaries.due(journal.store, now_us - 50 * SECOND_US) == [(old, 2)]
    assert await summaries.due(journal.store, now_us + 1) == [(old, 2), (recent, 1)]

    assert await journal.record(lambda tx: summaries.summarise(tx, [old, recent], 1)) == 3
    assert await summaries.due(journal.store, now_us + 1) == []
    assert await models.epochs(journal.store, old) == []
    assert await journal.record(lambda tx: summaries.summarise(tx, [old], 1)) == 0, "and only once"
    found = await summaries.find(journal.store, old)
    assert found is not None
    assert (found["epochs"], found["best_loss"], found["instability"]) == (2, 2.0, 1.0)
    assert await summaries.find(journal.store, running) is None
    assert await summaries.counts(journal.store, [old, recent, running, "none"]) == {
        old: 2, recent: 1, running: 1
    }  # fmt: skip


@pytest.mark.parametrize("upto", [0, 1, 100])
async def test_what_leaves_with_its_intent_is_known_before(journal: Journal, upto: int) -> None:
    job = await journal.record(lambda tx: train(tx, (3.0, 2.0), True))
    leaving = await journal.record(lambda tx: summaries.leaving(tx, upto))
    assert leaving == ([job] if upto == 100 else [])
