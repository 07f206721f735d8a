"""A real Ray cluster of two nodes on the loopback interface, with a token, for all tests of this folder."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from helios_agent.config.model import Work
from helios_agent.work.children import ForkServer
from helios_agent.work.local import LocalEngine
from helios_agent.work.ray import RayEngine
from tests.work.conftest import Reports

HEAD, SECOND = "127.0.0.2", "127.0.0.3"  # Ray takes 127.0.0.1 for a name of the network interface
STARTED_S = 60


@dataclass(frozen=True)
class RunningCluster:
    """Where the cluster is, and the file with its token."""

    address: str
    client_address: str
    token_file: Path
    nodes: list[subprocess.Popen[bytes]]

    def settings(self, **changes: Any) -> dict[str, Any]:
        return {"address": self.address, "token_file": self.token_file, "connect": 60, **changes}

    def workers(self) -> list[int]:
        """The processes of the cluster in which a job is computed."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cmdline").read_text().startswith("ray::Worker"):
                    found.append(pid)
        return found

    def processes(self) -> list[int]:
        """Every process of the nodes."""
        found = [node.pid for node in self.nodes]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    found += map(int, children.read_text().split())
        return found


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    # The paths of its sockets must be short.
    home = Path(tempfile.mkdtemp(prefix="helios-ray-"))
    token = home / "token"
    token.write_text("0123456789abcdef" * 4, "utf-8")
    port, client_port = _free_port(), _free_port()
    running = RunningCluster(f"{HEAD}:{port}", f"ray://{HEAD}:{client_port}", token, [])
    head = ["--head", f"--node-ip-address={HEAD}", f"--port={port}", f"--temp-dir={home}/ray"]
    head += [f"--ray-client-server-port={client_port}", "--include-dashboard=false"]
    second = [f"--address={running.address}", f"--node-ip-address={SECOND}"]
    try:
        running.nodes.append(_node(home, head))
        _until_it_answers(HEAD, port, running.nodes[0])
        running.nodes.append(_node(home, second))
        _until_it_answers(HEAD, client_port, running.nodes[0])
        yield running
    finally:
        for pid in running.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for node in running.nodes:
            node.wait()
        shutil.rmtree(home, ignore_errors=True)


def _node(home: Path, options: list[str]) -> subprocess.Popen[bytes]:
    command = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus=1", "--num-gpus=0"]
    command += ["--object-store-memory=80000000", "--disable-usage-stats", *options]
    environment = os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home / "token"),
        "TMPDIR": str(home),
        "GRPC_ENABLE_FORK_SUPPORT": "0",  # or what serves a client now and then crashes as it begins
    }
    with (home / "nodes.log").open("ab") as log:
        return subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind((HEAD, 0))
        port: int = free.getsockname()[1]
        return port


def _until_it_answers(host: str, port: int, node: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTED_S
    while True:
        try:
            socket.create_connection((host, port), 1).close()
        except OSError:
            assert node.poll() is None, "the head node has ended"
            assert time.monotonic() < deadline, f"nobody listens at {host}:{port}"
            time.sleep(0.05)
        else:
            return


@pytest.fixture
def reports() -> Reports:
    return Reports()


@dataclass(frozen=True)
class Engines:
    """The same jobs here and on the cluster."""

    local: LocalEngine
    ray: RayEngine
    forks: ForkServer


class Line:
    """Another way to the clients' port of the cluster: what is sent on it arrives while it is open."""

    def __init__(self, port: int) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.address = ""
        self._port = port

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, requests = await asyncio.open_connection(HEAD, self._port)
        await asyncio.gather(self._pass_on(reader, requests), self._pass_on(answers, writer))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                await self.open.wait()
                writer.write(data)
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def line_to(client_address: str) -> AsyncIterator[Line]:
    line = Line(int(client_address.rpartition(":")[2]))
    server = await asyncio.start_server(line.carry, HEAD, 0)
    line.address = f"ray://{HEAD}:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield line


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engines(cluster: RunningCluster) -> AsyncIterator[Engines]:
    settings = Work.model_validate({"engine": "ray", "ray": cluster.settings()})
    assert settings.ray is not None
    forks = ForkServer(settings.keep_warm)
    local = LocalEngine(settings, forks)
    engine = RayEngine(settings, settings.ray, local)
    yield Engines(local, engine, forks)
    await engine.close()
    await forks.close()
