"""What the mixture believes is as often true: of the worlds that it gives 30 % to be predictable, 30 % are.

Each world obeys one forecaster, drawn by its prior weight: every draw comes from the forecast of that one.
One that obeys `switching` goes over to another now and then, as that believes of worlds.
"""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from helios_agent.forecasting import evidence, experts, mixture, subsets
from helios_agent.forecasting.experts import PRIORS
from helios_agent.forecasting.forecast import Forecast, Repeat
from helios_agent.forecasting.history import Drawn, Matrix
from helios_agent.forecasting.mixture import RESERVE, SWITCHING, UNIFORM, Standing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
MATRIX = Matrix(white=12, bonus=4, pick=3)
RUNS, DRAWS = 3_000, 60
SEED = 5
LARGEST_Z = 3.5
"""Standard deviations from what was believed that chance alone exceeds once in two thousand times."""


@dataclass(frozen=True)
class Worlds:
    """What is believed after the draws, and what is true, of independent runs.

    gains: (runs, forecasters), nats. shares: (runs, members), of the switching forecaster. is_predictable:
    (runs,), whether another than uniform gives the next draw.
    """

    gains: Floats
    shares: Floats
    is_predictable: NDArray[np.bool_]

    def beliefs(self, priors: dict[str, float]) -> Floats:
        """Return the belief that a world can be predicted, as an assessment tells it, (runs,)."""
        members = [name for name in PRIORS if name != SWITCHING]
        found = []
        for gains, shares in zip(self.gains, self.shares, strict=True):
            standings = {
                name: Standing(priors[name], float(gain)) for name, gain in zip(PRIORS, gains, strict=True)
            }
            passed_on = dict(zip(members, map(float, shares), strict=True))
            weights = mixture.effective(mixture.posterior(standings), passed_on)
            found.append(evidence.predictability(weights))
        return np.array(found)


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    rng = np.random.default_rng(SEED)
    members = experts.start(MATRIX, (RUNS,))
    names = [*members]
    prior = np.array([PRIORS[name] for name in names])
    prior /= prior.sum()
    weights = {**PRIORS, RESERVE: 1.0 - math.fsum(PRIORS.values())}
    obeyed = rng.choice([*weights], RUNS, p=[*weights.values()])
    switches = obeyed == SWITCHING
    current = np.array([names.index(name) if name in names else names.index(UNIFORM) for name in obeyed])
    current[switches] = rng.choice(len(names), switches.sum(), p=prior)
    shares = np.broadcast_to(prior, (RUNS, len(names)))
    gains = np.zeros((RUNS, len(PRIORS)))
    past: list[list[tuple[int, ...]]] = [[] for _ in range(RUNS)]
    for _ in range(DRAWS):
        made = {name: member.forecast() for name, member in members.items()}
        drawn = draw_of(made, names, current, past, rng)
        told = np.stack([made[name].log_ratio(drawn) for name in names], axis=-1)
        switched, shares = mixture.switch(shares, prior, told)
        gains += np.stack([switched if n == SWITCHING else told[:, names.index(n)] for n in PRIORS], axis=-1)
        for member in members.values():
            member.update(drawn)
        goes_over = switches & (rng.random(RUNS) < mixture.SWITCH_RATE)
        current[goes_over] = rng.choice(len(names), goes_over.sum(), p=prior)
    return Worlds(gains, shares, current != names.index(UNIFORM))


def draw_of(
    made: dict[str, Forecast], names: list[str], current: Ints, past: list[list[tuple[int, ...]]],
    rng: np.random.Generator,
) -> Drawn:  # fmt: skip
    """Return the next draw of each run, from the forecast of the forecaster that it obeys just now."""
    white, bonus = np.empty((RUNS, MATRIX.pick), dtype=np.int64), np.empty(RUNS, dtype=np.int64)
    for number, name in enumerate(names):
        runs = np.flatnonzero(current == number)
        forecast = made[name]
        theta = np.broadcast_to(forecast.white, (RUNS, MATRIX.white))[runs]
        of_bonus = np.broadcast_to(forecast.bonus, (RUNS, MATRIX.bonus))[runs]
        balls = subsets.sample(theta, MATRIX.pick, rng)
        if forecast.repeat is not None:
            balls = repeated(balls, runs, forecast.repeat, past, rng)
        order = np.zeros((len(runs), MATRIX.pick, MATRIX.white))
        if forecast.order is not None:
            order += np.broadcast_to(forecast.order, (RUNS, MATRIX.pick, MATRIX.white))[runs]
        white[runs] = in_order(balls, order, rng)
        bonus[runs] = 1 + (of_bonus + rng.gumbel(size=of_bonus.shape)).argmax(axis=-1)
    again = np.zeros(RUNS, dtype=np.bool_)
    for run, balls in enumerate(white):
        subset = tuple(sorted(balls))
        again[run] = subset in past[run]
        if not again[run]:
            past[run].append(subset)
    return Drawn(white, bonus, np.ones(RUNS, dtype=np.bool_), again)


def repeated(
    balls: Ints, runs: Ints, repeat: Repeat, past: list[list[tuple[int, ...]]], rng: np.random.Generator
) -> Ints:
    """Return main balls, with the share of them that are to be those of an earlier draw."""
    chosen = balls.copy()
    share = np.broadcast_to(repeat.share, (RUNS,))
    for row, run in enumerate(runs):
        if rng.random() < share[run]:
            chosen[row] = past[run][rng.integers(len(past[run]))]
    return chosen


def in_order(balls: Ints, order: Floats, rng: np.random.Generator) -> Ints:
    """Return main balls ((n, k)) in an order drawn by the log-weights of each place and ball ((n, k, N))."""
    rows, left = np.arange(len(balls)), balls.copy()
    for place in range(MATRIX.pick):
        scores = np.take_along_axis(order[:, place], left[:, place:] - 1, axis=-1)
        first = place + (scores + rng.gumbel(size=scores.shape)).argmax(axis=-1)
        left[rows, place], left[rows, first] = left[rows, first], left[rows, place]
    return left


def z_of(beliefs: Floats, is_true: NDArray[np.bool_], among: NDArray[np.bool_]) -> float:
    """Return by how many standard deviations more of some worlds can be predicted than was believed."""
    surplus = (is_true.astype(float) - beliefs)[among].sum()
    return float(surplus / math.sqrt((beliefs * (1.0 - beliefs))[among].sum()))


def test_as_many_worlds_can_be_predicted_as_is_believed(worlds: Worlds) -> None:
    beliefs = worlds.beliefs(dict(PRIORS))
    assert abs(z_of(beliefs, worlds.is_predictable, beliefs >= 0.0)) < LARGEST_Z
    for low, high in ((0.0, 0.2), (0.2, 0.4), (0.4, 0.6), (0.6, 0.9), (0.9, 1.0)):
        among = (beliefs >= low) & (beliefs < high)
        assert among.sum() >= 50
        assert abs(z_of(beliefs, worlds.is_predictable, among)) < LARGEST_Z


def test_who_begins_with_another_belief_is_found_wrong(worlds: Worlds) -> None:
    doubtful = {name: weight / 2 for name, weight in PRIORS.items()}
    beliefs = worlds.beliefs({**doubtful, UNIFORM: (1.0 + PRIORS[UNIFORM]) / 2 - mixture.RESERVE_PRIOR})
    assert z_of(beliefs, worlds.is_predictable, beliefs >= 0.0) > 2 * LARGEST_Z
