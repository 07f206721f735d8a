"""In the series that an assessment looks at chance puts values in any order, and a change shows."""

import math
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from helios_agent.forecasting import experts, mixture
from helios_agent.forecasting.experts import PRIORS
from helios_agent.forecasting.history import Drawn, Matrix, drawn_again
from helios_agent.metacognition import series
from helios_agent.metacognition.series import LENGTH, STEADY, Past

MATRIX = Matrix(white=35, bonus=10, pick=5)
DRAWS, TURNS_AT = 280, 180
WEEK = (0, 2, 5)


def drawn(rng: np.random.Generator, *, machines: int, heavy: float) -> tuple[NDArray[np.int64], ...]:
    """Return draws of machines whose ball 1 is so many times as heavy as another, after a fair time."""
    keys = rng.exponential(size=(machines, DRAWS, MATRIX.white))
    keys[:, TURNS_AT:, 0] /= heavy
    whites = np.sort(np.argsort(keys, axis=-1)[..., : MATRIX.pick] + 1, axis=-1)
    return whites, rng.integers(1, MATRIX.bonus + 1, (machines, DRAWS))


@cache
def walked(machines: int, heavy: float = 1.0) -> list[Past]:
    """Return what the agent would look at on each machine: the experts and their mixture, draw by draw."""
    rng = np.random.default_rng(11)
    whites, bonus = drawn(rng, machines=machines, heavy=heavy)
    again = np.array([drawn_again(run) for run in whites])
    members = experts.start(MATRIX, (machines,))
    priors = np.array([PRIORS[name] for name in members])
    own = priors / priors.sum()
    shares = np.broadcast_to(own, (machines, len(members)))
    wealth = np.tile(np.log([*priors, PRIORS[mixture.SWITCHING], 1.0 - sum(PRIORS.values())]), (machines, 1))
    gains, meant = np.empty((machines, DRAWS, len(members))), np.empty((machines, DRAWS, 2))
    for t in range(DRAWS):
        weights = np.exp(wealth - np.logaddexp.reduce(wealth, axis=1)[:, np.newaxis])
        weights = np.hstack([weights[:, :-2] + weights[:, -2:-1] * shares, weights[:, -1:]])
        forecasts = [expert.forecast() for expert in members.values()]
        uniform = np.full((machines, MATRIX.white), MATRIX.pick / MATRIX.white)
        said = np.stack([*(forecast.inclusion() for forecast in forecasts), uniform], axis=1)
        served = np.einsum("rm,rmb->rb", weights, said)
        chosen = np.take_along_axis(served, whites[:, t] - 1, axis=1)
        meant[:, t] = np.stack([(served**2).sum(1), chosen.sum(1)], axis=1) / MATRIX.pick
        draw = Drawn(whites[:, t], bonus[:, t], np.full(machines, False), again[:, t])
        gains[:, t] = np.stack([forecast.log_ratio(draw) for forecast in forecasts], axis=-1)
        switching, shares = mixture.switch(shares, own, gains[:, t])
        wealth[:, :-2] += gains[:, t]
        wealth[:, -2] += switching
        for expert in members.values():
            expert.update(draw)
    places = {name: [*members].index(name) for name in STEADY}
    return [
        Past(
            gains={name: gains[run, -LENGTH:, place].tolist() for name, place in places.items()},
            meant=[(float(a), float(b)) for a, b in meant[run, -LENGTH:].round(9)],
            white_count=MATRIX.white,
            pick=MATRIX.pick,
            delays=[(WEEK[n % 3], 2.5 + n % 3 + float(rng.exponential())) for n in range(LENGTH)],
            costs={"train": rng.lognormal(-4.0, 0.1, 30).tolist()},
        )
        for run in range(machines)
    ]


def test_on_a_fair_machine_a_look_finds_something_at_most_as_often_as_it_says() -> None:
    looks = walked(200)
    alarms = sum(bool(series.found_in(past)) for past in looks)
    assert alarms <= stats.binom.isf(0.001, len(looks), 0.05)


def test_a_machine_that_turns_unfair_is_found_in_what_is_gained_and_served() -> None:
    looks = walked(10, heavy=8.0)
    found = [{finding["series"] for finding in series.found_in(past)} for past in looks]
    assert sum("What recent-50 gains on a draw" in names for names in found) >= 9
    assert sum(any(name.startswith("The chance that is served") for name in names) for names in found) >= 9


def test_a_feed_that_becomes_slower_is_found_and_the_days_of_a_week_are_not() -> None:
    calm = walked(200)[3]
    still = Past({}, [], 35, 5, calm.delays, {})
    assert series.found_in(still) == []
    slower = [(day, hours + (1.5 if n >= 150 else 0.0)) for n, (day, hours) in enumerate(calm.delays)]
    found = series.found_in(Past({}, [], 35, 5, slower, {}))
    assert {finding["kind"] for finding in found} >= {"trend"}
    assert all(finding["sentence"].startswith("The delay of a draw, in hours") for finding in found)


def test_trainings_that_become_dearer_are_found() -> None:
    dearer = [0.02 + 0.001 * n for n in range(30)]
    (found,) = series.found_in(Past({}, [], 35, 5, [], {"train": dearer, "train-warm": [0.01] * 30}))
    assert found["sentence"].startswith("What train costs, in CPU seconds a draw, rises by 0.001 a step")


def test_what_was_served_is_measured_in_deviations_of_a_fair_machine() -> None:
    """Over all draws of 2 of 5 balls, the mean is 0 and the variance 1, whatever was said."""
    chances = np.array([0.6, 0.5, 0.4, 0.3, 0.2])
    expected = float((chances**2).sum()) / 2
    pairs = [(a, b) for a in range(5) for b in range(a)]
    told = [series.surprise(expected, float(chances[[a, b]].mean()), 5, 2) for a, b in pairs]
    values = np.array(told, dtype=np.float64)
    assert values.mean() == pytest.approx(0.0, abs=1e-12)
    assert values.std() == pytest.approx(1.0)
    assert series.surprise(0.4, 0.4, 5, 2) is None


def test_at_no_more_than_the_last_values_is_looked() -> None:
    gains = {"the champion": [math.sin(n) for n in range(LENGTH + 50)]}
    looked_at = series.series(Past(gains, [], 35, 5, [], {}))
    assert looked_at["What the champion gains on a draw"] == gains["the champion"][50:]
