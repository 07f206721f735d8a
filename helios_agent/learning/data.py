"""Draws as tensors, and the stretches of them that the network is shown.

Indices are 0-based positions in the history. To predict draw t the network reads draws before t and no other.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from helios_agent.registry.card import Matrix, Row

HORIZON = 20
"""How many coming draws the frequency head predicts the ball frequencies of."""


@dataclass(frozen=True)
class Draws:
    """A history: `whites` (n, k) and `bonus` (n,), int64, balls numbered from 0."""

    whites: Tensor
    bonus: Tensor

    def __len__(self) -> int:
        return len(self.bonus)

    def __getitem__(self, index: Tensor | slice) -> "Draws":
        return Draws(self.whites[index], self.bonus[index])

    def followed_by(self, later: "Draws") -> "Draws":
        """Return these draws and then the `later` ones."""
        return Draws(torch.cat([self.whites, later.whites]), torch.cat([self.bonus, later.bonus]))


def from_rows(rows: list[Row]) -> Draws:
    """Return rows of balls numbered from 1, the bonus ball last, as `Draws`."""
    table = torch.tensor(rows, dtype=torch.int64) - 1
    return Draws(table[:, :-1], table[:, -1])


def stretches(first: Tensor, length: int) -> Tensor:
    """Return indices (B, length): `length` consecutive ones from each of `first` (B,)."""
    return first.unsqueeze(1) + torch.arange(length)


def segment_starts(sequence: int, end: int, predicted: int, generator: torch.Generator) -> Tensor:
    """Return, shuffled, the first target of segments that together cover targets `sequence` to `end` − 1.

    Each segment has `predicted` targets. The grid is shifted at random, so that cuts fall elsewhere each
    epoch; the outermost segments are pushed inwards to stay whole.
    """
    shift = int(torch.randint(predicted, (1,), generator=generator))
    starts = torch.arange(sequence - shift, end, predicted).clamp(sequence, end - predicted)
    whole: Tensor = torch.unique_consecutive(starts)
    return whole[torch.randperm(len(whole), generator=generator)]


def coming_frequencies(draws: Draws, matrix: Matrix) -> Tensor:
    """Return (n, N + B'), float32: at t, each ball's share among those drawn at t … t + HORIZON − 1.

    The whites' shares sum to 1, and so do the bonus balls'. Near the end the horizon is what is left of it.
    """
    size = len(draws)
    drawn = torch.zeros(size + 1, matrix.white + matrix.bonus, dtype=torch.float64)
    drawn[1:].scatter_(1, draws.whites, 1.0 / matrix.pick)
    drawn[1:].scatter_(1, matrix.white + draws.bonus.unsqueeze(1), 1.0)
    totals = drawn.cumsum(0)
    begin = torch.arange(size)
    end = (begin + HORIZON).clamp(max=size)
    return ((totals[end] - totals[begin]) / (end - begin).unsqueeze(1)).float()
