"""The likeliest tickets under a forecast."""

import heapq
from collections.abc import Iterator
from itertools import islice

import numpy as np

from helios_agent.forecasting.forecast import Floats, Forecast

Places = tuple[int, ...]
Ticket = tuple[list[int], int]


def likeliest(forecast: Forecast, count: int) -> list[Ticket]:
    """Return the `count` tickets (main balls ascending, bonus ball) with the greatest weight, greatest first.

    A ticket's weight is the sum of its balls' log-weights, which orders tickets as their probability does
    where the forecast has no `repeat`. Of equal weights the lower balls come first.
    """
    return list(islice(_tickets(forecast), count))


def _tickets(forecast: Forecast) -> Iterator[Ticket]:
    """Best-first search: whoever is next best has one ball one place further down than a better one."""
    white, bonus = _descending(forecast.white), _descending(forecast.bonus)
    first = (*range(forecast.pick), 0)
    waiting, seen = [(-_weight(forecast, white, bonus, first), first)], {first}
    while waiting:
        _, places = heapq.heappop(waiting)
        yield sorted(white[place] + 1 for place in places[:-1]), bonus[places[-1]] + 1
        for follower in _followers(places, len(white), len(bonus)):
            if follower not in seen:
                seen.add(follower)
                heapq.heappush(waiting, (-_weight(forecast, white, bonus, follower), follower))


def _descending(weights: Floats) -> list[int]:
    order: list[int] = np.argsort(-weights, kind="stable").tolist()
    return order


def _weight(forecast: Forecast, white: list[int], bonus: list[int], places: Places) -> float:
    # Rounded, so that the order of a sum's terms decides nothing.
    total = sum(forecast.white[white[place]] for place in places[:-1]) + forecast.bonus[bonus[places[-1]]]
    return round(float(total), 9)


def _followers(places: Places, white_count: int, bonus_count: int) -> Iterator[Places]:
    *chosen, last = places
    for index, place in enumerate(chosen):
        limit = chosen[index + 1] if index + 1 < len(chosen) else white_count
        if place + 1 < limit:
            yield (*chosen[:index], place + 1, *chosen[index + 1 :], last)
    if last + 1 < bonus_count:
        yield (*chosen, last + 1)
