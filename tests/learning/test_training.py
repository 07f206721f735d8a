"""A training job: same spec, same bytes; never worse than uniform; finds a bias that is there."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helios_agent.errors import JobFailed
from helios_agent.learning import artefacts, data, scoring, training
from helios_agent.learning.likelihood import uniform_nats

Job = Callable[..., dict[str, Any]]
Machine = Callable[..., list[list[int]]]

FAIR_NATS = uniform_nats(12, 3, 5)
LONGER = {"epochs": 30, "patience": 6, "batch": 8, "segments": 4, "learning_rate": 0.005}


def trained(spec: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    epochs: list[dict[str, Any]] = []
    return training.run(spec, epochs.append), epochs


def test_the_same_spec_gives_the_same_bytes_whatever_was_computed_before(job: Job, tmp_path: Path) -> None:
    first, _ = trained(job(out=str(tmp_path / "one")))
    torch.manual_seed(99)
    torch.randn(1000)
    second, _ = trained(job(out=str(tmp_path / "two")))

    assert first == second
    for name in first["files"]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_another_seed_gives_another_version(job: Job, tmp_path: Path) -> None:
    first, _ = trained(job(out=str(tmp_path / "one")))
    second, _ = trained(job(out=str(tmp_path / "two"), seed=4))
    assert first["version"] != second["version"]


def test_a_run_leaves_torch_as_it_found_it(job: Job) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state(), torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    trained(job())

    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())


def test_each_epoch_is_reported_once_with_gain_and_time_left(job: Job) -> None:
    result, epochs = trained(job())

    assert [one["epoch"] for one in epochs] == [1, 2, 3]
    for one in epochs:
        assert one.keys() == {
            "epoch", "epochs", "loss", "validation_loss", "validation_gain_nats", "epochs_left",
        }  # fmt: skip
        assert one["validation_gain_nats"] == pytest.approx(FAIR_NATS - one["validation_loss"], abs=1e-12)
    assert epochs[-1]["epochs_left"] == 0
    assert result["metrics"]["epochs"] == 3
    json.dumps([result, epochs])


def test_a_biased_machine_is_found_out(job: Job, machine: Machine) -> None:
    """This machine's true weights would gain 0.61 nats a draw on the validation part."""
    result, epochs = trained(job(draws=machine(400, log_sd=0.8, seed=2), training=LONGER))
    metrics = result["metrics"]

    assert 0.5 < metrics["validation_gain_nats"] < 0.65
    assert metrics["validation_gain_nats"] >= metrics["validation_gain_unshrunk_nats"] > 0.5
    assert metrics["best_epoch"] >= 1
    assert metrics["validation_gain_unshrunk_nats"] == max(one["validation_gain_nats"] for one in epochs)
    assert epochs[-1]["loss"] < epochs[0]["loss"] < FAIR_NATS


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_on_a_fair_machine_the_kept_network_claims_next_to_nothing(
    job: Job, machine: Machine, seed: int
) -> None:
    result, epochs = trained(job(draws=machine(400, seed=seed), training=LONGER))

    assert min(one["validation_gain_nats"] for one in epochs) < -0.01  # it does overfit, if left to itself
    assert -1e-12 <= result["metrics"]["validation_gain_nats"] < 0.04


def test_a_network_that_only_got_worse_is_kept_untrained_and_says_uniform(job: Job, machine: Machine) -> None:
    """Validation draws of the opposite bias: every epoch loses, so epoch 0 is the best."""
    drawn = [[1, 2, 3 + turn % 2, 1] for turn in range(90)] + [[10, 11, 12, 5]] * 30
    result, epochs = trained(job(draws=drawn, training={**LONGER, "validation": 0.25}))
    card, net = artefacts.read(Path(job()["out"]))

    assert all(one["validation_gain_nats"] < 0.0 for one in epochs)
    assert (result["metrics"]["best_epoch"], result["metrics"]["epochs"]) == (0, 6)
    assert result["metrics"]["validation_gain_nats"] == pytest.approx(0.0, abs=1e-12)
    assert card.shrinkage == 0.0
    assert torch.count_nonzero(net.white_head.weight) == 0


def test_the_validation_part_never_trains(job: Job, machine: Machine, tmp_path: Path) -> None:
    """Other draws there change what is measured, and not one bit of what is learned."""
    draws = machine(120, log_sd=0.8)
    other_draws = draws[:96] + machine(24, log_sd=0.8, seed=8)
    _, epochs = trained(job(draws=draws, out=str(tmp_path / "one")))
    _, others = trained(job(draws=other_draws, out=str(tmp_path / "two")))

    assert [one["loss"] for one in epochs] == [one["loss"] for one in others]
    assert all(
        one["validation_loss"] != other["validation_loss"] for one, other in zip(epochs, others, strict=True)
    )


@pytest.mark.parametrize(
    ("white", "expected"),
    [(1.0, 1.0), (-1.0, 0.0)],
    ids=["right and too timid: kept whole", "wrong: shrunk to uniform"],
)
def test_shrinkage_at_its_ends(white: float, expected: float) -> None:
    drawn = data.from_rows([[1, 2, 3, 1]] * 10)
    logits = torch.zeros(10, 12)
    logits[:, :3] = white
    said = scoring.Said(logits, torch.zeros(10, 5), torch.zeros(10))
    assert scoring.best_shrinkage(said, drawn) == expected


def test_shrinkage_is_the_least_loss_between_its_ends() -> None:
    """Bonus 1 falls in half of the draws, so the right logit is ln 4; twice that is said: shrink by half."""
    drawn = data.from_rows([[1, 2, 3, bonus] for bonus in (1, 1, 1, 1, 2, 3, 4, 5)])
    logits = torch.zeros(8, 5, dtype=torch.float64)
    logits[:, 0] = 2 * torch.tensor(4.0, dtype=torch.float64).log()
    said = scoring.Said(torch.zeros(8, 12), logits, torch.zeros(8))
    assert scoring.best_shrinkage(said, drawn) == pytest.approx(0.5, abs=1e-9)


def test_diverging_training_says_which_setting_to_lower(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FREQUENCY_WEIGHT", float("nan"))
    with pytest.raises(JobFailed, match=r"diverged in epoch 1.*lower training.learning_rate \(now 0.01\)"):
        trained(job())
