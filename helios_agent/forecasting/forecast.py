"""A forecast: a probability distribution over the next draw."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from helios_agent.forecasting import subsets
from helios_agent.forecasting.history import History

Floats = NDArray[np.float64]

RECORD_DECIMALS = 6
LARGEST_LOG_WEIGHT = 1_000.0
CENTRED_WITHIN = 1e-6  # a centred vector rounded to RECORD_DECIMALS has a mean of at most half of this


@dataclass(frozen=True, eq=False)
class Forecast:
    """A distribution over the next draw of a game.

    The main balls follow the conditional Bernoulli law of `subsets`, the bonus ball independently a softmax.

    white: (N,) float64 log-weights of the main balls, centred to sum zero.
    bonus: (B,) float64 log-weights of the bonus ball, centred to sum zero; normalised when scored.
    pick: how many main balls are drawn (k).

    Log-weights are determined up to a constant only, so any may be passed in: they are centred here.
    Raises ValueError, naming the field, for values that are not finite or beyond ±1,000.
    """

    white: Floats
    bonus: Floats
    pick: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "white", _log_weights("white", self.white))
        object.__setattr__(self, "bonus", _log_weights("bonus", self.bonus))
        if not 1 <= self.pick <= self.white.size:
            raise ValueError(f"pick is {self.pick}; expected 1..{self.white.size}, the number of white balls")

    @classmethod
    def uniform(cls, white_count: int, bonus_count: int, pick: int) -> Forecast:
        """Return the forecast of a fair machine."""
        return cls(np.zeros(white_count), np.zeros(bonus_count), pick)

    def gain(self, whites: Sequence[int], bonus: int) -> float:
        """Return the log score of a draw less a fair machine's, in nats.

        Exactly 0.0 for the uniform forecast. Raises DrawInvalid if the draw is not one of this game.
        """
        return float(gains([self], whites, bonus)[0])

    def log_score(self, whites: Sequence[int], bonus: int) -> float:
        """Return the log-probability of a draw, in nats; -19.493 for a fair Powerball machine."""
        fair = -math.log(math.comb(self.white.size, self.pick)) - math.log(self.bonus.size)
        return fair + self.gain(whites, bonus)

    def inclusion(self) -> Floats:
        """Return the probability that each main ball is drawn, shape (N,), summing to `pick`."""
        return subsets.inclusion_probabilities(self.white, self.pick)

    def bonus_probabilities(self) -> Floats:
        """Return the probability of each bonus ball, shape (B,), summing to 1."""
        shares = np.exp(self.bonus - self.bonus.max())
        return np.asarray(shares / shares.sum(), dtype=np.float64)

    def to_record(self) -> dict[str, Any]:
        """Return the forecast as JSON-ready values, log-weights rounded to 6 decimals."""
        return {"pick": self.pick, "white": _decimals(self.white), "bonus": _decimals(self.bonus)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Forecast:
        """Read a forecast back from its record. Raises ValueError, naming the field, if it is not one."""
        for name in ("white", "bonus", "pick"):
            if name not in record:
                raise ValueError(f"{name} is missing from the record of a forecast")
        return cls(record["white"], record["bonus"], int(record["pick"]))

    def rounded(self) -> Forecast:
        """Return the forecast as its record holds it: this, not the unrounded one, is what is registered."""
        return Forecast.from_record(self.to_record())


def gains(forecasts: Sequence[Forecast], whites: Sequence[int], bonus: int) -> Floats:
    """Return the gain of each forecast on one draw, shape (len(forecasts),), in nats.

    One pass over all of them: the laws are stacked, with the uniform one last as the reference.
    """
    if not forecasts:
        return np.zeros(0)
    first = forecasts[0]
    if any(
        (f.white.size, f.bonus.size, f.pick) != (first.white.size, first.bonus.size, first.pick)
        for f in forecasts
    ):
        raise ValueError("forecasts are of different games; expected equal numbers of balls and equal pick")
    draw = History.from_rows([[*whites, bonus]], first.pick, first.white.size, first.bonus.size)
    thetas = np.stack([*(f.white for f in forecasts), np.zeros(first.white.size)])
    logits = np.stack([f.bonus for f in forecasts])

    normalisers = subsets.log_normaliser(thetas, first.pick)
    chosen = thetas[:-1, np.sort(draw.whites[0]) - 1].sum(axis=1)
    largest = logits.max(axis=1)
    log_mean_weight = largest + np.log(np.exp(logits - largest[:, np.newaxis]).mean(axis=1))
    white_gains = chosen - (normalisers[:-1] - normalisers[-1])
    return np.asarray(white_gains + logits[:, draw.bonus[0] - 1] - log_mean_weight, dtype=np.float64)


def _log_weights(field: str, values: Any) -> Floats:
    weights = np.array(values, dtype=np.float64)
    if weights.ndim != 1 or weights.size == 0:
        raise ValueError(f"{field} has shape {weights.shape}; expected one log-weight per ball")
    if not np.abs(weights).max() <= LARGEST_LOG_WEIGHT:  # false for nan as well
        worst = int(np.argmin(np.abs(weights) <= LARGEST_LOG_WEIGHT))
        raise ValueError(
            f"{field} of ball {worst + 1} is {weights[worst]}; "
            f"expected a finite log-weight within ±{LARGEST_LOG_WEIGHT:.0f}"
        )
    mean = weights.mean()
    if abs(mean) > CENTRED_WITHIN:  # a record is kept digit for digit
        weights -= mean
    weights.setflags(write=False)
    return weights


def _decimals(values: Floats) -> list[float]:
    rounded: list[float] = (np.round(values, RECORD_DECIMALS) + 0.0).tolist()  # + 0.0: no minus zero in JSON
    return rounded
