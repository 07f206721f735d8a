"""Fit a network to the earlier part of a history, and keep the epoch that foretold the later part best.

After each epoch the draws kept for validation are scored; the epoch with the best log-score gain over uniform
is kept. The network as it begins takes part as epoch 0: made from a seed it is uniform, and one that was
trained before is scored like any epoch. Validation draws are read by continuation, in segments as training
reads them: a small part of the work of exact windows.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from loguru import logger
from torch import Tensor

from helios_agent.errors import DIVERGED, JobFailed, JobStopped
from helios_agent.learning import data, scoring
from helios_agent.learning.adam import Adam
from helios_agent.learning.checkpoints import Checkpoint, State
from helios_agent.learning.likelihood import uniform_nats
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.objective import objective
from helios_agent.learning.reproducible import arithmetic
from helios_agent.learning.specs import TrainingSpec
from helios_agent.registry.card import Matrix

Report = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Fit:
    """How a fit went: the loss is that of the best epoch, nats a draw, None where that is epoch 0."""

    epochs: int
    best_epoch: int
    train_loss: float | None


def fit(
    net: PowerballNet,
    draws: data.Draws,
    matrix: Matrix,
    how: TrainingSpec,
    seed: int,
    report: Report,
    checkpoint: Checkpoint | None = None,
    warm: bool = False,
) -> Fit:
    """Train on the draws before the validation part; leave `net` with its best epoch's weights.

    `warm`: the network was trained before. Call it within `reproducible`. `report` is called as
    `training.run` says. When it raises JobStopped, the state after the last whole epoch is kept in
    `checkpoint`, where one is given; a later call with the same arguments goes on from it, to the same bits.
    Where it cannot be written, that is told of in the log, and a later call goes on from the one before, or
    begins anew. Raises JobFailed when a loss is not finite.
    """
    fitting = Fitting(net, draws, matrix, how, seed)
    if warm:
        fitting.score_beginning()
    kept = checkpoint.load() if checkpoint is not None else None
    if kept is not None:
        fitting.restore(kept)
    begun = fitting.epoch

    def first_step(loss: float) -> None:
        # Should it stop here, nothing is lost but this step: a checkpoint holds whole epochs.
        if fitting.epoch == begun:
            report({"started": True, "epoch": begun, "step_loss": loss})

    while fitting.goes_on():
        progress = fitting.run_epoch(first_step)
        if checkpoint is not None and checkpoint.is_due():
            _keep(checkpoint, fitting)
        try:
            report(progress)
        except JobStopped:
            if checkpoint is not None:
                _keep(checkpoint, fitting)
            raise
    return fitting.finish()


def _keep(checkpoint: Checkpoint, fitting: "Fitting") -> None:
    try:
        checkpoint.save(fitting.state())
    except JobFailed as error:  # a full disk, which is no reason to give up what it may yet get done
        logger.bind(action="train").warning(
            "epoch {} is not kept, and lost if the training is interrupted now: {}", fitting.epoch, error
        )


class Fitting:
    """A fit under way, and all that its next epoch depends on."""

    def __init__(
        self, net: PowerballNet, draws: data.Draws, matrix: Matrix, how: TrainingSpec, seed: int
    ) -> None:
        self.epoch = 0
        self._net = net
        self._draws = draws
        self._trained = len(draws) - how.validated(len(draws))
        self._frequencies = data.coming_frequencies(draws[: self._trained], matrix)
        self._matrix = matrix
        self._uniform_nats = uniform_nats(matrix.white, matrix.pick, matrix.bonus)
        self._how = how
        self._optimiser = Adam(net.parameters(), how.learning_rate)
        self._order = torch.Generator().manual_seed(seed)
        self._best: dict[str, Any] = {"epoch": 0, "gain_nats": 0.0, "loss": None}
        self._best_weights = {name: value.clone() for name, value in net.state_dict().items()}

    def goes_on(self) -> bool:
        """Return whether there is another epoch to run."""
        return self.epoch < self._how.epochs and self.epoch - self._best["epoch"] < self._how.patience

    def score_beginning(self) -> None:
        """Measure what the network gains as it is, before the first epoch."""
        self._best["gain_nats"] = self._uniform_nats - self._validation_loss()

    def run_epoch(self, first_step: Callable[[float], None]) -> dict[str, Any]:
        """Train for an epoch, telling `first_step` the loss of its first step; return how it went."""
        loss = self._train(first_step)
        how = self._how
        self.epoch += 1
        validation_loss = self._validation_loss()
        gain = self._uniform_nats - validation_loss
        if gain > self._best["gain_nats"]:
            self._best = {"epoch": self.epoch, "gain_nats": gain, "loss": loss}
            for name, value in self._net.state_dict().items():
                self._best_weights[name].copy_(value)
        return {
            "epoch": self.epoch,
            "epochs": how.epochs,
            "loss": loss,
            "validation_loss": validation_loss,
            "validation_gain_nats": gain,
            "epochs_left": min(how.epochs - self.epoch, how.patience - (self.epoch - self._best["epoch"])),
        }

    def finish(self) -> Fit:
        """Give the network its best epoch's weights."""
        self._net.load_state_dict(self._best_weights)
        return Fit(self.epoch, self._best["epoch"], self._best["loss"])

    def state(self) -> State:
        """Return all that the next epoch depends on. The tensors are those in use: write or copy them."""
        generators = {"random": torch.get_rng_state(), "order": self._order.get_state()}
        return State({**self._tensors(), **generators}, {"epoch": self.epoch, "best": self._best})

    def restore(self, state: State) -> None:
        """Go on from what `state` returned."""
        with torch.no_grad():
            for name, value in self._tensors().items():
                value.copy_(state.tensors[name])
        torch.set_rng_state(state.tensors["random"].clone())
        self._order.set_state(state.tensors["order"].clone())
        self.epoch, self._best = state.facts["epoch"], state.facts["best"]

    def _tensors(self) -> dict[str, Tensor]:
        adam = self._optimiser
        groups = {"mean": adam.means, "square": adam.squares, "step": adam.steps}
        return {
            **{f"net.{name}": value for name, value in self._net.state_dict().items()},
            **{f"best.{name}": value for name, value in self._best_weights.items()},
            **{
                f"{name}.{number}": value
                for name, many in groups.items()
                for number, value in enumerate(many)
            },
        }

    def _validation_loss(self) -> float:
        """Return the mean log loss of the draws kept for validation, nats a draw."""
        how, trained = self._how, self._trained
        said = scoring.say_by_continuation(self._net, self._draws, trained, how.batch, how.precision)
        loss = float(scoring.losses(said, self._draws[trained:]).mean())
        if not math.isfinite(loss):
            raise self._diverged("validation loss", loss)
        return loss

    def _train(self, first_step: Callable[[float], None]) -> float:
        """Go once through the draws by continuation; return the mean log loss, nats a draw."""
        how, sequence, draws = self._how, self._net.sequence, self._draws[: self._trained]
        predicted = min(how.batch, len(draws) - sequence)
        self._net.train()
        total, count = 0.0, 0
        starts = data.segment_starts(sequence, len(draws), predicted, self._order)
        for first in torch.split(starts, how.segments):
            seen = draws[data.stretches(first - sequence, sequence + predicted - 1)]
            targets = data.stretches(first, predicted)
            with arithmetic(how.precision):
                outputs = self._net(seen.whites, seen.bonus)
            loss, nll = objective(outputs, draws[targets], self._frequencies[targets], self._matrix, how.loss)
            if not loss.detach().isfinite():
                raise self._diverged("loss", float(loss.detach()))
            if not count:
                first_step(float(nll.mean()))
            self._optimiser.step(loss)
            total += float(nll.sum())
            count += nll.numel()
        return total / count

    def _diverged(self, name: str, value: float) -> JobFailed:
        return JobFailed(
            f"{DIVERGED} after {self.epoch} epochs: {name} is {value};"
            f" lower training.learning_rate (now {self._how.learning_rate:g})"
        )
