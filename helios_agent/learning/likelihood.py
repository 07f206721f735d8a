"""The exact probability of a drawn subset, stable for any logits a network can produce.

The k balls of a draw follow the conditional Bernoulli law P(S) = Π_{i∈S} w_i / e_k(w) with weights
w = exp(logits) and e_k the k-th elementary symmetric polynomial (Chen, Dempster & Liu 1994, Biometrika
81:457). In fp64, with the logits shifted by the k-th largest, e_k >= 1 and k cumulative sums suffice.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional


def uniform_nats(white: int, pick: int, bonus: int) -> float:
    """Return the log loss of the fair forecast, nats a draw: ln C(white, pick) + ln bonus."""
    return math.log(math.comb(white, pick)) + math.log(bonus)


def subset_nll(logits: Tensor, subsets: Tensor) -> Tensor:
    """Return −log P(S) in nats, float64 (...,), of `subsets` (..., k), 0-based, under `logits` (..., N).

    Differentiable: the gradient is the inclusion probabilities minus the indicator of the subset.
    """
    shifted, log_sum = _shifted_and_log_sum(logits, subsets.shape[-1])
    return log_sum - shifted.gather(-1, subsets).sum(-1)


def inclusion(logits: Tensor, pick: int) -> Tensor:
    """Return each ball's probability of being among the `pick` drawn, float64 (..., N); they sum to `pick`.

    They are the gradient of log e_k with respect to the logits.
    """
    with torch.enable_grad():
        free = logits.detach().double().requires_grad_()
        _, log_sum = _shifted_and_log_sum(free, pick)
        (gradient,) = torch.autograd.grad(log_sum.sum(), free)
    return gradient


def bonus_nll(logits: Tensor, drawn: Tensor) -> Tensor:
    """Return −log softmax(logits)[drawn], nats, float64 (...,): `logits` (..., B), `drawn` (...,) 0-based."""
    return -functional.log_softmax(logits.double(), dim=-1).gather(-1, drawn.unsqueeze(-1)).squeeze(-1)


def _shifted_and_log_sum(logits: Tensor, pick: int) -> tuple[Tensor, Tensor]:
    """Return x = logits − (their `pick`-th largest) and log e_pick(exp x), both float64."""
    exact = logits.double()
    shifted = exact - exact.detach().topk(pick, dim=-1).values[..., -1:]
    weights = shifted.exp()
    # After round j, sums[..., i] is e_j of the balls up to and including i.
    sums = weights.cumsum(-1)
    for _ in range(pick - 1):
        sums = (weights * functional.pad(sums[..., :-1], (1, 0))).cumsum(-1)
    return shifted, sums[..., -1].log()
