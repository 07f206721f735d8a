"""The ledger: what every forecaster, and their mixture, gained over a fair machine.

One account serves scoring, testing, ensembling and promotion. Every figure is rounded to 9 decimals
where it is made, so that a reader who adds up the gains gets the cumulative figures back, live or replayed.
A forecaster never leaves the ledger: one that is retired keeps its standing and counts as uniform, so
that no loss can be forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from helios_agent.forecasting import forecast, mixture
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.mixture import Standing

DECIMALS = 9


@dataclass(frozen=True)
class Scored:
    """What one draw did. Gains are log scores less a fair machine's, in nats.

    gains: of each forecaster that forecast this draw.
    weights: of each forecaster and of the "reserve" in the mixture, before the draw.
    mixture_gain: log Σ_j weights_j exp(gains_j); who did not forecast counts as uniform.
    """

    gains: dict[str, float]
    weights: dict[str, float]
    mixture_gain: float


@dataclass(frozen=True)
class Ledger:
    """The state of the account after `draws` draws.

    standings: prior weight and cumulative gain of every forecaster that ever joined.
    mixture_nats: the mixture's cumulative gain, log of a test martingale under a fair machine; >= -ln 2.
    peak_nats: the largest mixture_nats so far, at least 0.
    """

    standings: Mapping[str, Standing]
    mixture_nats: float = 0.0
    peak_nats: float = 0.0
    draws: int = 0

    @classmethod
    def start(cls, names: Iterable[str]) -> Ledger:
        """Open an account for the static experts named, and for uniform."""
        return cls({name: Standing(prior, 0.0) for name, prior in mixture.static_priors(names).items()})

    def to_record(self) -> dict[str, Any]:
        """Return the ledger as JSON-ready values."""
        return {
            "standings": {
                name: {"prior": standing.prior, "gain_nats": standing.gain_nats}
                for name, standing in self.standings.items()
            },
            "mixture_nats": self.mixture_nats,
            "peak_nats": self.peak_nats,
            "draws": self.draws,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Ledger:
        """Read a ledger back from its record."""
        return cls(
            {
                name: Standing(float(row["prior"]), float(row["gain_nats"]))
                for name, row in record["standings"].items()
            },
            float(record["mixture_nats"]),
            float(record["peak_nats"]),
            int(record["draws"]),
        )


def join(ledger: Ledger, name: str, prior: float) -> Ledger:
    """Return the ledger with a newcomer that takes `prior` out of the reserve.

    Raises ValueError if the name is taken or the reserve is smaller than that.
    """
    if name in ledger.standings or name == mixture.RESERVE:
        raise ValueError(f"forecaster {name!r} already stands in the ledger; expected a new name")
    left = mixture.reserve(ledger.standings)
    if prior > left + 1e-12:
        raise ValueError(
            f"prior of {name!r} is {prior}; expected at most {left}, what the reserve still holds"
        )
    return replace(ledger, standings={**ledger.standings, name: Standing(prior, 0.0)})


def score(
    ledger: Ledger, forecasts: Mapping[str, Forecast], whites: Sequence[int], bonus: int
) -> tuple[Ledger, Scored]:
    """Score one draw: the ledger after it, and what it did.

    Raises ValueError for a forecaster without a standing, DrawInvalid for a draw that is not of the game.
    """
    strangers = sorted(forecasts.keys() - ledger.standings.keys())
    if strangers:
        raise ValueError(f"forecasts are by {strangers}, who have no standing; expected them to join first")
    values = forecast.gains(list(forecasts.values()), whites, bonus)
    gains = {name: rounded(float(value)) for name, value in zip(forecasts, values, strict=True)}
    if gains.get(mixture.UNIFORM, 0.0) != 0.0:
        raise ValueError(
            f"the forecast of {mixture.UNIFORM!r} gained {gains[mixture.UNIFORM]} nats; "
            "expected the uniform forecast, which bounds the loss of the mixture"
        )
    standings = {
        name: replace(standing, gain_nats=rounded(standing.gain_nats + gains.get(name, 0.0)))
        for name, standing in ledger.standings.items()
    }
    weights = {name: rounded(weight) for name, weight in mixture.posterior(ledger.standings).items()}
    # The change in log-wealth is log Σ w_j exp(gain_j), and adding changes up lets no rounding accumulate.
    before, after = mixture.log_wealth(ledger.standings), mixture.log_wealth(standings)
    mixture_gain = rounded(rounded(after) - rounded(before))
    mixture_nats = rounded(ledger.mixture_nats + mixture_gain)
    moved = Ledger(standings, mixture_nats, max(ledger.peak_nats, mixture_nats), ledger.draws + 1)
    return moved, Scored(gains, weights, mixture_gain)


def rounded(value: float) -> float:
    """Return a figure as every account keeps it."""
    return round(value, DECIMALS) + 0.0  # + 0.0: no minus zero
