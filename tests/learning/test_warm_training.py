"""A training that begins from a trained network: same spec, same bytes, and from nothing but that one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helios_agent.errors import JobFailed, JobStopped
from helios_agent.learning import artefacts, checkpoints, specs, training

Job = Callable[..., dict[str, Any]]
Machine = Callable[..., list[list[int]]]

FIRST = {"epochs": 6, "patience": 6, "batch": 8, "segments": 4, "learning_rate": 0.01}


def trained(spec: dict[str, Any]) -> dict[str, Any]:
    return training.run(spec, lambda progress: None)


@pytest.fixture
def rows(machine: Machine) -> list[list[int]]:
    return machine(160, log_sd=0.8)


@pytest.fixture
def earlier(job: Job, rows: list[list[int]], tmp_path: Path) -> dict[str, str]:
    """A network trained on the first three quarters of the draws, as a spec names it."""
    folder = tmp_path / "earlier"
    return {
        "artefact": str(folder),
        "version": trained(job(out=str(folder), draws=rows[:120], training=FIRST))["version"],
    }


@pytest.fixture
def warm(job: Job, rows: list[list[int]], earlier: dict[str, str]) -> Job:
    """The spec of a training on all the draws that begins from that network."""

    def make(**changes: Any) -> dict[str, Any]:
        return job(**{"draws": rows, "start": earlier} | changes)

    return make


def test_the_same_spec_gives_the_same_bytes_wherever_the_artefact_lies(
    warm: Job, earlier: dict[str, str], tmp_path: Path
) -> None:
    first = trained(warm(out=str(tmp_path / "one")))
    Path(earlier["artefact"]).rename(tmp_path / "moved")
    torch.manual_seed(99)
    second = trained(warm(out=str(tmp_path / "two"), start=earlier | {"artefact": str(tmp_path / "moved")}))

    assert first == second
    for name in first["files"]:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_it_says_what_it_began_from_and_one_from_scratch_does_not(
    warm: Job, earlier: dict[str, str], tmp_path: Path
) -> None:
    begun = trained(warm(out=str(tmp_path / "warm")))
    scratch = trained(warm(out=str(tmp_path / "scratch"), start=None))
    card, _ = artefacts.read(tmp_path / "warm", begun["version"])

    assert begun["version"] != scratch["version"]
    assert card.begun_from == earlier["version"]
    assert "begun_from" not in json.loads((tmp_path / "scratch" / "model.json").read_text())
    assert artefacts.read(tmp_path / "scratch")[0].begun_from is None


def test_it_goes_on_from_those_weights_and_keeps_them_where_no_epoch_foretells_better(
    warm: Job, earlier: dict[str, str], tmp_path: Path
) -> None:
    best = trained(warm(out=str(tmp_path / "best")))
    # A step so large that every epoch is worse than the network it began from.
    worse = warm(out=str(tmp_path / "kept"), training=FIRST | {"learning_rate": 0.3, "epochs": 2})
    kept = trained(worse)
    _, before = artefacts.read(Path(earlier["artefact"]))
    _, after = artefacts.read(tmp_path / "kept")

    assert kept["metrics"]["best_epoch"] == 0
    assert "train_loss" not in kept["metrics"]
    for name, value in before.state_dict().items():
        assert torch.equal(after.state_dict()[name], value), name
    assert kept["metrics"]["validation_gain_nats"] > 0.0
    assert best["metrics"]["validation_gain_unshrunk_nats"] > 0.0


def test_with_one_epoch_it_foretells_better_than_one_epoch_from_scratch(warm: Job, tmp_path: Path) -> None:
    once = FIRST | {"epochs": 1, "learning_rate": 0.001}
    begun = trained(warm(out=str(tmp_path / "warm"), training=once))
    scratch = trained(warm(out=str(tmp_path / "scratch"), training=once, start=None))

    assert begun["metrics"]["validation_loss"] < scratch["metrics"]["validation_loss"] - 0.05


def test_an_interrupted_one_goes_on_to_the_same_bytes(warm: Job, tmp_path: Path) -> None:
    spec = warm(out=str(tmp_path / "straight"), training=FIRST)
    straight = trained(spec)
    cut = spec | {"out": str(tmp_path / "cut"), "checkpoint": str(tmp_path / "checkpoint")}

    def stop(progress: dict[str, Any]) -> None:
        if progress["epoch"] == 3:
            raise JobStopped

    with pytest.raises(JobStopped):
        training.run(cut, stop)
    told: list[dict[str, Any]] = []

    assert training.run(cut, told.append) == straight
    assert told[0]["epoch"] == 3


def test_a_checkpoint_is_of_what_it_began_from_and_not_of_where_that_lies(
    warm: Job, earlier: dict[str, str]
) -> None:
    def digest(**changes: str) -> str:
        spec = warm(start=earlier | changes) if changes else warm()
        return checkpoints.digest(specs.read(specs.TrainingJob, spec))

    assert digest(artefact="/elsewhere") == digest()
    assert digest(version="0123456789ab") != digest()
    assert checkpoints.digest(specs.read(specs.TrainingJob, warm(start=None))) != digest()


def test_another_version_and_a_damaged_one_are_refused(warm: Job, earlier: dict[str, str]) -> None:
    with pytest.raises(JobFailed, match=rf"version is {earlier['version']}; expected 0123456789ab"):
        trained(warm(start=earlier | {"version": "0123456789ab"}))
    with pytest.raises(JobFailed, match=r"start\.version"):
        trained(warm(start=earlier | {"version": "newest"}))
    weights = Path(earlier["artefact"]) / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(JobFailed, match=r"weights.safetensors: SHA-256 is"):
        trained(warm())
    weights.unlink()
    with pytest.raises(JobFailed, match="cannot be read"):
        trained(warm())


def test_what_is_unfit_to_begin_from_is_refused(warm: Job, job: Job, rows: list[list[int]]) -> None:
    other = dict(warm()["network"], hidden=8)
    with pytest.raises(JobFailed, match=r"cannot be begun from: its architecture is .*'hidden': 16"):
        trained(warm(network=other))
    with pytest.raises(JobFailed, match="it is of powerball, era 2015-10-07; expected megamillions"):
        trained(warm(game="megamillions"))
    # It has seen what would be kept for validation, and would seem to foretell it.
    with pytest.raises(JobFailed, match="it has learned from 96 draws, and only 80 are not kept"):
        trained(warm(draws=rows[:100]))
    with pytest.raises(JobFailed, match="it has learned from 96 draws, and only 80 are not kept"):
        trained(warm(training=FIRST | {"validation": 0.5}))
    # As many draws, but others: the first forty would be new to it, and what is kept for validation is not.
    with pytest.raises(JobFailed, match="the 120 draws that it was trained on are not the first of"):
        trained(warm(draws=rows[40:]))
