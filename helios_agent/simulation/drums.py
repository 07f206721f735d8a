"""Drums whose balls differ in weight: always the same, wandering, or from one set of balls to the next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from helios_agent.forecasting.history import Matrix
from helios_agent.simulation.laws import (
    CONDITIONAL_BERNOULLI,
    Floats,
    Ints,
    Law,
    conditional_bernoulli_kl,
)
from helios_agent.simulation.machines import Drawn, check_counts, factored, log_weights, require


@dataclass(frozen=True, eq=False)
class Weighted:
    """A drum whose balls are not equally likely, and stay so.

    white, bonus: (N,) and (B,) log-weights; minus infinity is a ball that cannot come. `law` is how
    the white balls follow from them. The functions below make the usual ones.
    """

    matrix: Matrix
    white: Floats
    bonus: Floats
    law: Law = CONDITIONAL_BERNOULLI

    def __post_init__(self) -> None:
        object.__setattr__(
            self, "white", log_weights("white", self.white, self.matrix.white, self.matrix.pick)
        )
        object.__setattr__(self, "bonus", log_weights("bonus", self.bonus, self.matrix.bonus, 1))

    @property
    def kl_nats(self) -> float | None:
        white, bonus = self.law.kl_nats(self.white, self.matrix.pick), conditional_bernoulli_kl(self.bonus, 1)
        return None if white is None else float(white + bonus)

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        check_counts(runs, draws)
        turns = np.zeros(draws, dtype=np.int64)
        return _draw(self.matrix, self.law, self.white[None, None], self.bonus[None, None], turns, rng, runs)


def fair(matrix: Matrix) -> Weighted:
    """A machine as it should be: every set of balls is equally likely."""
    return Weighted(matrix, np.zeros(matrix.white), np.zeros(matrix.bonus))


def weighted_balls(
    matrix: Matrix, balls: Sequence[int], factor: float, law: Law = CONDITIONAL_BERNOULLI
) -> Weighted:
    """Some white balls come `factor` times as easily as each of the others, or less easily below 1.

    Pennsylvania, 24 April 1980: all balls but the 4s and the 6s were made heavier, and 666 was drawn. That is
    a large factor on balls 4 and 6 of ten, one picked; a small one is the wear of a ball or of a batch.
    """
    require(0.0 < factor < math.inf, "factor", factor, "a positive number; missing_ball is for 0")
    return Weighted(matrix, factored("balls", matrix.white, balls, factor), np.zeros(matrix.bonus), law)


def missing_ball(matrix: Matrix, ball: int, law: Law = CONDITIONAL_BERNOULLI) -> Weighted:
    """One white ball never comes.

    Pennsylvania Match 6, 2007: ball 36 was cracked and could not be drawn.
    """
    return Weighted(matrix, factored("ball", matrix.white, [ball], 0.0), np.zeros(matrix.bonus), law)


def tilted(matrix: Matrix, log_range: float, law: Law = CONDITIONAL_BERNOULLI) -> Weighted:
    """High numbers come more easily than low ones, or less easily if `log_range` is negative.

    Log-weights go up evenly over `log_range` nats from ball 1 to ball N: balls are loaded in order and not
    mixed well, or painted numbers with more digits weigh more. Made up; no such case is on record.
    """
    require(math.isfinite(log_range), "log_range", log_range, "a finite number of nats")
    slope = np.linspace(-log_range / 2.0, log_range / 2.0, matrix.white)
    return Weighted(matrix, slope, np.zeros(matrix.bonus), law)


def weighted_bonus(matrix: Matrix, balls: Sequence[int], factor: float) -> Weighted:
    """Some bonus balls come `factor` times as easily as each of the others; 0 for never.

    The bonus drum is a machine of its own and wears by itself. Made up; no such case is on record.
    """
    return Weighted(matrix, np.zeros(matrix.white), factored("balls", matrix.bonus, balls, factor))


@dataclass(frozen=True)
class RandomWeights:
    """No two balls weigh quite the same: log-weights N(0, log_sd²), others in each run.

    What manufacture and wear do to every drum, on a larger scale than is allowed. `bonus_log_sd` is for the
    bonus balls.
    """

    matrix: Matrix
    log_sd: float
    bonus_log_sd: float = 0.0
    law: Law = CONDITIONAL_BERNOULLI

    def __post_init__(self) -> None:
        _require_spread("log_sd", self.log_sd)
        _require_spread("bonus_log_sd", self.bonus_log_sd)

    @property
    def kl_nats(self) -> None:
        return None

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        check_counts(runs, draws)
        white = _centred(self.log_sd * rng.standard_normal((runs, 1, self.matrix.white)))
        bonus = _centred(self.bonus_log_sd * rng.standard_normal((runs, 1, self.matrix.bonus)))
        return _draw(self.matrix, self.law, white, bonus, np.zeros(draws, dtype=np.int64), rng, runs)


@dataclass(frozen=True)
class Drift:
    """Log-weights of white balls wander, each by itself: autoregressive, N(0, log_sd²) at all times.

    Balls wear, are cleaned and are replaced. After `half_life_draws` draws half of a log-weight is forgotten;
    they move after every `every_draws` draws (a large number makes long runs cheap). Made up, as is the wear.
    """

    matrix: Matrix
    log_sd: float
    half_life_draws: float
    every_draws: int = 1
    law: Law = CONDITIONAL_BERNOULLI

    def __post_init__(self) -> None:
        _require_spread("log_sd", self.log_sd)
        require(self.half_life_draws > 0.0, "half_life_draws", self.half_life_draws, "a positive number")
        require(self.every_draws >= 1, "every_draws", self.every_draws, "1 or more draws")

    @property
    def kl_nats(self) -> None:
        return None

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        check_counts(runs, draws)
        turns = np.arange(draws) // self.every_draws
        kept = 0.5 ** (self.every_draws / self.half_life_draws)
        white = rng.standard_normal((runs, max(-(-draws // self.every_draws), 1), self.matrix.white))
        for step in range(1, white.shape[1]):
            white[:, step] = kept * white[:, step - 1] + math.sqrt(1.0 - kept * kept) * white[:, step]
        bonus = np.zeros((1, 1, self.matrix.bonus))
        return _draw(self.matrix, self.law, _centred(self.log_sd * white), bonus, turns, rng, runs)


@dataclass(frozen=True, eq=False)
class BallSets:
    """Sets of balls take turns, each with weights of its own.

    Lotteries keep several sets and choose one before a draw; what is unfair about one of them shows in its
    own draws only, and hardly in the counts of all. Made up as to the weights.

    white: (sets, N) log-weights; the first set draws `every_draws` times, then the next, and after the last
    the first again.
    """

    matrix: Matrix
    white: Floats
    every_draws: int = 1
    law: Law = CONDITIONAL_BERNOULLI

    def __post_init__(self) -> None:
        sets = [log_weights("white", each, self.matrix.white, self.matrix.pick) for each in self.white]
        require(len(sets) >= 1, "white", self.white, "the log-weights of 1 or more sets of balls")
        object.__setattr__(self, "white", np.stack(sets))
        require(self.every_draws >= 1, "every_draws", self.every_draws, "1 or more draws")

    @property
    def kl_nats(self) -> None:
        return None

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        check_counts(runs, draws)
        turns = np.arange(draws) // self.every_draws % len(self.white)
        bonus = np.zeros((1, 1, self.matrix.bonus))
        return _draw(self.matrix, self.law, self.white[None], bonus, turns, rng, runs)


def _draw(
    matrix: Matrix, law: Law, white: Floats, bonus: Floats, turns: Ints, rng: np.random.Generator, runs: int
) -> Drawn:
    """Draw from drums that take turns: draw t comes from drum turns[t] of `white` and `bonus`.

    Those are (runs, drums, N) and (runs, drums, B) log-weights; one run or drum stands for all.
    """
    white_kl, bonus_kl = law.kl_nats(white, matrix.pick), conditional_bernoulli_kl(bonus, 1)
    kl = None
    if white_kl is not None:
        drums = max(white.shape[1], bonus.shape[1])
        kl = np.broadcast_to(white_kl + bonus_kl, (runs, drums))[:, turns]
    return Drawn(
        _take_turns(law, white, matrix.pick, turns, rng, runs),
        _take_turns(CONDITIONAL_BERNOULLI, bonus, 1, turns, rng, runs)[..., 0],
        kl,
    )


def _take_turns(law: Law, theta: Floats, k: int, turns: Ints, rng: np.random.Generator, runs: int) -> Ints:
    """Return (runs, draws, k) balls, drawn by each law of `theta` as often as it has a turn."""
    lives, drums, _ = theta.shape
    turns = turns if drums > 1 else np.zeros_like(turns)
    times = np.bincount(turns, minlength=drums)
    order = np.argsort(turns, kind="stable")
    nth = np.empty_like(turns)
    nth[order] = np.arange(turns.size) - np.repeat(np.cumsum(times) - times, times)
    most, alike = int(times.max()), runs // lives
    drawn = law.sample(theta, k, rng, alike * most).reshape(lives, drums, alike, most, k)
    return np.moveaxis(drawn, 2, 1).reshape(runs, drums, most, k)[:, turns, nth]


def _centred(theta: Floats) -> Floats:
    return np.asarray(theta - theta.mean(axis=-1, keepdims=True), dtype=np.float64)


def _require_spread(field: str, value: float) -> None:
    require(0.0 <= value < math.inf, field, value, "a standard deviation in nats, 0 or more")
