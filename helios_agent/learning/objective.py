"""What training minimises at every predicted draw, the three parts added up:

* white and bonus heads: with `exact`, the log loss of the draw in nats, which is also what every score is.
  `cross-entropy` is the usual way, each white ball a binary question of its own, kept for comparison only: it
  prices subsets of the wrong size too;
* frequency head: cross-entropy against the balls' shares in the coming `data.HORIZON` draws, weight
  `FREQUENCY_WEIGHT`;
* confidence head: squared error against the log-score gain over uniform that the first two just had, weight
  `CONFIDENCE_WEIGHT`; no gradient reaches the rest of the network.
"""

import torch
from torch import Tensor
from torch.nn import functional

from helios_agent.learning import data
from helios_agent.learning.likelihood import bonus_nll, subset_nll, uniform_nats
from helios_agent.learning.network import Outputs
from helios_agent.learning.specs import Loss
from helios_agent.registry.card import Matrix

FREQUENCY_WEIGHT = 0.1
CONFIDENCE_WEIGHT = 0.01


def objective(
    outputs: Outputs, drawn: data.Draws, frequencies: Tensor, matrix: Matrix, loss: Loss
) -> tuple[Tensor, Tensor]:
    """Return what to minimise, and the log loss of each draw, nats (B, M), without gradient.

    `drawn` holds (B, M) draws and `frequencies` (B, M, N + B') their balls' coming shares.
    """
    nll = subset_nll(outputs.white, drawn.whites) + bonus_nll(outputs.bonus, drawn.bonus)
    gain = uniform_nats(matrix.white, matrix.pick, matrix.bonus) - nll.detach()
    main = nll.mean() if loss == "exact" else _summed_cross_entropies(outputs, drawn)
    frequency = _frequency_loss(outputs.frequency, frequencies, matrix.white)
    confidence = functional.mse_loss(outputs.confidence, gain.float())
    return main + FREQUENCY_WEIGHT * frequency + CONFIDENCE_WEIGHT * confidence, nll.detach()


def _summed_cross_entropies(outputs: Outputs, drawn: data.Draws) -> Tensor:
    """Return the mean over draws of each white ball's binary cross-entropy, summed, and the bonus ball's."""
    among = torch.zeros_like(outputs.white).scatter(-1, drawn.whites, 1.0)
    whites = functional.binary_cross_entropy_with_logits(outputs.white, among, reduction="none").sum(-1)
    return (whites + bonus_nll(outputs.bonus, drawn.bonus)).mean()


def _frequency_loss(logits: Tensor, shares: Tensor, white: int) -> Tensor:
    """Return the mean cross-entropy, nats, of the whites' shares plus that of the bonus balls'."""
    whites = functional.log_softmax(logits[..., :white], dim=-1)
    bonus = functional.log_softmax(logits[..., white:], dim=-1)
    return -(shares * torch.cat([whites, bonus], dim=-1)).sum(-1).mean()
