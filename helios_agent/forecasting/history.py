"""The draws a forecaster may look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from helios_agent.errors import DrawInvalid


@dataclass(frozen=True, eq=False)
class History:
    """The draws of one game under one matrix, oldest first.

    whites: (T, k) int64, the k main balls of each draw, 1..white_count, distinct, in any order.
    bonus: (T,) int64, 1..bonus_count. A game without a bonus ball has bonus_count 1 and bonus 1.
    """

    whites: NDArray[np.int64]
    bonus: NDArray[np.int64]
    white_count: int
    bonus_count: int

    def __post_init__(self) -> None:
        if self.whites.ndim != 2 or self.bonus.shape != self.whites.shape[:1]:
            raise ValueError(
                f"whites and bonus have shapes {self.whites.shape} and {self.bonus.shape}; "
                "expected (draws, pick) and (draws,)"
            )
        if not 1 <= self.pick <= self.white_count or self.bonus_count < 1:
            raise ValueError(
                f"pick {self.pick}, white_count {self.white_count}, bonus_count {self.bonus_count}; "
                "expected 1 <= pick <= white_count and bonus_count >= 1"
            )

    @property
    def pick(self) -> int:
        """How many main balls are drawn (k)."""
        return int(self.whites.shape[1])

    def __len__(self) -> int:
        return int(self.whites.shape[0])

    def before(self, t: int) -> History:
        """Return the first `t` draws: all that was known when draw number `t` (from 0) was made."""
        if not 0 <= t <= len(self):
            raise ValueError(f"t is {t}; expected 0..{len(self)}, the number of draws")
        return History(self.whites[:t], self.bonus[:t], self.white_count, self.bonus_count)

    @classmethod
    def from_rows(
        cls, rows: Sequence[Sequence[int]], pick: int, white_count: int, bonus_count: int
    ) -> History:
        """Build a history from rows of `pick` main balls followed by the bonus ball.

        Raises DrawInvalid, naming the first row that breaks the matrix.
        """
        for index, row in enumerate(rows):
            if len(row) != pick + 1:
                raise DrawInvalid(f"row {index} is {list(row)}; expected {pick} main balls and a bonus ball")
        table = np.array(rows) if len(rows) else np.empty((0, pick + 1), dtype=np.int64)
        if table.dtype.kind not in "iu":
            raise DrawInvalid(f"rows hold {table.dtype} values; expected whole numbers")
        table = table.astype(np.int64)
        table.setflags(write=False)
        whites, bonus = table[:, :-1], table[:, -1]
        wrong = (
            (whites < 1).any(axis=1)
            | (whites > white_count).any(axis=1)
            | (np.diff(np.sort(whites, axis=1), axis=1) == 0).any(axis=1)
            | (bonus < 1)
            | (bonus > bonus_count)
        )
        if wrong.any():
            index = int(wrong.argmax())
            raise DrawInvalid(
                f"row {index} is {table[index].tolist()}; expected {pick} different main balls of "
                f"1..{white_count} and a bonus ball of 1..{bonus_count}"
            )
        return cls(whites, bonus, white_count, bonus_count)
