"""A small game and a tiny network: everything the full one does, in a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helios_agent.learning.network import PowerballNet
from helios_agent.learning.specs import NetworkSpec
from helios_agent.registry.card import Matrix

TINY = {"sequence": 8, "hidden": 16, "layers": 2, "heads": 4, "dropout": 0.2, "embedding": 6}
MATRIX = {"white": 12, "bonus": 5, "pick": 3}


@pytest.fixture
def machine() -> Callable[..., list[list[int]]]:
    """A drawing machine whose balls have log-weights of standard deviation `log_sd`; 0 is fair."""

    def draw(count: int, log_sd: float = 0.0, seed: int = 1) -> list[list[int]]:
        random = np.random.default_rng(seed)
        tilt = log_sd * random.standard_normal(MATRIX["white"])
        order = np.argsort(-(tilt + random.gumbel(size=(count, MATRIX["white"]))), axis=1)
        whites = order[:, : MATRIX["pick"]] + 1
        bonus = random.integers(1, MATRIX["bonus"] + 1, size=(count, 1))
        rows: list[list[int]] = np.hstack([whites, bonus]).tolist()
        return rows

    return draw


@pytest.fixture
def job(tmp_path: Path, machine: Callable[..., list[list[int]]]) -> Callable[..., dict[str, Any]]:
    """A training spec on the small game; keyword arguments replace its fields."""

    def make(**changes: Any) -> dict[str, Any]:
        base: dict[str, Any] = {
            "game": "powerball",
            "era": "2015-10-07",
            "last_draw": "2026-09-16",
            "seed": 3,
            "out": str(tmp_path / "staging"),
            "network": TINY,
            "training": {"epochs": 3, "batch": 8, "segments": 4, "learning_rate": 0.01},
            **MATRIX,
        }
        if "draws" not in changes:
            base["draws"] = machine(120, log_sd=0.8)
        return base | changes

    return make


@pytest.fixture
def net() -> PowerballNet:
    """A tiny network in evaluation mode whose weights, heads included, are random."""
    torch.manual_seed(5)
    made = PowerballNet(NetworkSpec(**TINY), Matrix(**MATRIX))
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    return made.eval()


@pytest.fixture
def history(machine: Callable[..., list[list[int]]]) -> Callable[[int], tuple[torch.Tensor, torch.Tensor]]:
    """Whites (1, n, k) and bonus (1, n), 0-based, from the fair machine."""

    def make(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        table = torch.tensor(machine(count)) - 1
        return table[None, :, :-1], table[None, :, -1]

    return make
