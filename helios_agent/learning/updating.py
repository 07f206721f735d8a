"""Keep a trained network current: one small step for each draw that has become known since.

The step is taken on one segment of the whole history but its latest draws, at a hundredth of the training's
learning rate. Those latest draws are held back: where the mean log score of them falls, the step is undone.
Which segment, and what dropout leaves out, is decided by a seed made of the network's name and the number of
draws, so a network after n draws is a function of what it was and of those draws, however they arrived. No
step looks at more than a few windows of the history, so a step costs the same however long that is.
"""

import copy
import hashlib
from collections.abc import Sequence
from typing import Any

import torch

from helios_agent.errors import JobFailed
from helios_agent.learning import data, scoring
from helios_agent.learning.adam import Adam
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.objective import objective
from helios_agent.learning.reproducible import reproducible
from helios_agent.learning.specs import TrainingSpec
from helios_agent.registry.card import Matrix, Row

PREDICTED = 32
"""Draws that a step learns to predict."""
HELD_BACK = 64
"""Latest draws, which no step learns from and every step is judged by, in one pass of continuation."""
RATE_SHARE = 0.01
"""Learning rate of a step, of that of the training."""
LIMIT = 50
"""Steps from one training to the next, undone ones included: longer, small steps overfit too."""


class Current:
    """A trained network and the draws it knows of. `updates` steps were tried, `accepted` of them kept."""

    def __init__(
        self,
        net: PowerballNet,
        draws: data.Draws,
        matrix: Matrix,
        how: TrainingSpec,
        shrinkage: float,
        name: str,
    ) -> None:
        """Begin with a copy of `net` as it was trained on `draws`; `name` seeds what is random later."""
        self.updates = self.accepted = 0
        self._net = copy.deepcopy(net).eval()
        self._draws = draws
        self._matrix = matrix
        self._how = how
        self._shrinkage = shrinkage
        self._name = name
        self._optimiser = Adam(self._net.parameters(), RATE_SHARE * how.learning_rate)

    def __len__(self) -> int:
        return len(self._draws)

    def take(self, rows: Sequence[Row]) -> None:
        """Take in further draws, oldest first."""
        for row in rows:
            self._draws = self._draws.followed_by(data.from_rows([row]))
            # A network shrunk to nothing says uniform, whatever it learns.
            if self.updates < LIMIT and self._shrinkage > 0.0:
                self._update()

    def forecast(self) -> dict[str, Any]:
        """Return what the network says of the next draw: see `forecast`."""
        with reproducible(0, threads=1):
            return forecast(self._net, self._draws, self._shrinkage)

    def _update(self) -> None:
        sequence, learnt = self._net.sequence, len(self._draws) - HELD_BACK
        choices = learnt - PREDICTED - sequence + 1
        if choices < 1:
            return
        self.updates += 1
        seed = hashlib.sha256(f"{self._name}:{len(self._draws)}".encode()).digest()
        with reproducible(int.from_bytes(seed[:7]), threads=1):
            first = sequence + int(torch.randint(choices, ()))
            before = self._held_back_loss()
            weights = [parameter.detach().clone() for parameter in self._net.parameters()]
            stepped = self._step(first, min(first + PREDICTED + data.HORIZON - 1, learnt))
            if stepped and self._held_back_loss() <= before:  # false where a weight is no number any more
                self.accepted += 1
                return
        # The optimiser keeps its averages: they tell of the gradients, whatever became of the step.
        with torch.no_grad():
            for parameter, value in zip(self._net.parameters(), weights, strict=True):
                parameter.copy_(value)

    def _held_back_loss(self) -> float:
        """Return the mean log loss of the draws held back, nats a draw."""
        first = len(self._draws) - HELD_BACK
        said = scoring.say_by_continuation(self._net, self._draws, first, HELD_BACK)
        return float(scoring.losses(said, self._draws[first:], self._shrinkage).mean())

    def _step(self, first: int, end: int) -> bool:
        """Learn to predict the draws from index `first` on, of those before `end`; return whether it could.

        A loss that is not a number would stay in the optimiser's averages, and undo every later step.
        """
        stretch = self._draws[first - self._net.sequence : first + PREDICTED - 1]
        drawn = self._draws[first : first + PREDICTED]
        frequencies = data.coming_frequencies(self._draws[first:end], self._matrix)[:PREDICTED]
        self._net.train()
        outputs = self._net(stretch.whites.unsqueeze(0), stretch.bonus.unsqueeze(0))
        loss, _ = objective(
            outputs,
            data.Draws(drawn.whites.unsqueeze(0), drawn.bonus.unsqueeze(0)),
            frequencies.unsqueeze(0),
            self._matrix,
            self._how.loss,
        )
        self._net.eval()
        if not loss.detach().isfinite():
            return False
        self._optimiser.step(loss)
        return True


def forecast(net: PowerballNet, draws: data.Draws, shrinkage: float) -> dict[str, Any]:
    """Return the forecast of the draw after `draws` as plain floats (see `forecasting.run`).

    Raises JobFailed where it is not finite.
    """
    net.eval()
    with torch.no_grad():
        recent = draws[-net.sequence :]
        outputs = net(recent.whites.unsqueeze(0), recent.bonus.unsqueeze(0))
    white = outputs.white[0, -1].double() * shrinkage
    bonus = outputs.bonus[0, -1].double() * shrinkage
    confidence = outputs.confidence[0, -1].double() * shrinkage
    if not torch.cat([white, bonus, confidence.reshape(1)]).isfinite().all():
        raise JobFailed("its forecast is not finite")
    return {
        "white": (white - white.mean()).tolist(),
        "bonus": bonus.log_softmax(-1).tolist(),
        # The head has learnt the gain of the logits as they are. Shrunk, they gain at least that share of it,
        # for a gain is concave along the ray from uniform; a network shrunk to nothing promises nothing.
        "predicted_gain_nats": float(confidence),
    }
