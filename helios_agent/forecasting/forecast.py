"""A forecast: a probability distribution over the next draw."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from helios_agent.forecasting import subsets
from helios_agent.forecasting.history import Drawn, History

Floats = NDArray[np.float64]

RECORD_DECIMALS = 6
LARGEST_LOG_WEIGHT = 1_000.0
CENTRED_WITHIN = 1e-6  # a centred vector rounded to RECORD_DECIMALS has a mean of at most half of this


@dataclass(frozen=True, eq=False)
class Repeat:
    """That the machine draws the main balls of an earlier draw again.

    share: (...) float64, with which probability it does, from 0 to below 1.
    draws: (...) int64, how many different earlier draws there are; each is as likely.
    counts: (..., N) int64, in how many of them each ball is.
    """

    share: Floats
    draws: NDArray[np.int64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Forecast:
    """A distribution over the next draw of a game.

    The main balls follow the conditional Bernoulli law of `subsets`, mixed with those of earlier draws if
    there is a `repeat`. Given which balls are drawn, their order follows a Plackett-Luce law (R. D. Luce
    1959, Individual Choice Behavior): at each place one of the balls still to come is drawn, in proportion to
    its weight for that place; without an `order`, every order is equally likely. The bonus ball independently
    follows a softmax.

    white: (..., N) float64 log-weights of the main balls, centred to sum zero.
    bonus: (..., B) float64 log-weights of the bonus ball, centred to sum zero; normalised when scored.
    pick: how many main balls are drawn (k).
    order: (..., k, N) float64 log-weights by place and ball, or None.

    Leading axes are independent runs; what is registered has none. Log-weights are determined up to a
    constant only, so any may be passed in: they are centred here. Raises ValueError, naming the field, for
    values that are not finite or beyond ±1,000.
    """

    white: Floats
    bonus: Floats
    pick: int
    order: Floats | None = None
    repeat: Repeat | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "white", _log_weights("white", self.white, 1))
        object.__setattr__(self, "bonus", _log_weights("bonus", self.bonus, 1))
        N = self.white.shape[-1]
        if not 1 <= self.pick <= N:
            raise ValueError(f"pick is {self.pick}; expected 1..{N}, the number of white balls")
        if self.order is not None:
            object.__setattr__(self, "order", _log_weights("order", self.order, 2))
            if self.order.shape[-2:] != (self.pick, N):
                raise ValueError(
                    f"order has shape {self.order.shape}; expected ({self.pick}, {N}) at the end"
                )
        if self.repeat is not None:
            _check_repeat(self.repeat, N)

    @classmethod
    def uniform(cls, white_count: int, bonus_count: int, pick: int) -> Forecast:
        """Return the forecast of a fair machine."""
        return cls(np.zeros(white_count), np.zeros(bonus_count), pick)

    def gain(self, whites: Sequence[int], bonus: int, ordered: bool = False, again: bool = False) -> float:
        """Return the log score of a draw less a fair machine's, in nats.

        `ordered` says that `whites` stand in the order drawn, `again` that an earlier draw had the same.
        Exactly 0.0 for the uniform forecast. Raises DrawInvalid if the draw is not one of this game.
        """
        return float(gains([self], whites, bonus, ordered, again)[0])

    def log_score(self, whites: Sequence[int], bonus: int) -> float:
        """Return the log-probability of a draw whose order is not told, in nats; -19.493 for a fair
        Powerball."""
        fair = -math.log(math.comb(self.white.size, self.pick)) - math.log(self.bonus.size)
        return fair + self.gain(whites, bonus)

    def log_ratio(self, drawn: Drawn) -> Floats:
        """Return the log score of each run's draw less a fair machine's, shape (...), in nats.

        `drawn` is taken to be a draw of this game. Exactly 0.0 where the forecast is uniform.
        """
        return np.asarray(log_ratios([self], drawn)[0], dtype=np.float64)

    def inclusion(self) -> Floats:
        """Return the probability that each main ball is drawn, shape (..., N), summing to `pick`."""
        independent = subsets.inclusion_probabilities(self.white, self.pick)
        if self.repeat is None:
            return independent
        share = self.repeat.share[..., np.newaxis]
        again = self.repeat.counts / np.maximum(self.repeat.draws, 1)[..., np.newaxis]
        return np.asarray((1.0 - share) * independent + share * again)

    def bonus_probabilities(self) -> Floats:
        """Return the probability of each bonus ball, shape (..., B), summing to 1."""
        shares = np.exp(self.bonus - self.bonus.max(axis=-1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=-1, keepdims=True), dtype=np.float64)

    def to_record(self) -> dict[str, Any]:
        """Return a forecast without leading axes as JSON-ready values, log-weights rounded to 6 decimals."""
        record: dict[str, Any] = {
            "pick": self.pick,
            "white": _rounded(self.white).tolist(),
            "bonus": _rounded(self.bonus).tolist(),
        }
        if self.order is not None:
            record["order"] = _rounded(self.order).tolist()
        if self.repeat is not None:
            record["repeat"] = {
                "share": float(_rounded(self.repeat.share)),
                "draws": int(self.repeat.draws),
                "counts": self.repeat.counts.tolist(),
            }
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Forecast:
        """Read a forecast back from its record. Raises ValueError, naming the field, if it is not one."""
        for name in ("white", "bonus", "pick"):
            if name not in record:
                raise ValueError(f"{name} is missing from the record of a forecast")
            if name != "pick" and np.ndim(record[name]) != 1:
                raise ValueError(
                    f"{name} has {np.ndim(record[name])} dimensions; expected one log-weight per ball"
                )
        told = record.get("repeat")
        if told and not told.keys() >= {"share", "draws", "counts"}:
            raise ValueError(f"repeat is {told}; expected share, draws and counts")
        repeat = told and Repeat(
            np.array(told["share"], dtype=np.float64),
            np.array(told["draws"], dtype=np.int64),
            np.array(told["counts"], dtype=np.int64),
        )
        return cls(record["white"], record["bonus"], int(record["pick"]), record.get("order"), repeat)

    def rounded(self) -> Forecast:
        """Return the forecast as its record holds it: this, not the unrounded one, is what is registered."""
        # Rounding leaves what was checked and centred so: it is not looked at again.
        new = copy.copy(self)
        for name in ("white", "bonus", "order"):
            if (values := getattr(self, name)) is not None:
                object.__setattr__(new, name, _rounded(values))
        if self.repeat is not None:
            object.__setattr__(new, "repeat", replace(self.repeat, share=_rounded(self.repeat.share)))
        return new


def gains(
    forecasts: Sequence[Forecast],
    whites: Sequence[int],
    bonus: int,
    ordered: bool = False,
    again: bool = False,
) -> Floats:
    """Return the gain of each forecast on one draw, shape (len(forecasts),), in nats: see `Forecast.gain`."""
    if not forecasts:
        return np.zeros(0)
    first = forecasts[0]
    if any(
        (f.white.size, f.bonus.size, f.pick) != (first.white.size, first.bonus.size, first.pick)
        for f in forecasts
    ):
        raise ValueError("forecasts are of different games; expected equal numbers of balls and equal pick")
    History.from_rows([[*whites, bonus]], first.pick, first.white.size, first.bonus.size)
    drawn = Drawn(np.array(whites), np.array(bonus), np.array(ordered), np.array(again))
    return log_ratios(forecasts, drawn)


def log_ratios(forecasts: Sequence[Forecast], drawn: Drawn) -> Floats:
    """Return each forecast's `log_ratio`, shape (len(forecasts), ...), in nats. All are of one game."""
    balls = np.sort(drawn.whites, axis=-1) - 1
    totals = np.zeros((len(forecasts), *balls.shape[:-1]))
    biased = [place for place, forecast in enumerate(forecasts) if forecast.white.any()]
    if biased:
        white, pick = np.stack([forecasts[place].white for place in biased]), balls.shape[-1]
        chosen = np.take_along_axis(white, np.broadcast_to(balls, (*white.shape[:-1], pick)), axis=-1)
        fair = math.log(math.comb(white.shape[-1], pick))
        totals[biased] = chosen.sum(axis=-1) - subsets.log_normaliser(white, pick) + fair
    for place, forecast in enumerate(forecasts):
        totals[place] = _with_the_rest(forecast, totals[place], drawn)
    return totals


def _with_the_rest(forecast: Forecast, total: Floats, drawn: Drawn) -> Floats:
    """Return what a forecast gains in all, given what its log-weights of the main balls gain."""
    repeat, bonus = forecast.repeat, forecast.bonus
    if repeat is not None and repeat.draws.any():
        subset_count = math.comb(forecast.white.shape[-1], forecast.pick)
        with np.errstate(divide="ignore"):  # a share of 0 has the logarithm it should have
            hit = np.log(repeat.share) + math.log(subset_count) - np.log(np.maximum(repeat.draws, 1))
        total = np.logaddexp(np.log1p(-repeat.share) + total, np.where(drawn.again, hit, -np.inf))
    if forecast.order is not None:
        total = total + np.where(drawn.ordered, _order_ratio(forecast.order, drawn.whites - 1), 0.0)
    if bonus.any():
        chosen = np.take_along_axis(bonus, drawn.bonus[..., np.newaxis] - 1, axis=-1)[..., 0]
        largest = bonus.max(axis=-1, keepdims=True)
        total = total + chosen - largest[..., 0] - np.log(np.exp(bonus - largest).mean(axis=-1))
    return total


def _order_ratio(order: Floats, balls: NDArray[np.int64]) -> Floats:
    """Return the log-probability of the order of `balls` ((..., k), 0-based) less that of any order."""
    total = np.zeros(balls.shape[:-1])
    for place in range(balls.shape[-1] - 1):  # the last ball has no choice
        left = np.take_along_axis(order[..., place, :], balls[..., place:], axis=-1)
        largest = left.max(axis=-1)
        total += left[..., 0] - largest - np.log(np.exp(left - largest[..., np.newaxis]).mean(axis=-1))
    return total


def _log_weights(field: str, values: ArrayLike, axes: int) -> Floats:
    """Return log-weights, whose last `axes` axes are one law's, checked and centred along the last one."""
    weights = np.array(values, dtype=np.float64)
    if weights.ndim < axes or weights.shape[-1] == 0:
        raise ValueError(f"{field} has shape {weights.shape}; expected one log-weight per ball")
    if weights.any():  # most forecasts leave the bonus ball, or the main balls, to chance
        _check_range(field, weights)
        mean = weights.sum(axis=-1, keepdims=True) / weights.shape[-1]
        if np.abs(mean).max() > CENTRED_WITHIN:  # a record is kept digit for digit
            weights -= mean
            _check_range(field, weights)
    weights.setflags(write=False)
    return weights


def _check_range(field: str, weights: Floats) -> None:
    if not np.abs(weights).max() <= LARGEST_LOG_WEIGHT:  # false for nan as well
        worst = np.unravel_index(int(np.argmin(np.abs(weights) <= LARGEST_LOG_WEIGHT)), weights.shape)
        raise ValueError(
            f"{field} of ball {worst[-1] + 1} is {weights[worst]}; "
            f"expected a finite log-weight within ±{LARGEST_LOG_WEIGHT:.0f}"
        )


def _check_repeat(repeat: Repeat, white_count: int) -> None:
    if not (np.all(repeat.share >= 0.0) and np.all(repeat.share < 1.0)):  # false for nan as well
        raise ValueError(f"share of repeat is {repeat.share}; expected a probability below 1")
    if np.any(repeat.draws < 0) or np.any((repeat.draws == 0) & (repeat.share > 0.0)):
        raise ValueError(f"draws of repeat is {repeat.draws}; expected at least 1 where the share is above 0")
    if np.any(repeat.counts < 0) or np.any(repeat.counts > repeat.draws[..., np.newaxis]):
        raise ValueError("counts of repeat are not between 0 and its draws")
    if repeat.counts.shape[-1:] != (white_count,):
        raise ValueError(
            f"counts of repeat has shape {repeat.counts.shape}; expected {white_count} at the end"
        )


def _rounded(values: Floats) -> Floats:
    return np.asarray(values.round(RECORD_DECIMALS) + 0.0)  # + 0.0: no minus zero in JSON
