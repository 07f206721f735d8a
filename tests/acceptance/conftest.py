"""A real agent on a temporary state folder, real feeds on loopback, and a real webhook receiver."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from helios_agent.actions import runner
from helios_agent.agent import Agent
from helios_agent.journal import intents

ROOT = Path(__file__).parents[2]
SECRET = "whsec_aGVsaW9zLWFjY2VwdGFuY2UtdGVzdC1zZWNyZXQtMDE="
PACKAGED = (resources.files("helios_agent.lottery.history") / "powerball.csv").read_text().splitlines()[1:]

WHILE_TICKETS_ARE_SOLD = "2026-11-26T12:00:00+00:00"
"""Long before a draw of Powerball, and after the last one that is packaged."""
WHILE_NONE_ARE = "2026-11-26T03:30:00+00:00"
"""Half an hour before a draw."""

SMALL_NETWORK = {
    "sequence": 8, "hidden": 8, "layers": 1, "heads": 2, "embedding": 4, "dropout": 0.0
}  # fmt: skip


def texas_row(row: str) -> str:
    """Return a packaged row as the Texas Lottery would publish it."""
    day, *balls = row.split(",")
    year, month, date = day.split("-")
    return ",".join(["Powerball", str(int(month)), str(int(date)), year, *balls])


def socrata_row(row: str) -> dict[str, str]:
    """Return a packaged row as New York would publish it."""
    day, *balls, bonus, multiplier = row.split(",")
    whites = sorted(int(ball) for ball in balls)
    numbers = " ".join(f"{ball:02d}" for ball in (*whites, int(bonus)))
    return {"draw_date": f"{day}T00:00:00.000", "winning_numbers": numbers, "multiplier": multiplier}


@dataclass
class World:
    """What is outside the agent: two feeds and a webhook receiver, on one loopback server."""

    url: str = ""
    rows: list[str] = field(default_factory=lambda: list(PACKAGED))
    """The draws that both feeds publish, as lines of the packaged history."""
    texas_extra: list[str] = field(default_factory=list)
    """Further lines of the Texas file, as they are."""
    down: bool = False
    messages: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def feeds(self) -> dict[str, Any]:
        return {
            "powerball": {
                "feeds": [
                    {"name": "texas", "kind": "texas", "url": f"{self.url}/texas.csv"},
                    {"name": "new-york", "kind": "socrata", "url": f"{self.url}/newyork.json"},
                ]
            }
        }

    def answer(self, path: str) -> bytes:
        parts = urlsplit(path)
        if parts.path == "/texas.csv":
            return "\r\n".join([*map(texas_row, self.rows), *self.texas_extra, ""]).encode()
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        since = re.search(r"'(\d{4}-\d\d-\d\d)", query.get("$where", "'0000-00-00"))
        found = [socrata_row(row) for row in self.rows if since and row[:10] >= since[1]]
        offset, limit = int(query.get("$offset", 0)), int(query.get("$limit", 1000))
        return json.dumps(found[offset : offset + limit]).encode()


@pytest.fixture
def world() -> Iterator[World]:
    outside = World()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            outside.asked.append(self.path)
            body = b"down" if outside.down else outside.answer(self.path)
            self._reply(503 if outside.down else 200, body)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            outside.messages.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self._reply(204, b"")

        def _reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep the test's output readable."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    outside.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield outside
    server.shutdown()
    server.server_close()
    thread.join()


async def settle(agent: Agent) -> None:
    """Carry out every intent that is due, and what follows from it, until nothing is left to do now."""
    claimed = True
    while claimed:
        claimed = False
        for actions in runner.LANES.values():
            intent = await agent.journal.record(lambda tx, a=actions: intents.claim(tx, a))
            if intent is not None:
                await runner.carry_out(agent.context(), intent)
                claimed = True


class Daemon:
    """`helios run` as a process of its own."""

    def __init__(self, folder: Path, settings: dict[str, Any], config: Path) -> None:
        self.state = folder / "state"
        defaults: dict[str, Any] = {
            "HTTP__PORT": 0,
            "PATHS__STATE": str(self.state),
            "PATHS__MODELS": str(folder / "models"),
            "GAMES": {"powerball": {"feeds": []}},
            "LEARNING__NETWORK": SMALL_NETWORK,
            "LEARNING__TRAINING__EPOCHS": 2,
            "DECISIONS__AUTONOMY": {"train": "observe"},
        }
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("HELIOS_")} | {
            f"HELIOS_{name}": value if isinstance(value, str) else json.dumps(value)
            for name, value in (defaults | settings).items()
            if value is not None  # then the file says
        }
        self.config = config
        self.log = folder / "daemon.log"
        self.process: subprocess.Popen[bytes] | None = None

    def cli(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "helios_agent", *words, "--config", str(self.config)],
            env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done

    def start_at(self, moment: str) -> "Daemon":
        """Start with the wall clock at a moment: what can be done at it depends on the next draw."""
        return self.start(("-m", "tests.acceptance.at", moment))

    def start(self, program: tuple[str, ...] = ("-m", "helios_agent")) -> "Daemon":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *program, "run", "--config", str(self.config)],
                env=self.environment, cwd=ROOT, stderr=log, stdout=log,
            )  # fmt: skip
        self.wait_for(lambda: self._ready(), "the daemon to be ready")
        return self

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        try:
            return self.get("/health").is_success
        except (httpx.HTTPError, FileNotFoundError):
            return False

    @property
    def url(self) -> str:
        found = re.search(rf"process {self._pid()} .*(http://\S+)/", (self.state / "helios.lock").read_text())
        if found is None:
            raise FileNotFoundError("the lock does not name this daemon's address yet")
        return found[1]

    def _pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=10, trust_env=False)

    def post(self, path: str, body: dict[str, Any], **headers: str) -> httpx.Response:
        return httpx.post(self.url + path, json=body, headers=headers, timeout=10, trust_env=False)

    def wait_for(self, condition: Callable[[], Any], what: str, seconds: float = 120) -> Any:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if result := condition():
                return result
            time.sleep(0.1)  # what it waits for has the lowest priority
        raise AssertionError(f"waited {seconds} s for {what}; the daemon said:\n{self.log.read_text()}")

    def wait_until_idle(self) -> None:
        """Wait until no intent is due or under way."""

        def idle() -> bool:
            status = self.get("/api/status").json()
            # What was asked for while the answer was made is due a moment after its time stamp.
            soon = datetime.fromisoformat(status["now"]) + timedelta(seconds=5)
            return status["journal"]["events"] > 2000 and not [
                i
                for i in status["under_way"]
                if i["state"] == "running"
                or (i["state"] not in ("paused", "proposed") and datetime.fromisoformat(i["due_at"]) <= soon)
            ]

        self.wait_for(idle, "the agent to be idle")

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def happened(self, kind: str) -> bool:
        """Return whether the running daemon has journaled an event of this kind."""
        return bool(self.get(f"/api/journal?limit=1&kind={kind}").json())

    def events(self, *kinds: str) -> list[dict[str, Any]]:
        words = [word for kind in kinds for word in ("--kind", kind)]
        lines = self.cli("journal", "tail", "--json", "-n", "10000", *words).stdout.splitlines()
        return [json.loads(line) for line in lines]


@contextmanager
def _ended(daemons: list[Daemon]) -> Iterator[None]:
    try:
        yield
    finally:
        for daemon in daemons:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()


@pytest.fixture
def new_daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Return a maker of daemons on one state folder; whatever still runs is killed at the end."""
    made: list[Daemon] = []

    def make(config: Path = ROOT / "config/helios.yaml", **settings: Any) -> Daemon:
        made.append(Daemon(tmp_path, settings, config))
        return made[-1]

    with _ended(made):
        yield make
