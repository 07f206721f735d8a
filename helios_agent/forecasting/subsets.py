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

import math

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
    sums = np.add.accumulate(shares, axis=-1)
    for _ in range(k - 1):
        np.add.accumulate(shares[..., 1:] * sums[..., :-1], axis=-1, out=sums[..., 1:])
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
    i times e_{k-1-a} of those after it, running sums as in `log_normaliser`. Weights too far apart for that
    are added up as logarithms.
    """
    weights = _checked(theta, k)
    kth = np.partition(weights, -k, axis=-1)[..., -k, np.newaxis]
    if not k * np.max(weights - kth, initial=0.0) <= LARGEST_EXPONENT:  # or not a number
        return _inclusion_by_logarithms(weights, k)
    both = np.empty((2, *weights.shape))
    shares = np.exp(weights - kth, out=both[0])
    both[1] = shares[..., ::-1]
    sums = np.zeros((k, *both.shape[:-1], both.shape[-1] + 1))  # e_j of the balls before each, both ways
    sums[0] = 1.0
    for j in range(1, k):
        np.add.accumulate(both * sums[j - 1, ..., :-1], axis=-1, out=sums[j, ..., 1:])
    before, after = sums[:, 0, ..., :-1], sums[::-1, 1, ..., -2::-1]
    whole = (shares * before[-1]).sum(axis=-1, keepdims=True)
    return np.asarray(shares / whole * (before * after).sum(axis=0), dtype=np.float64)


def _inclusion_by_logarithms(weights: Floats, k: int) -> Floats:
    before = _prefix_table(weights, k)
    after = _prefix_table(weights[..., ::-1], k)[::-1]
    others = np.logaddexp.reduce(before[:-1, :k] + after[1:, k - 1 :: -1], axis=1)
    log_inclusion = weights + np.moveaxis(others - before[-1, k], 0, -1)
    return np.asarray(np.exp(log_inclusion), dtype=np.float64)


def divergence(theta: ArrayLike, k: int) -> Floats:
    """Return KL(law ‖ fair), shape (...), in nats: Σ theta_i π_i - log e_k(w) + log C(N, k).

    log(1/alpha) / KL is about the mean number of draws after which one who knows the law finds it unfair at
    level alpha. A log-weight of minus infinity leaves its ball out.
    """
    weights = _checked(theta, k)
    mean = (inclusion_probabilities(weights, k) * np.where(np.isfinite(weights), weights, 0.0)).sum(axis=-1)
    fair = math.log(math.comb(weights.shape[-1], k))
    return np.asarray(np.maximum(mean - log_normaliser(weights, k) + fair, 0.0), dtype=np.float64)


def sample(theta: ArrayLike, k: int, rng: np.random.Generator, size: int | None = None) -> NDArray[np.int64]:
    """Draw k-subsets exactly from each law: int64, 1-based, ascending.

    One of each law, shape (..., k), or `size` of each, shape (..., size, k), for which the table of a law is
    built once. A log-weight of minus infinity leaves its ball out; ValueError if fewer than k are left.

    Goes from the largest ball down: the largest of `left` balls out of 1..i is at most m with probability
    e_left(1..m) / e_left(1..i), which is inverted by bisection.
    """
    weights = _checked(theta, k)
    if size is not None and size < 0:
        raise ValueError(f"size is {size}; expected how many subsets to draw of each law, 0 or more")
    if not (weights < np.inf).all():
        raise ValueError("theta holds infinity or what is not a number; expected log-weights below infinity")
    count, lead = weights.shape[-1], weights.shape[:-1]
    laws, each = math.prod(lead), 1 if size is None else size
    table = _prefix_table(weights, k).reshape(count + 1, k + 1, laws)
    if not np.isfinite(table[-1, k]).all():
        raise ValueError(f"theta leaves fewer than k = {k} balls of positive weight")
    entries = table.T.ravel()  # law by law, then size of the subset, then how many balls it is out of
    first = (k + 1) * np.arange(laws)[:, np.newaxis]
    subset = np.empty((laws, each, k), dtype=np.int64)
    top = np.full((laws, each), count)
    for left in range(k, 0, -1):
        column = (first + left) * (count + 1)
        target = entries[column + top] - rng.standard_exponential((laws, each))
        low, high = np.full_like(top, left - 1), top  # the entry at low is below the target, that at high not
        for _ in range(count.bit_length()):
            middle = (low + high) >> 1
            reached = entries[column + middle] >= target
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        subset[..., left - 1] = high
        top = high - 1
    return subset.reshape(*lead, k) if size is None else subset.reshape(*lead, size, k)


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
