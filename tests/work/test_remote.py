"""What runs on a node of a cluster, run here without one."""

import json
import os
import tempfile
import threading
import time
from pathlib import Path

import pytest

from helios_agent.learning import checkpoints
from helios_agent.work import parcels, remote
from helios_agent.work.remote import Task, Worker
from tests.work.conftest import PATIENCE_S, endless_training, training_spec


@pytest.fixture(autouse=True)
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place for temporary files of the node."""
    place = tmp_path / "node"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setattr(remote, "NICE", 0)
    return place


def test_a_checkpoint_is_sent_while_the_job_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    worker = Worker()
    spec = endless_training(tmp_path / "out") | {"checkpoint": "here"}
    running = threading.Thread(target=worker.run, args=(Task("train", spec, None),))
    running.start()
    try:
        kept = None
        while kept is None:
            _, kept, over = worker.listen()
            assert not over
    finally:
        worker.stop()
        running.join()
    parcels.unpack(kept, tmp_path / "checkpoint")

    assert json.loads((tmp_path / "checkpoint" / checkpoints.CARD).read_text())["of"]


def test_a_job_tells_what_it_took_with_every_report_and_with_its_end(tmp_path: Path) -> None:
    began_s = time.process_time()
    worker = Worker()
    trained = worker.run(Task("train", training_spec(tmp_path / "out"), None))
    said, _, over = worker.listen()
    took_s = time.process_time() - began_s
    failed = Worker().run(Task("train", {}, None))

    each = [message["cpu_seconds"] for message in (*said, trained.message)]
    assert over
    assert len(said) == 3
    assert 0.0 < each[0] < each[1] < each[2] < each[3] <= took_s
    # What the process had taken before belongs to no job.
    assert 0.0 < failed.message["cpu_seconds"] < time.process_time() - began_s - took_s + 1e-9


def test_a_job_that_reports_nothing_tells_what_it_took_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SILENCE_S", 0.01)
    said, checkpoint, over = Worker().listen()

    assert [message.keys() for message in said] == [{"cpu_seconds"}]
    assert (checkpoint, over) == (None, False)


def test_nothing_is_left_on_the_node(node: Path, tmp_path: Path) -> None:
    trained = Worker().run(Task("train", training_spec(tmp_path / "out"), None))

    assert trained.out is not None
    assert not (tmp_path / "out").exists()
    (home,) = node.glob("helios-*")  # torch may have a folder of its own there
    assert home.stat().st_mode & 0o777 == 0o700
    assert list(home.rglob("*")) == [home / "jobs"]


def test_what_a_killed_job_left_is_removed_by_the_next(node: Path) -> None:
    first = Worker()
    first.run(Task("train", {}, None))
    (home,) = node.glob("helios-*")  # torch may have a folder of its own there
    beyond = int(Path("/proc/sys/kernel/pid_max").read_text()) + 1  # of no process
    (home / "jobs" / str(beyond)).mkdir()
    if os.getuid() != 0:
        (home / "jobs" / "1").mkdir()  # of another user's process by now
    Worker().run(Task("train", {}, None))

    assert list((home / "jobs").iterdir()) == []


def test_a_folder_that_others_may_enter_is_refused_and_whoever_listens_hears_the_end(node: Path) -> None:
    (node / "elsewhere").mkdir(mode=0o700)
    (node / f"helios-{os.getuid()}").symlink_to(node / "elsewhere")
    worker = Worker()
    listening = threading.Thread(target=worker.listen, daemon=True)
    listening.start()
    linked = worker.run(Task("train", {}, None))
    listening.join(PATIENCE_S)
    (node / f"helios-{os.getuid()}").unlink()
    (node / f"helios-{os.getuid()}").mkdir()
    (node / f"helios-{os.getuid()}").chmod(0o770)
    shared = Worker().run(Task("train", {}, None))

    assert not listening.is_alive()
    assert "is lrwxrwxrwx of user" in linked.message["error"]
    assert "is drwxrwx--- of user" in shared.message["error"]
    assert list((node / "elsewhere").iterdir()) == []


def test_what_would_compute_otherwise_is_named() -> None:
    ours = remote.versions()
    assert set(ours) == {"Helios", "Python", "torch"}
    assert remote.difference(ours, dict(ours)) is None
    assert remote.difference(ours, {**ours, "torch": "2.0"}) == f"torch is 2.0 there and {ours['torch']} here"
