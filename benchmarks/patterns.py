"""How often patterns are found in noise, how small a pattern is found, and what a look costs.

False alarms: noise without any pattern, of several laws, so many series of each length; the share of them in
which each detector finds something, at levels of 5 % and 0.1 %. Beside them a rule of thumb: a series has a
trend if its fitted line has a slope of more than 0.01 a step. Then whole looks: the share of them in which
anything is found, in 40 series of normal noise.

Power: the smallest size that is found nine times in ten in normal noise of standard deviation 1, by a
detector alone, at 5 %, and in a look at 40 series, at 5 % / 120. A cycle has a period of about a fifth of the
series, between the frequencies looked at, and any phase; a cluster stands anywhere.

    python benchmarks/patterns.py [SERIES] [SEED]
"""

import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from helios_agent.metacognition import patterns

LENGTHS = (10, 20, 40, 200)
LEVELS = (0.05, 0.001)
POWER, POWER_SERIES, STEPS = 0.9, 1_000, 8
LOOK, LOOKS = 40, 2_000
CHUNK = 1_000

Floats = NDArray[np.float64]
Law = Callable[[np.random.Generator, tuple[int, int]], Floats]

LAWS: dict[str, Law] = {
    "normal": lambda rng, shape: rng.standard_normal(shape),
    "Cauchy": lambda rng, shape: rng.standard_cauchy(shape),
    "lognormal": lambda rng, shape: rng.lognormal(0.0, 1.5, shape),
    "Poisson of mean 2": lambda rng, shape: rng.poisson(2.0, shape).astype(np.float64),
    "rounded to 0.5": lambda rng, shape: np.round(2.0 * rng.standard_normal(shape)) / 2.0,
    "1 of 5, else 0": lambda rng, shape: (rng.random(shape) < 0.2).astype(np.float64),
}


def rule_of_thumb(values: Floats) -> NDArray[np.bool_]:
    """Tell which series (R, n) have a line of a slope of more than 0.01."""
    steps = np.arange(values.shape[1]) - (values.shape[1] - 1) / 2
    return np.abs(values @ steps) / (steps @ steps) > 0.01


def chunks(rng: np.random.Generator, law: Law, series: int, n: int) -> Iterator[Floats]:
    for begin in range(0, series, CHUNK):
        yield law(rng, (min(CHUNK, series - begin), n))


def false_alarms(rng: np.random.Generator, law: Law, series: int, n: int) -> tuple[Floats, float]:
    """Return the share found at each level by each detector, (levels, 3), and by the rule of thumb."""
    found, thumb = np.zeros((len(LEVELS), len(patterns.KINDS))), 0
    for values in chunks(rng, law, series, n):
        p = patterns.p_values(values)
        found += np.array([(p <= level).sum(axis=0) for level in LEVELS])
        thumb += int(rule_of_thumb(values).sum())
    return found / series, thumb / series


def report_false_alarms(rng: np.random.Generator, series: int) -> None:
    error = (0.05 * 0.95 / series) ** 0.5
    print(f"found in noise, of {series:,} series each (standard error at 5 %: {error:.2%})")
    heads = [f"{kind} {level:.1%}" for level in LEVELS for kind in patterns.KINDS]
    print(f"{'law':<20}{'n':>5}" + "".join(f"{head:>15}" for head in heads) + f"{'rule of thumb':>15}")
    for name, law in LAWS.items():
        for n in LENGTHS:
            found, thumb = false_alarms(rng, law, series, n)
            cells = "".join(f"{share:>15.3%}" for share in found.ravel())
            print(f"{name:<20}{n:>5}{cells}{thumb:>15.1%}", flush=True)


def report_looks(rng: np.random.Generator) -> None:
    alarms = 0
    for _ in range(LOOKS):
        noise = rng.standard_normal((LOOK, 40)).tolist()
        alarms += bool(patterns.find({str(name): values for name, values in enumerate(noise)}).findings)
    share = f"{alarms / LOOKS:.2%}   <= 5 %"
    print(f"\n{LOOKS:,} whole looks at {LOOK} series of 40 values: anything found in {share}")


def lines(rng: np.random.Generator, n: int) -> Floats:
    return np.broadcast_to(np.arange(n, dtype=np.float64), (POWER_SERIES, n))


def waves(rng: np.random.Generator, n: int) -> Floats:
    phases = rng.uniform(0.0, 2 * np.pi, (POWER_SERIES, 1))
    return np.sin(2 * np.pi * 5.25 / n * np.arange(n) + phases)


def runs(rng: np.random.Generator, n: int, length: int) -> Floats:
    firsts = rng.integers(0, n - length + 1, (POWER_SERIES, 1))
    places = np.arange(n)
    return ((places >= firsts) & (places < firsts + length)).astype(np.float64)


def smallest(rng: np.random.Generator, kind: str, shapes: Floats, level: float, most: float) -> float | None:
    """Return the size by which shapes, (R, n), are found in normal noise with probability POWER."""
    noise = rng.standard_normal(shapes.shape)

    def is_found(size: float) -> bool:
        p = patterns.p_values(noise + size * shapes)[:, patterns.KINDS.index(kind)]
        return float((p <= level).mean()) >= POWER

    if not is_found(most):
        return None
    low, high = 0.0, most
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if is_found(middle) else (middle, high)
    return high


def report_power(rng: np.random.Generator) -> None:
    print(f"\nfound nine times in ten in normal noise of sd 1, of {POWER_SERIES:,} series each")
    print(f"{'pattern':<28}{'n':>5}{'alone, 5 %':>14}{f'in {LOOK} series':>14}")
    for n in (20, 40, 200):
        shapes = {
            "trend, slope a step": ("trend", lines(rng, n), 10.0 / n),
            "cycle, amplitude": ("cycle", waves(rng, n), 10.0),
        }
        for length in (5, 10, 20, 40):
            if length <= n // 3:
                shapes[f"cluster of {length}, shift"] = ("cluster", runs(rng, n, length), 10.0)
        for name, (kind, shape, most) in shapes.items():
            sizes = [smallest(rng, kind, shape, level, most) for level in (0.05, 0.05 / (3 * LOOK))]
            cells = "".join(f"{'never' if size is None else format(size, '.3g'):>14}" for size in sizes)
            print(f"{name:<28}{n:>5}{cells}", flush=True)


def report_cost(rng: np.random.Generator) -> None:
    print(
        "\na look at 40 series of 200 values, processor time: the first, and the best of 20 more   <= 30 ms"
    )
    steps = np.arange(200)
    for name, slope in (("noise", 0.0), ("all with a trend", 0.1)):
        noise = (rng.standard_normal((LOOK, 200)) + slope * steps).tolist()
        series = {str(row): values for row, values in enumerate(noise)}
        for cached in (patterns._normal_scores, patterns._waves, patterns._runs, patterns._kendall_critical):
            cached.cache_clear()
        taken = []
        for _ in range(21):
            begun = time.process_time()
            patterns.find(series)
            taken.append(1e3 * (time.process_time() - begun))
        print(f"{name:<28}{taken[0]:>10.1f} ms{min(taken[1:]):>10.1f} ms")


def main() -> None:
    arguments = [int(word) for word in sys.argv[1:]]
    series, seed = (*arguments, *(100_000, 1)[len(arguments) :])
    rng, begun = np.random.default_rng(seed), time.process_time()
    print(f"seed {seed}\n")
    report_cost(rng)
    report_power(rng)
    report_looks(rng)
    print()
    report_false_alarms(rng, series)
    print(f"\n{time.process_time() - begun:.0f} s of processor time")


if __name__ == "__main__":
    main()
