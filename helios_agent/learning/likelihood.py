"""The exact probability of a drawn subset, stable for any logits that a sound network says.

The k balls of a draw follow the conditional Bernoulli law P(S) = Π_{i∈S} w_i / e_k(w) with weights
w = exp(logits) and e_k the k-th elementary symmetric polynomial (Chen, Dempster & Liu 1994, Biometrika
81:457). In fp64, with the logits shifted by the k-th largest, e_k >= 1 and k cumulative sums suffice.
Where the k largest logits together exceed k times the k-th by more than 709, e_k leaves the range of fp64:
the loss is infinite, its gradient is not a number, and training takes that for what it is, divergence.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

ROWS_AT_ONCE = 384
"""Draws whose sums are taken together: those of more leave the processor's cache."""


def uniform_nats(white: int, pick: int, bonus: int) -> float:
    """Return the log loss of the fair forecast, nats a draw: ln C(white, pick) + ln bonus."""
    return math.log(math.comb(white, pick)) + math.log(bonus)


def subset_nll(logits: Tensor, subsets: Tensor) -> Tensor:
    """Return −log P(S) in nats, float64 (...,), of `subsets` (..., k), 0-based, under `logits` (..., N).

    Differentiable once: the gradient is the inclusion probabilities minus the indicator of the subset.
    """
    nll: Tensor = _SubsetNll.apply(logits, subsets)  # type: ignore[no-untyped-call]
    return nll


def bonus_nll(logits: Tensor, drawn: Tensor) -> Tensor:
    """Return −log softmax(logits)[drawn], nats, float64 (...,): `logits` (..., B), `drawn` (...,) 0-based."""
    return -functional.log_softmax(logits.double(), dim=-1).gather(-1, drawn.unsqueeze(-1)).squeeze(-1)


class _SubsetNll(torch.autograd.Function):
    """`subset_nll`, with its gradient in closed form: half the time of going back through the sums."""

    @staticmethod
    def forward(ctx: FunctionCtx, logits: Tensor, subsets: Tensor) -> Tensor:
        shifted, log_sum, chances = _law(logits, subsets.shape[-1])
        ctx.save_for_backward(
            chances.scatter_add(-1, subsets, torch.tensor(-1.0, dtype=chances.dtype).expand(subsets.shape))
        )
        return log_sum - shifted.gather(-1, subsets).sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return slope * grads[0].unsqueeze(-1), None


def _law(logits: Tensor, pick: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return x = logits − (their `pick`-th largest), log e_pick(exp x) and inclusion probabilities, float64.

    Ball i is drawn together with a balls before it and pick − 1 − a after it:
    π_i = w_i Σ_a e_a(before i) e_{pick−1−a}(after i) / e_pick.
    """
    rows = logits.reshape(-1, logits.shape[-1])
    if len(rows) > ROWS_AT_ONCE:
        shifted, log_sum, chances = map(
            torch.cat, zip(*(_law(some, pick) for some in torch.split(rows, ROWS_AT_ONCE)), strict=True)
        )
        return shifted.view(logits.shape), log_sum.view(logits.shape[:-1]), chances.view(logits.shape)
    exact = logits.double()
    shifted = exact - exact.topk(pick, dim=-1).values[..., -1:]
    weights = shifted.exp()
    # sums[j] holds e_j of the balls before each ball, and of those after it, the latter in reverse.
    both = torch.stack([weights, weights.flip(-1)])
    sums = [torch.ones((), dtype=both.dtype).expand_as(both)]
    for _ in range(pick - 1):
        sums.append(functional.pad((both * sums[-1])[..., :-1].cumsum(-1), (1, 0)))
    others = sums[-1][0] + sums[-1][1].flip(-1) if pick > 1 else sums[0][0]
    for before in range(1, pick - 1):
        others = torch.addcmul(others, sums[before][0], sums[pick - 1 - before][1].flip(-1))
    total = (weights * sums[-1][0]).sum(-1)
    return shifted, total.log(), weights * others / total.unsqueeze(-1)
