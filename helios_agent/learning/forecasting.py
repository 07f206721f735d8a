"""The forecast job: what a trained network says of the next draw."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from helios_agent.errors import JobFailed
from helios_agent.learning import artefacts, data, specs
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.reproducible import reproducible


def run(spec: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Load the artefact that `spec` names (see `specs.ForecastJob`) and forecast the draw after its last one.

    Returns `white`, log-weights that sum to zero, `bonus`, log-probabilities, both with the shrinkage
    applied, and `predicted_gain_nats`, the log-score gain over uniform that the confidence head expects of
    them. Raises JobFailed where the artefact is damaged or the draws are too few or not of its matrix.
    Reports nothing: it takes milliseconds.
    """
    job = specs.read(specs.ForecastJob, spec)
    folder = Path(job.artefact)
    card, net = artefacts.read(folder, job.version)
    if len(job.draws) < net.sequence:
        raise JobFailed(f"draws holds {len(job.draws)}; {folder} reads the last {net.sequence}")
    recent = job.draws[-net.sequence :]
    try:
        card.check(recent)
    except ValueError as error:
        raise JobFailed(f"the last {net.sequence} draws: {error}") from None
    with reproducible(card.seed, threads=1):
        return forecast(net, data.from_rows(recent), card.shrinkage)


def forecast(net: PowerballNet, draws: data.Draws, shrinkage: float) -> dict[str, Any]:
    """Return the forecast of the draw after `draws` as plain floats (see `run`)."""
    net.eval()
    with torch.no_grad():
        recent = draws[-net.sequence :]
        outputs = net(recent.whites.unsqueeze(0), recent.bonus.unsqueeze(0))
    white = outputs.white[0, -1].double() * shrinkage
    bonus = outputs.bonus[0, -1].double() * shrinkage
    return {
        "white": (white - white.mean()).tolist(),
        "bonus": bonus.log_softmax(-1).tolist(),
        # Near uniform a gain grows with the shrinkage, and a network shrunk to nothing promises nothing.
        "predicted_gain_nats": float(outputs.confidence[0, -1]) * shrinkage,
    }
