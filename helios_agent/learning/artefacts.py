"""Networks as artefacts: a folder with `weights.safetensors` and the `model.json` of `registry.card`."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors import torch as tensors
from torch import Tensor

from helios_agent import files
from helios_agent.errors import ArtefactInvalid, JobFailed
from helios_agent.forecasting.forecast import Forecast
from helios_agent.learning import data, specs, updating
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.reproducible import reproducible
from helios_agent.registry import card as cards
from helios_agent.registry.card import CARD, WEIGHTS, Matrix, ModelCard, Row


def weights_bytes(net: PowerballNet) -> bytes:
    """Return the network's parameters in safetensors format."""
    content: bytes = tensors.save({name: value.contiguous() for name, value in net.state_dict().items()})
    return content


def write(folder: Path, card: ModelCard, weights: bytes) -> str:
    """Write both files durably into `folder`, which must be empty or missing; return the version.

    Raises JobFailed where the folder holds something or cannot be written.
    """
    content = card.content()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise JobFailed(f"out: {folder} is not empty; a training run needs an empty folder of its own")
        files.write(folder / WEIGHTS, weights)
        files.write(folder / CARD, content)
        files.sync(folder)
    except OSError as error:
        raise JobFailed(f"out: {folder} cannot be written: {error.strerror}") from error
    return cards.version_of(content, [weights])


def run(spec: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Load the artefact that `spec` names (see `specs.ValidationJob`); return how many `parameters` it has.

    Raises JobFailed as `read`, and where what it says of a draw is no forecast. Reports nothing.
    """
    job = specs.read(specs.ValidationJob, spec)
    folder = Path(job.artefact)
    card, net = read(folder, job.version)
    with reproducible(0, threads=1):
        try:
            for rows in _windows(card, net.sequence):
                said = updating.forecast(net, data.from_rows(rows), card.shrinkage)
                Forecast(said["white"], said["bonus"], card.pick)
        except (JobFailed, ValueError) as error:
            raise JobFailed(f"{folder / WEIGHTS}: {error}") from None
    return {"parameters": sum(parameter.numel() for parameter in net.parameters())}


def _windows(matrix: Matrix, length: int) -> Iterator[list[Row]]:
    """Yield windows of made-up draws in which every ball is drawn at least once."""
    needed = max(math.ceil(matrix.white / matrix.pick), matrix.bonus)
    for first in range(0, needed, length):
        yield [
            [
                *(1 + (t * matrix.pick + place) % matrix.white for place in range(matrix.pick)),
                1 + t % matrix.bonus,
            ]
            for t in range(first, first + length)
        ]


def read(folder: Path, version: str | None = None) -> tuple[ModelCard, PowerballNet]:
    """Return the card and the network in `folder`, in evaluation mode, after checking every byte.

    Raises JobFailed, naming the file and the mismatch, where a file is missing, the card does not read, the
    digest of the weights or the version differs, or a tensor has another name, shape, type or is not finite.
    """
    content, weights = _read(folder / CARD), _read(folder / WEIGHTS)
    try:
        card = cards.verify(str(folder), content, [weights], version)
    except ArtefactInvalid as error:
        raise JobFailed(str(error)) from None
    try:
        sizes = specs.read(specs.NetworkSpec, card.architecture)
        specs.read(specs.TrainingSpec, card.training)
    except JobFailed as error:
        raise JobFailed(f"{folder / CARD}: {error}") from None
    try:
        state = tensors.load(weights)
    except SafetensorError as error:
        raise JobFailed(f"{folder / WEIGHTS}: not a safetensors file: {error}") from error
    # On the device "meta" it would cost nothing, but for torch's compiler, which that loads: a second, 76 MB.
    with torch.random.fork_rng(devices=[]):
        net = PowerballNet(sizes, card)
    _check_tensors(folder / WEIGHTS, net.state_dict(), state)
    net.load_state_dict(state, assign=True)
    return card, net.eval()


def _check_tensors(path: Path, expected: dict[str, Tensor], found: dict[str, Tensor]) -> None:
    if expected.keys() != found.keys():
        raise JobFailed(f"{path}: tensors missing or unknown: {sorted(expected.keys() ^ found.keys())}")
    for name, wanted in expected.items():
        value = found[name]
        if value.shape != wanted.shape or value.dtype != wanted.dtype:
            raise JobFailed(
                f"{path}: {name} is {value.dtype} {tuple(value.shape)};"
                f" expected {wanted.dtype} {tuple(wanted.shape)}"
            )
        if not value.isfinite().all():
            raise JobFailed(f"{path}: {name} holds values that are not finite")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise JobFailed(f"{path}: cannot be read: {error.strerror}") from error
