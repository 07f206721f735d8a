"""The training job: fit PowerballNet to a history, keep the best of it, write the artefact.

What each head is trained for, at every predicted draw:

* white and bonus: the exact log loss of the draw, in nats;
* frequency: cross-entropy against the balls' shares in the coming `data.HORIZON` draws of the training part,
  weight `FREQUENCY_WEIGHT`;
* confidence: squared error against the log-score gain over uniform that the first two just had, weight
  `CONFIDENCE_WEIGHT`; no gradient reaches the rest of the network.

The latest draws are kept for validation. The best epoch is the one with the best log-score gain there, and
the untrained network, which is uniform, takes part as epoch 0.
"""

import copy
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from helios_agent import __version__
from helios_agent.errors import JobFailed
from helios_agent.learning import artefacts, data, scoring, specs
from helios_agent.learning.likelihood import bonus_nll, subset_nll, uniform_nats
from helios_agent.learning.network import Outputs, PowerballNet
from helios_agent.learning.reproducible import reproducible
from helios_agent.registry.card import CARD, WEIGHTS, ModelCard, Source

FREQUENCY_WEIGHT = 0.1
CONFIDENCE_WEIGHT = 0.01

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Fit:
    """How training went. Losses and gains in nats a draw; the gain is that of the best epoch."""

    epochs: int
    best_epoch: int
    best_gain: float
    train_loss: float | None


def run(spec: dict[str, Any], report: Report) -> dict[str, Any]:
    """Train on `spec` (see `specs.TrainingJob`), write the artefact into `out`, return version and metrics.

    The same spec gives the same weights bit for bit. `report` is called once per epoch with `epoch`,
    `epochs`, `loss`, `validation_loss` and `validation_gain_nats` (nats a draw), and `epochs_left`: how many
    follow should none of them improve on the best. Raises JobFailed where the spec does not hold, the
    training diverges or the folder cannot be written.
    """
    job = specs.read(specs.TrainingJob, spec)
    draws = data.from_rows(job.draws)
    validated = job.training.validated(len(draws))
    with reproducible(job.seed, job.training.threads):
        net = PowerballNet(job.network, job)
        fit = _fit(net, draws, len(draws) - validated, job, report)
        shrinkage, metrics = _assess(net, draws, len(draws) - validated, job)
    metrics |= {
        "best_epoch": fit.best_epoch,
        "epochs": fit.epochs,
        "validation_gain_unshrunk_nats": fit.best_gain,
    }
    if fit.train_loss is not None:
        metrics["train_loss"] = fit.train_loss
    weights = artefacts.weights_bytes(net)
    card = ModelCard(
        white=job.white,
        bonus=job.bonus,
        pick=job.pick,
        architecture=job.network.model_dump(),
        game=job.game,
        era=job.era,
        data=Source(draws=len(draws), last_draw=job.last_draw, sha256=data.digest(job.draws)),
        code_version=__version__,
        seed=job.seed,
        shrinkage=shrinkage,
        metrics=metrics,
        training=job.training.model_dump(),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
    )
    version = artefacts.write(Path(job.out), card, weights)
    return {"version": version, "metrics": metrics, "files": [CARD, WEIGHTS]}


def _fit(net: PowerballNet, draws: data.Draws, trained: int, job: specs.TrainingJob, report: Report) -> Fit:
    """Train on the first `trained` draws with early stopping; leave `net` with its best epoch's weights."""
    how = job.training
    uniform = uniform_nats(job.white, job.pick, job.bonus)
    frequencies = data.coming_frequencies(draws[:trained], job)
    optimiser = torch.optim.Adam(net.parameters(), lr=how.learning_rate, fused=True)
    order = torch.Generator().manual_seed(job.seed)
    best = Fit(epochs=0, best_epoch=0, best_gain=0.0, train_loss=None)
    weights = copy.deepcopy(net.state_dict())
    epoch = 0
    while epoch < how.epochs and epoch - best.best_epoch < how.patience:
        epoch += 1
        loss = _train_epoch(net, optimiser, draws[:trained], frequencies, job, order)
        validation_loss = float(scoring.losses(scoring.say(net, draws, trained), draws[trained:]).mean())
        if not (math.isfinite(loss) and math.isfinite(validation_loss)):
            raise JobFailed(
                f"training diverged in epoch {epoch}: loss {loss}, validation loss {validation_loss};"
                f" lower training.learning_rate (now {how.learning_rate:g})"
            )
        gain = uniform - validation_loss
        if gain > best.best_gain:
            best = Fit(epochs=epoch, best_epoch=epoch, best_gain=gain, train_loss=loss)
            weights = copy.deepcopy(net.state_dict())
        report(
            {
                "epoch": epoch,
                "epochs": how.epochs,
                "loss": loss,
                "validation_loss": validation_loss,
                "validation_gain_nats": gain,
                "epochs_left": min(how.epochs - epoch, how.patience - (epoch - best.best_epoch)),
            }
        )
    net.load_state_dict(weights)
    return Fit(epochs=epoch, best_epoch=best.best_epoch, best_gain=best.best_gain, train_loss=best.train_loss)


def _train_epoch(
    net: PowerballNet,
    optimiser: torch.optim.Optimizer,
    draws: data.Draws,
    frequencies: Tensor,
    job: specs.TrainingJob,
    order: torch.Generator,
) -> float:
    """Go once through `draws` by continuation; return the mean log loss, nats a draw."""
    sequence = net.sequence
    predicted = min(job.training.batch, len(draws) - sequence)
    uniform = uniform_nats(job.white, job.pick, job.bonus)
    net.train()
    total, count = 0.0, 0
    starts = data.segment_starts(sequence, len(draws), predicted, order)
    for first in torch.split(starts, job.training.segments):
        seen = draws[data.stretches(first - sequence, sequence + predicted - 1)]
        targets = data.stretches(first, predicted)
        drawn = draws[targets]
        outputs: Outputs = net(seen.whites, seen.bonus)
        nll = subset_nll(outputs.white, drawn.whites) + bonus_nll(outputs.bonus, drawn.bonus)
        frequency = _frequency_loss(outputs.frequency, frequencies[targets], job.white)
        confidence = functional.mse_loss(outputs.confidence, (uniform - nll.detach()).float())
        loss = nll.mean() + FREQUENCY_WEIGHT * frequency + CONFIDENCE_WEIGHT * confidence
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        total += float(nll.detach().sum())
        count += nll.numel()
    return total / count


def _frequency_loss(logits: Tensor, shares: Tensor, white: int) -> Tensor:
    """Return the mean cross-entropy, nats, of the whites' shares plus that of the bonus balls'."""
    whites = functional.log_softmax(logits[..., :white], dim=-1)
    bonus = functional.log_softmax(logits[..., white:], dim=-1)
    return -(shares * torch.cat([whites, bonus], dim=-1)).sum(-1).mean()


def _assess(
    net: PowerballNet, draws: data.Draws, trained: int, job: specs.TrainingJob
) -> tuple[float, dict[str, int | float]]:
    """Fit the shrinkage on the validation part; return it with the metrics there, nats a draw."""
    drawn = draws[trained:]
    said = scoring.say(net, draws, trained)
    shrinkage = scoring.best_shrinkage(said, drawn)
    uniform = scoring.losses(said, drawn, 0.0)
    loss = scoring.losses(said, drawn, shrinkage)
    missed = said.confidence.double() - (uniform - scoring.losses(said, drawn))
    return shrinkage, {
        "uniform_nats": uniform_nats(job.white, job.pick, job.bonus),
        "validation_draws": len(drawn),
        "validation_loss": float(loss.mean()),
        "validation_gain_nats": float((uniform - loss).mean()),
        # How far the confidence head is from the gains it predicts: mean, and root mean square.
        "confidence_bias_nats": float(missed.mean()),
        "confidence_error_nats": float(missed.square().mean().sqrt()),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
    }
