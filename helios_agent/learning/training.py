"""The training job: fit PowerballNet to a history, keep the best of it, write the artefact."""

import hashlib
from pathlib import Path
from typing import Any

from helios_agent import __version__
from helios_agent.clock import SystemClock
from helios_agent.errors import JobFailed
from helios_agent.learning import artefacts, checkpoints, data, fitting, scoring, specs
from helios_agent.learning.fitting import Report
from helios_agent.learning.likelihood import uniform_nats
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.reproducible import reproducible
from helios_agent.registry import card as cards
from helios_agent.registry.card import CARD, WEIGHTS, ModelCard, Source


def run(spec: dict[str, Any], report: Report) -> dict[str, Any]:
    """Train on `spec` (see `specs.TrainingJob`), write the artefact into `out`, return version and metrics.

    The same spec gives the same weights bit for bit, interrupted or not. `report` is called after the first
    step, with `started`, `step_loss` (nats a draw) and `epoch`, how many epochs were done before; then once
    per epoch with `epoch`, `epochs`, `loss`, `validation_loss` and `validation_gain_nats` (nats a draw), and
    `epochs_left`: how many follow should none of them improve on the best. It may raise JobStopped, which
    passes once what was done so far is in `checkpoint`, where that can be written. Nothing here removes it.
    Raises JobFailed where the spec does not hold, what is to be begun from is damaged, of another version or
    unfit for it (see `ModelCard.unfit`), the training diverges, or `out` cannot be written.
    """
    job = specs.read(specs.TrainingJob, spec)
    draws = data.from_rows(job.draws)
    checkpoint = None
    if job.checkpoint is not None:
        checkpoint = checkpoints.Checkpoint(Path(job.checkpoint), checkpoints.digest(job), SystemClock())
    with reproducible(job.seed, job.training.threads):
        net = PowerballNet(job.network, job)
        if job.start is not None:
            _take_weights(net, job.start, job)
        how = job.training
        fit = fitting.fit(net, draws, job, how, job.seed, report, checkpoint, warm=job.start is not None)
        shrinkage, metrics = _assess(net, draws, job)
    metrics |= {"best_epoch": fit.best_epoch, "epochs": fit.epochs}
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
        data=Source(draws=len(draws), last_draw=job.last_draw, sha256=cards.digest(job.draws)),
        code_version=__version__,
        seed=job.seed,
        shrinkage=shrinkage,
        metrics=metrics,
        training=job.training.model_dump(),
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        begun_from=None if job.start is None else job.start.version,
    )
    version = artefacts.write(Path(job.out), card, weights)
    return {"version": version, "metrics": metrics, "files": [CARD, WEIGHTS]}


def _take_weights(net: PowerballNet, start: specs.Start, job: specs.TrainingJob) -> None:
    """Give the network the weights of the artefact that a training is to begin from."""
    folder = Path(start.artefact)
    card, earlier = artefacts.read(folder, start.version)
    trained = len(job.draws) - job.training.validated(len(job.draws))
    reason = card.unfit(job.game, job.era, job.network.model_dump(), job.draws, trained)
    if reason is None and (card.white, card.bonus, card.pick) != (job.white, job.bonus, job.pick):
        reason = f"its draws are {card.pick} of {card.white} and 1 of {card.bonus}"
    if reason is not None:
        raise JobFailed(f"start: {folder} cannot be begun from: {reason}")
    net.load_state_dict(earlier.state_dict())


def _assess(
    net: PowerballNet, draws: data.Draws, job: specs.TrainingJob
) -> tuple[float, dict[str, int | float]]:
    """Fit the shrinkage on the validation part; return it with the metrics there, nats a draw.

    Each draw is seen from its exact window, as it will be when the network is served.
    """
    trained = len(draws) - job.training.validated(len(draws))
    drawn = draws[trained:]
    said = scoring.say(net, draws, trained)
    shrinkage = scoring.best_shrinkage(said, drawn)
    uniform = scoring.losses(said, drawn, 0.0)
    loss = scoring.losses(said, drawn, shrinkage)
    unshrunk = scoring.losses(said, drawn)
    # As many draws right before: it was trained on them, and may know them by heart.
    seen = draws[max(net.sequence, 2 * trained - len(draws)) : trained]
    said_seen = scoring.say(net, draws[:trained], trained - len(seen))
    gained_seen = scoring.losses(said_seen, seen, 0.0) - scoring.losses(said_seen, seen, shrinkage)
    missed = shrinkage * said.confidence.double() - (uniform - loss)
    return shrinkage, {
        "uniform_nats": uniform_nats(job.white, job.pick, job.bonus),
        "validation_draws": len(drawn),
        "validation_loss": float(loss.mean()),
        "validation_gain_nats": float((uniform - loss).mean()),
        "training_gain_nats": float(gained_seen.mean()),
        "validation_gain_unshrunk_nats": float((uniform - unshrunk).mean()),
        # How far off a forecast's `predicted_gain_nats` is from what it gains: mean, root mean square.
        "confidence_bias_nats": float(missed.mean()),
        "confidence_error_nats": float(missed.square().mean().sqrt()),
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
    }
