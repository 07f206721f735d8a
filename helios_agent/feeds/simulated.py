"""A simulated lottery machine as a source of draws, so that one can watch Helios find out what it is.

Each draw is a function of the machine's settings and its day alone: nothing is kept, a reading told twice is
the same, and so is one made by another release. Balls are drawn one after another, each in proportion to its
weight among those that are left (R. D. Luce 1959, Individual Choice Behavior).
"""

import math
import random
from collections.abc import Mapping
from datetime import date, datetime
from statistics import NormalDist

from helios_agent.config.model import Machine
from helios_agent.feeds.reports import FeedReport
from helios_agent.lottery import calendar, games
from helios_agent.lottery.draws import Draw


def read(game: games.Game, machine: Machine, source: str, since: date, now: datetime) -> FeedReport:
    """Return the draws of `machine` on the days of the game's calendar from `since` to `now`."""
    days = calendar.expected_days(game, max(since, machine.begins, game.eras[0].start), now)
    return FeedReport(source, tuple(_draw(game, machine, day) for day in days), ())


def _draw(game: games.Game, machine: Machine, day: date) -> Draw:
    era = game.era_at(day)
    chance = random.Random(f"{machine.seed} {day.isoformat()}")  # noqa: S311 (not a secret)
    fair = machine.unfair_from is not None and day < machine.unfair_from
    whites = dict.fromkeys(range(1, era.white + 1), 1.0) if fair else _weights(machine, era.white)
    bonus = dict.fromkeys(range(1, era.bonus + 1), 1.0)
    return Draw(
        game=game.name,
        day=day,
        whites=_in_order(whites, chance)[: era.pick],
        bonus=_in_order(bonus, chance)[0],
        multiplier=None,
        ordered=True,
    )


def _weights(machine: Machine, count: int) -> Mapping[int, float]:
    """Return the weight of each ball: exp(N(0, log_sd²)), times what is set for it."""
    chance = random.Random(machine.seed)  # noqa: S311
    # 0, which may come, has no quantile.
    normal = {ball: NormalDist().inv_cdf(chance.random() or 0.5) for ball in range(1, count + 1)}
    return {
        ball: math.exp(machine.log_sd * value) * machine.weights.get(ball, 1.0)
        for ball, value in normal.items()
    }


def _in_order(weights: Mapping[int, float], chance: random.Random) -> tuple[int, ...]:
    """Return the balls that can come in the order of a race of exponential times, which is the law's."""
    times = {ball: -math.log(1.0 - chance.random()) / weight for ball, weight in weights.items() if weight}
    return tuple(sorted(times, key=times.__getitem__))
