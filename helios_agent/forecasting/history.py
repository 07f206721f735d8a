"""The draws a forecaster may look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from helios_agent.errors import DrawInvalid


@dataclass(frozen=True)
class Matrix:
    """What a game draws from: `pick` (k) different balls of 1..white (N), and one of 1..bonus (B).

    A game without a bonus ball has bonus 1. Raises ValueError, naming the field, for what cannot be drawn.
    """

    white: int
    bonus: int
    pick: int

    def __post_init__(self) -> None:
        for field, holds, expected in (
            ("white", self.white >= 1, "1 or more balls"),
            ("bonus", self.bonus >= 1, "1 or more balls, 1 for a game without a bonus ball"),
            ("pick", 1 <= self.pick <= self.white, f"1..{self.white}, the white balls"),
        ):
            if not holds:
                raise ValueError(f"{field} is {getattr(self, field)}; expected {expected}")

    @property
    def outcomes(self) -> int:
        """How many different draws there are, the order of the white balls not counting."""
        return math.comb(self.white, self.pick) * self.bonus


class Drawn(NamedTuple):
    """A draw. Leading axes, if there are any, are independent runs, each with a draw of its own.

    whites: (..., k) int64, 1-based, in the order drawn if `ordered`.
    bonus: (...) int64, 1-based.
    ordered: (...) bool.
    again: (...) bool, whether the same main balls, in any order, were drawn before under the same matrix.
    """

    whites: NDArray[np.int64]
    bonus: NDArray[np.int64]
    ordered: NDArray[np.bool_]
    again: NDArray[np.bool_]

    def balls(self, white_count: int) -> NDArray[np.bool_]:
        """Return which main balls were drawn, shape (..., N)."""
        drawn = np.zeros((*self.whites.shape[:-1], white_count), dtype=np.bool_)
        np.put_along_axis(drawn, self.whites - 1, True, axis=-1)
        return drawn


def drawn_again(whites: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which of the draws ((T, k), oldest first) have the same balls as an earlier one, shape (T,)."""
    _, first, which = np.unique(np.sort(whites, axis=1), axis=0, return_index=True, return_inverse=True)
    return np.asarray(first[which.ravel()] < np.arange(len(whites)))


@dataclass(frozen=True, eq=False)
class History:
    """The draws of one game under one matrix, oldest first.

    whites: (T, k) int64, the k main balls of each draw, 1..white_count, distinct.
    bonus: (T,) int64, 1..bonus_count. A game without a bonus ball has bonus_count 1 and bonus 1.
    ordered: (T,) bool, for which draws `whites` stands in the order drawn.
    """

    whites: NDArray[np.int64]
    bonus: NDArray[np.int64]
    white_count: int
    bonus_count: int
    ordered: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.whites.ndim != 2 or self.bonus.shape != self.whites.shape[:1]:
            raise ValueError(
                f"whites and bonus have shapes {self.whites.shape} and {self.bonus.shape}; "
                "expected (draws, pick) and (draws,)"
            )
        if self.ordered.shape != self.bonus.shape or self.ordered.dtype != np.bool_:
            raise ValueError(
                f"ordered has shape {self.ordered.shape} and kind {self.ordered.dtype}; "
                f"expected {self.bonus.shape} and bool, one for each draw"
            )
        _ = self.matrix  # which refuses what cannot be drawn

    @property
    def pick(self) -> int:
        """How many main balls are drawn (k)."""
        return int(self.whites.shape[1])

    @property
    def matrix(self) -> Matrix:
        """What the draws are from."""
        return Matrix(self.white_count, self.bonus_count, self.pick)

    @cached_property
    def again(self) -> NDArray[np.bool_]:
        """Which draws have the same main balls as an earlier one, shape (T,)."""
        return drawn_again(self.whites)

    def draw(self, t: int) -> Drawn:
        """Return draw number `t`, from 0."""
        return Drawn(
            *(np.asarray(column[t]) for column in (self.whites, self.bonus, self.ordered, self.again))
        )

    def __len__(self) -> int:
        return int(self.whites.shape[0])

    def before(self, t: int) -> History:
        """Return the first `t` draws: all that was known when draw number `t` (from 0) was made."""
        if not 0 <= t <= len(self):
            raise ValueError(f"t is {t}; expected 0..{len(self)}, the number of draws")
        return History(self.whites[:t], self.bonus[:t], self.white_count, self.bonus_count, self.ordered[:t])

    @classmethod
    def from_rows(
        cls,
        rows: Sequence[Sequence[int]],
        pick: int,
        white_count: int,
        bonus_count: int,
        ordered: Sequence[bool] | None = None,
    ) -> History:
        """Build a history from rows of `pick` main balls followed by the bonus ball.

        `ordered` says of each row whether its main balls stand in the order drawn: by default of none.
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
        known = np.zeros(len(rows), dtype=np.bool_) if ordered is None else np.array(ordered, dtype=np.bool_)
        return cls(whites, bonus, white_count, bonus_count, known)

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> History:
        """Build a history from the spec of a job.

        {"rows": [[main balls…, bonus], …] oldest first, "ordered": [true or false, …], "pick", "white",
        "bonus": the matrix}. Raises DrawInvalid as `from_rows` does.
        """
        return cls.from_rows(spec["rows"], spec["pick"], spec["white"], spec["bonus"], spec["ordered"])
