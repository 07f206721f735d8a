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
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
POLL_S = 0.005
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
    environment = os.environ | {
        "HELIOS_HTTP__PORT": "0",
        "HELIOS_PATHS__STATE": str(folder / "state"),
        "HELIOS_PATHS__MODELS": str(folder / "models"),
        "HELIOS_GAMES": "{powerball: {feeds: []}}",
        "HELIOS_DECISIONS__AUTONOMY": "{train: observe}",
    }
    begun = time.perf_counter()
    daemon = subprocess.Popen(
        [sys.executable, "-m", "helios_agent", "run"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        until(lambda: ask(folder, daemon.pid, "/health")["status"] == "ready")
        figures[f"{start}: ready"].append(time.perf_counter() - begun)
        if start == "first start":
            until(lambda: scored(folder, daemon.pid) == 1408)
            figures["first start: 2,000 draws ingested, 1,408 replayed"].append(time.perf_counter() - begun)
        time.sleep(IDLE_S)
        figures[f"{start}: idle resident memory"].append(resident_mb(daemon.pid))
        maps = Path(f"/proc/{daemon.pid}/maps").read_text()
        if "libtorch" in maps:
            sys.exit("torch was loaded into the daemon")
    finally:
        begun = time.perf_counter()
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
    figures["SIGTERM to exit"].append(time.perf_counter() - begun)


def until(condition: Any) -> None:
    """Poll until the condition holds; what is not there yet counts as not holding."""
    while True:
        try:
            if condition():
                return
        except (OSError, LookupError, TypeError):
            pass
        time.sleep(POLL_S)


def ask(folder: Path, pid: int, path: str) -> Any:
    lock = (folder / "state" / "helios.lock").read_text()
    found = re.search(rf"process {pid} .*(http://\S+)/", lock)
    if found is None:
        raise LookupError("not bound yet")
    with urllib.request.urlopen(found[1] + path, timeout=5) as answer:  # noqa: S310
        return json.load(answer)


def scored(folder: Path, pid: int) -> int:
    return int(ask(folder, pid, "/api/status")["games"][0]["assessment"]["signals"]["draws_scored"])


def resident_mb(pid: int) -> float:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    if found is None:
        raise LookupError("no resident memory")
    return int(found[1]) / 1024


if __name__ == "__main__":
    main()
