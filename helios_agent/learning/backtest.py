"""The backtest jobs: walk any forecasters over a span of a history, each draw foretold from those before it.

The static experts and their mixture go through the ledger's own walk from the history's first draw on, so
that what is said of them is what the live ledger would have said. Networks are walked in blocks, each by a
job of its own, and only they load torch.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pydantic import Field, field_validator, model_validator

from helios_agent.config.model import draws_needed
from helios_agent.errors import JobStopped
from helios_agent.forecasting import accounts, mixture
from helios_agent.forecasting.accounts import Walked
from helios_agent.forecasting.experts import EXPERTS, PRIORS
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.panel import Panel
from helios_agent.forecasting.walk_forward import walk_forward
from helios_agent.learning import specs
from helios_agent.learning.specs import NetworkSpec, TrainingSpec
from helios_agent.registry.card import Matrix, Row, Spec

KNOWN = (mixture.MIXTURE, *EXPERTS)
REPORT_EVERY_DRAWS = 25

Report = Callable[[dict[str, Any]], None]


class NetworkForecaster(Spec):
    """A network that is trained anew every `refit_every` draws.

    said: of one that is to be judged, the records of what it said of the draws of the span, None for a draw
    that it did not reach. Each is JSON itself: whoever passes them on need not read and write them.
    """

    name: str = Field(min_length=1)
    network: NetworkSpec = NetworkSpec()
    training: TrainingSpec = TrainingSpec()
    seed: int = Field(ge=0, lt=2**63)
    refit_every: int = Field(50, ge=1)
    said: list[str | None] = Field(default_factory=list)


class BacktestJob(Matrix):
    """The whole spec of a backtest: of `rows`, all of one rule era, `first` to `last` - 1 are foretold."""

    rows: list[Row]
    ordered: list[bool]
    first: int = Field(ge=0)
    last: int
    forecasters: list[str | NetworkForecaster] = Field(min_length=1)

    @field_validator("forecasters")
    @classmethod
    def _known_and_different(cls, asked: list[str | NetworkForecaster]) -> list[str | NetworkForecaster]:
        for name in asked:
            if isinstance(name, str) and name not in KNOWN:
                raise ValueError(f"{name!r} is no forecaster; expected one of {', '.join(KNOWN)}")
        names = [each if isinstance(each, str) else each.name for each in asked]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named twice; expected different names")
        return asked

    @model_validator(mode="after")
    def _span_is_in_the_history(self) -> "BacktestJob":
        self.check(self.rows)
        if len(self.ordered) != len(self.rows):
            raise ValueError(f"ordered has {len(self.ordered)} entries; expected {len(self.rows)}, one a row")
        if not self.first < self.last <= len(self.rows):
            raise ValueError(
                f"first is {self.first} and last is {self.last}; expected 0 <= first < last <= "
                f"{len(self.rows)}, the number of rows"
            )
        for each in self.networks:
            needed = draws_needed(each.network.sequence, each.training.validation)
            known = self.first - self.first % each.refit_every
            if known < needed:
                raise ValueError(
                    f"first is {self.first}; {each.name} is trained on the {known} draws before its block; "
                    f"expected at least {needed}"
                )
        return self

    @property
    def networks(self) -> list[NetworkForecaster]:
        return [each for each in self.forecasters if isinstance(each, NetworkForecaster)]

    @property
    def others(self) -> list[str]:
        return [each for each in self.forecasters if isinstance(each, str)]

    @cached_property
    def history(self) -> History:
        return History.from_rows(self.rows, self.pick, self.white, self.bonus, self.ordered)


@dataclass(frozen=True)
class Heard:
    """What the experts said of draw `index`, and what they and their mixture gained on it, nats.

    weights: those of the experts in the mixture before the draw; what is left of 1 is uniform's.
    """

    index: int
    said: Mapping[str, Forecast]
    gains: Mapping[str, float]
    weights: Mapping[str, float]


@dataclass
class Notes:
    """Which draws a forecaster foretold, what it said of them and gained on them, nats."""

    history: History
    at: list[int] = field(default_factory=list)
    said: list[Forecast] = field(default_factory=list)
    gains: list[float] = field(default_factory=list)

    def add(self, t: int, forecast: Forecast) -> float:
        """Note what was said of draw t; return what that gained."""
        self.at.append(t)
        self.said.append(forecast)
        self.gains.append(mixture.rounded(float(forecast.log_ratio(self.history.draw(t)))))
        return self.gains[-1]


class Progress:
    """Tells how far the experts are: {"done": draws, "total": draws, "gains": {forecaster: nats so far}}."""

    def __init__(self, total: int, report: Report) -> None:
        self._total, self._report = total, report
        self._done, self._steps = 0, 0
        self._gains: dict[str, float] = {}

    def draw(self, gains: Mapping[str, float], done: int = 1) -> None:
        """Note a draw that was walked, foretold or not. Raises JobStopped when the job is to end."""
        self._steps, self._done = self._steps + 1, self._done + done
        for name, gain in gains.items():
            self._gains[name] = self._gains.get(name, 0.0) + gain
        if self._steps % REPORT_EVERY_DRAWS == 0 or self._done == self._total:
            gained = {name: mixture.rounded(gain) for name, gain in self._gains.items()}
            self._report({"done": self._done, "total": self._total, "gains": gained})


def run(spec: dict[str, Any], report: Report) -> dict[str, Any]:
    """Walk the experts of `spec` (see `BacktestJob`), telling `report` (see `Progress`), and judge all.

    A network is judged by what it `said` when it was walked: see `run_block`. Returns {"forecasters": {name:
    `accounts.account`, its gains one a draw of the span, None where it said nothing}, "broken": {expert: what
    failed}, "stopped"}. When `report` raises JobStopped, what was foretold until then is judged, and who
    foretold nothing is left out. Raises JobFailed, naming the field, for a spec that does not hold.
    """
    job = specs.read(BacktestJob, spec)
    judged: dict[str, Any] = {}
    for network in job.networks:
        notes = Notes(job.history)
        for t, record in enumerate(network.said, start=job.first):
            if record is not None:
                notes.add(t, Forecast.from_record(json.loads(record)))
        if notes.said:
            judged[network.name] = _judged(Walked.of(notes.said, notes.gains), notes.at, job)
    progress = Progress(job.last - job.first, report)
    heard: list[Heard] = []
    panel = Panel.after(job.history.before(0))
    stopped = False
    try:
        if job.others:
            for of_draw in listen(job.history.before(job.last), panel):
                if of_draw.index < job.first:
                    progress.draw({}, done=0)
                else:
                    heard.append(of_draw)
                    progress.draw({name: of_draw.gains.get(name, 0.0) for name in job.others})
    except JobStopped:
        stopped = True
    if heard:
        at = [each.index for each in heard]
        judged |= {name: _judged(walked, at, job) for name, walked in _walked(heard, job).items()}
    return {"forecasters": judged, "broken": panel.broken, "stopped": stopped}


def run_block(spec: dict[str, Any], report: Report) -> dict[str, Any]:
    """Walk the one network of `spec` (see `BacktestJob`), telling draw by draw what it says, to be judged.

    `report` is called for each draw with {"done", "total", "gains"} as `Progress` tells them, and "said", the
    record of the forecast as JSON: a network that is being trained cannot be stopped gently, and what it
    said before must not be lost with it. Returns {"stopped"}. Raises as `run` does.
    """
    job = specs.read(BacktestJob, spec)
    (network,) = job.networks
    notes = Notes(job.history)
    total, gained = job.last - job.first, 0.0
    try:
        for done, (t, forecast) in enumerate(foretold(job, network), start=1):
            gained = mixture.rounded(gained + notes.add(t, forecast))
            told = {"done": done, "total": total, "gains": {network.name: gained}}
            report(told | {"said": json.dumps(forecast.to_record())})
    except JobStopped:
        return {"stopped": True}
    return {"stopped": False}


def foretold(job: BacktestJob, network: NetworkForecaster) -> Iterator[tuple[int, Forecast]]:
    """Yield (t, what a network says of draw t from those before it, as it would be registered)."""
    from helios_agent.learning.walk_forward import walk  # loads torch, which the experts do without

    said = walk(
        job.rows, job, job.first, job.last, network.network, network.training, network.seed,
        network.refit_every,
    )  # fmt: skip
    for t, forecast in said:
        yield t, forecast.rounded()


def listen(history: History, panel: Panel) -> Iterator[Heard]:
    """Yield what the experts of a new `panel` and their mixture say of every draw, and gain on it.

    The ledger is opened before the first draw: what is heard is what the live one would have been told.
    """
    ledger = Ledger.start(PRIORS)
    shares = ledger.shares
    for t, scored, after in walk_forward(history, 0, ledger, panel):
        weights = mixture.effective(scored.weights, shares)
        shares = after.shares
        yield Heard(t, panel.said, scored.gains | {mixture.MIXTURE: scored.mixture_gain}, weights)


def _walked(heard: list[Heard], job: BacktestJob) -> dict[str, Walked]:
    """Return what the experts that were asked for, and the mixture if it was, said and gained.

    Who failed counts as uniform from then on, as in the ledger.
    """
    uniform = Forecast.uniform(job.white, job.bonus, job.pick)
    members = EXPERTS if mixture.MIXTURE in job.others else job.others
    walked = {
        name: Walked.of(
            [each.said.get(name, uniform) for each in heard], [each.gains.get(name, 0.0) for each in heard]
        )
        for name in members
    }
    if mixture.MIXTURE in job.others:
        walked[mixture.MIXTURE] = _mixed(walked, heard)
    return {name: walked[name] for name in job.others}


def _mixed(members: Mapping[str, Walked], heard: list[Heard]) -> Walked:
    """Return what the mixture of all experts said and gained."""
    weights = {name: np.array([each.weights[name] for each in heard]) for name in members}
    weights[mixture.UNIFORM] += 1.0 - sum(weights.values())
    inclusion = np.array([weights[name][:, np.newaxis] * each.inclusion for name, each in members.items()])
    bonus = np.array([weights[name][:, np.newaxis] * each.bonus for name, each in members.items()])
    gains = np.array([each.gains[mixture.MIXTURE] for each in heard])
    return Walked(gains, inclusion.sum(axis=0), bonus.sum(axis=0), None)


def _judged(walked: Walked, at: list[int], job: BacktestJob) -> dict[str, Any]:
    """Return the account of what was said of the draws `at`, with its gains spread over the whole span."""
    account = accounts.account(walked, job.history.whites[at], job.history.bonus[at])
    gains = dict(zip(at, account["gains"], strict=True))
    return account | {"gains": [gains.get(t) for t in range(job.first, job.last)]}
