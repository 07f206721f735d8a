"""The Ray engine on a real cluster: the same results as here, and every way in which a job can end."""

import asyncio
import contextlib
import io
import json
import math
import os
import random
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helios_agent.config.model import Work
from helios_agent.errors import JobFailed, JobStopped, JobTooLong, WorkerLost
from helios_agent.work import ray as work
from helios_agent.work.bridge import Bridge, Job
from helios_agent.work.engines import open_engine
from helios_agent.work.local import LocalEngine
from helios_agent.work.ray import RayEngine
from tests.cluster.conftest import HEAD, Engines, RunningCluster, line_to
from tests.work.conftest import (
    MATRIX,
    PATIENCE_S,
    TINY,
    Reports,
    endless_training,
    rows,
    training_spec,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")


def started(engine: Any, spec: dict[str, Any], *more: Any, **options: Any) -> asyncio.Task[dict[str, Any]]:
    options = {"time_limit_s": PATIENCE_S} | options
    return asyncio.create_task(engine.run("train", spec, *more, **options))


def epochs(reports: Reports) -> list[int]:
    return [progress["epoch"] for progress in reports.seen if "epochs" in progress]


def another(cluster: RunningCluster, engines: Engines, **changes: Any) -> RayEngine:
    settings = Work.model_validate({"engine": "ray", "ray": cluster.settings(**changes)})
    assert settings.ray is not None
    return RayEngine(settings, settings.ray, engines.local)


async def test_the_same_spec_gives_the_same_bytes_here_and_there(
    engines: Engines, reports: Reports, tmp_path: Path
) -> None:
    here = await started(engines.local, training_spec(tmp_path / "here"))
    spent: list[float] = []
    spec = training_spec(tmp_path / "there")
    there = await started(engines.ray, spec, reports, on_spent=spent.append)

    assert there == here
    assert len(spent) == 1
    assert 0.0 < spent[0] < PATIENCE_S
    assert epochs(reports) == [1, 2]
    for path in (tmp_path / "here").iterdir():
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()
    assert len(list((tmp_path / "there").iterdir())) == 2


async def test_a_training_that_begins_from_a_network_gives_the_same_bytes_here_and_there(
    engines: Engines, tmp_path: Path
) -> None:
    first = await started(engines.local, training_spec(tmp_path / "first"))
    start = {"start": {"artefact": str(tmp_path / "first"), "version": first["version"]}}
    here = await started(engines.local, training_spec(tmp_path / "here") | start)
    there = await started(engines.ray, training_spec(tmp_path / "there") | start)

    assert there == here != first
    for path in (tmp_path / "here").iterdir():
        assert (tmp_path / "there" / path.name).read_bytes() == path.read_bytes()
    other = {"start": start["start"] | {"version": "0123456789ab"}}
    with pytest.raises(JobFailed, match="expected 0123456789ab"):
        await started(engines.ray, training_spec(tmp_path / "other") | other)
    gone = {"start": start["start"] | {"artefact": str(tmp_path / "nowhere")}}
    with pytest.raises(JobFailed, match="is no folder"):
        await started(engines.ray, training_spec(tmp_path / "gone") | gone)


async def test_a_search_and_a_block_of_a_backtest_give_the_same_figures_here_and_there(
    engines: Engines, tmp_path: Path
) -> None:
    draws = {"draws": [[1, 2, 3 + t % 10, 1 + t % 5] for t in range(80)]}
    slow, quick = (training_spec(tmp_path / "out", learning_rate=rate) | draws for rate in (1e-5, 0.02))
    settings = {name: quick[name] for name in ("network", "training", "seed")}
    network = {"name": "powerballnet", **settings, "refit_every": 10}
    asked: dict[str, dict[str, Any]] = {
        "search": {"job": slow, "trials": 2, "folds": 1, "block": 15, "cpu_seconds": PATIENCE_S},
        "backtest-block": {
            "rows": draws["draws"], "ordered": [True] * 80, **MATRIX, "first": 60, "last": 65,
            "forecasters": [network],
        },
    }  # fmt: skip
    for kind, spec in asked.items():
        told: list[Any] = []
        for engine in (engines.local, engines.ray):
            reports = Reports()
            result = await engine.run(kind, spec, reports, time_limit_s=PATIENCE_S)
            told.append((untimed(result), [untimed(report) for report in reports.seen]))
        here, there = told
        assert there == here
        found, progress = here
        gained = found["confirmed_gain"] if kind == "search" else progress[-1]["gains"]["powerballnet"]
        assert gained > 0.0  # so that there is something to differ in


def untimed(told: Any) -> Any:
    """Return what a job tells but for the processor time that it took, which is never the same."""
    if isinstance(told, dict):
        return {name: untimed(value) for name, value in told.items() if name != "cpu_seconds"}
    return [untimed(value) for value in told] if isinstance(told, list) else told


async def test_a_client_that_is_no_node_gets_the_same_though_a_job_is_cancelled_while_its_line_is_held_up(
    engines: Engines, cluster: RunningCluster, tmp_path: Path
) -> None:
    changes = {"epochs": 40, "patience": 40}
    async with line_to(cluster.client_address) as line:
        client = another(cluster, engines, address=line.address)
        reports, others = Reports(), Reports()
        cancelled = started(client, endless_training(tmp_path / "cancelled"), reports)
        await reports.first()
        there = started(client, training_spec(tmp_path / "there", **changes), others)
        await others.first()
        before = client.bridge_pid
        line.open.clear()
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(cancelled, work.END_GRACE_S / 2)
        assert not there.done()
        line.open.set()

        assert await there == await started(engines.local, training_spec(tmp_path / "here", **changes))
        assert epochs(others) == list(range(1, 41))
        assert client.bridge_pid == before
        await until(lambda: not cluster.workers())
        await client.close()


async def test_a_job_goes_on_there_and_here_and_there_again_to_the_same_network(
    engines: Engines, tmp_path: Path
) -> None:
    changes = {"epochs": 120, "patience": 120}
    checkpoint = {"checkpoint": str(tmp_path / "checkpoint")}
    for number, engine in enumerate((engines.ray, engines.local)):
        stop, reports = asyncio.Event(), Reports()
        spec = training_spec(tmp_path / f"stopped-{number}", **changes) | checkpoint
        running = started(engine, spec, reports, stop=stop)
        await reports.first()
        stop.set()
        with pytest.raises(JobStopped):
            await running
        assert not (tmp_path / f"stopped-{number}").exists()
    reports = Reports()
    finished = await started(
        engines.ray, training_spec(tmp_path / "finished", **changes) | checkpoint, reports
    )
    whole = await started(engines.local, training_spec(tmp_path / "whole", **changes))

    assert 1 < epochs(reports)[0] < epochs(reports)[-1] == 120
    assert finished == whole


async def test_when_its_process_or_the_connection_is_killed_a_job_is_lost_and_the_next_one_is_not(
    engines: Engines, cluster: RunningCluster, tmp_path: Path
) -> None:
    reports, spent = Reports(), list[float]()
    spec = endless_training(tmp_path / "lost")
    running = started(engines.ray, spec, reports, on_spent=spent.append)
    await reports.first()
    (worker,) = cluster.workers()
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(WorkerLost, match=r"The worker process died before it had a result: .*unexpectedly"):
        await running
    assert len(spent) == 1
    assert spent[0] > 0.0  # what its last report said

    reports = Reports()
    running = started(engines.ray, endless_training(tmp_path / "lost"), reports)
    await reports.first()
    assert engines.ray.bridge_pid is not None
    os.kill(engines.ray.bridge_pid, signal.SIGKILL)
    with pytest.raises(WorkerLost, match=r"The connection to 127\.0\.0\.2:"):
        await running

    await until(lambda: not cluster.workers())
    assert not (tmp_path / "lost").exists()
    assert (await started(engines.ray, training_spec(tmp_path / "next")))["version"]


async def kill_at_any_moment(
    engines: Engines, cluster: RunningCluster, folder: Path, kills: int, seed: int
) -> None:
    """Kill the process of so many trainings; each is lost, having left nothing, or was done before that.

    Some were asked to stop, so that their checkpoint was on its way. Whatever has come is gone on from here.
    """
    print(f"seed {seed}")
    source, changes = random.Random(seed), {"epochs": 40, "patience": 40}  # noqa: S311
    here = await started(engines.local, training_spec(folder / "here", **changes))
    for number in range(kills):
        out, reports, epoch = folder / str(number), Reports(), source.choice((None, 0, 20, 40))
        checkpoint, stop = {"checkpoint": str(folder / f"checkpoint-{number}")}, asyncio.Event()
        running = started(engines.ray, training_spec(out, **changes) | checkpoint, reports, stop=stop)
        (worker,) = await until(cluster.workers)
        if epoch is not None:
            await until(lambda: [seen for seen in reports.seen if seen["epoch"] >= epoch] or running.done())  # noqa: B023
        if source.random() < 0.5:
            stop.set()
        await asyncio.sleep(source.uniform(0, 0.1))
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
        (ended,) = await asyncio.gather(running, return_exceptions=True)
        if isinstance(ended, WorkerLost):
            assert str(ended).startswith("The worker process died before it had a result")
            assert not out.exists()
        elif isinstance(ended, JobStopped):
            assert not out.exists()
        else:
            assert ended == here
            assert (out / "model.json").read_bytes() == (folder / "here" / "model.json").read_bytes()
        after = training_spec(folder / f"after-{number}", **changes) | checkpoint
        assert await started(engines.local, after) == here
        await until(lambda: not cluster.workers())


async def test_a_training_ends_once_when_its_process_is_killed_at_any_moment(
    engines: Engines, cluster: RunningCluster, tmp_path: Path, seed: int
) -> None:
    await kill_at_any_moment(engines, cluster, tmp_path, 4, seed)


@pytest.mark.soak
async def test_trainings_end_once_in_forty_kills(
    engines: Engines, cluster: RunningCluster, tmp_path: Path, seed: int
) -> None:
    await kill_at_any_moment(engines, cluster, tmp_path, 40, seed)


async def test_nothing_is_left_of_a_cancelled_job(
    engines: Engines, cluster: RunningCluster, reports: Reports, tmp_path: Path
) -> None:
    running = started(engines.ray, endless_training(tmp_path / "out"), reports)
    await reports.first()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await until(lambda: not cluster.workers())
    assert not (tmp_path / "out").exists()


async def test_a_job_beyond_its_time_is_ended(
    engines: Engines, cluster: RunningCluster, tmp_path: Path
) -> None:
    with pytest.raises(JobTooLong, match=r"train job was stopped after its time limit of 0\.5 s"):
        await started(engines.ray, endless_training(tmp_path / "out"), time_limit_s=0.5)

    await until(lambda: not cluster.workers())


async def test_what_a_job_says_is_wrong_is_told(engines: Engines) -> None:
    with pytest.raises(JobFailed, match="TrainingJob: white: Field required; bonus") as met:
        await started(engines.ray, {})

    assert not isinstance(met.value, WorkerLost)


async def test_a_job_for_which_no_node_has_room_does_not_wait_for_ever(
    engines: Engines, cluster: RunningCluster, tmp_path: Path
) -> None:
    hurried = another(cluster, engines, queue=1)
    training = training_spec(tmp_path / "out", threads=3)
    asked: dict[str, dict[str, Any]] = {
        "train": training, "search": {"job": training}, "backtest-block": {"forecasters": [training]}
    }  # fmt: skip
    for kind, spec in asked.items():
        with pytest.raises(WorkerLost, match=r"had 3 free processors .* within 1 s \(work.ray.queue\)"):
            await hurried.run(kind, spec, time_limit_s=PATIENCE_S)
    await hurried.close()


async def test_urgent_jobs_do_not_need_the_cluster_and_the_others_say_that_they_do(engines: Engines) -> None:
    nowhere = {"engine": "ray", "ray": {"address": "127.0.0.2:9", "connect": 1}}
    alone = open_engine(Work.model_validate(nowhere), engines.forks)
    spec = {"rows": rows(20), "ordered": [True] * 20, **MATRIX}

    assert (await alone.run("forecast", spec, time_limit_s=PATIENCE_S))["broken"] == {}
    with pytest.raises(WorkerLost, match=r"127.0.0.2:9 \(work.ray.address\) has not answered within 1 s"):
        await started(alone, {})
    await alone.close()


async def test_the_engine_is_this_machine_unless_the_configuration_says_otherwise(engines: Engines) -> None:
    assert isinstance(open_engine(Work(), engines.forks), LocalEngine)


@pytest.mark.parametrize("where", ["address", "client_address"])
async def test_a_wrong_token_is_refused(
    engines: Engines, cluster: RunningCluster, tmp_path: Path, where: str
) -> None:
    wrong = tmp_path / "token"
    wrong.write_text("fedcba9876543210" * 4, "utf-8")
    stranger = another(cluster, engines, address=getattr(cluster, where), token_file=wrong)
    with pytest.raises(JobFailed, match=r"refused our credentials \(work.ray.token_file\)") as met:
        await started(stranger, {})
    await stranger.close()

    assert not isinstance(met.value, WorkerLost)


async def test_a_cluster_that_cannot_load_this_helios_is_told_from_one_whose_process_died(
    engines: Engines, cluster: RunningCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mortal = another(cluster, engines)
    running = started(mortal, {})
    while not running.done():
        for worker in cluster.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        await asyncio.sleep(0.001)
    with pytest.raises(WorkerLost, match="The process that was to say its versions died"):
        await running
    await mortal.close()

    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['helios_agent.work.remote'] = None")
    without = {"runtime_env": {"env_vars": {"PYTHONPATH": str(tmp_path)}}}
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps(without))
    foreign = another(cluster, engines)
    with pytest.raises(JobFailed, match=r"workers cannot load this Helios: .*ModuleNotFoundError") as met:
        await started(foreign, {})
    await foreign.close()
    assert not isinstance(met.value, WorkerLost)


@pytest.mark.parametrize("form", ["", "ray://"])
async def test_a_process_that_still_connects_ends_with_whoever_wanted_it(form: str) -> None:
    with socket.create_server((HEAD, 0)) as silent:  # who says nothing to those that it lets in
        silent.setblocking(False)
        connecting = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "helios_agent.work.bridge", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert connecting.stdin is not None
        address = f"{form}{HEAD}:{silent.getsockname()[1]}"
        connecting.stdin.write(json.dumps({"address": address}).encode() + b"\n")
        met, _ = await asyncio.get_running_loop().sock_accept(silent)
        with met:
            connecting.stdin.close()
            assert await asyncio.wait_for(connecting.wait(), 10) == 0


@pytest.mark.parametrize(
    "rubbish", ["echo neither a job nor JSON", "head -c 70000000 /dev/zero | tr '\\0' 0"]
)
async def test_a_connection_that_says_what_nobody_understands_is_given_up(
    engines: Engines, cluster: RunningCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rubbish: str
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\necho '{{\"ready\": true}}'; read order; {rubbish}; exec cat")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    confused = another(cluster, engines)
    with pytest.raises(WorkerLost, match=r"The connection to 127\.0\.0\.2:\d+ ended"):
        await asyncio.wait_for(started(confused, {}), PATIENCE_S)

    await confused.close()


async def test_of_every_job_a_last_word_is_said_and_nothing_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray._private.auto_init_hook.enable_auto_connect", False)
    said = io.StringIO()
    job = Job(1, None, Bridge(said).say)
    job.kill()  # which cannot be done, nobody being connected
    job.say({"progress": {"loss": 1.0}})
    job.end({"result": {"loss": math.nan}})
    job.end({"lost": "too late"})
    with pytest.raises(WorkerLost):
        job.say({"progress": {"loss": 1.0}})

    progress, last = map(json.loads, said.getvalue().splitlines())
    assert progress == {"job": 1, "progress": {"loss": 1.0}}
    assert last == {"job": 1, "error": "ValueError: Out of range float values are not JSON compliant"}


async def test_a_job_beyond_its_limits_fails_with_the_limit(
    engines: Engines, cluster: RunningCluster, tmp_path: Path
) -> None:
    settings = Work.model_validate(
        {"engine": "ray", "ray": cluster.settings(), "cpu": 3, "memory": 512 * 1024**2}
    )
    assert settings.ray is not None
    limited = RayEngine(settings, settings.ray, engines.local)
    reports, spent = Reports(), list[float]()
    endless = started(limited, endless_training(tmp_path / "endless"), reports, on_spent=spent.append)
    network = TINY | {"hidden": 4096, "layers": 8}
    large = started(limited, training_spec(tmp_path / "large") | {"network": network})
    await reports.first()
    most = [resource.prlimit(worker, resource.RLIMIT_CPU)[0] for worker in cluster.workers()]
    assert any(63 < cpu_s < 70 for cpu_s in most)  # should nobody hear what it takes
    with pytest.raises(JobFailed, match=r"used its 3 CPU seconds \(work.cpu\)") as met:
        await endless
    assert not isinstance(met.value, WorkerLost)  # it would come again
    assert 3.0 < spent[0] < 8.0
    with pytest.raises(JobFailed, match=r"needed more than 512 MiB of memory \(work.memory\)") as met:
        await large
    assert not isinstance(met.value, WorkerLost)
    await limited.close()


async def test_a_job_that_waits_for_room_can_be_cancelled_and_stopped(
    engines: Engines, cluster: RunningCluster, tmp_path: Path
) -> None:
    stop = asyncio.Event()
    large = training_spec(tmp_path / "out", threads=3)
    cancelled, stopped = started(engines.ray, large), started(engines.ray, large, stop=stop)
    await until(lambda: engines.ray.bridge_pid)
    before = engines.ray.bridge_pid
    await asyncio.sleep(0.5)  # nobody tells that they wait
    cancelled.cancel()
    stop.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(cancelled, work.END_GRACE_S / 2)
    with pytest.raises(JobStopped):
        await asyncio.wait_for(stopped, work.END_GRACE_S / 2)

    assert cluster.workers() == []
    assert engines.ray.bridge_pid == before
