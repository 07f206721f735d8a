"""What the tests of the packaging share: the repository, and a daemon that lived once."""

import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WATCHDOG_USEC = 400_000
LIMIT_S = 120.0

QUIET: Mapping[str, str] = {
    "HELIOS_HTTP__PORT": "0",
    "HELIOS_GAMES": "{powerball: {feeds: []}}",
    "HELIOS_DECISIONS__AUTONOMY": "{train: observe}",
}
"""Settings of a daemon that asks no feed and trains no network."""


@dataclass(frozen=True)
class Life:
    """What is left of a daemon: what it told its service manager, how it ended, its state folder."""

    told: list[dict[str, str]]
    exit_code: int
    state: Path
    log: str

    @property
    def signs(self) -> list[str]:
        """READY, WATCHDOG and STOPPING in the order in which they were told, repetitions left out."""
        seen = [
            name for message in self.told for name in ("READY", "WATCHDOG", "STOPPING") if name in message
        ]
        return [name for place, name in enumerate(seen) if place == 0 or seen[place - 1] != name]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def life(tmp_path_factory: pytest.TempPathFactory) -> Life:
    """A real daemon that was started as a service manager starts it, fed the watchdog and was stopped."""
    folder = tmp_path_factory.mktemp("service")
    address = folder / "notify"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HELIOS_")}
    environment.pop("PORT", None)
    environment |= QUIET | {
        "HELIOS_PATHS__STATE": str(folder / "state"),
        "HELIOS_PATHS__MODELS": str(folder / "models"),
        "NOTIFY_SOCKET": str(address),
        "WATCHDOG_USEC": str(WATCHDOG_USEC),
    }
    told: list[dict[str, str]] = []
    command = [sys.executable, "-m", "helios_agent", "run", "--config", str(ROOT / "config/helios.yaml")]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, (folder / "log").open("w+") as log:
        manager.bind(str(address))
        manager.settimeout(LIMIT_S)
        daemon = subprocess.Popen(command, env=environment, stderr=log)
        killer = threading.Timer(LIMIT_S, daemon.kill)
        killer.start()
        try:
            _listen(manager, told, "READY")
            _listen(manager, told, "WATCHDOG")
            _wait_for(folder / "state/helios.db", "decision.made", manager, told)
            daemon.send_signal(signal.SIGTERM)
            _listen(manager, told, "STOPPING")
            exit_code = daemon.wait()
        finally:
            killer.cancel()
            daemon.kill()
            daemon.wait()
        log.seek(0)
        return Life(told, exit_code, folder / "state", log.read())


def _listen(manager: socket.socket, told: list[dict[str, str]], sign: str) -> None:
    while not told or sign not in told[-1]:
        _hear(manager, told)


def _hear(manager: socket.socket, told: list[dict[str, str]]) -> None:
    lines = manager.recv(4096).decode().splitlines()
    told.append(dict(line.split("=", 1) for line in lines))


def _wait_for(database: Path, kind: str, manager: socket.socket, told: list[dict[str, str]]) -> None:
    """Wait until an event of this kind stands in the journal; listen meanwhile."""
    deadline = time.monotonic() + LIMIT_S
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as journal:
        while not journal.execute("SELECT 1 FROM event WHERE kind = ?", (kind,)).fetchone():
            if time.monotonic() > deadline:
                raise TimeoutError(f"no event {kind} came")
            if select.select([manager], [], [], 0.05)[0]:
                _hear(manager, told)
