"""The network's forecasts of past draws, each made from the draws before it alone.

History is cut into blocks of `refit_every` draws, counted from its first draw. For each block a network is
trained from nothing on the draws before the block, as a training job would have done then, but for its
shrinkage, which is fitted by continuation instead of exact windows. Within the block it is kept current draw
by draw, as a served network is. Where blocks begin does not depend on what was asked for: any part of the
history can be forecast apart from the rest, by another process, with the same outcome.
"""

from collections.abc import Iterator

import torch

from helios_agent.config.model import draws_needed
from helios_agent.forecasting.forecast import Forecast
from helios_agent.learning import data, fitting, scoring
from helios_agent.learning.network import PowerballNet
from helios_agent.learning.reproducible import reproducible
from helios_agent.learning.specs import NetworkSpec, TrainingSpec
from helios_agent.learning.updating import Current
from helios_agent.registry.card import Matrix, Row

SHRINKAGE_SEGMENT = 8
"""Draws of a segment by which the shrinkage is fitted: near to exact windows, for much less work."""


def walk(
    rows: list[Row],
    matrix: Matrix,
    first: int,
    last: int,
    network: NetworkSpec,
    training: TrainingSpec,
    seed: int,
    refit_every: int = 50,
    update: bool = True,
) -> Iterator[tuple[int, Forecast]]:
    """Yield (t, the forecast of draw t made from rows[:t]) for t in first … last − 1.

    `rows` are draws of one era, balls numbered from 1. Without `update`, a network stays as it was trained
    until the next block. Draws of blocks that begin before a training has enough draws are forecast uniform.
    Cut work at multiples of `refit_every` to share it: a block is then computed once. Raises ValueError for
    what lies outside the history, JobFailed when a training diverges.
    """
    if not 0 <= first <= last <= len(rows):
        raise ValueError(
            f"first is {first} and last {last}; expected 0 <= first <= last <= {len(rows)} draws"
        )
    if refit_every < 1:
        raise ValueError(f"refit_every is {refit_every}; expected 1 or more")
    matrix.check(rows[:last])
    if first == last:
        return
    needed = draws_needed(network.sequence, training.validation)
    for begin in range(first - first % refit_every, last, refit_every):
        wanted = range(max(first, begin), min(last, begin + refit_every))
        if begin < needed:
            yield from ((t, Forecast.uniform(matrix.white, matrix.bonus, matrix.pick)) for t in wanted)
            continue
        past = data.from_rows(rows[:begin])
        net, shrinkage = _trained(past, matrix, network, training, seed)
        if update:
            current = Current(net, past, matrix, training, shrinkage, f"{seed}:{begin}")
            for t in wanted:
                current.take(rows[len(current) : t])
                said = current.forecast()
                yield t, Forecast(said["white"], said["bonus"], matrix.pick)
        else:
            yield from _as_trained(net, rows, begin, wanted, matrix, shrinkage)


def _trained(
    past: data.Draws, matrix: Matrix, network: NetworkSpec, training: TrainingSpec, seed: int
) -> tuple[PowerballNet, float]:
    """Return a network trained on `past`, and its shrinkage."""
    first = len(past) - training.validated(len(past))
    with reproducible(seed, training.threads):
        net = PowerballNet(network, matrix)
        fitting.fit(net, past, matrix, training, seed, lambda progress: None)
        said = scoring.say_by_continuation(net, past, first, SHRINKAGE_SEGMENT)
        return net, scoring.best_shrinkage(said, past[first:])


def _as_trained(
    net: PowerballNet, rows: list[Row], begin: int, wanted: range, matrix: Matrix, shrinkage: float
) -> Iterator[tuple[int, Forecast]]:
    """Yield the forecasts of the draws `wanted` of the block from `begin` on, each from its own window.

    The last bits of a row depend on the size of its batch: batches are therefore cut alike, and filled up,
    whatever part of the block is wanted.
    """
    seen = data.from_rows(rows[: wanted[-1]])
    net.eval()
    for start in range(begin, wanted.stop, scoring.WINDOWS_AT_ONCE):
        batch = range(start, start + scoring.WINDOWS_AT_ONCE)
        targets = torch.tensor(batch).clamp(max=wanted[-1])
        window = seen[data.stretches(targets - net.sequence, net.sequence)]
        with reproducible(0, threads=1), torch.no_grad():
            outputs = net(window.whites, window.bonus)
        for t in wanted:
            if t in batch:
                white = shrinkage * outputs.white[t - start, -1].double().numpy()
                bonus = shrinkage * outputs.bonus[t - start, -1].double().numpy()
                yield t, Forecast(white, bonus, matrix.pick)
