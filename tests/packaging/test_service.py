"""The systemd unit: sound, closed, and not closed so far that a worker cannot work."""

import json
import os
import re
import shutil
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path

import pytest
import yaml

from tests.packaging.conftest import Life

LARGEST_EXPOSURE = 1.5

TRAINING = """
import asyncio, json, os, pathlib, sys
from helios_agent.config.model import Work
from helios_agent.work.children import ForkServer
from helios_agent.work.local import LocalEngine

async def main():
    forks = ForkServer(keep_warm_s=600)

    async def tell(_):
        (pid,) = pathlib.Path(f"/proc/{forks.pid}/task/{forks.pid}/children").read_text().split()
        print(os.sched_getscheduler(int(pid)), os.getpriority(os.PRIO_PROCESS, int(pid)))

    trained = await LocalEngine(Work(), forks).run("train", json.loads(sys.argv[1]), tell, time_limit_s=60)
    print(trained["version"])
    await forks.close()

asyncio.run(main())
"""
"""Trains as the daemon does, and tells how its worker is scheduled."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")


@pytest.fixture(scope="module")
def unit_file(root: Path) -> Path:
    return root / "systemd/helios-agent.service"


@pytest.fixture(scope="module")
def unit(unit_file: Path) -> dict[str, list[str]]:
    """Every setting of the unit, by name, with all its values."""
    found: dict[str, list[str]] = {}
    for line in unit_file.read_text("utf-8").splitlines():
        if re.match(r"[A-Z]", line):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def startable(unit_file: Path, tmp_path: Path) -> Path:
    """The unit with a command that exists here, since `verify` looks for it."""
    text, count = re.subn(
        r"^ExecStart=\S+", f"ExecStart={sys.executable}", unit_file.read_text("utf-8"), flags=re.MULTILINE
    )
    assert count == 1
    copy = tmp_path / unit_file.name
    copy.write_text(text, "utf-8")
    return copy


@needs_systemd
def test_systemd_finds_nothing_wrong_with_the_unit(startable: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", str(startable)], capture_output=True, text=True)

    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_the_unit_is_hardly_exposed(startable: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(startable)],
        capture_output=True,
        text=True,
    )
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)

    assert level is not None, done.stderr
    assert float(level[1]) <= LARGEST_EXPOSURE


def test_the_unit_gives_up_where_only_a_person_can_help(unit: dict[str, list[str]]) -> None:
    assert unit["Restart"] == ["on-failure"]
    assert unit["RestartPreventExitStatus"] == ["78 65"]


def test_the_unit_waits_longer_than_the_daemon_takes_to_stop(root: Path, unit: dict[str, list[str]]) -> None:
    config = yaml.safe_load((root / "config/helios.yaml").read_text("utf-8"))

    assert int(unit["TimeoutStopSec"][0]) > int(config["shutdown"]["deadline"].removesuffix("s"))
    assert unit["KillMode"] == ["mixed"]


def test_the_unit_leaves_torch_what_it_needs(unit: dict[str, list[str]]) -> None:
    assert "MemoryDenyWriteExecute" not in unit
    assert "ProcSubset" not in unit


def test_the_daemon_tells_its_service_manager_that_it_is_ready_alive_and_stopping(life: Life) -> None:
    assert life.signs == ["READY", "WATCHDOG", "STOPPING"]
    assert life.told[0]["STATUS"].startswith("ready; journal head ")
    assert life.exit_code == 0, life.log


@needs_systemd
@pytest.mark.skipif(find_library("seccomp") is None, reason="there is no libseccomp here")
def test_a_worker_trains_under_the_system_call_filter_of_the_unit(
    unit: dict[str, list[str]], tmp_path: Path
) -> None:
    command = [sys.executable, Path(__file__).with_name("under_filter.py"), *unit["SystemCallFilter"]]
    done = subprocess.run(
        [*command, "--", sys.executable, "-c", TRAINING, json.dumps(_tiny_training(tmp_path / "out"))],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "2"},
    )

    assert done.returncode == 0, done.stderr
    scheduling, *_, trained = done.stdout.splitlines()
    assert scheduling == f"{os.SCHED_IDLE} 19"
    assert re.fullmatch("[0-9a-f]{12}", trained)


@needs_systemd
@pytest.mark.skipif(find_library("seccomp") is None, reason="there is no libseccomp here")
def test_the_filter_of_the_unit_really_refuses(unit: dict[str, list[str]]) -> None:
    attempt = "import os; os.sched_setaffinity(0, os.sched_getaffinity(0))"
    command = [sys.executable, Path(__file__).with_name("under_filter.py"), *unit["SystemCallFilter"]]
    done = subprocess.run([*command, "--", sys.executable, "-c", attempt], capture_output=True, text=True)

    assert "PermissionError" in done.stderr


def _tiny_training(out: Path) -> dict[str, object]:
    rows = [[1 + (t + 7 * i) % 69 for i in range(5)] + [1 + t % 26] for t in range(80)]
    return {
        "game": "powerball",
        "era": "2015-10-07",
        "white": 69,
        "bonus": 26,
        "pick": 5,
        "draws": rows,
        "last_draw": "2016-07-09",
        "seed": 1,
        "out": str(out),
        "network": {"sequence": 5, "hidden": 8, "layers": 1, "heads": 1, "embedding": 4, "dropout": 0.0},
        "training": {"epochs": 1, "threads": 2},
    }
