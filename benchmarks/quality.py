"""What share of what there is to gain the served mixture gains, and what a fair machine costs it.

Machines of 5 of 69 whose laws are known, another one for each seed: balls whose log-weights are normal with a
given standard deviation, and rules of sequence, by which yesterday's balls weigh twice as much as the others,
or those of the draw before it. The oracle is one who knows the law. It gains KL(machine ‖ fair) a draw on
average, which is known exactly; and as luck has its part in what anybody gains, a forecaster's share is its
gain over the oracle's on the same draws, those of all seeds added up. Every draw is forecast from all draws
before it.

Two spans are scored: the 1,000 draws after the first 2,000, and all 3,000 from the first. The bars are about
the former, and about the mixture that is served; each forecaster alone stands below it. Of the fair machine
the first 1,000 draws are scored. There the mixture loses at most ln 2 in all by construction, which is below
its bar: only an error could make it miss that. The experts have no such bound.

    python benchmarks/quality.py [SEEDS] [FIRST_SEED]
"""

import math
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from helios_agent.forecasting import history
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Matrix
from helios_agent.forecasting.walk_forward import gains_of_runs, mixed
from helios_agent.simulation import drums, generators
from helios_agent.simulation.machines import Drawn

POWERBALL = Matrix(69, 26, 5)
KNOWN, SCORED = 2_000, 1_000
DRAWS = KNOWN + SCORED
LOG_SDS = {"log-sd 0.4": 0.4, "log-sd 0.2": 0.2, "log-sd 0.1": 0.1}
LAGS, FACTOR = {"yesterday x2": 1, "2 draws ago x2": 2}, 2.0
BARS = {"log-sd 0.4": 90.0, "log-sd 0.2": 75.0, "log-sd 0.1": 40.0, "yesterday x2": 85.0}
"""What share of the oracle's gain the mixture has to reach, in percent."""
FAIR_DRAWS, FAIR_NATS = 1_000, 0.001
MIXTURE = "mixture"
CORES = 2

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """What one machine drew, the log-weights (DRAWS, N) by which it did, and their KL (DRAWS,) in nats."""

    drawn: Drawn
    theta: Floats
    kl_nats: Floats

    def oracle(self) -> Floats:
        """Return what one who knows the log-weights gains on each draw, in nats."""
        forecast = Forecast(self.theta, np.zeros((DRAWS, POWERBALL.bonus)), POWERBALL.pick)
        no = np.zeros(DRAWS, dtype=np.bool_)
        return forecast.log_ratio(history.Drawn(self.drawn.whites[0], self.drawn.bonus[0], no, no))


def sample(name: str, seed: int) -> Sample:
    """Return a machine's draws; another seed makes other weights, too."""
    rng, shape = np.random.default_rng(seed), (DRAWS, POWERBALL.white)
    if name in LOG_SDS:
        weights = LOG_SDS[name] * rng.standard_normal(POWERBALL.white)
        machine = drums.Weighted(POWERBALL, weights, np.zeros(POWERBALL.bonus))
        kl = np.full(DRAWS, machine.kl_nats)
        return Sample(machine.draw(rng, 1, DRAWS), np.broadcast_to(weights, shape), kl)
    sticky, lag = generators.Lagged(POWERBALL, FACTOR), LAGS[name]
    turns = sticky.draw(rng, lag, DRAWS // lag)  # as many machines as draws between, taking turns
    whites, bonus = turns.whites.swapaxes(0, 1).reshape(1, DRAWS, -1), turns.bonus.T.reshape(1, DRAWS)
    theta, kl = np.zeros(shape), np.full(DRAWS, sticky.kl_nats)
    np.put_along_axis(theta[lag:], whites[0, :-lag] - 1, math.log(FACTOR), axis=-1)
    kl[:lag] = 0.0  # nobody is shown the draws before the first
    return Sample(Drawn(whites, bonus, kl[np.newaxis]), theta, kl)


def gains_of(samples: list[Drawn]) -> dict[str, Floats]:
    """Return the gains of the mixture and of each forecaster, (samples, draws), in nats."""
    whites = np.concatenate([one.whites for one in samples])
    bonus = np.concatenate([one.bonus for one in samples])
    gains = gains_of_runs(whites, bonus, False, POWERBALL)
    return {MIXTURE: np.diff(mixed(gains), axis=1, prepend=0.0), **gains}


@dataclass(frozen=True)
class Shares:
    """Of one kind of machine: the oracle's gain, and the shares of it by forecaster, in percent.

    kl_nats, oracle_nats: the gain a draw after the first 2,000 draws, in expectation and as it was.
    late: of the draws after the first 2,000; seeds: the mixture's of each machine; whole: of all draws.
    """

    kl_nats: float
    oracle_nats: float
    late: Mapping[str, float]
    seeds: list[float]
    whole: Mapping[str, float]


def shares(name: str, seeds: range) -> Shares:
    samples = [sample(name, seed) for seed in seeds]
    gains, oracle = gains_of([one.drawn for one in samples]), np.stack([one.oracle() for one in samples])
    late = oracle[:, KNOWN:]
    return Shares(
        float(np.mean([one.kl_nats[KNOWN:] for one in samples])),
        float(late.mean()),
        {who: 100.0 * float(gain[:, KNOWN:].sum() / late.sum()) for who, gain in gains.items()},
        (100.0 * gains[MIXTURE][:, KNOWN:].sum(axis=1) / late.sum(axis=1)).tolist(),
        {who: 100.0 * float(gain.sum() / oracle.sum()) for who, gain in gains.items()},
    )


def on_a_fair_machine(seeds: range) -> dict[str, Floats]:
    """Return what each forecaster loses to uniform over the first draws, (seeds,), in nats a draw."""
    machine = drums.fair(POWERBALL)
    samples = [machine.draw(np.random.default_rng(seed), 1, FAIR_DRAWS) for seed in seeds]
    return {who: -gains.mean(axis=1) for who, gains in gains_of(samples).items()}


def line(label: str, cells: list[str]) -> str:
    return f"{label:<24}" + "".join(f"{cell:>16}" for cell in cells)


def report(found: Mapping[str, Shares]) -> None:
    columns = list(found.values())
    print(line("machine (5 of 69)", [*found]))
    print(line("oracle, nats a draw", [f"{column.kl_nats:.4f}" for column in columns]))
    print(line("  on these draws", [f"{column.oracle_nats:.4f}" for column in columns]))
    print(f"\nshare of the oracle's gain, draws {KNOWN + 1:,} to {DRAWS:,}")
    print(line(MIXTURE, [f"{column.late[MIXTURE]:.1f} %" for column in columns]))
    print(line("  seed by seed", [f"{min(c.seeds):.0f} to {max(c.seeds):.0f} %" for c in columns]))
    print(line("  bar", [f"{BARS[name]:.0f} %" if name in BARS else "-" for name in found]))
    missed = [found[name].late[MIXTURE] < bar for name, bar in BARS.items()]
    print(line("", ["NOT REACHED" if less else "reached" for less in missed]))
    alone = [who for who in columns[0].late if who != MIXTURE]
    for who in alone:
        print(line(who, [f"{column.late[who]:.1f} %" for column in columns]))
    print(f"\nshare of the oracle's gain, draws 1 to {DRAWS:,}")
    for who in (MIXTURE, *alone):
        print(line(who, [f"{column.whole[who]:.1f} %" for column in columns]))


def report_fair(lost: Mapping[str, Floats]) -> None:
    print(f"\nfair machine: nats a draw lost to uniform over {FAIR_DRAWS:,} draws, mean and worst seed")
    for who, nats in lost.items():
        print(f"{who:<24}{nats.mean() + 0.0:>16.5f}{nats.max() + 0.0:>16.5f}")
    alone = {who: nats for who, nats in lost.items() if who != MIXTURE and nats.any()}
    for which, choose in (("best", min), ("worst", max)):
        who = choose(alone, key=lambda who: alone[who].mean())
        span = f"{alone[who].min():.5f} to {alone[who].max():.5f}"
        print(f"  {which} of the experts that say something: {who}, {alone[who].mean():.5f}, seeds {span}")
    verdict = "reached" if lost[MIXTURE].mean() <= FAIR_NATS else "NOT REACHED"
    bound = f"it cannot lose more than {math.log(2) / FAIR_DRAWS:.5f}"
    print(f"  bar for the mixture: {FAIR_NATS} nats a draw, {verdict}; {bound}")


def main() -> None:
    arguments = [int(word) for word in sys.argv[1:]]
    count, first = (*arguments, *(5, 1)[len(arguments) :])
    seeds = range(first, first + count)
    print(f"seeds {first} to {first + count - 1}\n")
    with ProcessPoolExecutor(CORES) as pool:
        fair = pool.submit(on_a_fair_machine, seeds)
        names = [*LOG_SDS, *LAGS]
        report(dict(zip(names, pool.map(partial(shares, seeds=seeds), names), strict=True)))
        report_fair(fair.result())


if __name__ == "__main__":
    main()
