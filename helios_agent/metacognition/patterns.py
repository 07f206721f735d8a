"""Patterns in a measured series: a trend, a cycle, a cluster of unusual values, and how likely chance is.

Every detector tests one hypothesis: that the values are exchangeable, which means that every order of them is
equally likely. Independent noise is, of whatever law, with ties or without. A finding says that the order is
not by chance. It does not say that there is nothing but a line, a wave or a step: a series in which each
value leans on the one before it, such as a running total, is not exchangeable, and is rightly found to have
a trend or a cycle. Of a running total look at the increments. And one departure may be found as more than one
kind: a step is a cluster, a trend as well, and a slow wave.

Only ranks enter the tests, so that no law of the noise is assumed, and outliers weigh little. For cycle and
cluster they become van der Waerden's normal scores Φ⁻¹(rank/(n + 1)); tied values get the mean of theirs; and
they are divided by the length that they have without ties. In normal noise such a vector points anywhere on a
sphere of n − 1 dimensions, and its correlation with a pattern has a Beta law. The scores are fixed numbers in
random order instead, so the law is an approximation there. How good it is, benchmarks/patterns.py measures;
what it lacks is made up for (CYCLE_FACTOR, least_p). Ties shorten the vector: they cost power, and make no
false alarms.

A series with a strong trend (STRONG_TREND) is freed from its Theil-Sen line before cycle and cluster are
looked for. Any other is left as it is, which keeps its order exchangeable: that of residuals from a fitted
line is not quite. Without any trend one series in a hundred is called strong, which adds about a hundredth
of the level.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

KINDS = ("trend", "cycle", "cluster")
LEVEL = 0.05
MOST_LEVEL = 0.1
"""Beyond this level the p-values of a cluster are no upper bounds at the smallest n."""
LEAST_VALUES = 10
STRONG_TREND = 0.01
INTERVAL_ALPHA = 0.05
EXACT_VALUES = 100
"""Up to so many values the law of Kendall's S is computed exactly; the normal law bounds its tails beyond."""
CYCLE_FACTOR = 2.0
"""How much likelier a cycle is in scores in random order than on the sphere: measured 0.9 to 1.5 times, at
levels of 0.1 to 0.0001 and n from 10 to 100, the most at the smallest n."""
SHORTEST_CLUSTER = 3
ROUNDING = 1e-12
"""Residuals that differ by less than this share of the largest value are ties: only rounding differs."""

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Finding:
    """A pattern that chance hardly makes.

    kind: trend, cycle or cluster. p: the probability that values in random order show one as clear, at most;
    in what `find` returns, that any of all the series it looked at shows any pattern as clear. values: how
    many there were. size: how large it is, in the unit of the series and in steps from one value to the next:
    see the detector of its kind.
    """

    kind: str
    p: float
    values: int
    size: Mapping[str, float]
    says: str
    series: str = "The series"

    @property
    def sentence(self) -> str:
        """Say it in plain words."""
        p = f"{self.p:.2g} at most" if self.p >= 1e-6 else "less than 0.000001"
        return f"{self.series} {self.says}; by chance alone that has a probability of {p}."


@dataclass(frozen=True)
class Patterns:
    """What was found in many series, the clearest first, and the series that were too short to look at."""

    findings: tuple[Finding, ...]
    too_short: tuple[str, ...]


def find(series: Mapping[str, Sequence[float | None]], level: float = LEVEL) -> Patterns:
    """Look for every pattern in every series; where there is none, find any with probability `level` at most.

    That is what Holm's correction over all tests keeps, however the series depend on each other (Scand. J.
    Statist. 6, 1979). Values that are None are left out, and those around them move together; the positions
    of a cluster are those in the series as given. A series of fewer than LEAST_VALUES values is too short.
    One that never changes has no order to test, and does not count as tested. The cost grows with the square
    of the length.

    Raises ValueError for a value that is no finite number, and for a level above MOST_LEVEL.
    """
    _check(level)
    too_short, by_length = [], dict[int, dict[str, tuple[Floats, list[int]]]]()
    for name, given in series.items():
        places = [place for place, value in enumerate(given) if value is not None]
        values = _finite([given[place] for place in places], name)
        if len(places) < LEAST_VALUES:
            too_short.append(name)
        elif values.min() < values.max():
            by_length.setdefault(len(places), {})[name] = values, places
    found, tests = list[Finding](), 0
    for some in by_length.values():
        tests += len(KINDS) * len(some)
        tested = _test(np.stack([values for values, _ in some.values()]))
        for row, (name, (_, places)) in enumerate(some.items()):
            found += [replace(_at(one, places), series=name) for one in _findings(tested, row, level)]
    return Patterns(tuple(_holm(found, tests, level)), tuple(too_short))


def trend(values: Sequence[float], level: float = LEVEL) -> Finding | None:
    """Return a trend that is significant at `level`, by Mann and Kendall's test, or None.

    size: the `slope` a step by Theil and Sen, and its interval at 95 %, `low` to `high`.

    The law of S is the exact one of values without ties, two-sided. A tied pair counts nothing, and S is
    rounded towards 0 where ties make it even or odd against that law: ties can only hide a trend. Sources:
    Mann, Econometrica 13 (1945); Sen, J. Amer. Statist. Assoc. 63 (1968). Raises ValueError as `find` does.
    """
    return _alone("trend", values, level)


def cycle(values: Sequence[float], level: float = LEVEL) -> Finding | None:
    """Return a cycle that is significant at `level`, or None.

    size: its `period` in steps, more than 2 and at most half of the series, and its `amplitude`, half of what
    lies between crest and trough of the wave fitted by least squares.

    The test is Fisher's of the largest ordinate of the periodogram, of normal scores, at the Fourier
    frequencies and halfway between them: the share R² of the scores that lies in the plane of a wave has
    P(R² > x) = (1 − x)^((n − 3)/2) on the sphere, which is summed over all frequencies, times CYCLE_FACTOR.
    Source: Fisher, Proc. R. Soc. A 125 (1929). Raises ValueError as `find` does.
    """
    return _alone("cycle", values, level)


def cluster(values: Sequence[float], level: float = LEVEL) -> Finding | None:
    """Return a run of unusually high, or low, values that is significant at `level`, or None.

    size: its `first` and `last` position, from 0, its `length`, and the `excess` of its median over that of
    all other values, in robust standard deviations of those: 1.4826 times their median absolute deviation, or
    the standard deviation of the series where more than half of them are equal.

    The test is a scan: runs of 3 values, and of lengths growing by a quarter up to a third of the series, in
    all places, each against all other values. The p-value is the number of runs times the two-sided law of
    the correlation on the sphere, or times 2/C(n, k) where that is more: so likely do the k highest, or the
    k lowest, stand side by side in a given place. Hence no cluster can be found in 10 values, whatever they
    are. Raises ValueError as `find` does.
    """
    return _alone("cluster", values, level)


def p_values(values: Floats) -> Floats:
    """Return the p-values of series of one length, (series, n), in the order of KINDS, (series, 3)."""
    return _test(values).p


@dataclass(frozen=True)
class _Tested:
    """Series of one length, (R, n), as given and freed from strong trends, and what the tests said of each.

    lines: slope and interval of those with a strong trend, by row. scores: those of the freed ones, (R, n).
    p: (R, 3), in the order of KINDS.
    """

    values: Floats
    freed: Floats
    lines: Mapping[int, tuple[float, float, float]]
    scores: Floats
    p: Floats


def _test(values: Floats) -> _Tested:
    n = values.shape[1]
    trend_p = _kendall_p(n, np.abs(_kendall(values)))
    freed = values.copy()
    lines = {int(row): _slopes(values[row]) for row in np.flatnonzero(trend_p <= STRONG_TREND)}
    for row, (slope, _, _) in lines.items():
        grain = ROUNDING * float(np.abs(values[row]).max())
        freed[row] = np.round((values[row] - slope * np.arange(n)) / grain) * grain
    scores = _scores(freed)
    cycle_p, cluster_p = _cycle_p(n, _shares(scores)), _cluster_p(n, _correlations(scores)).min(axis=1)
    return _Tested(values, freed, lines, scores, np.stack([trend_p, cycle_p, cluster_p], axis=1))


def _findings(tested: _Tested, row: int, level: float) -> list[Finding]:
    """Return what is significant at `level` in one of the series that were tested."""
    n = tested.values.shape[1]
    describe = {
        "trend": lambda: _describe_trend(n, tested.lines.get(row) or _slopes(tested.values[row])),
        "cycle": lambda: _describe_cycle(tested.freed[row], tested.scores[row]),
        "cluster": lambda: _describe_cluster(tested.freed[row], tested.scores[row]),
    }
    return [
        Finding(kind, float(p), n, *describe[kind]())
        for kind, p in zip(KINDS, tested.p[row], strict=True)
        if p <= level
    ]


def _alone(kind: str, values: Sequence[float], level: float) -> Finding | None:
    _check(level)
    if len(values) < LEAST_VALUES:
        return None
    tested = _test(_finite(values, "the series")[np.newaxis])
    return next((one for one in _findings(tested, 0, level) if one.kind == kind), None)


def _describe_trend(n: int, line: tuple[float, float, float]) -> tuple[dict[str, float], str]:
    slope, low, high = line
    says = (
        f"{'rises' if low + high > 0 else 'falls'} by {abs(slope):.3g} a step over {n} values "
        f"(slope {low:.3g} to {high:.3g}, with 95 % confidence)"
    )
    return {"slope": slope, "low": low, "high": high}, says


def _describe_cycle(values: Floats, scores: Floats) -> tuple[dict[str, float], str]:
    n, clearest = len(values), int(np.argmax(_shares(scores[np.newaxis])))
    period = 1.0 / float(_waves(n).frequencies[clearest])
    angles = 2 * np.pi / period * np.arange(n)
    fitted = np.linalg.lstsq(np.stack([np.cos(angles), np.sin(angles), np.ones(n)], axis=1), values)[0]
    amplitude = math.hypot(fitted[0], fitted[1])
    says = f"goes up and down once in {period:.3g} steps, by {amplitude:.3g} either way, over {n} values"
    return {"period": period, "amplitude": amplitude}, says


def _describe_cluster(values: Floats, scores: Floats) -> tuple[dict[str, float], str]:
    runs, correlations = _runs(len(values)), _correlations(scores[np.newaxis])
    length = int(np.argmin(_cluster_p(len(values), correlations)))
    begin, end = (*runs.begins, len(runs.starts))[length : length + 2]
    clearest = begin + int(np.argmax(correlations[0, begin:end]))
    first, end = int(runs.starts[clearest]), int(runs.ends[clearest])
    others = np.delete(values, np.s_[first:end])
    middle = float(np.median(others))
    spread = 1.4826 * float(np.median(np.abs(others - middle))) or float(values.std())
    excess = (float(np.median(values[first:end])) - middle) / spread
    says = (
        f"lies {abs(excess):.3g} robust standard deviations {'higher' if excess > 0 else 'lower'} than "
        f"otherwise for {end - first} of {len(values)} values"
    )
    return {"first": first, "last": end - 1, "length": end - first, "excess": excess}, says


def _kendall(values: Floats) -> Integers:
    """Return Kendall's S of each series, (R,): the pairs that rise less those that fall."""
    columns = np.ascontiguousarray(values.T)
    net = np.zeros(columns.shape, dtype=np.int32)
    for steps in range(1, len(columns)):
        later, earlier = columns[steps:], columns[:-steps]
        net[steps:] += later > earlier
        net[steps:] -= later < earlier
    found: Integers = net.sum(axis=0, dtype=np.int64)
    return found


def _slopes(values: Floats) -> tuple[float, float, float]:
    """Return the median of the slopes between all pairs, a step, and its interval.

    A slope lies in the interval if the values less their line have no trend significant at INTERVAL_ALPHA.
    """
    first, second, steps = _pairs(len(values))
    slopes = (values.take(second) - values.take(first)) / steps
    count = len(slopes)
    low = (count - _kendall_critical(len(values))) // 2
    places = (low, (count - 1) // 2, count // 2, count - 1 - low)
    ordered = np.partition(slopes, places)[list(places)]
    return float(ordered[1] + ordered[2]) / 2, float(ordered[0]), float(ordered[3])


def _scores(values: Floats) -> Floats:
    """Return the normal scores of each series, (R, n), of length 1 without ties and less with them."""
    n = values.shape[1]
    order = np.argsort(values, axis=1)
    ranked = np.take_along_axis(values, order, axis=1)
    differs, edge = ranked[:, 1:] != ranked[:, :-1], np.ones((len(values), 1), dtype=np.bool_)
    places = np.arange(n)
    firsts = np.maximum.accumulate(np.where(np.hstack([edge, differs]), places, 0), axis=1)
    lasts = np.where(np.hstack([differs, edge]), places, n)
    ends = np.minimum.accumulate(lasts[:, ::-1], axis=1)[:, ::-1] + 1
    sums = np.concatenate(([0.0], np.cumsum(_normal_scores(n))))
    scores = np.empty_like(values)
    np.put_along_axis(scores, order, (sums[ends] - sums[firsts]) / (ends - firsts), axis=1)
    return scores


def _shares(scores: Floats) -> Floats:
    """Return the share R² of the scores, (R, n), that lies in the plane of each wave, (R, K)."""
    n, waves = scores.shape[1], _waves(scores.shape[1])
    found = np.fft.rfft(scores, 2 * n, axis=1)[:, waves.first : waves.first + len(waves.frequencies)]
    cos, sin = found.real, -found.imag
    shares: Floats = waves.cc * cos**2 + 2 * waves.cs * cos * sin + waves.ss * sin**2
    return shares


def _cycle_p(n: int, shares: Floats) -> Floats:
    """Return the p-value of the clearest of all waves, (R,)."""
    rest = np.clip(1.0 - shares.max(axis=1), 0.0, 1.0)
    p: Floats = np.minimum(1.0, CYCLE_FACTOR * shares.shape[1] * rest ** ((n - 3) / 2))
    return p


def _correlations(scores: Floats) -> Floats:
    """Return the correlations of the scores, (R, n), with the runs, without their sign, (R, M)."""
    runs = _runs(scores.shape[1])
    totals = np.cumsum(np.pad(scores, ((0, 0), (1, 0))), axis=1)
    found: Floats = np.abs(totals.take(runs.ends, axis=1) - totals.take(runs.starts, axis=1)) / runs.norms
    return found


def _cluster_p(n: int, correlations: Floats) -> Floats:
    """Return the p-value of the clearest run of each length, among the runs of all lengths, (R, L)."""
    runs = _runs(n)
    largest = np.maximum.reduceat(correlations, runs.begins, axis=1)
    p: Floats = np.minimum(1.0, len(runs.starts) * np.maximum(_correlation_p(n, largest), runs.least_p))
    return p


def _correlation_p(n: int, correlations: Floats) -> Floats:
    """Return an upper bound of P(|r| ≥ correlation) on the sphere of n − 1 dimensions.

    The density of r is (1 − r²)^((n − 4)/2) / B(1/2, (n − 2)/2); times r/correlation ≥ 1 it integrates.
    """
    log_beta = math.lgamma(0.5) + math.lgamma((n - 2) / 2) - math.lgamma((n - 1) / 2)
    clipped = np.clip(correlations, 1e-3, 1.0 - 1e-12)
    logs = (n - 2) / 2 * np.log1p(-(clipped**2)) - log_beta
    bound: Floats = np.minimum(1.0, 2.0 * np.exp(logs) / (clipped * (n - 2)))
    return bound


@lru_cache(maxsize=64)
def _normal_scores(n: int) -> Floats:
    scores = np.array([NormalDist().inv_cdf(rank / (n + 1)) for rank in range(1, n + 1)])
    unit: Floats = scores / np.linalg.norm(scores)
    return unit


@lru_cache(maxsize=4)
def _pairs(n: int) -> tuple[Integers, Integers, Floats]:
    """Return all pairs of places, the earlier first, and how many steps lie between."""
    first, second = np.triu_indices(n, 1)
    return first, second, (second - first).astype(np.float64)


@lru_cache(maxsize=64)
def _kendall_law(n: int) -> Floats:
    """Return P(d of the pairs fall, or fewer) for d from 0 to half of the pairs: the law of inversions."""
    law = np.zeros(n * (n - 1) // 4 + 1)
    law[0] = 1.0
    for values in range(2, n + 1):
        # A further value stands behind 0 to values − 1 greater ones, each as likely.
        sums = np.cumsum(law)
        law = sums.copy()
        law[values:] -= sums[:-values]
        law /= values
    return np.cumsum(law)


def _kendall_p(n: int, sizes: Integers) -> Floats:
    """Return P(|S| ≥ size) of n values without ties in random order, (R,)."""
    if n <= EXACT_VALUES:
        law = _kendall_law(n)
        falling = np.minimum((n * (n - 1) // 2 - sizes + 1) // 2, len(law) - 1)
        return np.minimum(1.0, 2.0 * law[falling])
    scale = math.sqrt(n * (n - 1) * (2 * n + 5) / 9)
    return np.array([math.erfc(max(0, size - 1) / scale) for size in sizes.tolist()])


@lru_cache(maxsize=64)
def _kendall_critical(n: int) -> int:
    """Return the smallest |S| of values without ties that is significant at INTERVAL_ALPHA."""
    pairs = n * (n - 1) // 2
    sizes = np.arange(pairs % 2, pairs + 1, 2)
    return int(sizes[np.argmax(_kendall_p(n, sizes) <= INTERVAL_ALPHA)])


@dataclass(frozen=True)
class _Waves:
    """The waves that n values are compared with: `frequencies` in cycles a step, (K,), i/2n from i = `first`.

    cc, cs, ss: the inverse of the Gram matrix of cosine and sine, each less its mean, (K,).
    """

    first: int
    frequencies: Floats
    cc: Floats
    cs: Floats
    ss: Floats


@lru_cache(maxsize=64)
def _waves(n: int) -> _Waves:
    """Return the waves from two periods in n values up to nearly two values a period."""
    first = 4
    frequencies = np.arange(first, n) / (2 * n)
    angles = 2 * np.pi * frequencies[:, np.newaxis] * np.arange(n)
    cos, sin = np.cos(angles), np.sin(angles)
    cos -= cos.mean(axis=1, keepdims=True)
    sin -= sin.mean(axis=1, keepdims=True)
    cc, cs, ss = (cos * cos).sum(axis=1), (cos * sin).sum(axis=1), (sin * sin).sum(axis=1)
    determinant = cc * ss - cs * cs
    return _Waves(first, frequencies, ss / determinant, -cs / determinant, cc / determinant)


@dataclass(frozen=True)
class _Runs:
    """The runs that are compared with all other values: values[starts[i] : ends[i]], the shortest first.

    norms: what the sum of a run's scores is divided by to be a correlation. begins: where the runs of each
    length begin. least_p: below which p no run of each length can be, 2/C(n, k).
    """

    starts: Integers
    ends: Integers
    norms: Floats
    begins: Integers
    least_p: Floats


@lru_cache(maxsize=64)
def _runs(n: int) -> _Runs:
    lengths = [SHORTEST_CLUSTER]
    while (longer := max(lengths[-1] + 1, round(lengths[-1] * 1.25))) <= n // 3:
        lengths.append(longer)
    counts = np.array([n - k + 1 for k in lengths])
    starts = np.concatenate([np.arange(count) for count in counts])
    of_run = np.repeat(lengths, counts)
    norms = np.sqrt(of_run * (1.0 - of_run / n))
    least = np.array([2.0 * math.exp(-math.log(math.comb(n, k))) for k in lengths])
    return _Runs(starts, starts + of_run, norms, np.cumsum(counts) - counts, least)


def _holm(found: list[Finding], tests: int, level: float) -> list[Finding]:
    """Return the findings that stand among so many tests, the clearest first, with their adjusted p."""
    standing, largest = list[Finding](), 0.0
    for rank, finding in enumerate(sorted(found, key=lambda one: one.p)):
        largest = max(largest, (tests - rank) * finding.p)
        if largest > level:
            break
        standing.append(replace(finding, p=largest))
    return standing


def _at(finding: Finding, places: Sequence[int]) -> Finding:
    """Return a finding with the positions of a cluster among all values, the missing ones included."""
    if finding.kind != "cluster":
        return finding
    ends = {name: places[int(finding.size[name])] for name in ("first", "last")}
    return replace(finding, size={**finding.size, **ends})


def _finite(values: Sequence[float | None], name: str) -> Floats:
    made = np.array(values, dtype=np.float64)
    wrong = np.flatnonzero(~np.isfinite(made))
    if wrong.size:
        raise ValueError(f"value {wrong[0] + 1} of {name} is {made[wrong[0]]}; expected a finite number")
    return made


def _check(level: float) -> None:
    if not 0.0 < level <= MOST_LEVEL:
        raise ValueError(f"level is {level}; expected more than 0 and at most {MOST_LEVEL}")
