"""What goes wrong without any weight on a ball: with drawing by computer, and with reporting."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from helios_agent.forecasting.history import Matrix
from helios_agent.simulation.drums import fair
from helios_agent.simulation.laws import CONDITIONAL_BERNOULLI, Floats, Ints, Law
from helios_agent.simulation.machines import Drawn, check_counts, factored, log_weights, require


@dataclass(frozen=True)
class Repeats:
    """With probability `probability` a draw is an exact copy of an earlier one, else it is fair.

    Arizona, 28 September to 3 October 2017: a generator gave earlier draws once more in four games. Which of
    the run's earlier draws comes again is equally likely; it does so with its bonus ball and in its order.
    Each ball and each pair is as likely as ever: whole draws must be compared.
    """

    matrix: Matrix
    probability: float

    def __post_init__(self) -> None:
        require(0.0 <= self.probability <= 1.0, "probability", self.probability, "a number from 0 to 1")

    @property
    def kl_nats(self) -> None:
        return None

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        new = fair(self.matrix).draw(rng, runs, draws)
        number = np.arange(draws)
        again = (rng.random((runs, draws)) < self.probability) & (number > 0)
        source = np.where(again, (rng.random((runs, draws)) * number).astype(np.int64), number)
        for _ in range(draws.bit_length()):  # a copy of a copy: each round goes twice as far back
            source = np.take_along_axis(source, source, axis=1)
        return Drawn(
            np.take_along_axis(new.whites, source[..., np.newaxis], axis=1),
            np.take_along_axis(new.bonus, source, axis=1),
            None,
        )


@dataclass(frozen=True)
class Lagged:
    """White balls of the draw before weigh `factor` times the others: they stick above 1, are avoided below.

    Made up: a drum whose last balls are put back on top, or a generator whose state hardly changes from draw
    to draw. A factor of 0 draws no ball twice running. Each ball is as likely as any other to one who does
    not know the draw before (a fair one, not shown, comes before the first): counts tell nothing.
    """

    matrix: Matrix
    factor: float
    law: Law = CONDITIONAL_BERNOULLI

    def __post_init__(self) -> None:
        log_weights("factor", self._theta(), self.matrix.white, self.matrix.pick)

    @property
    def kl_nats(self) -> float | None:
        kl = self.law.kl_nats(self._theta(), self.matrix.pick)
        return None if kl is None else float(kl)

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        check_counts(runs, draws)
        N, k = self.matrix.white, self.matrix.pick
        # Which balls are drawn follows from an order in which those of the draw before stand first. In terms
        # of places in that order all draws follow one and the same law.
        places = self.law.sample(self._theta(), k, rng, runs * draws).reshape(runs, draws, k) - 1
        order = rng.permuted(np.tile(np.arange(1, N + 1), (runs, 1)), axis=1)
        run = np.arange(runs)[:, np.newaxis]
        whites = np.empty_like(places)
        for draw in range(draws):
            whites[:, draw] = order[run, places[:, draw]]
            stays = np.ones((runs, N), dtype=np.bool_)
            stays[run, places[:, draw]] = False
            order = np.hstack([whites[:, draw], order[stays].reshape(runs, N - k)])
        kl = self.kl_nats
        bonus = rng.integers(1, self.matrix.bonus, size=(runs, draws), endpoint=True)
        return Drawn(whites, bonus, None if kl is None else np.full((runs, draws), kl))

    def _theta(self) -> Floats:
        return factored("factor", self.matrix.white, range(1, self.matrix.pick + 1), self.factor)


@dataclass(frozen=True, eq=False)
class Positional:
    """A fair set of balls in an unfair order: which of them comes at `place` goes by weight.

    Arizona Pick 3, 10 June to 3 August 2013: 8 and 9 could not come in certain positions, as players found.
    Every ball is as likely as ever, and nothing is to be gained on the sets that forecasts are about: only
    who keeps the order drawn can see it.

    white: (N,) log-weights; minus infinity is a ball that never comes at `place`, fewer than `pick` of them.
    place: 1..pick. The other places are in random order.
    """

    matrix: Matrix
    white: Floats
    place: int = 1

    def __post_init__(self) -> None:
        N, k = self.matrix.white, self.matrix.pick
        object.__setattr__(self, "white", log_weights("white", self.white, N, N - k + 1))
        require(1 <= self.place <= k, "place", self.place, f"1..{k}")

    @property
    def kl_nats(self) -> float:
        return 0.0

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        drawn = fair(self.matrix).draw(rng, runs, draws)
        whites = drawn.whites.copy()
        chosen = (self.white[whites - 1] + rng.gumbel(size=whites.shape)).argmax(axis=-1)[..., np.newaxis]
        here = whites[..., self.place - 1, np.newaxis].copy()
        whites[..., self.place - 1] = np.take_along_axis(whites, chosen, axis=-1)[..., 0]
        np.put_along_axis(whites, chosen, here, axis=-1)
        return replace(drawn, whites=whites)


@dataclass(frozen=True)
class Unique:
    """The bonus ball is never one of the white balls of its draw.

    Tennessee, 28 July to 20 August 2007: a generator set to "unique" drew no digit twice in a draw, as if the
    places had one drum in common. White balls are fair, and each bonus ball is as frequent as any other, so
    that a forecast which takes white and bonus balls to be independent gains nothing.
    """

    matrix: Matrix

    def __post_init__(self) -> None:
        N, B, k = self.matrix.white, self.matrix.bonus, self.matrix.pick
        expected = (
            f"a matrix with {k + 1}..{N} bonus balls: more than are picked, and no more than white ones"
        )
        require(k < B <= N, "matrix", self.matrix, expected)

    @property
    def kl_nats(self) -> float:
        # Given a set of which j balls are in 1..B, the bonus ball is one of B - j instead of B.
        N, B, k = self.matrix.white, self.matrix.bonus, self.matrix.pick
        ways = [math.comb(B, j) * math.comb(N - B, k - j) for j in range(k + 1)]
        return math.fsum(way * -math.log1p(-j / B) for j, way in enumerate(ways)) / math.comb(N, k)

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        drawn = fair(self.matrix).draw(rng, runs, draws)
        left = self.matrix.bonus - (drawn.whites <= self.matrix.bonus).sum(axis=-1)
        bonus = nth_not_in(drawn.whites, rng.integers(left))
        return Drawn(drawn.whites, bonus, np.full((runs, draws), self.kl_nats))


@dataclass(frozen=True)
class Dated:
    """On certain dates the draw is one of a short list that somebody knows, else it is fair.

    Hot Lotto, 2005 to 2011: Eddie Tipton's generator was predictable on certain days of the year and fair on
    all others. Here the days are every `every_draws`-th draw, and the list has `outcomes` fair draws, each
    equally likely, others in each run. Each ball is as likely as ever: draws come again, on these days only.
    """

    matrix: Matrix
    every_draws: int
    outcomes: int

    def __post_init__(self) -> None:
        require(self.every_draws >= 1, "every_draws", self.every_draws, "1 or more draws")
        require(self.outcomes >= 1, "outcomes", self.outcomes, "1 or more draws on the list")

    @property
    def kl_nats(self) -> None:
        return None

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        drawn, kept = (fair(self.matrix).draw(rng, runs, count) for count in (draws, self.outcomes))
        dates = np.arange(self.every_draws - 1, draws, self.every_draws)
        entry = np.arange(runs)[:, np.newaxis], rng.integers(self.outcomes, size=(runs, dates.size))
        whites, bonus, kl = drawn.whites.copy(), drawn.bonus.copy(), np.zeros((runs, draws))
        whites[:, dates], bonus[:, dates] = kept.whites[entry], kept.bonus[entry]
        kl[:, dates] = math.log(self.matrix.outcomes) - _entropies(kept)[:, np.newaxis]
        return Drawn(whites, bonus, kl)


@dataclass(frozen=True)
class Misread:
    """A fair machine, some of whose draws are reported with one ball wrong: an error in the data, no bias.

    Mega Millions as one feed has it: 10 May 2022 with bonus ball 6 for 9, and 23 September 2011 with white
    ball 31 for 21 (`white` is true then). The wrong ball is any that is possible there, equally likely, so
    that the reported draws are a fair machine's as well and no test of fairness finds them: a second source
    does.

    at: the draws that are reported wrong, by number from 0.
    """

    matrix: Matrix
    at: tuple[int, ...]
    white: bool = False

    def __post_init__(self) -> None:
        require(all(draw >= 0 for draw in self.at), "at", self.at, "numbers of draws, from 0")
        matrix, expected = self.matrix, "a matrix with a ball left over to be read for the drawn one"
        spare = matrix.white - matrix.pick if self.white else matrix.bonus - 1
        require(spare >= 1, "matrix", matrix, expected)

    @property
    def kl_nats(self) -> float:
        return 0.0

    def draw(self, rng: np.random.Generator, runs: int, draws: int) -> Drawn:
        truth = fair(self.matrix).draw(rng, runs, draws)
        wrong = [draw for draw in self.at if draw < draws]
        whites, bonus = truth.whites.copy(), truth.bonus.copy()
        here = np.arange(runs)[:, np.newaxis], np.array(wrong, dtype=np.int64)
        size = runs, len(wrong)
        if self.white:
            others = nth_not_in(whites[here], rng.integers(self.matrix.white - self.matrix.pick, size=size))
            whites[(*here, rng.integers(self.matrix.pick, size=size))] = others
        else:
            bonus[here] = nth_not_in(
                bonus[here][..., np.newaxis], rng.integers(self.matrix.bonus - 1, size=size)
            )
        return Drawn(whites, bonus, truth.kl_nats, truth)


def nth_not_in(taken: Ints, n: Ints) -> Ints:
    """Return the n-th ball, from 0, that is not among `taken` ((..., k), 1-based, distinct), shape (...)."""
    ball = n + 1
    for each in np.moveaxis(np.sort(taken, axis=-1), -1, 0):
        ball = ball + (each <= ball)
    return ball


def _entropies(drawn: Drawn) -> Floats:
    """Return for each run the entropy, nats, of one of its draws at random; a draw may occur twice."""
    rows = np.concatenate([np.sort(drawn.whites, axis=-1), drawn.bonus[..., np.newaxis]], axis=-1)
    shares = [np.unique(run, axis=0, return_counts=True)[1] / len(run) for run in rows]
    return np.array([-(share * np.log(share)).sum() for share in shares])
