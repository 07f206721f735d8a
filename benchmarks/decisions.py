"""What the agent's decisions cost, and what they are worth, in careers of years under the virtual clock.

The real agent lives before a machine that is fair for ever, and before two that cease to be, with the policy
that it has by default; with the same and no limit to what it may spend; and with two that decide nothing, but
train a network after every draw, or once a week. Told are the CPU seconds that learning took a draw, as the
cost of each job is reckoned (`simulation.inline.cost_s`), and after how many draws of the changed machine the
alarm came.

    python benchmarks/decisions.py [SEEDS] [YEARS] [FIRST_SEED]
"""

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from loguru import logger

from helios_agent.simulation import careers
from helios_agent.simulation.careers import Career, Plan

CORES = 2
MEMORY = Path("/dev/shm")  # noqa: S108  (a file system in memory: what is synced to disk is not in question)
LIVED = {
    "fair": ("agent", "unlimited", "weekly", "always"),
    "one ball x3": ("agent", "unlimited"),
    "log-sd 0.4": ("agent", "unlimited"),
}


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


def main() -> None:
    arguments = [int(word) for word in sys.argv[1:]]
    seeds, years, first = (*arguments, *(3, 10, 1)[len(arguments) :])
    plans = [
        Plan(machine, policy, seed, years, years // 2)
        for machine, policies in LIVED.items()
        for policy in policies
        for seed in range(first, first + seeds)
    ]
    half = years // 2
    print(f"{seeds} seeds, {years} years; a machine that changes does so when year {half} begins\n")
    heads = (
        f"s/draw 1-{half}", f"{half + 1}-{years}", "false", "delay", "found", "leads", "promoted", "regret",
        "broken", "s a life",
    )  # fmt: skip
    print(f"{'machine':<14}{'policy':<11}" + "".join(f"{head:>11}" for head in heads))
    with ProcessPoolExecutor(CORES) as pool:
        results = pool.map(lived, plans)
        for machine, policies in LIVED.items():
            for policy in policies:
                print(told(machine, policy, years, [next(results) for _ in range(seeds)]), flush=True)
    print(
        "\ns/draw: CPU seconds of trainings, searches and backtests a draw. false: careers with an alarm"
        "\nbefore any change. delay: draws until the alarm, the median of those found. leads: draws until a"
        "\nforecaster held more than half of the mixture. promoted: models a career. regret: of the last"
        "\nyear. broken: what was decided within its cooldown, twice in one decision, or otherwise when"
        "\ndecided again. s a life: CPU seconds that it took to live it."
    )


if __name__ == "__main__":
    main()
