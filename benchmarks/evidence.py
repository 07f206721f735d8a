"""How soon the served mixture finds out machines that are not fair, and what a fair one costs it.

Each unfair machine is drawn in independent runs until nearly all of them are found out: the mixture's log
score gain over chance reaches log(1/alpha). Beside it stand the oracle, log(1/alpha) / KL(machine ‖ fair),
the mean delay of one who knows the machine, and a chi-square of the main balls looked at every month under
Bonferroni's correction for the months of ten years. Then a fair machine, and the replay of the real draws.

    python benchmarks/evidence.py [RUNS] [FAIR_RUNS] [SEED]
"""

import math
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from helios_agent.feeds import packaged
from helios_agent.forecasting import audit, experts
from helios_agent.forecasting.experts import PRIORS
from helios_agent.forecasting.history import History, Matrix
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.panel import Panel
from helios_agent.forecasting.walk_forward import evidence_of_runs, walk_forward
from helios_agent.lottery import games
from helios_agent.simulation import drums, generators
from helios_agent.simulation.machines import Drawn, Machine

POWERBALL = Matrix(69, 26, 5)
ALPHA = 0.01
FAIR_DRAWS, FAIR_BATCH = 5_000, 50
FAIR_ALPHAS = (0.05, 0.01)
DRAWS_A_MONTH, MONTHS = 13, 120
CORES = 2


@dataclass(frozen=True)
class Scenario:
    """An unfair machine, how many draws it is watched for, and the bars: (reach, aim) in draws or repeats.

    Those without bars are not among the hypotheses of any expert.
    """

    name: str
    machine: Machine
    draws: int
    bars: tuple[int, int] | None = None


def scenarios() -> list[Scenario]:
    low = range(1, 35)
    return [
        Scenario("one ball x2", drums.weighted_balls(POWERBALL, [17], 2.0), 1200, (500, 400)),
        Scenario("one ball x3", drums.weighted_balls(POWERBALL, [17], 3.0), 500, (155, 125)),
        Scenario("one ball x5", drums.weighted_balls(POWERBALL, [17], 5.0), 200, (54, 46)),
        Scenario("one ball missing", drums.missing_ball(POWERBALL, 17), 500, (186, 125)),
        Scenario("all balls, log-sd 0.2", drums.RandomWeights(POWERBALL, 0.2), 700, (290, 240)),
        Scenario("all balls, log-sd 0.4", drums.RandomWeights(POWERBALL, 0.4), 250, (80, 62)),
        Scenario("low half x1.3", drums.weighted_balls(POWERBALL, low, 1.3), 700, (400, 180)),
        Scenario("exact repeats, 1 in 20", generators.Repeats(POWERBALL, 0.05), 300, (3, 2)),
        Scenario("one ball x4", drums.weighted_balls(POWERBALL, [17], 4.0), 300),
        Scenario("one ball x10", drums.weighted_balls(POWERBALL, [17], 10.0), 150),
        Scenario("two balls x2", drums.weighted_balls(POWERBALL, [17, 40], 2.0), 1000),
        Scenario("twenty balls x1.3", drums.weighted_balls(POWERBALL, range(50, 70), 1.3), 1500),
        Scenario("bonus ball x3", drums.weighted_bonus(POWERBALL, [7], 3.0), 1000),
    ]


def first_at(reached: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the 1-based number of the first draw at which each run has reached it; infinity for never."""
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + 1.0, np.inf)


def watched(scenario: Scenario, runs: int, seed: int) -> tuple[Drawn, NDArray[np.float64]]:
    drawn = scenario.machine.draw(np.random.default_rng(seed), runs, scenario.draws)
    return drawn, evidence_of_runs(drawn.whites, drawn.bonus, True, POWERBALL)


def monthly_chi_square(drawn: Drawn) -> NDArray[np.float64]:
    """Return after how many draws a test at each month's end, corrected for ten years of them, rejects."""
    runs, draws, _ = drawn.whites.shape
    months = np.arange(DRAWS_A_MONTH, draws + 1, DRAWS_A_MONTH)
    rejected = np.full((runs, len(months)), False)
    for run in range(runs):
        history = History(drawn.whites[run], drawn.bonus[run], 69, 26, np.ones(draws, dtype=np.bool_))
        for month, until in enumerate(months):
            found = audit.whites(history.before(int(until)))
            rejected[run, month] = found is not None and found.p <= ALPHA / MONTHS
            if rejected[run, month]:
                break
    month = first_at(rejected)
    return month * DRAWS_A_MONTH


def detection(scenario: Scenario, runs: int, seed: int) -> str:
    drawn, evidence = watched(scenario, runs, seed)
    found = first_at(evidence >= math.log(1.0 / ALPHA))
    quartiles = [f"{value:.0f}" for value in np.quantile(found, (0.25, 0.5, 0.75), method="higher")]
    oracle = "-" if drawn.kl_nats is None else f"{math.log(1 / ALPHA) / float(np.median(drawn.kl_nats)):.0f}"
    unit, median = "draws", float(np.median(found))
    if isinstance(scenario.machine, generators.Repeats):
        history = [np.sort(run, axis=1) for run in drawn.whites]
        counts = [repeats_until(run, int(until)) for run, until in zip(history, found, strict=True)]
        unit, median = "repeats", statistics.median(counts)
    classical = np.median(monthly_chi_square(drawn))
    bars = ""
    if scenario.bars is not None:
        reach, aim = scenario.bars
        verdict = "aim" if median <= aim else "reached" if median <= reach else "NOT REACHED"
        bars = f"{reach:>8}{aim:>6}  {verdict}"
    return (
        f"{scenario.name:<24}{oracle:>8}{median:>9.0f} {unit:<8}{'–'.join((quartiles[0], quartiles[2])):>10}"
        f"{'never' if math.isinf(classical) else f'{classical:.0f}':>12}{bars}"
    )


def repeats_until(whites: NDArray[np.int64], until: int) -> int:
    """Return how many of the first `until` draws ((T, k), sorted) have the balls of an earlier one."""
    return until - len(np.unique(whites[:until], axis=0))


def fair_batch(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest and the smallest evidence of each run of a batch on a fair machine."""
    drawn = drums.fair(POWERBALL).draw(np.random.default_rng(seed), FAIR_BATCH, FAIR_DRAWS)
    evidence = evidence_of_runs(drawn.whites, drawn.bonus, True, POWERBALL)
    return evidence.max(axis=1), evidence.min(axis=1)


def fair(pool: ProcessPoolExecutor, runs: int, seed: int) -> None:
    batches = list(pool.map(fair_batch, range(10_000 + seed, 10_000 + seed + -(-runs // FAIR_BATCH))))
    peaks, troughs = (np.concatenate(column)[:runs] for column in zip(*batches, strict=True))
    print(f"\nfair machine, {FAIR_DRAWS:,} draws, {len(peaks):,} runs")
    for alpha in FAIR_ALPHAS:
        share = float((peaks >= math.log(1.0 / alpha)).mean())
        print(f"  ever crosses 1/alpha, alpha = {alpha:g}: {share:.3f} of the runs (bar: <= {alpha:g})")
    print(f"  worst total loss against uniform: {-troughs.min():.6f} nats (bar: <= ln 2 = {math.log(2):.6f})")


def replay() -> None:
    drawn = [d for d in packaged.read(games.POWERBALL).draws if d.day >= games.POWERBALL.eras[-1].start]
    rows, ordered = [[*d.whites, d.bonus] for d in drawn], [d.ordered for d in drawn]
    history = History.from_rows(rows, 5, 69, 26, ordered)
    stages = walk_forward(history, 0, Ledger.start(PRIORS), Panel(experts.start(history.matrix)))
    times = [time.perf_counter()]
    while list(islice(stages, 352)):
        times.append(time.perf_counter())
    quarters = [1000 * (b - a) / 352 for a, b in pairwise(times)]
    print(f"\nreplay of {len(history):,} real draws, all experts and the mixture")
    print(f"  {times[-1] - times[0]:.2f} s on one core (bar: <= 3 s on two)")
    print(
        f"  a draw costs, quarter by quarter: {', '.join(f'{ms:.2f}' for ms in quarters)} ms (bar: constant)"
    )


def main() -> None:
    arguments = [int(word) for word in sys.argv[1:]]
    runs, fair_runs, seed = (*arguments, *(800, 1000, 1)[len(arguments) :])
    replay()
    print(f"\ndraws until found out at alpha = {ALPHA:g}, {runs} runs each; seed {seed}")
    print(f"{'machine (5 of 69)':<24}{'oracle':>8}{'median':>9} {'':<8}{'quartiles':>10}{'chi-square':>12}"
          f"{'reach':>8}{'aim':>6}")  # fmt: skip
    with ProcessPoolExecutor(CORES) as pool:
        for line in pool.map(partial(detection, runs=runs, seed=seed), scenarios()):
            print(line, flush=True)
        fair(pool, fair_runs, seed)


if __name__ == "__main__":
    main()
