"""What the network is shown, and what it is to predict."""

from collections.abc import Callable

import pytest
import torch

from helios_agent.learning import data
from helios_agent.registry.card import Matrix


@pytest.mark.parametrize(("end", "predicted"), [(100, 32), (60, 10), (51, 1), (82, 32), (83, 32)])
def test_segments_cover_every_target_and_stay_inside(end: int, predicted: int) -> None:
    order = torch.Generator().manual_seed(4)
    for _ in range(20):
        starts = data.segment_starts(50, end, predicted, order)
        targets = data.stretches(starts, predicted)

        assert set(targets.flatten().tolist()) == set(range(50, end))
        assert len(starts.unique()) == len(starts)


def test_coming_frequencies_look_from_the_draw_itself_to_the_end_of_the_horizon(
    machine: Callable[..., list[list[int]]],
) -> None:
    rows = machine(60)
    shares = data.coming_frequencies(data.from_rows(rows), Matrix(white=12, bonus=5, pick=3))

    for at in (0, 17, 40, 55, 59):
        coming = rows[at : at + data.HORIZON]
        for ball in range(1, 13):
            expected = sum(ball in row[:-1] for row in coming) / (3 * len(coming))
            assert float(shares[at, ball - 1]) == pytest.approx(expected, abs=1e-6)
        for ball in range(1, 6):
            expected = sum(ball == row[-1] for row in coming) / len(coming)
            assert float(shares[at, 11 + ball]) == pytest.approx(expected, abs=1e-6)
