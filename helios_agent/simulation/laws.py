"""Two laws by which k of N weighted balls come out of a drum, one after another.

Both have a log-weight per ball, `theta`; only differences count, and minus infinity is a ball that cannot
come. They are the same law for k = 1 and for balls that weigh alike, and close to each other for small
differences. A law's divergence from a fair drum, KL(law ‖ fair), is that of the *set* of balls, for that is
what a forecast is scored by; log(1/alpha) / KL is about the mean number of draws in which one who knows the
weights would find the drum unfair with p-value alpha.

Shapes: `theta` is (..., N) float64; leading axes are independent laws. Balls are numbered from 1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from helios_agent.forecasting import subsets

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BLOCK = 2048  # laws, or draws, handled at once, so that tables stay within some megabytes
COMPOSITIONS_MAX = 5_000
"""How many make-ups of a draw `PLACKETT_LUCE` goes through for its divergence before it gives up."""


class Sampler(Protocol):
    def __call__(self, theta: Floats, k: int, rng: np.random.Generator, size: int) -> Ints:
        """Draw `size` times from each law: (..., size, k), in the order drawn.

        Raises ValueError if fewer than k balls of a law can come.
        """


class Divergence(Protocol):
    def __call__(self, theta: Floats, k: int) -> Floats | None:
        """Return KL(law ‖ fair) of the drawn set, shape (...), in nats; None if not known exactly."""


@dataclass(frozen=True)
class Law:
    """A law of drawing k of N weighted balls."""

    name: str
    sample: Sampler
    kl_nats: Divergence


def _conditional_bernoulli(theta: Floats, k: int, rng: np.random.Generator, size: int) -> Ints:
    laws = theta.reshape(-1, theta.shape[-1])
    drawn = [subsets.sample(laws[block], k, rng, size) for block in _blocks(len(laws))]
    return rng.permuted(np.concatenate(drawn), axis=-1).reshape(*theta.shape[:-1], size, k)


def conditional_bernoulli_kl(theta: Floats, k: int) -> Floats:
    """Return KL(law ‖ fair), shape (...), in nats: `subsets.divergence`, some laws at a time."""
    laws = theta.reshape(-1, theta.shape[-1])
    known = [subsets.divergence(laws[block], k) for block in _blocks(len(laws))]
    return np.concatenate(known).reshape(theta.shape[:-1])


def _plackett_luce(theta: Floats, k: int, rng: np.random.Generator, size: int) -> Ints:
    # The k largest of theta + Gumbel noise, the largest first.
    count = theta.shape[-1]
    laws = theta.reshape(-1, count)
    if (np.isfinite(laws).sum(axis=-1) < k).any() or not (laws < np.inf).all():
        raise ValueError(
            f"theta is not a log-weight below infinity for each ball, finite for k = {k} or more"
        )
    drawn = np.empty((laws.shape[0] * size, k), dtype=np.int64)
    for block in _blocks(len(drawn)):
        rows = np.arange(block.stop - block.start)
        keys = rng.gumbel(size=(len(rows), count)) + laws[(block.start + rows) // max(size, 1)]
        for place in range(k):
            first = keys.argmax(axis=-1)
            drawn[block, place] = first + 1
            keys[rows, first] = -np.inf
    return drawn.reshape(*theta.shape[:-1], size, k)


def _plackett_luce_kl(theta: Floats, k: int) -> Floats | None:
    # Balls that weigh alike, in every law here, are exchangeable: sets with as many balls of each weight are
    # equally likely, and the divergence is that of those numbers, which one ball after another adds to.
    columns = np.ascontiguousarray(np.moveaxis(theta.reshape(-1, theta.shape[-1]), -1, 0))
    alike = Counter(column.tobytes() for column in columns)
    sizes = list(alike.values())
    if math.comb(len(sizes) + k - 1, k) > COMPOSITIONS_MAX:
        return None
    weights = np.array([np.frombuffer(column) for column in alike])
    shares = np.exp(weights - weights.max(axis=0))
    known = np.zeros(shares.shape[1])
    for block in _blocks(len(known)):
        for taken, probability in _compositions(shares[:, block], sizes, k).items():
            fair = math.prod(map(math.comb, sizes, taken)) / math.comb(len(columns), k)
            known[block] += probability * np.log(np.where(probability > 0.0, probability, 1.0) / fair)
    return np.asarray(np.maximum(known, 0.0).reshape(theta.shape[:-1]), dtype=np.float64)


def _compositions(shares: Floats, sizes: list[int], k: int) -> dict[tuple[int, ...], Floats]:
    """Return how probable each number of balls of each weight is among the first k drawn, (laws,) arrays.

    shares: (weights, laws); sizes: how many balls there are of each weight.
    """
    reached = {(0,) * len(sizes): np.ones(shares.shape[1])}
    for _ in range(k):
        further: dict[tuple[int, ...], Floats] = {}
        for taken, probability in reached.items():
            left = np.array(sizes) - taken
            chance = probability / (left @ shares)
            for weight in np.flatnonzero(left).tolist():
                more = (*taken[:weight], taken[weight] + 1, *taken[weight + 1 :])
                further[more] = further.get(more, 0.0) + chance * left[weight] * shares[weight]
        reached = further
    return reached


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, max(count, 1), BLOCK):
        yield slice(start, min(start + BLOCK, count))


CONDITIONAL_BERNOULLI = Law("conditional Bernoulli", _conditional_bernoulli, conditional_bernoulli_kl)
"""P(S) = Π_{i∈S} w_i / e_k(w), in an order that tells nothing: the law that forecasts are made of.

See `helios_agent.forecasting.subsets`.
"""

PLACKETT_LUCE = Law("Plackett-Luce", _plackett_luce, _plackett_luce_kl)
"""Π_t w_{i_t} / (W - Σ_{s<t} w_{i_s}): at each place a ball comes by its share of what is left, as in a drum.

R. L. Plackett (1975), The analysis of permutations, Applied Statistics 24(2), 193-202; sampled as
the order of theta + Gumbel noise (J. I. Yellott (1977), Journal of Mathematical Psychology 15(2), 109-144).
The divergence is known where the balls have few different weights, else None.
"""
