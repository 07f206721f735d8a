"""The ledger: what every forecaster, and their mixture, gained over a fair machine.

One account serves scoring, testing, ensembling and promotion. Every figure is rounded to 9 decimals where it
is made, so that a reader who adds up the gains gets the cumulative figures back, live or replayed. The
switching forecaster is made of all the others, and scored here from their gains. A forecaster never leaves
the ledger: one that is retired keeps its standing and counts as uniform, so that no loss can be forgotten.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from helios_agent.forecasting import detection, mixture
from helios_agent.forecasting.comparison import Trial
from helios_agent.forecasting.detection import Detector
from helios_agent.forecasting.mixture import SWITCHING, UNIFORM, Standing, rounded


@dataclass(frozen=True)
class Scored:
    """What one draw did. Gains are log scores less a fair machine's, in nats.

    gains: of each forecaster that forecast this draw, and of the switching one.
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
    shares: what part each forecaster has in the switching one, which is not among them; they sum to 1.
    detector: the watch for a change, fed by the switching forecaster, which is quickest to see one.
    trial: the last test of a challenger against the champion of the models, if there ever was one.
    """

    standings: Mapping[str, Standing]
    mixture_nats: float = 0.0
    peak_nats: float = 0.0
    draws: int = 0
    shares: Mapping[str, float] = field(default_factory=dict)
    detector: Detector = field(default_factory=Detector)
    trial: Trial | None = None

    @classmethod
    def start(cls, priors: Mapping[str, float]) -> Ledger:
        """Open an account for forecasters with these prior weights, uniform among them."""
        return admit(cls({name: Standing(prior, 0.0) for name, prior in priors.items()}), priors)

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
            "shares": dict(self.shares),
            "detector": self.detector.to_record(),
            "trial": self.trial and self.trial.to_record(),
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
            {name: float(share) for name, share in record.get("shares", {}).items()},
            Detector.from_record(record["detector"]) if "detector" in record else Detector(),
            Trial.from_record(record["trial"]) if record.get("trial") else None,
        )

    def weights(self) -> dict[str, float]:
        """Return the weight of each forecaster in the mixture now, and of the "reserve"; they sum to 1."""
        return {name: rounded(weight) for name, weight in mixture.posterior(self.standings).items()}


def join(ledger: Ledger, name: str, prior: float) -> Ledger:
    """Return the ledger with a newcomer that takes `prior` out of the reserve, or half of it if that is less.

    Raises ValueError if the name is taken.
    """
    if name in ledger.standings or name == mixture.RESERVE:
        raise ValueError(f"forecaster {name!r} already stands in the ledger; expected a new name")
    taken = min(prior, mixture.reserve(ledger.standings) / 2)
    return replace(ledger, standings={**ledger.standings, name: Standing(taken, 0.0)})


def admit(ledger: Ledger, priors: Mapping[str, float]) -> Ledger:
    """Return the ledger with every forecaster of `priors` in it: an account outlives those it began with.

    Newcomers share what the reserve holds in proportion to their priors, and leave models their part of it.
    """
    new = {name: prior for name, prior in priors.items() if name not in ledger.standings}
    pool = mixture.reserve(ledger.standings) / (math.fsum(new.values()) + mixture.RESERVE_PRIOR)
    standings = {name: Standing(min(1.0, pool) * prior, 0.0) for name, prior in new.items()}
    ledger = replace(ledger, standings={**ledger.standings, **standings})
    if SWITCHING in ledger.standings and not ledger.shares:
        ledger = replace(ledger, shares=_shares(ledger.standings))
    return ledger


def score(ledger: Ledger, gains: Mapping[str, float]) -> tuple[Ledger, Scored]:
    """Score one draw by what each forecaster gained on it, in nats: the ledger after it, and what it did.

    Raises ValueError for a forecaster without a standing, a gain that is not finite, or uniform gaining.
    """
    strangers = sorted(gains.keys() - ledger.standings.keys() | gains.keys() & {SWITCHING})
    if strangers:
        raise ValueError(f"forecasts are by {strangers}, who have no standing; expected them to join first")
    wrong = {name: gain for name, gain in gains.items() if not math.isfinite(gain)}
    if wrong:
        raise ValueError(f"gains are {wrong}; expected finite numbers of nats")
    if gains.get(UNIFORM, 0.0) != 0.0:
        raise ValueError(
            f"the forecast of {UNIFORM!r} gained {gains[UNIFORM]} nats; "
            "expected the uniform forecast, which bounds the loss of the mixture"
        )
    made = {name: rounded(gain) for name, gain in gains.items()}
    shares, detector = ledger.shares, ledger.detector
    if SWITCHING in ledger.standings:
        made[SWITCHING], shares = _switch(ledger, made)
        detector = detection.update(detector, made[SWITCHING])
    standings = {
        name: replace(standing, gain_nats=rounded(standing.gain_nats + made.get(name, 0.0)))
        for name, standing in ledger.standings.items()
    }
    # The change in log-wealth is log Σ w_j exp(gain_j), and adding changes up lets no rounding accumulate.
    before, after = mixture.log_wealth(ledger.standings), mixture.log_wealth(standings)
    mixture_gain = rounded(rounded(after) - rounded(before))
    mixture_nats = rounded(ledger.mixture_nats + mixture_gain)
    moved = replace(
        ledger,
        standings=standings,
        mixture_nats=mixture_nats,
        peak_nats=max(ledger.peak_nats, mixture_nats),
        draws=ledger.draws + 1,
        shares=shares,
        detector=detector,
    )
    return moved, Scored(made, ledger.weights(), mixture_gain)


def _switch(ledger: Ledger, gains: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    """Return what the switching forecaster gained, and its shares for the next draw."""
    priors = _shares(ledger.standings)
    held = np.array([ledger.shares.get(name, 0.0) for name in priors])
    gain, shares = mixture.switch(
        held / held.sum(),
        np.array(list(priors.values())),
        np.array([gains.get(name, 0.0) for name in priors]),
    )
    return rounded(float(gain)), {
        name: rounded(share) for name, share in zip(priors, shares.tolist(), strict=True)
    }


def _shares(standings: Mapping[str, Standing]) -> dict[str, float]:
    """Return the prior weights of all but the switching forecaster, to sum to 1."""
    priors = {name: standing.prior for name, standing in standings.items() if name != SWITCHING}
    total = math.fsum(priors.values())
    return {name: rounded(prior / total) for name, prior in priors.items()}
