"""Past draws are forecast from the draws before them, and the same whoever computes which part."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from helios_agent.learning import data, fitting, scoring, walk_forward
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.reproducible import reproducible
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


def test_a_block_whose_network_is_shrunk_to_nothing_is_forecast_uniform(machine: Machine) -> None:
    """This fair machine's draws gain nothing in validation: no update moves the network, either."""
    for update in (True, False):
        found = walk_forward.walk(machine(140), SIZES, 120, 140, NETWORK, TRAINING, 3, BLOCK, update)
        for _, forecast in found:
            assert not forecast.white.any()
            assert (forecast.bonus == forecast.bonus[0]).all()


def centred(*parts: Any) -> NDArray[np.float64]:
    return np.concatenate([np.asarray(part, np.float64) - np.mean(np.asarray(part)) for part in parts])


def test_forecasts_are_shrunk_by_the_share_that_loses_least_in_validation(machine: Machine) -> None:
    rows = machine(121, log_sd=0.3)
    past = data.from_rows(rows[:120])
    with reproducible(3, threads=1):
        net = PowerballNet(NETWORK, SIZES)
        fitting.fit(net, past, SIZES, TRAINING, 3, lambda progress: None)
        window = past[-net.sequence :]
        with torch.no_grad():
            outputs = net(window.whites[None], window.bonus[None])
        said = scoring.say_by_continuation(net, past, 96, walk_forward.SHRINKAGE_SEGMENT)
    ((_, forecast),) = walk_forward.walk(rows, SIZES, 120, 121, NETWORK, TRAINING, 3, BLOCK, update=False)

    served, whole = (
        centred(forecast.white, forecast.bonus),
        centred(outputs.white[0, -1], outputs.bonus[0, -1]),
    )
    shrinkage = float(np.median(served / whole))
    assert served == pytest.approx(shrinkage * whole, rel=1e-3, abs=1e-6)
    assert 0.2 < shrinkage < 0.8
    best, *others = (
        float(scoring.losses(said, past[96:], shrinkage * factor).mean()) for factor in (1.0, 0.95, 1.05)
    )
    assert best < min(others)


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
