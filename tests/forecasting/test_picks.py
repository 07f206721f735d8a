"""The likeliest tickets, against all tickets there are."""

from itertools import combinations, product

import numpy as np
import pytest

from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.picks import likeliest


@pytest.mark.parametrize("seed", range(5))
def test_the_likeliest_tickets_are_those_of_the_greatest_probability_in_order(seed: int) -> None:
    random = np.random.default_rng(seed)
    forecast = Forecast(random.normal(size=8), random.normal(size=4), 3)
    tickets = [(list(s), b) for s, b in product(combinations(range(1, 9), 3), range(1, 5))]
    tickets.sort(key=lambda ticket: -forecast.log_score(*ticket))

    assert likeliest(forecast, len(tickets) + 1) == tickets


def test_of_equally_likely_tickets_the_lower_balls_come_first() -> None:
    assert likeliest(Forecast.uniform(69, 26, 5), 3) == [
        ([1, 2, 3, 4, 5], 1),
        ([1, 2, 3, 4, 5], 2),
        ([1, 2, 3, 4, 5], 3),
    ]
