"""Trained networks on disk: a folder with `weights.safetensors` and `model.json`.

`model.json` says what the weights are, on what they were trained and how well they did, in canonical JSON
(sorted keys, no spaces, no time stamps): the same training gives the same bytes, and the version is their
digest.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors import torch as tensors
from torch import Tensor

from helios_agent import files
from helios_agent.errors import JobFailed
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.specs import Matrix, NetworkSpec, Spec, TrainingSpec, explain

WEIGHTS = "weights.safetensors"
CARD = "model.json"
VERSION_LENGTH = 12


class Source(Spec):
    """What a network was trained on: how many draws, the date of the last, and `data.digest` of them."""

    draws: int
    last_draw: str
    sha256: str


class ModelCard(Matrix):
    """The content of `model.json`."""

    name: Literal["PowerballNet"] = "PowerballNet"
    architecture: NetworkSpec
    game: str
    era: str
    data: Source
    seed: int
    shrinkage: float = Field(ge=0.0, le=1.0)
    """Factor on the white and bonus logits, fitted on the validation part; 0 is the uniform forecast."""
    metrics: dict[str, int | float]
    """From `training.run`. Epoch and shrinkage were chosen on the validation part, so its gain flatters."""
    training: TrainingSpec
    weights_sha256: str


def weights_bytes(net: PowerballNet) -> bytes:
    """Return the network's parameters in safetensors format."""
    content: bytes = tensors.save({name: value.contiguous() for name, value in net.state_dict().items()})
    return content


def write(folder: Path, card: ModelCard, weights: bytes) -> str:
    """Write both files durably into `folder`, which must be empty or missing; return the version.

    Raises JobFailed where the folder holds something or cannot be written.
    """
    content = (json.dumps(card.model_dump(), sort_keys=True, separators=(",", ":")) + "\n").encode()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise JobFailed(f"out: {folder} is not empty; a training run needs an empty folder of its own")
        files.write(folder / WEIGHTS, weights)
        files.write(folder / CARD, content)
        files.sync(folder)
    except OSError as error:
        raise JobFailed(f"out: {folder} cannot be written: {error.strerror}") from error
    return version_of(content, weights)


def version_of(card: bytes, weights: bytes) -> str:
    """Return the first 12 hex digits of the SHA-256 of `model.json` followed by the weights."""
    return hashlib.sha256(card + weights).hexdigest()[:VERSION_LENGTH]


def read(folder: Path, version: str | None = None) -> tuple[ModelCard, PowerballNet]:
    """Return the card and the network in `folder`, in evaluation mode, after checking every byte.

    Raises JobFailed, naming the file and the mismatch, where a file is missing, the card does not read, the
    digest of the weights or the version differs, or a tensor has another name, shape, type or is not finite.
    """
    content, weights = _read(folder / CARD), _read(folder / WEIGHTS)
    card = _parse(folder / CARD, content)
    found = hashlib.sha256(weights).hexdigest()
    if found != card.weights_sha256:
        raise JobFailed(f"{folder / WEIGHTS}: SHA-256 is {found}; {CARD} says {card.weights_sha256}")
    if version is not None and version != version_of(content, weights):
        raise JobFailed(f"{folder / CARD}: version is {version_of(content, weights)}; expected {version}")
    try:
        state = tensors.load(weights)
    except SafetensorError as error:
        raise JobFailed(f"{folder / WEIGHTS}: not a safetensors file: {error}") from error
    with torch.device("meta"):
        net = PowerballNet(card.architecture, card)
    _check_tensors(folder / WEIGHTS, net.state_dict(), state)
    net.load_state_dict(state, assign=True)
    return card, net.eval()


def _parse(path: Path, content: bytes) -> ModelCard:
    try:
        values: Any = json.loads(content)
    except ValueError as error:
        raise JobFailed(f"{path}: not JSON: {error}") from None
    try:
        return ModelCard.model_validate(values)
    except ValidationError as error:
        raise JobFailed(f"{path}: {explain(error)}") from None


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
