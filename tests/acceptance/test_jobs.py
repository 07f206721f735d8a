"""Long computations under the control of their user, whatever happens to the daemon meanwhile."""

import json
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.acceptance.conftest import ROOT, Daemon

EPOCHS = 16
LONG: dict[str, Any] = {"LEARNING__TRAINING__EPOCHS": EPOCHS, "LEARNING__TRAINING__PATIENCE": EPOCHS}


FROM_NEWEST = ("--start", "newest")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with nothing left to do, which most tests use one after the other."""
    made = Daemon(tmp_path_factory.mktemp("jobs"), LONG, ROOT / "config/helios.yaml").start()
    try:
        made.wait_until_idle()
        yield made
    finally:
        made.stop(signal.SIGKILL)


def training(daemon: Daemon, job: str) -> dict[str, Any]:
    answer = daemon.get(f"/api/train/{job}")
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def ask(daemon: Daemon, path: str, status: int = 202, **body: Any) -> dict[str, Any]:
    answer = daemon.post(f"/api/train{path}", body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def wait_for(daemon: Daemon, job: str, state: str) -> dict[str, Any]:
    daemon.wait_for(lambda: training(daemon, job)["state"] == state, f"training {job} to be {state}")
    return training(daemon, job)


def wait_for_an_epoch(daemon: Daemon, job: str) -> None:
    daemon.wait_for(lambda: training(daemon, job)["epochs"], f"an epoch of training {job}")


def happened(daemon: Daemon) -> list[dict[str, Any]]:
    """Return the events of all jobs, oldest first."""
    kinds = "&".join(f"kind={kind}" for kind in ("intent.*", "training.*", "model.trained"))
    return list(reversed(daemon.get(f"/api/journal?limit=1000&{kinds}").json()))


def kept(daemon: Daemon) -> list[str]:
    """Return the ids of the jobs that keep something in order to go on."""
    return [folder.name for folder in daemon.state.parent.glob("models/.staging/*")]


def test_a_training_is_paused_survives_a_kill_goes_on_and_is_done_once(daemon: Daemon) -> None:
    detached = daemon.cli("train", "--detach", "--priority", "3")
    job = detached.stdout.strip()
    assert detached.stderr == ""
    wait_for_an_epoch(daemon, job)
    seen = daemon.cli("jobs", "show", job).stdout
    assert "train powerball  " in seen
    assert f"of at most {EPOCHS}: loss " in seen
    assert ask(daemon, f"/{job}/pause")["job_id"] == job
    paused = wait_for(daemon, job, "paused")
    assert (paused["attempt"], paused["wanted"], paused["place"], paused["priority"]) == (0, None, None, 3)
    assert ask(daemon, "")["job_id"] == job
    refused = ask(daemon, f"/{job}/pause", status=422)
    assert refused["detail"] == f"train {job} is paused: it cannot be paused."
    assert kept(daemon) == [job]
    helped = daemon.cli("train", check=False)
    assert (helped.returncode, helped.stderr.splitlines()[-1]) == (
        70, f"helios: train {job} is paused: `helios jobs resume {job}` lets it go on."
    )  # fmt: skip

    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert training(daemon, job) == paused
    assert kept(daemon) == [job]
    resumed = daemon.cli("jobs", "resume", job).stdout
    assert f"{job}  {paused['requested_at']}  train powerball  r" in resumed
    done = wait_for(daemon, job, "done")
    assert [epoch["epoch"] for epoch in done["epochs"]] == list(range(1, EPOCHS + 1))
    assert done["attempt"] == 1
    daemon.wait_for(lambda: not kept(daemon), "what it kept to be gone")

    told = [
        event
        for event in happened(daemon)
        if job in (event["payload"].get("id"), event["payload"].get("job"))
    ]
    began = [event["payload"]["epoch"] for event in told if event["kind"] == "training.started"]
    assert began[0] == 0
    assert began[1] > 0, "the second run went on from what the first had kept"
    kinds = Counter(event["kind"] for event in told)
    assert {kind: n for kind, n in kinds.items() if kind != "training.epoch"} == {
        "intent.created": 1, "intent.started": 2, "training.started": 2, "intent.pausing": 1,
        "intent.paused": 1, "intent.resumed": 1, "intent.done": 1, "model.trained": 1,
    }  # fmt: skip


def test_a_training_is_stopped_while_it_runs_and_tried_again_after_a_failure(daemon: Daemon) -> None:
    first = ask(daemon, "")["job_id"]
    wait_for_an_epoch(daemon, first)
    ask(daemon, "/stop")
    wait_for(daemon, first, "cancelled")
    daemon.wait_for(lambda: not kept(daemon), "what it kept to be gone")
    refused = ask(daemon, f"/resume/{first}", status=422)
    assert refused["detail"] == f"train {first} is cancelled: it cannot be resumed."

    staging = daemon.state.parent / "models/.staging"
    staging.rmdir()
    staging.write_text("no folder")  # every attempt fails
    second = ask(daemon, f"/{first}/retry")["job_id"]
    assert second != first
    daemon.wait_for(lambda: training(daemon, second)["error"], "the first attempt to fail")
    waiting = training(daemon, second)
    assert (waiting["state"], waiting["attempt"], waiting["place"]) == ("ready", 1, 1)
    assert "NotADirectoryError" in waiting["error"]
    staging.unlink()
    listed = daemon.cli("jobs", "list").stdout.splitlines()
    assert [line.split()[0] for line in listed][:2] == [second, first]
    assert "ready, number 1 in the queue, attempt 1: NotADirectoryError" in listed[0]

    assert ask(daemon, f"/{second}/priority", priority=5)["priority"] == 5
    daemon.stop(signal.SIGKILL)
    assert "ready, attempt 1" in daemon.cli("jobs", "retry", second).stdout
    daemon.start()
    assert wait_for(daemon, second, "done")["attempt"] == 2
    history = daemon.get("/api/train/history?limit=2").json()
    assert [(job["job_id"], job["state"], job["epochs"]) for job in history] == [
        (second, "done", EPOCHS), (first, "cancelled", len(training(daemon, first)["epochs"]))
    ]  # fmt: skip
    earlier = daemon.get(f"/api/train/history?limit=1&before={history[0]['cause']}").json()
    assert earlier == history[1:]


def test_what_is_asked_for_without_waiting_is_done_by_the_next_daemon_where_none_runs(daemon: Daemon) -> None:
    assert daemon.stop() == 0
    train = daemon.cli("train", *FROM_NEWEST, "--detach", "--priority", "-5")
    tune = daemon.cli("tune", "--detach", "--priority", "7")
    for asked in (train, tune):
        assert asked.stderr.splitlines()[-1] == "No daemon runs: it is written down for the next one."
    listed = json.loads(daemon.cli("jobs", "list", "--limit", "2", "--json").stdout)
    assert [(job["id"], job["action"], job["priority"], job["place"]) for job in listed] == [
        (tune.stdout.strip(), "tune", 7, 1), (train.stdout.strip(), "train", -5, 2)
    ]  # fmt: skip
    daemon.cli("jobs", "stop", tune.stdout.strip())
    daemon.start()
    done = wait_for(daemon, train.stdout.strip(), "done")
    seen = daemon.cli("jobs", "show", train.stdout.strip()).stdout
    assert f"it made powerballnet@{done['result']['version']}" in seen


def test_at_the_terminal_networks_are_trained_from_the_newest_and_predict_with_and_without_a_daemon(
    new_daemon: Callable[..., Daemon],
) -> None:
    daemon = new_daemon(LEARNING__TRAINING__EPOCHS=1)
    daemon.start().wait_until_idle()
    results = [json.loads(daemon.cli("train", *words).stdout) for words in ((), FROM_NEWEST)]
    said = [json.loads(daemon.cli("models", "predict", "--json").stdout)]
    assert daemon.stop() == 0
    said.append(json.loads(daemon.cli("models", "predict", "--json").stdout))
    assert said[0] == said[1]
    assert said[0]["model"] == f"powerballnet@{results[1]['version']}"
    first, *picks, _, _ = daemon.cli("models", "predict", "--picks", "2").stdout.splitlines()
    assert first == f"powerball of {said[0]['day']}, by {said[0]['model']}, from 1,408 draws up to 2026-09-16"
    assert [line.endswith("(one in 292,201,338 on a fair machine)") for line in picks] == [True, True]
    nobody = daemon.cli("models", "predict", "nobody", check=False)
    assert (nobody.returncode, "model is 'nobody'" in nobody.stderr) == (66, True)
    results.append(json.loads(daemon.cli("train", *FROM_NEWEST).stdout))

    versions = [result["version"] for result in results]
    began = [event["payload"] for event in daemon.events("training.started")]
    assert len(set(versions)) == 3
    assert [(payload["start"], payload["start_version"]) for payload in began] == [
        ("scratch", None), ("newest", versions[0]), ("newest", versions[1]),
    ]  # fmt: skip
