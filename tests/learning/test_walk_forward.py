"""Past draws are forecast from the draws before them, and the same whoever computes which part."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from helios_agent.learning import walk_forward
from helios_agent.learning.specs import NetworkSpec, TrainingSpec
from helios_agent.registry.card import Matrix

Machine = Callable[..., list[list[int]]]
SIZES = Matrix(white=12, bonus=5, pick=3)
NETWORK = NetworkSpec(sequence=8, hidden=16, layers=1, heads=4, embedding=6)
TRAINING = TrainingSpec(learning_rate=0.01, batch=8, segments=8, epochs=3, patience=2)
BLOCK = 20


def walked(rows: list[list[int]], first: int, last: int, **how: Any) -> dict[int, tuple[bytes, bytes]]:
    """The forecasts to the last bit, by the draw they are of."""
    found = walk_forward.walk(rows, SIZES, first, last, NETWORK, TRAINING, 3, refit_every=BLOCK, **how)
    return {t: (forecast.white.tobytes(), forecast.bonus.tobytes()) for t, forecast in found}


@pytest.mark.parametrize("update", [True, False])
def test_no_forecast_peeks(machine: Machine, update: bool) -> None:
    """Whatever is drawn from draw t on, the forecast of draw t and all before it stay as they are."""
    rows = machine(150, log_sd=0.8)
    before = walked(rows, 119, 150, update=update)
    assert [*before] == [*range(119, 150)]
    for t in (119, 140, 144):
        others = rows[:t] + machine(150 - t, seed=9)
        after = walked(others, 119, t + 2, update=update)

        assert [after[s] for s in range(119, t + 1)] == [before[s] for s in range(119, t + 1)]
        assert after[t + 1] != before[t + 1]


@pytest.mark.parametrize("update", [True, False])
def test_a_part_of_a_walk_is_that_part_of_the_whole(machine: Machine, update: bool) -> None:
    rows = machine(160, log_sd=0.8)
    whole = walked(rows, 115, 145, update=update)
    for first, last in ((120, 140), (129, 143), (130, 130)):
        part = walked(rows, first, last, update=update)
        assert part == {t: whole[t] for t in range(first, last)}


def test_updates_change_forecasts_within_a_block_and_not_its_first(machine: Machine) -> None:
    rows = machine(140, log_sd=0.8)
    kept, updated = walked(rows, 120, 140, update=False), walked(rows, 120, 140)

    kept_white, updated_white = (np.frombuffer(found[120][0]) for found in (kept, updated))
    assert kept_white == pytest.approx(updated_white, abs=1e-6)
    assert kept[139] != updated[139]


def test_a_biased_machine_is_forecast_better_than_chance(machine: Machine) -> None:
    rows = machine(320, log_sd=0.8, seed=2)
    found = walk_forward.walk(rows, SIZES, 240, 320, NETWORK, TRAINING, 3, refit_every=40, update=False)
    gains = [forecast.gain(rows[t][:-1], rows[t][-1]) for t, forecast in found]
    assert 0.3 < np.mean(gains) < 0.9


def test_draws_too_early_to_be_trained_for_are_forecast_uniform(machine: Machine) -> None:
    """35 draws are the fewest: the block from 20 has no network, that from 40 has."""
    found = [*walk_forward.walk(machine(60, log_sd=2.0), SIZES, 30, 60, NETWORK, TRAINING, 3, BLOCK)]

    assert [forecast.white.any() for t, forecast in found if t < 40] == [False] * 10
    assert any(forecast.white.any() for t, forecast in found if t >= 40)


@pytest.mark.parametrize(("first", "last"), [(-1, 5), (6, 5), (0, 61)])
def test_what_lies_outside_the_history_is_refused(machine: Machine, first: int, last: int) -> None:
    with pytest.raises(ValueError, match=rf"first is {first} and last {last}; expected 0 <= .* <= 60"):
        walked(machine(60), first, last)


def test_a_row_that_is_no_draw_is_refused(machine: Machine) -> None:
    with pytest.raises(ValueError, match=r"draws\[3\] is \[1, 1, 2, 1\]"):
        walked([*machine(3), [1, 1, 2, 1], *machine(60)], 50, 60)
