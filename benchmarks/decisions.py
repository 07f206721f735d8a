"""What the agent's decisions cost, and what they are worth, in careers of years under the virtual clock.

The real agent lives before a machine that is fair for ever, and before two that cease to be, with the policy
that it has by default, and with the same and no limit to what it may spend. Beside them live two that decide
nothing, but train a network after every draw, or once a week: a fifth of the lives, for they cost about the
same and take long. Told are the CPU seconds that learning took a draw, as the cost of each job is reckoned
(`simulation.inline.cost_s`), after how many draws of the changed machine the alarm came, and then, life by
life, what the agent's are beside the others.

    python benchmarks/decisions.py [SEEDS] [YEARS] [FIRST_SEED]
"""

import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from loguru import logger

from helios_agent.simulation import careers
from helios_agent.simulation.careers import Career, Plan

CORES = 2
MEMORY = Path("/dev/shm")  # noqa: S108  (a file system in memory: what is synced to disk is not in question)
LIVED = (
    ("fair", "agent"),
    ("one ball x3", "agent"), ("one ball x3", "unlimited"),
    ("log-sd 0.4", "agent"), ("log-sd 0.4", "unlimited"),
    ("fair", "always"), ("fair", "weekly"),
)  # fmt: skip
FEWEST_YEARS = 4
LEAST_S = 0.001
"""CPU seconds a draw that count as none."""
FIXED = ("always", "weekly")
FEWER = 5
"""What trains by the calendar costs about the same in every life, and much to live: fewer lives will do."""


def lived(plan: Plan) -> tuple[Career, float]:
    """Live one career; return what came of it, and the CPU seconds that living it took."""
    logger.remove()
    begun = time.process_time()
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
    try:
        career = careers.summary(careers.live(folder / "life", plan), plan)
    finally:
        shutil.rmtree(folder)
    return career, time.process_time() - begun


def told(machine: str, policy: str, years: int, found: Sequence[tuple[Career, float]]) -> str:
    """Return a line of the table."""
    half = years // 2
    made = [career for career, _ in found]
    early, late = (
        statistics.mean(career.per_draw(*span) for career in made) for span in ((1, half), (half + 1, years))
    )
    delays = [career.delay for career in made if career.delay is not None]
    leaders = [career.leader[1] for career in made if career.leader is not None]
    cells = [
        f"{early:.3f}", f"{late:.3f}",
        f"{sum(career.false_alarms > 0 for career in made)}/{len(made)}",
        f"{statistics.median(delays):.0f}" if delays else "-",
        f"{len(delays)}/{len(made)}",
        f"{statistics.median(leaders):.0f}" if leaders else "-",
        f"{statistics.mean(len(career.promotions) for career in made):.1f}",
        f"{statistics.mean(career.regret[-1] for career in made):.1f}",
        f"{sum(len(career.broken) for career in made)}",
        f"{statistics.mean(seconds for _, seconds in found):.0f}",
    ]  # fmt: skip
    return f"{machine:<14}{policy:<11}" + "".join(f"{cell:>11}" for cell in cells)


def compared(found: Mapping[tuple[str, str], Sequence[Career]], years: int) -> Iterator[str]:
    """Yield what the agent's lives are beside others, life by life."""
    late = (years // 2 + 1, years)
    always = statistics.mean(career.per_draw(*late) for career in found["fair", "always"])
    shares = [career.per_draw(*late) / always for career in found["fair", "agent"]]
    yield "\nby life, in order; fair: CPU seconds a draw in the later years, of those of always (bar: 0.1)"
    yield _listed(shares)
    for machine in ("one ball x3", "log-sd 0.4"):
        pairs = zip(found[machine, "agent"], found[machine, "unlimited"], strict=True)
        ratios = [_late(a.delay) / _late(b.delay) for a, b in pairs]
        yield f"{machine}: the alarm's delay, of that with an unlimited budget (bar: 1.2)\n{_listed(ratios)}"
        half = years // 2
        growth = [
            career.per_draw(half, years) / max(career.per_draw(1, half - 1), LEAST_S)
            for career in found[machine, "agent"]
        ]
        yield f"{machine}: CPU seconds a draw since the change, of those before it\n{_listed(growth)}"


def _late(delay: int | None) -> float:
    """Return after how many draws the alarm came, the first counted as 1; infinity if it never did."""
    return math.inf if delay is None else delay + 1.0


def _listed(values: Iterable[float]) -> str:
    return "  " + " ".join(f"{value:.3f}" for value in sorted(values))


def main() -> None:
    arguments = [int(word) for word in sys.argv[1:]]
    seeds, years, first = (*arguments, *(3, 10, 1)[len(arguments) :])
    if years < FEWEST_YEARS:
        sys.exit(f"YEARS is {years}; expected {FEWEST_YEARS} or more: machines change in the middle")
    plans = {
        (machine, policy): [
            Plan(machine, policy, seed, years, years // 2)
            for seed in range(first, first + (max(1, seeds // FEWER) if policy in FIXED else seeds))
        ]
        for machine, policy in LIVED
    }
    half = years // 2
    print(f"{seeds} seeds, {years} years; a machine that changes does so when year {half} begins\n")
    heads = (
        f"s/draw 1-{half}", f"{half + 1}-{years}", "false", "delay", "found", "leads", "promoted", "regret",
        "broken", "s a life",
    )  # fmt: skip
    print(f"{'machine':<14}{'policy':<11}" + "".join(f"{head:>11}" for head in heads))
    found: dict[tuple[str, str], list[Career]] = {}
    with ProcessPoolExecutor(CORES) as pool:
        results = pool.map(lived, [plan for some in plans.values() for plan in some])
        for of, some in plans.items():
            ended = [next(results) for _ in some]
            found[of] = [career for career, _ in ended]
            print(told(*of, years, ended), flush=True)
    for line in compared(found, years):
        print(line)
    print(
        "\ns/draw: CPU seconds of trainings, searches and backtests a draw. false: careers with an alarm"
        "\nbefore any change. delay: draws until the alarm, the median of those found. leads: draws until a"
        "\nforecaster held more than half of the mixture. promoted: models a career. regret: of the last"
        "\nyear. broken: what was decided within its cooldown, twice in one decision, or otherwise when"
        "\ndecided again. s a life: CPU seconds that it took to live it."
    )


if __name__ == "__main__":
    main()
