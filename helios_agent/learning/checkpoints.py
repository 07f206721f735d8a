"""What an interrupted training leaves behind, so that the next run of the same spec goes on from there.

`checkpoint.json` names, by digest, the files of tensors that go with it, holds a digest of all that it says,
and is renamed into place after they are on the disk: whenever the process ends, one whole checkpoint stands,
the last or the one before. There are several files because one alone would take its own size of memory,
twice, to be written.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from loguru import logger
from safetensors import SafetensorError
from safetensors import torch as tensors
from torch import Tensor

from helios_agent import files, processor, release
from helios_agent.clock import SECOND_US, Clock
from helios_agent.errors import JobFailed
from helios_agent.learning.specs import TrainingJob

CARD = "checkpoint.json"
EVERY_S = 10.0
"""Seconds from one checkpoint to the next, at least: each writes four times the weights."""
CODE = release.code()
"""Of what was loaded; by the time a training begins, another release may lie in its place."""
PART_BYTES = 8 * 1024**2
"""Least size of a file of tensors, but for the last."""


@dataclass(frozen=True)
class State:
    """A training between two epochs: tensors by name, and the rest as JSON values."""

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


def digest(job: TrainingJob) -> str:
    """Return what a checkpoint must be of: the SHA-256, in hex, of all that bears on the outcome of `job`.

    That is its spec, the code, torch, and the kind of processor, whose instructions round in their own ways.
    """
    spec = job.model_dump(exclude={"out": True, "checkpoint": True, "start": {"artefact"}})
    spec |= {
        "code": CODE,
        "torch": torch.__version__,
        "processor": [torch.backends.cpu.get_cpu_capability(), processor.name(), processor.multiplies_bf16()],
    }
    return _digest(spec)


class Checkpoint:
    """The folder in which one training keeps its state."""

    def __init__(self, folder: Path, of: str, clock: Clock) -> None:
        self._folder = folder
        self._of = of
        self._clock = clock
        self._kept_us = clock.mono_us()

    def load(self) -> State | None:
        """Return the state that was kept, or None where there is none that can be gone on from.

        A checkpoint of another spec, or a damaged one, is told of in the log and otherwise ignored.
        """
        try:
            files.take_up(self._folder)  # what came from a cluster is put in place as a whole
            card = json.loads((self._folder / CARD).read_bytes())
            if card["of"] != self._of:
                raise ValueError("it is of another training, Helios, torch or kind of processor")
            if card.pop("sha256") != _digest(card):
                raise ValueError("it does not say what was written")
            state: dict[str, Tensor] = {}
            for sha256 in card["parts"]:
                content = (self._folder / _name(sha256)).read_bytes()
                if hashlib.sha256(content).hexdigest() != sha256:
                    raise ValueError("its tensors are not those that were written")
                state |= tensors.load(content)
            return State(state, dict(card["facts"]))
        except FileNotFoundError as error:
            if (self._folder / CARD).exists():
                self._ignore(error)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            self._ignore(error)
        return None

    def is_due(self) -> bool:
        """Return whether the last checkpoint is long enough ago."""
        return self._clock.mono_us() - self._kept_us >= EVERY_S * SECOND_US

    def save(self, state: State) -> None:
        """Replace what was kept by `state`. Raises JobFailed where the folder cannot be written."""
        parts = []
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for some in _parts(state.tensors):
                content = tensors.save(some)
                parts.append(hashlib.sha256(content).hexdigest())
                self._place(_name(parts[-1]), content)
            card = {"of": self._of, "parts": parts, "facts": state.facts}
            self._place(CARD, json.dumps(card | {"sha256": _digest(card)}).encode())
            for path in self._folder.iterdir():
                if path.name not in (CARD, *map(_name, parts)):
                    files.remove(path)
        except OSError as error:
            raise JobFailed(f"checkpoint: {self._folder} cannot be written: {error.strerror}") from error
        self._kept_us = self._clock.mono_us()

    def _place(self, name: str, content: bytes) -> None:
        waiting = self._folder / f".{name}"
        files.remove(waiting)
        files.write(waiting, content)
        files.rename(waiting, self._folder / name)

    def _ignore(self, error: Exception) -> None:
        logger.bind(action="train").warning(
            "{} cannot be gone on from, so the training begins anew: {}", self._folder / CARD, error
        )


def _parts(named: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Yield the tensors, a file's worth at a time."""
    part: dict[str, Tensor] = {}
    for name, value in named.items():
        part[name] = value
        if sum(one.nbytes for one in part.values()) >= PART_BYTES:
            yield part
            part = {}
    yield part


def _digest(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _name(sha256: str) -> str:
    return f"{sha256}.safetensors"
