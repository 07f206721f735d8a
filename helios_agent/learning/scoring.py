"""Out-of-sample scores: what a network would have said before each draw, and what that was worth.

`say` shows the network each draw's own exact window, as it is served. `say_by_continuation` shows it
segments, as it is trained, for a fraction of the work: enough to tell which of two states foretells better.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from helios_agent.learning import data
from helios_agent.learning.likelihood import bonus_nll, subset_nll
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.reproducible import arithmetic
from helios_agent.learning.specs import Precision

WINDOWS_AT_ONCE = 32
SHRINKAGE_HALVINGS = 40
"""Bisections of [0, 1]: the answer is exact to 1e-12."""


@dataclass(frozen=True)
class Said:
    """What was said before each of n draws: logits `white` (n, N), `bonus` (n, B'); `confidence` (n,)."""

    white: Tensor
    bonus: Tensor
    confidence: Tensor


def say(net: PowerballNet, draws: data.Draws, first: int) -> Said:
    """Return what `net` says of the draws from index `first` on, each seen from the draws before it."""
    white, bonus, confidence = [], [], []
    net.eval()
    with torch.no_grad():
        for starts in torch.split(
            torch.arange(first - net.sequence, len(draws) - net.sequence), WINDOWS_AT_ONCE
        ):
            window = draws[data.stretches(starts, net.sequence)]
            outputs = net(window.whites, window.bonus)
            white.append(outputs.white[:, -1])
            bonus.append(outputs.bonus[:, -1])
            confidence.append(outputs.confidence[:, -1])
    return Said(torch.cat(white), torch.cat(bonus), torch.cat(confidence))


def say_by_continuation(
    net: PowerballNet, draws: data.Draws, first: int, predicted: int, precision: Precision = "fp32"
) -> Said:
    """Return what `net` says of the draws from index `first` on, in segments of `predicted` draws each."""
    count = len(draws) - first
    predicted = min(predicted, count)
    wanted = torch.arange(first, len(draws), predicted)
    starts = wanted.clamp(max=len(draws) - predicted)
    parts = []
    net.eval()
    with torch.no_grad(), arithmetic(precision):
        for some in torch.split(starts, WINDOWS_AT_ONCE):
            seen = draws[data.stretches(some - net.sequence, net.sequence + predicted - 1)]
            parts.append(net(seen.whites, seen.bonus))
    # The last segment is pushed back to be whole; what it says a second time is left out.
    new = data.stretches(starts, predicted) >= wanted.unsqueeze(1)
    return Said(
        torch.cat([part.white for part in parts])[new],
        torch.cat([part.bonus for part in parts])[new],
        torch.cat([part.confidence for part in parts])[new],
    )


def losses(said: Said, drawn: data.Draws, shrinkage: float = 1.0) -> Tensor:
    """Return the log loss of each draw in nats, float64 (n,), with the logits scaled by `shrinkage`."""
    whites = subset_nll(said.white.double() * shrinkage, drawn.whites)
    return whites + bonus_nll(said.bonus.double() * shrinkage, drawn.bonus)


def best_shrinkage(said: Said, drawn: data.Draws) -> float:
    """Return the factor in [0, 1] on the logits with the least mean log loss; 0 where none beats uniform.

    The loss is convex along the ray from uniform (log e_k and logsumexp are), so its slope is bisected.
    """
    if _slope(said, drawn, 0.0) >= 0.0:
        return 0.0
    if _slope(said, drawn, 1.0) <= 0.0:
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(SHRINKAGE_HALVINGS):
        middle = (low + high) / 2
        if _slope(said, drawn, middle) < 0.0:
            low = middle
        else:
            high = middle
    return low


def _slope(said: Said, drawn: data.Draws, shrinkage: float) -> float:
    """Return d(mean log loss) / d(shrinkage), nats a draw."""
    factor = torch.tensor(shrinkage, dtype=torch.float64, requires_grad=True)
    whites = subset_nll(said.white.double() * factor, drawn.whites)
    loss = (whites + bonus_nll(said.bonus.double() * factor, drawn.bonus)).mean()
    (slope,) = torch.autograd.grad(loss, factor)
    return float(slope)
