"""A daemon whose trainings are computed on the cluster, whatever is killed meanwhile."""

import contextlib
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import ROOT, Daemon
from tests.acceptance.test_jobs import ask, happened, kept, training, wait_for, wait_for_an_epoch
from tests.cluster.conftest import RunningCluster
from tests.work.conftest import PATIENCE_S

EPOCHS = 30


@pytest.fixture
def daemon(cluster: RunningCluster, tmp_path: Path) -> Iterator[Daemon]:
    work = {"engine": "ray", "ray": cluster.settings(token_file=str(cluster.token_file))}
    long = {"LEARNING__TRAINING__EPOCHS": EPOCHS, "LEARNING__TRAINING__PATIENCE": EPOCHS}
    made = Daemon(tmp_path, {"WORK": work, **long}, ROOT / "config/helios.yaml").start()
    yield made
    if made.process is not None and made.process.poll() is None:
        made.stop(signal.SIGKILL)


def told(daemon: Daemon, job: str) -> list[dict[str, Any]]:
    """Return the events of one training, oldest first."""
    events = happened(daemon)
    return [event for event in events if job in (event["payload"].get("id"), event["payload"].get("job"))]


def begun(daemon: Daemon, job: str) -> list[int]:
    """Return from which epochs a training has begun, one time after the other."""
    return [event["payload"]["epoch"] for event in told(daemon, job) if event["kind"] == "training.started"]


def bridges(daemon: Daemon) -> list[int]:
    """Return the processes by which a running daemon is connected with a cluster."""
    assert daemon.process is not None
    pid = daemon.process.pid
    children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [child for child in children if is_bridge(child)]


def is_bridge(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return "helios_agent.work.bridge" in Path(f"/proc/{pid}/cmdline").read_text()
    return False


def until(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_a_training_on_the_cluster_is_done_once_though_it_is_paused_and_everybody_is_killed(
    daemon: Daemon, cluster: RunningCluster
) -> None:
    job = ask(daemon, "")["job_id"]
    wait_for_an_epoch(daemon, job)
    ask(daemon, f"/{job}/pause")
    wait_for(daemon, job, "paused")
    assert kept(daemon) == [job]

    ask(daemon, f"/{job}/resume")
    daemon.wait_for(lambda: len(begun(daemon, job)) == 2, "the training to go on")
    (worker,) = cluster.workers()
    os.kill(worker, signal.SIGKILL)
    daemon.wait_for(lambda: training(daemon, job)["error"], "the loss of the process to be noticed")
    assert "The worker process died" in training(daemon, job)["error"]

    ask(daemon, f"/{job}/retry")
    daemon.wait_for(lambda: len(begun(daemon, job)) == 3, "the training to go on")
    (bridge,) = bridges(daemon)
    daemon.stop(signal.SIGKILL)
    until(lambda: not is_bridge(bridge) and not cluster.workers())

    daemon.start()
    done = wait_for(daemon, job, "done")
    (bridge,) = bridges(daemon)
    first, *later = begun(daemon, job)
    assert first == 0
    assert len(later) == 3
    assert all(0 < epoch < EPOCHS for epoch in later)  # from what had come back
    kinds = Counter(event["kind"] for event in told(daemon, job))
    assert (kinds["intent.done"], kinds["model.trained"]) == (1, 1)
    assert daemon.stop() == 0
    until(lambda: not is_bridge(bridge) and not cluster.workers())

    del daemon.environment["HELIOS_WORK"]
    here = json.loads(daemon.cli("train").stdout)
    assert (here["version"], here["new"]) == (done["result"]["version"], False)
