"""How long the daemon takes to be ready, and how much memory it holds.

Starts real daemons on temporary folders and prints the median and range of several runs:
first start (packaged history ingested, ledger replayed), start with an existing database, and the
resident memory of the idle daemon after each. Feeds are off, so that no network is measured, and
training is left out, as it runs in a process of its own.

    python benchmarks/daemon.py [RUNS]
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
POLL_S = 0.005
REPLAYED = 1408
"""Draws of the packaged history that are scored."""
IDLE_S = 3.0
BARS = {
    "first start: ready": "",
    "first start: 2,000 draws ingested, 1,408 replayed": "<= 10 s",
    "first start: idle resident memory": "<= 90 MB",
    "existing database: ready": "<= 1.5 s",
    "existing database: idle resident memory": "<= 90 MB",
    "SIGTERM to exit": "",
}


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    figures: dict[str, list[float]] = {name: [] for name in BARS}
    for _ in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            for start in ("first start", "existing database"):
                measure(Path(folder), start, figures)
    print(f"{'':<52}{'median':>10}{'min':>10}{'max':>10}   bar   ({runs} runs)")
    for name, values in figures.items():
        unit = "MB" if "memory" in name else "s"
        shown = [f"{v:.0f} {unit}" if unit == "MB" else f"{v:.2f} {unit}" for v in
                 (statistics.median(values), min(values), max(values))]  # fmt: skip
        print(f"{name:<52}{shown[0]:>10}{shown[1]:>10}{shown[2]:>10}   {BARS[name]}")


def measure(folder: Path, start: str, figures: dict[str, list[float]]) -> None:
    """Start a daemon on `folder`, take its figures, stop it."""
    begun = time.perf_counter()
    with running(folder) as daemon:
        figures[f"{start}: ready"].append(time.perf_counter() - begun)
        if start == "first start":
            until(lambda: scored(daemon) == REPLAYED)
            figures["first start: 2,000 draws ingested, 1,408 replayed"].append(time.perf_counter() - begun)
        time.sleep(IDLE_S)
        figures[f"{start}: idle resident memory"].append(resident_mb(daemon.pid))
        maps = Path(f"/proc/{daemon.pid}/maps").read_text()
        if "libtorch" in maps:
            sys.exit("torch was loaded into the daemon")
        begun = time.perf_counter()
    figures["SIGTERM to exit"].append(time.perf_counter() - begun)


@dataclass(frozen=True)
class Daemon:
    """A daemon that is ready, and where it answers."""

    pid: int
    url: str

    def ask(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:  # noqa: S310
            return json.load(answer)


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[Daemon]:
    """Run a daemon on `folder` that has no feeds and trains only when asked; end it afterwards."""
    defaults = {
        "HTTP__PORT": "0",
        "PATHS__STATE": str(folder / "state"),
        "PATHS__MODELS": str(folder / "models"),
        "GAMES": "{powerball: {feeds: []}}",
        "DECISIONS__AUTONOMY": "{train: observe}",
    }
    environment = os.environ | {f"HELIOS_{name}": value for name, value in (defaults | settings).items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "helios_agent", "run"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        daemon = until(lambda: Daemon(process.pid, address(folder, process.pid)))
        until(lambda: daemon.ask("/health")["status"] == "ready")
        yield daemon
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def address(folder: Path, pid: int) -> str:
    lock = (folder / "state" / "helios.lock").read_text()
    found = re.search(rf"process {pid} .*(http://\S+)/", lock)
    if found is None:
        raise LookupError("not bound yet")
    return found[1]


def until(condition: Callable[[], Any]) -> Any:
    """Poll until the condition holds, and return what it returned; what is not there yet does not hold."""
    while True:
        with suppress(OSError, LookupError, TypeError):
            if found := condition():
                return found
        time.sleep(POLL_S)


def scored(daemon: Daemon) -> int:
    return int(daemon.ask("/api/status")["games"][0]["assessment"]["signals"]["draws_scored"])


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise LookupError("no resident memory")
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
