"""What it costs to prove that nothing is lost: virtual lives, the crash-point sweep, kills of the process.

Each is the program that the tests run, in a process of its own, on a temporary folder.

    python benchmarks/faults.py [SEED]
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIVES, WEEKS = 3, 20
KILLS = 200


def main() -> None:
    seed = sys.argv[1] if len(sys.argv) > 1 else "1"
    lives = measured("tests.simulation.lives", seed, str(LIVES), str(WEEKS))
    sweep = measured("tests.simulation.sweep", "1", seed)
    kills = measured("tests.faults.kill_loop", str(KILLS), seed)
    broken = len(lives["broken"]) + len(sweep["differences"]) + len(kills["lost"])
    print(f"{'':<58}{'figure':>12}")
    show("virtual weeks per second, one process", lives["weeks"] / lives["seconds"], "weeks/s")
    show(f"  of {lives['weeks']} weeks with {lives['boots']} boots: events", lives["events"], "")
    show("crash-point sweep, two forks at once", sweep["seconds"], "s")
    show("  kill points, all tried", sweep["tried"], "")
    show("kill cycle: fork, boot, write, SIGKILL, check", kills["seconds"] / kills["cycles"] * 1000, "ms")
    show(f"  in {kills['cycles']} kills: acknowledged events", kills["acknowledged"], "")
    show("invariants broken, endings changed, events lost", broken, "")


def measured(program: str, *arguments: str) -> dict[str, Any]:
    """Run one of the programs on a folder of its own; return what it reports."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", program, str(Path(folder) / "here"), *arguments]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def show(what: str, figure: float, unit: str) -> None:
    text = f"{figure:,.2f}" if unit == "weeks/s" else f"{figure:,.0f}"
    print(f"{what:<58}{text:>12} {unit}")


if __name__ == "__main__":
    main()
