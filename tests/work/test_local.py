"""The local engine: real processes that work, fail, exceed their limits, stop, and are killed."""

import asyncio
import contextlib
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helios_agent.errors import JobFailed, JobStopped, JobTooLong, WorkerLost
from helios_agent.work import children, local
from tests.work.conftest import (
    TINY,
    Reports,
    Works,
    endless_replay,
    endless_training,
    forecast_spec,
    training_spec,
    until,
    working,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_job_returns_its_result_having_reported_its_progress(
    works: Works, reports: Reports, tmp_path: Path
) -> None:
    trained = await works.run("train", training_spec(tmp_path / "out"), reports)

    assert [progress["epoch"] for progress in reports.seen[-2:]] == [1, 2]
    assert (tmp_path / "out" / "model.json").exists()
    assert len(trained["version"]) == 12


async def test_the_same_spec_gives_the_same_network_in_every_child_and_with_two_threads_too(
    works: Works, tmp_path: Path
) -> None:
    async def version(name: str, threads: int) -> Any:
        spec = training_spec(tmp_path / name, threads=threads)
        spec["network"] = TINY | {"hidden": 128, "embedding": 64}  # two threads have something to share
        return (await works.run("train", spec))["version"]

    assert await version("one", threads=1) == await version("two", threads=1)
    assert await version("three", threads=2) == await version("four", threads=2)


async def test_what_is_forked_has_one_thread_torch_loaded_or_not(works: Works, tmp_path: Path) -> None:
    # Of a process with more, a fork could inherit a lock that nobody will release.
    await works.run("forecast", forecast_spec())
    assert threads(works.forks.pid) == 1
    await works.run("train", training_spec(tmp_path / "out", threads=2))
    assert has_torch(works.forks.pid)
    assert threads(works.forks.pid) == 1


async def test_what_a_job_says_is_wrong_is_told_and_the_traceback_of_what_nobody_foresaw_is_in_the_log(
    works: Works, log: list[str]
) -> None:
    with pytest.raises(JobFailed, match="TrainingJob: white: Field required; bonus"):
        await works.run("train", {})
    assert log == []
    with pytest.raises(JobFailed, match=r"KeyError: 'rows'"):
        await works.run("forecast", {})
    (told,) = log
    assert told.startswith("WARNING the forecast job said: Traceback (most recent call last):")
    assert 'forecasting/panel.py", line' in told
    assert told.rstrip().endswith("KeyError: 'rows'")


async def test_what_a_job_logs_is_in_the_log(works: Works, log: list[str], tmp_path: Path) -> None:
    kept = tmp_path / "checkpoint"
    kept.mkdir()
    (kept / "checkpoint.json").write_text("{")
    await works.run("train", training_spec(tmp_path / "out") | {"checkpoint": str(kept)})
    (told,) = log
    assert told.startswith("WARNING the train job said: ")
    assert "checkpoint.json cannot be gone on from, so the training begins anew: Expecting property" in told


async def test_a_job_beyond_its_memory_fails_with_the_limit_and_the_next_one_does_not(
    works: Works, tmp_path: Path
) -> None:
    large = training_spec(tmp_path / "out") | {"network": TINY | {"hidden": 4096, "layers": 8}}
    with pytest.raises(JobFailed, match=r"needed more than 512 MiB of memory \(work.memory\)") as met:
        await works.run("train", large)
    assert not isinstance(met.value, WorkerLost)  # it would come again
    with pytest.raises(JobFailed, match="needed more than 512 MiB of memory"):
        await works.run("forecast", forecast_spec() | {"white": 10**9})

    assert (await works.run("forecast", forecast_spec()))["broken"] == {}


async def test_a_search_goes_on_after_a_configuration_that_needs_too_much_memory(
    reports: Reports, tmp_path: Path
) -> None:
    """The one that stands does: it is a failed trial, also when the best one is judged beside it."""
    training = training_spec(tmp_path / "out", learning_rate=0.02) | {"draws": [[1, 2, 3, 1]] * 80}
    large = training | {"network": TINY | {"hidden": 4096, "layers": 2}}
    search = {"job": large, "trials": 2, "folds": 1, "block": 15, "cpu_seconds": 60.0}

    async with working(workers=1, memory=2**29) as works:
        found = await works.run("search", search, reports, time_limit_s=300)

    standing, other = [progress["done"] for progress in reports.seen if "done" in progress]
    assert (standing["state"], standing["gain"]) == ("failed", None)
    assert standing["error"] == "The training needed more memory than a worker may have (work.memory)."
    assert other["state"] == "complete"
    assert found["best"] == other
    assert (found["standing_gain"], found["adopted"]) == (None, True)


async def test_a_job_beyond_its_cpu_time_fails_with_the_limit(works: Works) -> None:
    with pytest.raises(JobFailed, match=r"used its 1 CPU seconds \(work.cpu\)") as met:
        await works.run("walk-forward", endless_replay())

    assert not isinstance(met.value, WorkerLost)


async def test_a_job_beyond_its_time_is_ended(works: Works) -> None:
    with pytest.raises(JobTooLong, match=r"walk-forward job was stopped after its time limit of 0\.2 s"):
        await works.run("walk-forward", endless_replay(), time_limit_s=0.2)

    assert works.children() == []


async def test_to_wait_for_a_worker_uses_no_time_of_the_limit(
    works: Works, reports: Reports, tmp_path: Path
) -> None:
    first = works.run("train", endless_training(tmp_path / "first"), time_limit_s=1)
    second = works.run("train", endless_training(tmp_path / "second"), reports, time_limit_s=1)

    ended = await asyncio.gather(first, second, return_exceptions=True)

    assert [type(error) for error in ended] == [JobTooLong, JobTooLong]
    assert reports.seen != []


async def test_a_job_that_is_asked_to_stop_ends_at_its_next_report(
    works: Works, reports: Reports, tmp_path: Path
) -> None:
    stop = asyncio.Event()
    job = works.run("train", endless_training(tmp_path / "out"), reports, stop=stop)
    await reports.first()
    stop.set()

    with pytest.raises(JobStopped):
        await job


async def test_a_training_that_was_stopped_or_killed_goes_on_to_the_network_it_would_have_been(
    works: Works, tmp_path: Path
) -> None:
    class Interrupted(Reports):
        """Kills the child at its first report."""

        async def __call__(self, progress: Any) -> None:
            await super().__call__(progress)
            for pid in works.children():
                os.kill(pid, signal.SIGKILL)

    epochs = {"epochs": 25, "patience": 25}
    straight = await works.run("train", training_spec(tmp_path / "straight", **epochs))
    spec = training_spec(tmp_path / "out", **epochs) | {"checkpoint": str(tmp_path / "checkpoint")}
    stop = asyncio.Event()
    stop.set()
    with pytest.raises(JobStopped):
        await works.run("train", spec, stop=stop)
    stop = asyncio.Event()
    reports = Reports()
    job = works.run("train", spec, reports, stop=stop)
    await reports.first()
    stop.set()
    with pytest.raises(JobStopped):
        await job
    with pytest.raises(WorkerLost, match="signal 9"):
        await works.run("train", spec, Interrupted())

    assert (await works.run("train", spec))["version"] == straight["version"]


async def test_a_job_that_does_not_stop_when_asked_is_ended(
    works: Works, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "STOP_GRACE_S", 0.1)
    stop = asyncio.Event()
    job = works.run("walk-forward", endless_replay(), stop=stop)
    (pid,) = await until(works.children)
    os.kill(pid, signal.SIGSTOP)
    stop.set()

    with pytest.raises(JobStopped):
        await job
    assert works.children() == []


async def test_a_job_whose_caller_is_cancelled_is_ended(works: Works, reports: Reports) -> None:
    job = works.run("walk-forward", endless_replay(), reports)
    await reports.first()
    job.cancel()

    with pytest.raises(asyncio.CancelledError):
        await job
    assert works.children() == []


async def test_whatever_becomes_of_a_job_its_processor_time_is_told_once(
    works: Works, reports: Reports, tmp_path: Path
) -> None:
    spent: list[float] = []
    spec = training_spec(tmp_path / "one", threads=2, epochs=20, patience=20)
    await works.run("train", spec, on_spent=spent.append)
    with pytest.raises(JobFailed, match="Field required"):
        await works.run("train", {}, on_spent=spent.append)
    with pytest.raises(JobFailed, match="CPU seconds"):
        await works.run("walk-forward", endless_replay(), on_spent=spent.append)
    with pytest.raises(JobTooLong):
        await works.run("walk-forward", endless_replay(), time_limit_s=0.5, on_spent=spent.append)
    stop = asyncio.Event()
    spec = endless_training(tmp_path / "two")
    job = works.run("train", spec, reports, stop=stop, on_spent=spent.append)
    await reports.first()
    stop.set()
    with pytest.raises(JobStopped):
        await job

    assert len(spent) == 5
    done, failed, used_up, too_long, stopped = spent
    assert failed < done
    assert min(spent) > 0.0
    assert 0.8 < used_up < 1.5  # its limit is one second
    assert too_long < 1.0
    assert stopped < 1.0

    stop.set()
    with pytest.raises(JobStopped):
        await works.run("train", spec, stop=stop, on_spent=spent.append)
    assert len(spent) == 5  # one that never began has taken nothing
    reports = Reports()
    job = works.run("walk-forward", endless_replay(), reports, on_spent=spent.append)
    await reports.first()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert len(spent) == 6
    assert spent[-1] > 0.0


async def test_of_a_job_whose_end_nobody_saw_its_last_report_tells_what_it_took(reports: Reports) -> None:
    spent: list[float] = []
    async with working(workers=1) as works:
        job = works.run("walk-forward", endless_replay(), reports, on_spent=spent.append)
        await reports.first()
        assert works.forks.pid is not None
        os.kill(works.forks.pid, signal.SIGKILL)
        with pytest.raises(WorkerLost):
            await job

    assert len(spent) == 1
    assert spent[0] > 0.0


async def test_a_killed_child_costs_its_own_job_alone(works: Works, log: list[str]) -> None:
    killed = works.run("walk-forward", endless_replay())
    (pid,) = await until(works.children)
    other = works.run("forecast", forecast_spec(300))
    os.kill(pid, signal.SIGKILL)

    with pytest.raises(WorkerLost, match="was killed by signal 9 before it had a result"):
        await killed
    assert (await other)["broken"] == {}
    assert log == []


async def test_jobs_wait_for_a_worker_in_order_of_priority_then_of_arrival_but_urgent_ones_do_not(
    works: Works, reports: Reports, tmp_path: Path
) -> None:
    stop, never = asyncio.Event(), asyncio.Event()
    order: list[str] = []

    async def train(name: str, priority: int) -> None:
        await works.run("train", training_spec(tmp_path / name), priority=priority)
        order.append(name)

    busy = works.run("train", endless_training(tmp_path / "busy"), reports, stop=stop)
    await reports.first()
    (pid,) = works.children()
    os.kill(pid, signal.SIGSTOP)  # it is busy, and uses up no processor time
    waiting = [
        asyncio.create_task(train(name, priority))
        for name, priority in (("first", 0), ("second", 0), ("urgent", 5))
    ]
    stopped = works.run("train", training_spec(tmp_path / "stopped"), stop=never, priority=9)
    await asyncio.sleep(0)
    await works.run("forecast", forecast_spec())
    with pytest.raises(JobFailed, match="artefact: Field required"):
        await works.run("model-validate", {})
    with pytest.raises(JobFailed, match="forecasters: Field required"):
        await works.run("backtest-judge", {})
    never.set()
    with pytest.raises(JobStopped):
        await stopped
    assert (order, len(works.children())) == ([], 1)
    stop.set()
    os.kill(pid, signal.SIGCONT)
    await asyncio.gather(*waiting)
    with pytest.raises(JobStopped):
        await busy

    assert order == ["urgent", "first", "second"]


async def test_children_run_when_nobody_else_wants_the_processor(works: Works, reports: Reports) -> None:
    job = works.run("walk-forward", endless_replay(), reports)
    await reports.first()
    (pid,) = works.children()
    assert (os.getpriority(os.PRIO_PROCESS, pid), os.getsid(pid)) == (19, os.getsid(0))
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)


async def test_training_yields_even_to_nice_processes(works: Works, reports: Reports, tmp_path: Path) -> None:
    job = works.run("train", endless_training(tmp_path / "out"), reports)
    await reports.first()
    (pid,) = works.children()
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    job.cancel()
    await asyncio.gather(job, return_exceptions=True)


async def test_a_killed_fork_server_loses_the_jobs_under_way_and_the_next_job_has_a_new_one(
    reports: Reports,
) -> None:
    async with working() as works:
        job = works.run("walk-forward", endless_replay(), reports)
        await reports.first()
        (pid,) = works.children()
        server = works.forks.pid
        assert server is not None
        os.kill(server, signal.SIGKILL)
        with pytest.raises(WorkerLost, match="was lost with the process that had forked it"):
            await job
        await until(lambda: not alive(pid))
        assert (await works.run("forecast", forecast_spec()))["broken"] == {}
        assert works.forks.pid not in (None, server)


async def test_a_fork_server_that_was_killed_while_idle_costs_nothing() -> None:
    async with working() as works:
        await works.run("forecast", forecast_spec())
        server = works.forks.pid
        assert server is not None
        os.kill(server, signal.SIGKILL)
        assert (await works.run("forecast", forecast_spec()))["broken"] == {}


async def test_a_fork_server_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "PATIENCE_S", 0.2)
    async with working() as works:
        await works.run("forecast", forecast_spec())
        server = works.forks.pid
        assert server is not None
        os.kill(server, signal.SIGSTOP)
        with pytest.raises(WorkerLost, match="time limit"):
            await works.run("forecast", forecast_spec(), time_limit_s=0.1)
        await until(lambda: not alive(server))
        assert (await works.run("forecast", forecast_spec()))["broken"] == {}


async def test_a_fork_server_is_given_the_time_to_load_what_heavy_jobs_need(
    reports: Reports, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "PATIENCE_S", 0.1)
    async with working() as works:
        light = works.run("walk-forward", endless_replay(), reports)
        await reports.first()
        server = works.forks.pid
        heavy = works.run("model-validate", {})
        await until(lambda: has_torch(server))
        light.cancel()
        with pytest.raises(JobFailed, match="artefact: Field required"):
            await heavy
        await asyncio.gather(light, return_exceptions=True)
        assert (works.forks.pid, works.children()) == (server, [])


async def test_a_fork_server_that_loads_for_ever_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "PATIENCE_S", 0.0)
    monkeypatch.setattr(children, "LOADING_S", 0.0)
    async with working() as works:
        with pytest.raises(JobFailed, match="time limit"):
            await works.run("forecast", forecast_spec(), time_limit_s=0.1)
        assert works.forks.pid is None


async def test_the_fork_server_ends_when_it_has_had_no_child_for_a_while_and_comes_back(
    reports: Reports,
) -> None:
    async with working(keep_warm=0.3) as works:
        job = works.run("walk-forward", endless_replay(), reports)
        await reports.first()
        server = works.forks.pid
        assert server is not None
        cold_at = asyncio.get_running_loop().time() + 0.4
        await until(lambda: asyncio.get_running_loop().time() > cold_at)
        job.cancel()
        await asyncio.gather(job, return_exceptions=True)
        assert works.forks.pid == server  # it had a child all the time
        await until(lambda: works.forks.pid is None and not alive(server))
        assert (await works.run("forecast", forecast_spec()))["broken"] == {}


async def test_nothing_is_left_open_and_no_process_is_left_behind() -> None:
    async def live() -> None:
        async with working() as works:
            for _ in range(3):
                await works.run("forecast", forecast_spec())
            job = works.run("walk-forward", endless_replay())
            (pid,) = await until(works.children)
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(WorkerLost):
                await job
            with pytest.raises(WorkerLost):
                await works.run("walk-forward", endless_replay(), time_limit_s=0.1)
            assert works.children() == []

    await live()  # the first of all opens what stays open
    gc.collect()
    before = sorted(os.listdir("/proc/self/fd"))
    processes = own_children()
    await live()
    gc.collect()
    assert sorted(os.listdir("/proc/self/fd")) == before
    assert own_children() == processes


async def test_children_do_not_outlive_a_daemon_that_is_killed() -> None:
    program = (
        "import asyncio\n"
        "from tests.work.conftest import endless_replay, working\n"
        "async def main():\n"
        "    async with working() as works:\n"
        "        async def told(_): print(works.forks.pid, *works.children(), flush=True)\n"
        "        await works.run('walk-forward', endless_replay(), told)\n"
        "asyncio.run(main())\n"
    )
    daemon = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert daemon.stdout is not None
    server, child = map(int, (await daemon.stdout.readline()).split())
    assert alive(server)
    assert alive(child)
    daemon.kill()
    await daemon.wait()

    await until(lambda: not alive(server) and not alive(child))


def alive(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def has_torch(pid: int | None) -> bool:
    return "libtorch" in Path(f"/proc/{pid}/maps").read_text()


def threads(pid: int | None) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def own_children() -> list[str]:
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
