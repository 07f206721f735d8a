"""A training that is interrupted and gone on with is, to the last bit, the one that was not."""

import json
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from loguru import logger

from helios_agent import processor
from helios_agent.errors import JobStopped
from helios_agent.learning import checkpoints, training

Job = Callable[..., dict[str, Any]]


@pytest.fixture
def spec(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(checkpoints, "PART_BYTES", 50_000)
    how = {"epochs": 6, "batch": 8, "segments": 2, "learning_rate": 0.01}
    return job(training=how, checkpoint=str(tmp_path / "checkpoint"))


@pytest.fixture
def whole(spec: dict[str, Any], tmp_path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The result and the reports of the training that nobody interrupts."""
    told: list[dict[str, Any]] = []
    asked = {name: value for name, value in spec.items() if name != "checkpoint"}
    return training.run(asked | {"out": str(tmp_path / "whole")}, told.append), told


def stop_at(report: int) -> Callable[[dict[str, Any]], None]:
    """Ask for a stop at the given report, the first step's being 0."""
    left = [report]

    def told(progress: dict[str, Any]) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise JobStopped()

    return told


@pytest.mark.parametrize("stops", [[2], [1, 3], [0, 1, 0, 1, 1, 1], [6]])
def test_a_training_stopped_and_run_again_is_the_one_never_stopped(
    spec: dict[str, Any], whole: tuple[dict[str, Any], list[dict[str, Any]]], tmp_path: Path, stops: list[int]
) -> None:
    done = 0
    for report in stops:
        with pytest.raises(JobStopped):
            training.run(spec, stop_at(report))
        done += report
    told: list[dict[str, Any]] = []
    result = training.run(spec, told.append)

    expected, epochs = whole
    assert result == expected
    for name in result["files"]:
        assert (tmp_path / "staging" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    if done < 6:
        assert told[0] == {"started": True, "epoch": done, "step_loss": told[0]["step_loss"]}
        assert told[1:] == epochs[1 + done :]
    else:
        assert told == []
    card = json.loads((Path(spec["checkpoint"]) / "checkpoint.json").read_bytes())
    left = {path.name for path in Path(spec["checkpoint"]).iterdir()}
    assert len(card["parts"]) > 1
    assert left == {"checkpoint.json", *(f"{sha256}.safetensors" for sha256 in card["parts"])}


def test_a_killed_training_goes_on_from_the_checkpoint_that_time_made_it_keep(
    spec: dict[str, Any],
    whole: tuple[dict[str, Any], list[dict[str, Any]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)

    def die(progress: dict[str, Any]) -> None:
        if progress["epoch"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.run(spec, die)
    told: list[dict[str, Any]] = []

    assert training.run(spec, told.append) == whole[0]
    assert told[0]["epoch"] == 3


@contextmanager
def told_in_the_log() -> Iterator[list[str]]:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    try:
        yield said
    finally:
        logger.remove(sink)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Have the system refuse to write more into a file, as it does where the disk is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def spoil_tensors(folder: Path) -> None:
    path = sorted(folder.glob("*.safetensors"))[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def lose_tensors(folder: Path) -> None:
    path = sorted(folder.glob("*.safetensors"))[0]
    path.unlink()


def change_epoch(folder: Path) -> None:
    path = folder / "checkpoint.json"
    card = json.loads(path.read_bytes())
    card["facts"]["epoch"] -= 1
    path.write_text(json.dumps(card))


def lose_facts(folder: Path) -> None:
    path = folder / "checkpoint.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"facts": {}}))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_tensors, "its tensors are not those that were written"),
        (lose_tensors, "No such file"),
        (lambda folder: (folder / "checkpoint.json").write_text("{"), "Expecting property name"),
        (lambda folder: (folder / "checkpoint.json").write_text("[]"), "list indices"),
        (lambda folder: (folder / "checkpoint.json").write_text('{"of": "x"}'), "it is of another training"),
        (change_epoch, "it does not say what was written"),
        (lose_facts, "it does not say what was written"),
    ],
)
def test_a_damaged_checkpoint_is_told_of_and_the_training_begins_anew(
    spec: dict[str, Any],
    whole: tuple[dict[str, Any], list[dict[str, Any]]],
    spoil: Callable[[Path], Any],
    told: str,
) -> None:
    with pytest.raises(JobStopped):
        training.run(spec, stop_at(2))
    spoil(Path(spec["checkpoint"]))
    begun: list[dict[str, Any]] = []
    with told_in_the_log() as said:
        result = training.run(spec, begun.append)

    assert result == whole[0]
    assert begun[0]["epoch"] == 0
    assert len(said) == 1
    assert told in said[0]


def test_a_checkpoint_of_another_spec_is_not_gone_on_from(spec: dict[str, Any]) -> None:
    with pytest.raises(JobStopped):
        training.run(spec, stop_at(2))
    begun: list[dict[str, Any]] = []
    training.run(spec | {"seed": 4}, begun.append)
    assert begun[0]["epoch"] == 0


@pytest.mark.parametrize(
    ("place", "name", "value"),
    [
        (checkpoints, "CODE", "0" * 64),
        (torch, "__version__", "2.0"),
        (torch.backends.cpu, "get_cpu_capability", lambda: "AVX2"),
        (processor, "name", lambda: "Another"),
        (processor, "multiplies_bf16", lambda: None),
    ],
)
def test_a_checkpoint_of_another_helios_torch_or_processor_is_not_gone_on_from(
    spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch, place: Any, name: str, value: Any
) -> None:
    asked = spec | {"training": spec["training"] | {"epochs": 2}}
    with pytest.raises(JobStopped):
        training.run(asked, stop_at(1))
    begun: list[dict[str, Any]] = []
    monkeypatch.setattr(place, name, value)
    training.run(asked, begun.append)
    assert begun[0]["epoch"] == 0


def test_a_training_whose_checkpoints_cannot_be_written_goes_on_stops_when_it_is_to_and_says_so(
    spec: dict[str, Any],
    whole: tuple[dict[str, Any], list[dict[str, Any]]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "file").write_text("")
    nowhere = spec | {"checkpoint": str(tmp_path / "file/inside")}
    told: list[dict[str, Any]] = []
    with told_in_the_log() as said:
        with pytest.raises(JobStopped):
            training.run(nowhere, stop_at(1))
        monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
        assert training.run(nowhere, told.append) == whole[0]
    lost = [words for words in said if "is not kept, and lost if the training is interrupted now" in words]
    assert [words.partition(" is ")[0] for words in lost] == ["epoch 1", *(f"epoch {n}" for n in range(1, 7))]
    assert "file/inside cannot be written: Not a directory" in lost[0]
    assert told[0]["epoch"] == 0


def test_where_a_checkpoint_cannot_be_written_the_one_before_is_gone_on_from(
    spec: dict[str, Any], whole: tuple[dict[str, Any], list[dict[str, Any]]]
) -> None:
    with pytest.raises(JobStopped):
        training.run(spec, stop_at(2))
    before = sorted(path.name for path in Path(spec["checkpoint"]).iterdir())
    with told_in_the_log() as said, files_of_at_most(40_000), pytest.raises(JobStopped):
        training.run(spec, stop_at(2))
    assert sorted(path.name for path in Path(spec["checkpoint"]).iterdir()) == before
    told: list[dict[str, Any]] = []
    assert training.run(spec, told.append) == whole[0]
    assert told[0]["epoch"] == 2
    (only,) = said
    assert "epoch 4 is not kept" in only
    assert "cannot be written: File too large" in only
