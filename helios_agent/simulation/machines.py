"""What a lottery machine is: what it draws, and what is known of its law.

A machine draws many independent runs at once, from a random generator that is passed in: the same seed gives
the same draws. `drums.py` has machines whose balls differ in weight, fair ones among them, `generators.py`
what goes wrong with drawing by computer and with reporting, `scenarios.py` one of each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from helios_agent.forecasting.history import Matrix
from helios_agent.simulation.laws import Floats, Ints


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a machine drew, or what was reported that it drew.

    whites: (runs, draws, k) int64, 1-based, in the order drawn.
    bonus: (runs, draws) int64, 1-based.
    kl_nats: (runs, draws) float64: the divergence from a fair machine, KL(machine ‖ fair), of the law of this
        draw's set of white balls and bonus ball, given the make of this run's machine and all its earlier
        draws. None where it is not known exactly.
    truth: what was really drawn, where that is not what was reported.
    """

    whites: Ints
    bonus: Ints
    kl_nats: Floats | None
    truth: Drawn | None = None


class Machine(Protocol):
    """What draws."""

    @property
    def matrix(self) -> Matrix:
        """What is drawn."""

    @property
    def kl_nats(self) -> float | None:
        """KL(machine ‖ fair) per draw, as in `Drawn`; None if not known or not always the same."""

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        """Draw `draws` times in each of `runs` independent lives of the machine."""


@dataclass(frozen=True)
class ChangePoint:
    """One machine until draw number `at` (from 0), another from then on.

    No fault has been there from the beginning: Pennsylvania's Match 6 was fair until a ball cracked,
    Tennessee's digits until somebody typed a wrong letter. The second machine knows nothing of the first
    one's draws. It may have another matrix with the same `pick`: a change of the rules that nobody has
    entered in the configuration.
    """

    before: Machine
    after: Machine
    at: int

    def __post_init__(self) -> None:
        require(self.at >= 0, "at", self.at, "the number of draws before the change, 0 or more")
        pick = self.before.matrix.pick
        require(self.after.matrix.pick == pick, "after", self.after.matrix, f"a matrix with pick {pick}")

    @property
    def matrix(self) -> Matrix:
        """What is drawn before the change."""
        return self.before.matrix

    @property
    def kl_nats(self) -> None:
        return None

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        check_counts(runs, draws)
        until = min(self.at, draws)
        first, then = self.before.draw(rng, runs, until), self.after.draw(rng, runs, draws - until)
        joined = _joined(first, then, known=self.after.matrix == self.before.matrix)
        if first.truth is None and then.truth is None:
            return joined
        return replace(joined, truth=_joined(first.truth or first, then.truth or then, known=False))


def require(holds: bool, field: str, value: object, expected: str) -> None:
    """Raise ValueError, naming the field, its value and what was expected, unless `holds`."""
    if not holds:
        raise ValueError(f"{field} is {value}; expected {expected}")


def check_counts(runs: int, draws: int) -> None:
    """Raise ValueError unless so many runs and draws can be drawn."""
    require(runs >= 1, "runs", runs, "1 or more")
    require(draws >= 0, "draws", draws, "0 or more")


def log_weights(field: str, values: Any, count: int, needed: int) -> Floats:
    """Return `values` as (count,) float64 log-weights, `needed` of them or more being finite.

    The others may be minus infinity: balls that cannot come. Else raises ValueError, naming the field.
    """
    weights = np.array(values, dtype=np.float64)
    expected = f"({count},), a log-weight per ball"
    require(weights.shape == (count,), f"{field}'s shape", weights.shape, expected)
    wrong = np.isnan(weights) | (weights == np.inf)
    if wrong.any():
        ball = int(wrong.argmax())
        require(False, f"{field} of ball {ball + 1}", weights[ball], "a log-weight, finite or minus infinity")
    finite = int(np.isfinite(weights).sum())
    require(finite >= needed, f"{field}'s number of balls that can come", finite, f"{needed} or more")
    weights.setflags(write=False)
    return weights


def factored(field: str, count: int, balls: Sequence[int], factor: float) -> Floats:
    """Return the (count,) log-weights of `count` balls of which `balls` weigh `factor` times the others."""
    require(0.0 <= factor < math.inf, "factor", factor, "a finite number, 0 or more")
    require(all(1 <= ball <= count for ball in balls), field, list(balls), f"balls of 1..{count}")
    theta = np.zeros(count)
    theta[np.array(balls, dtype=np.int64) - 1] = math.log(factor) if factor else -np.inf
    return theta


def _joined(first: Drawn, then: Drawn, *, known: bool) -> Drawn:
    kl = None
    if known and first.kl_nats is not None and then.kl_nats is not None:
        kl = np.concatenate([first.kl_nats, then.kl_nats], axis=1)
    return Drawn(
        np.concatenate([first.whites, then.whites], axis=1),
        np.concatenate([first.bonus, then.bonus], axis=1),
        kl,
    )
