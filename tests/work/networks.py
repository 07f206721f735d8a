"""Artefacts to be loaded: networks whose weights, heads included, are random."""

import hashlib
from pathlib import Path
from typing import Any

import torch

import helios_agent
from helios_agent.learning import artefacts
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.specs import NetworkSpec, TrainingSpec
from helios_agent.registry.card import Matrix, ModelCard, Source

METRICS = {"validation_gain_nats": 0.0, "confidence_bias_nats": 0.0, "confidence_error_nats": 0.0}


def write(
    folder: Path,
    sizes: NetworkSpec,
    matrix: Matrix,
    draws: int,
    seed: int = 1,
    metrics: dict[str, Any] | None = None,
) -> str:
    """Write an artefact that claims to be trained on so many draws; return its version."""
    torch.manual_seed(seed)
    net = PowerballNet(sizes, matrix)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(0.5 * torch.randn_like(parameter))
    weights = artefacts.weights_bytes(net)
    card = ModelCard(
        **matrix.model_dump(),
        architecture=sizes.model_dump(),
        game="powerball",
        era="2015-10-07",
        data=Source(draws=draws, last_draw="2026-09-16", sha256="0" * 64),
        code_version=helios_agent.__version__,
        seed=seed,
        shrinkage=0.5,
        metrics=METRICS | (metrics or {}),
        training=TrainingSpec().model_dump(),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    return artefacts.write(folder, card, weights)
