import itertools
import math

import numpy as np
import pytest

from helios_agent.forecasting import hits


def test_the_law_of_hits_is_that_of_every_fair_draw_counted_out() -> None:
    chosen = {2, 3, 5}
    counts = [len(chosen & set(drawn)) for drawn in itertools.combinations(range(1, 8), 3)]
    by_hand = np.bincount(counts, minlength=4) / math.comb(7, 3)
    np.testing.assert_allclose(hits.of_one_draw(7, 3), by_hand, rtol=1e-15)


def test_the_law_of_the_sum_is_that_of_every_sequence_of_draws_counted_out() -> None:
    draws = list(itertools.combinations(range(1, 6), 2))
    sums = [
        sum(len({1, 4} & set(drawn)) for drawn in sequence) for sequence in itertools.product(draws, repeat=3)
    ]
    by_hand = np.bincount(sums, minlength=7) / len(draws) ** 3
    np.testing.assert_allclose(hits.of_draws(hits.of_one_draw(5, 2), 3), by_hand, rtol=1e-14)
    for seen in range(7):
        held = hits.against_chance(seen, 3, 5, 2)
        assert held.p == pytest.approx(np.mean(np.array(sums) >= seen), rel=1e-13)
        assert held.expected == pytest.approx(np.mean(sums))
        assert held.sd == pytest.approx(np.std(sums))


def test_hits_of_the_bonus_ball_are_binomial() -> None:
    held = hits.against_chance(9, 100, 26, 1)
    tail = sum(math.comb(100, n) * 25 ** (100 - n) for n in range(9, 101)) / 26**100
    assert held.p == pytest.approx(tail, rel=1e-12)
    assert held.expected == pytest.approx(100 / 26)


def test_a_tail_far_out_keeps_its_digits() -> None:
    sure = hits.against_chance(3 * 50, 50, 4, 3)
    assert sure.p == pytest.approx(0.25**50, rel=1e-12)


def test_the_likeliest_balls_are_counted_and_of_equal_ones_the_lowest() -> None:
    probabilities = np.array([[0.5, 0.9, 0.5, 0.5], [0.1, 0.2, 0.3, 0.4]])
    chosen = hits.likeliest(probabilities, 2)
    assert chosen.tolist() == [[1, 2], [3, 4]]
    assert hits.counted(chosen, np.array([[2, 4], [4, 3]])).tolist() == [1, 2]
