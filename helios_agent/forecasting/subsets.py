"""The conditional Bernoulli law on k-subsets of N balls.

P(S) = Π_{i∈S} w_i / e_k(w), where w_i = exp(theta_i) and e_k is the elementary symmetric polynomial of
degree k: N independent coins given that exactly k came up heads, or Fisher's multivariate noncentral
hypergeometric law. Only the ratios of weights matter.

Source: S. X. Chen, A. P. Dempster and J. S. Liu (1994), Weighted finite population sampling to maximize
entropy, Biometrika 81(3), 457-469: the recursion for e_k (their R(k, C)), the inclusion probabilities
and the sampling of one ball after another. Positive terms alone are added, so weights from 1e-12 to 1e12
lose no precision.

Shapes: `theta` is (..., N) float64 log-weights; leading axes are independent laws. Balls are numbered from 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

LARGEST_EXPONENT = 700.0
"""exp of more leaves the range of floats."""


def log_normaliser(theta: ArrayLike, k: int) -> Floats:
    """Return log e_k(exp(theta)), shape (...), in nats.

    Weights are divided by the k-th largest, so that e_k >= 1, and e_j of the first i of them is the running
    sum of w_i e_{j-1} of those before i. Weights too far apart for that are added up as logarithms.
    """
    weights = _checked(theta, k)
    kth = np.partition(weights, -k, axis=-1)[..., -k, np.newaxis]
    if k * np.max(weights - kth, initial=0.0) > LARGEST_EXPONENT:
        return np.asarray(_prefix_table(weights, k)[-1, k], dtype=np.float64)
    shares = np.exp(weights - kth)
    sums = np.cumsum(shares, axis=-1)
    for _ in range(k - 1):
        sums[..., 1:] = np.cumsum(shares[..., 1:] * sums[..., :-1], axis=-1)
        sums[..., 0] = 0.0
    return np.asarray(np.log(sums[..., -1]) + k * kth[..., 0], dtype=np.float64)


def log_probability(theta: ArrayLike, subset: ArrayLike) -> Floats:
    """Return the log-probability of `subset` ((..., k), 1-based, distinct), shape (...), in nats.

    The leading axes of `theta` and `subset` are broadcast against each other.
    """
    balls = np.asarray(subset)
    size = balls.shape[-1]
    weights = _checked(theta, size)
    count = weights.shape[-1]
    if balls.dtype.kind not in "iu" or (balls < 1).any() or (balls > count).any():
        raise ValueError(f"subset is {balls.tolist()}; expected {size} balls of 1..{count}")
    lead = np.broadcast_shapes(weights.shape[:-1], balls.shape[:-1])
    chosen = np.take_along_axis(
        np.broadcast_to(weights, (*lead, count)), np.broadcast_to(balls, (*lead, size)) - 1, axis=-1
    )
    return np.asarray(chosen.sum(axis=-1) - log_normaliser(weights, size), dtype=np.float64)


def inclusion_probabilities(theta: ArrayLike, k: int) -> Floats:
    """Return the probability that each ball is among the k, shape (..., N), summing to k.

    pi_i = w_i e_{k-1}(w without i) / e_k(w); the middle factor is the sum over a of e_a of the balls before
    i times e_{k-1-a} of those after it.
    """
    weights = _checked(theta, k)
    before = _prefix_table(weights, k)
    after = _prefix_table(weights[..., ::-1], k)[::-1]
    others = np.logaddexp.reduce(before[:-1, :k] + after[1:, k - 1 :: -1], axis=1)
    log_inclusion = weights + np.moveaxis(others - before[-1, k], 0, -1)
    return np.asarray(np.exp(log_inclusion), dtype=np.float64)


def sample(theta: ArrayLike, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw one k-subset exactly from each law: (..., k) int64, 1-based, ascending.

    Goes through the balls from the last to the first; ball i is taken with its probability given that
    `left` balls are still to come from 1..i: w_i e_{left-1}(1..i-1) / e_left(1..i). For many draws of one
    law broadcast `theta` to (draws, N).
    """
    weights = _checked(theta, k)
    table = _prefix_table(weights, k)
    lead = weights.shape[:-1]
    left = np.full(lead, k, dtype=np.int64)
    subset = np.zeros((*lead, k), dtype=np.int64)
    for ball in range(weights.shape[-1], 0, -1):
        slot = np.maximum(left - 1, 0)
        without = np.take_along_axis(table[ball - 1], slot[np.newaxis], axis=0)[0]
        total = np.take_along_axis(table[ball], (slot + 1)[np.newaxis], axis=0)[0]
        log_take = np.where(left > 0, weights[..., ball - 1] + without - total, -np.inf)
        taken = -rng.standard_exponential(lead) <= log_take
        held = np.take_along_axis(subset, slot[..., np.newaxis], axis=-1)[..., 0]
        np.put_along_axis(
            subset, slot[..., np.newaxis], np.where(taken, ball, held)[..., np.newaxis], axis=-1
        )
        left = left - taken
    return subset


def _prefix_table(theta: Floats, k: int) -> Floats:
    """Return log e_j of the first i weights at [i, j], shape (N+1, k+1, ...)."""
    count = theta.shape[-1]
    columns = np.ascontiguousarray(np.moveaxis(theta, -1, 0))
    table = np.full((count + 1, k + 1, *theta.shape[:-1]), -np.inf)
    table[:, 0] = 0.0
    for i in range(count):
        np.logaddexp(table[i, 1:], table[i, :-1] + columns[i], out=table[i + 1, 1:])
    return table


def _checked(theta: ArrayLike, k: int) -> Floats:
    weights = np.asarray(theta, dtype=np.float64)
    if weights.ndim < 1 or not 1 <= k <= weights.shape[-1]:
        raise ValueError(f"theta has shape {weights.shape} and k is {k}; expected (..., N) with 1 <= k <= N")
    return weights
