"""The search job: which sizes and settings of PowerballNet forecast best, found out within a budget.

Each trial is one configuration, judged by walk-forward: it forecasts `folds` blocks of `block` draws, each by
a network trained on the draws before the block alone. A trial that begins worse than the median of those
before it is pruned. The first trial is the configuration that stands. Which one comes next is a function of
the seed and of the trials before it (Tree-structured Parzen Estimator: Bergstra et al. 2011, NeurIPS 24), so
a search that was cut short goes on from the trials it has as if nothing had happened.

The best of many looks better than it is. So the last `block` draws belong to no trial: the best one and the
configuration that stands are both judged on them at the end, and only if it gains more there is it adopted.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, Literal, Self

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState, create_trial
from pydantic import Field, model_validator

from helios_agent.config.model import draws_needed
from helios_agent.errors import JobFailed, is_out_of_memory
from helios_agent.learning import checkpoints, specs, walk_forward
from helios_agent.learning.specs import TrainingJob
from helios_agent.registry.card import Spec

STARTUP_TRIALS = 5
"""So many configurations are drawn at random, and none is pruned."""
OF_NETWORK = ("hidden", "layers", "dropout")
OF_TRAINING = ("learning_rate", "segments")
HIDDEN = (32, 64, 128, 256)
SEGMENTS = (4, 8, 16)
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}

Parameters = Mapping[str, int | float]
Report = Callable[[dict[str, Any]], None]


class Trial(Spec):
    """What became of one configuration.

    question: see `question`. gains: mean log-score gain over uniform in each block it was judged on, nats a
    draw. gain: their mean, None for one that was pruned or failed. error: why it failed.
    """

    number: int = Field(ge=0)
    question: str
    state: Literal["complete", "pruned", "failed"]
    parameters: dict[str, int | float]
    gains: list[float]
    gain: float | None
    error: str | None
    cpu_seconds: float = Field(ge=0.0)


class SearchJob(Spec):
    """The whole spec of a search.

    job: the training as it is configured; its `out` stays untouched. cpu_seconds: no trial begins after so
    many have been spent. known: the trials of an earlier run of the search, in order; those that answer
    another question count for nothing.
    """

    job: TrainingJob
    trials: int = Field(ge=1, le=1000)
    folds: int = Field(ge=1, le=50)
    block: int = Field(ge=5, le=1000)
    cpu_seconds: float = Field(gt=0.0)
    known: list[Trial] = Field(default_factory=list)

    @model_validator(mode="after")
    def _leaves_enough_to_train_on(self) -> Self:
        needed = draws_needed(self.job.network.sequence, self.job.training.validation)
        if self.first < needed + self.block:
            raise ValueError(
                f"job.draws holds {len(self.job.draws)}; {self.folds} folds and a last part of {self.block}"
                f" draws each leave {self.first} to train on, and {needed + self.block} are needed"
            )
        return self

    @property
    def first(self) -> int:
        """How many of the draws are before all that a trial is judged on."""
        return len(self.job.draws) - (self.folds + 1) * self.block


def run(spec: dict[str, Any], report: Report) -> dict[str, Any]:
    """Search as `spec` says (see `SearchJob`).

    Reports {"trial": number, "block": index, "gain": nats a draw} after each block, and {"done": the record
    of the trial} after each trial. Returns `trials`, how many there were, `cpu_seconds`, spent on them, and
    `best`, the record of the one that gained most, None where none gained anything. Where that is not the
    configuration that stands, `confirmed_gain` and `standing_gain` are what the two gain on the last `block`
    draws, nats a draw, None for one whose training failed. `adopted` says whether it is better there, too;
    then `network` and `training` are its specs. Raises JobFailed where the spec does not hold.
    """
    search = specs.read(SearchJob, spec)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    of = question(search)
    trials = [trial for trial in search.known if trial.question == of]
    while len(trials) < search.trials and _spent(trials) < search.cpu_seconds:
        trials.append(_try(search, of, trials, report))
        report({"done": trials[-1].model_dump()})
    found: dict[str, Any] = {"trials": len(trials), "cpu_seconds": _spent(trials), "adopted": False}
    gaining = [(trial.gain, trial) for trial in trials if trial.gain is not None and trial.gain > 0.0]
    if not gaining:
        return found | {"best": None}
    _, best = max(gaining, key=lambda entry: entry[0])
    found["best"] = best.model_dump()
    if best.number == 0:
        return found
    better, last = configured(search.job, best.parameters), len(search.job.draws) - search.block
    confirmed, standing = _verdict(better, last, search.block), _verdict(search.job, last, search.block)
    found |= {"confirmed_gain": confirmed, "standing_gain": standing}
    if confirmed is None or confirmed <= max(0.0, standing or 0.0):
        return found
    return found | {
        "adopted": True,
        "network": better.network.model_dump(),
        "training": better.training.model_dump(),
    }


def question(search: SearchJob) -> str:
    """Return a digest of all that a trial's outcome depends on besides its parameters.

    Between two runs of a search draws may have come, settings or Helios itself may have changed.
    """
    of = json.dumps([checkpoints.digest(search.job), search.folds, search.block])
    return hashlib.sha256(of.encode()).hexdigest()[:16]


def configured(job: TrainingJob, parameters: Parameters) -> TrainingJob:
    """Return a training job with the parameters of a trial in the place of its own."""
    network = job.network.model_dump() | {name: parameters[name] for name in OF_NETWORK}
    training = job.training.model_dump() | {name: parameters[name] for name in OF_TRAINING}
    return specs.read(TrainingJob, job.model_dump() | {"network": network, "training": training})


def space(job: TrainingJob) -> dict[str, BaseDistribution]:
    """Return what is varied and within which bounds, widened to hold the configuration that stands."""
    network, training = job.network, job.training
    hidden = {size for size in HIDDEN if size % network.heads == 0} | {network.hidden}
    return {
        "hidden": CategoricalDistribution(sorted(hidden)),
        "layers": IntDistribution(1, max(3, network.layers)),
        "dropout": FloatDistribution(0.0, max(0.5, network.dropout)),
        "learning_rate": FloatDistribution(
            min(1e-4, training.learning_rate), max(1e-2, training.learning_rate), log=True
        ),
        "segments": CategoricalDistribution(sorted({*SEGMENTS, training.segments})),
    }


def _try(search: SearchJob, of: str, before: Sequence[Trial], report: Report) -> Trial:
    """Judge the configuration that comes after the trials `before`, block by block."""
    began, number, bounds = time.process_time(), len(before), space(search.job)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(
            n_startup_trials=STARTUP_TRIALS,
            # Not the state of a generator, but the trial's own number: nothing to be lost with the process.
            seed=int(np.random.SeedSequence([search.job.seed, number]).generate_state(1)[0]),
        ),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=STARTUP_TRIALS),
    )
    study.add_trials([_known(trial, bounds) for trial in before])
    asked = study.ask(bounds)
    job = search.job if number == 0 else configured(search.job, asked.params)
    gains: list[float] = []
    state: Literal["complete", "pruned", "failed"] = "complete"
    error = None
    try:
        for fold in range(search.folds):
            gains.append(_gain(job, search.first + fold * search.block, search.block))
            asked.report(fmean(gains), fold)
            report({"trial": number, "block": fold, "gain": gains[-1]})
            if number > 0 and fold + 1 < search.folds and asked.should_prune():
                state = "pruned"
                break
    except JobFailed as failure:
        state, error = "failed", str(failure)
    return Trial(
        number=number,
        question=of,
        state=state,
        parameters={name: getattr(job.network, name) for name in OF_NETWORK}
        | {name: getattr(job.training, name) for name in OF_TRAINING},
        gains=gains,
        gain=fmean(gains) if state == "complete" else None,
        error=error,
        cpu_seconds=time.process_time() - began,
    )


def _known(trial: Trial, bounds: dict[str, BaseDistribution]) -> optuna.trial.FrozenTrial:
    """Return a trial as Optuna knows it."""
    means = [fmean(trial.gains[: fold + 1]) for fold in range(len(trial.gains))]
    return create_trial(
        state=STATES[trial.state],
        value=trial.gain,
        params=dict(trial.parameters),
        distributions=bounds,
        intermediate_values=dict(enumerate(means)),
    )


def _gain(job: TrainingJob, first: int, block: int) -> float:
    """Return the mean gain over uniform, nats a draw, on a block of a network trained on the draws before.

    Raises JobFailed where the training diverges or is refused memory.
    """
    rows = job.draws[first % block : first + block]  # a walk cuts history into blocks from its first draw
    made = walk_forward.walk(
        rows, job, len(rows) - block, len(rows), job.network, job.training, job.seed,
        refit_every=block, update=False,
    )  # fmt: skip
    try:
        return fmean(forecast.gain(rows[t][:-1], rows[t][-1]) for t, forecast in made)
    except (MemoryError, RuntimeError) as error:  # the latter is torch's
        if not is_out_of_memory(error):
            raise
        raise JobFailed("The training needed more memory than a worker may have (work.memory).") from None


def _verdict(job: TrainingJob, first: int, block: int) -> float | None:
    """Return what `_gain` does, None where the training fails."""
    try:
        return _gain(job, first, block)
    except JobFailed:
        return None


def _spent(trials: Sequence[Trial]) -> float:
    return math.fsum(trial.cpu_seconds for trial in trials)
