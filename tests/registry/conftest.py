"""A version with a card like any other; its weights are no network's, which only a worker would notice."""

import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helios_agent.registry import card as cards
from helios_agent.registry import folders
from helios_agent.registry.names import Ref

WEIGHTS = b"weights" * 100

METRICS = {"validation_gain_nats": -0.01, "confidence_bias_nats": 0.0, "confidence_error_nats": 0.1}

Make = Callable[..., Ref]


def card(weights: bytes = WEIGHTS, **changes: Any) -> bytes:
    """Return a `model.json`; keyword arguments replace its fields."""
    return (
        json.dumps(
            {
                "name": "PowerballNet",
                "white": 69,
                "bonus": 26,
                "pick": 5,
                "architecture": {"sequence": 8},
                "game": "powerball",
                "era": "2015-10-07",
                "data": {"draws": 100, "last_draw": "2026-09-16", "sha256": "0" * 64},
                "code_version": "0.1.0",
                "seed": 1,
                "shrinkage": 0.5,
                "metrics": METRICS,
                "training": {"epochs": 1},
                "weights_sha256": hashlib.sha256(weights).hexdigest(),
            }
            | changes
        )
        + "\n"
    ).encode()


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def put(models: Path, weights: bytes = WEIGHTS, **changes: Any) -> Ref:
    """Put a version in its folder; keyword arguments replace fields of its card."""
    content = card(weights, **changes)
    version = Ref("powerballnet", cards.version_of(content, [weights]))
    folder = folders.place(models, version)
    folder.mkdir(parents=True)
    (folder / cards.CARD).write_bytes(content)
    (folder / cards.WEIGHTS).write_bytes(weights)
    return version


@pytest.fixture
def make(models: Path) -> Make:
    """`put`, among these models."""
    return partial(put, models)
