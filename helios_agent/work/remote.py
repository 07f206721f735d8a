"""What runs on a node of a Ray cluster: one job, in a process of its own, without our disk.

`bridge.py` makes an actor of `Worker`; Ray itself is not needed here.
"""

import contextlib
import importlib
import math
import os
import resource
import socket
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from helios_agent import files, release
from helios_agent.errors import HeliosError, JobFailed, JobStopped, WorkerLost
from helios_agent.work import parcels, worker
from helios_agent.work.jobs import JOBS
from helios_agent.work.parcels import Parcel

NICE = 19
SILENCE_S = 5.0
"""After how long without a report a job's processor time is told all the same."""
CPU_GRACE_S = 60
"""Processor time beyond its limit after which a job is ended here, should nobody have heard what it took."""

Versions = Mapping[str, str]
Message = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """How much a job may take: bytes of memory, and CPU seconds."""

    memory: int
    cpu_s: float


@dataclass(frozen=True)
class Task:
    """A job as it is sent, what an earlier run of it has kept, and the artefact that it is to begin from."""

    kind: str
    spec: Mapping[str, Any]
    checkpoint: Parcel | None
    start: Parcel | None = None
    limits: Limits | None = None


@dataclass(frozen=True)
class Outcome:
    """How a job ended (a `result`, an `error`, `lost` for a reason, or `stopped`), and the files it left.

    The message says, too, what the job has taken, `cpu_seconds`.
    """

    message: Message
    out: Parcel | None
    checkpoint: Parcel | None


def versions() -> Versions:
    """Return what has to be the same here and there, so that the same spec means the same computation.

    The kind of processor is not part of it, though the last bits of the outcome depend on it.
    """
    return {
        "Helios": f"{metadata.version('helios-agent')}, code {release.code()[:12]}",
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",
        "torch": metadata.version("torch").partition("+")[0],
    }


class Worker:
    """One job: `run` computes it in one thread while `listen` and `stop` are called in others."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._said: list[Message] = []
        self._checkpoint: Parcel | None = None
        self._over = False
        self._asked_to_stop = threading.Event()
        self._idle_s = time.process_time()
        """What this process had taken before it was given the job."""

    def greet(self) -> tuple[str, Versions]:
        """Return the name of the node, and its versions."""
        return socket.gethostname(), versions()

    def run(self, task: Task) -> Outcome:
        """Compute the job and return how it ended; never raises what the job raised."""
        self._idle_s = time.process_time()
        try:
            os.nice(NICE)
            if task.limits is not None:
                self._obey(task.limits)
            jobs = _home() / "jobs"
            _sweep(jobs)
            place = jobs / str(os.getpid())
            try:
                return self._compute_in(place, task)
            finally:
                files.remove(place)
        except HeliosError as error:
            kind = "lost" if isinstance(error, WorkerLost) else "error"
            return Outcome(self._told({kind: str(error)}), None, None)
        finally:  # whatever happened: `listen` would wait for ever
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _obey(self, limits: Limits) -> None:
        """Have the system hold us to the limits; what this process has taken before does not count."""
        cpu_s = math.ceil(self._idle_s + limits.cpu_s) + CPU_GRACE_S
        worker.limit(_held_bytes() + limits.memory, cpu_s)

    def _compute_in(self, place: Path, task: Task) -> Outcome:
        files.remove(place)
        place.mkdir(parents=True)
        out, checkpoint = place / "out", place / "checkpoint"
        message = self._compute(task, out, checkpoint, place / "start")
        return Outcome(
            self._told(message),
            parcels.pack(out) if "result" in message and out.exists() else None,
            parcels.pack(checkpoint) if "stopped" in message and checkpoint.exists() else None,
        )

    def _compute(self, task: Task, out: Path, checkpoint: Path, start: Path) -> Message:
        places = {"out": str(out), "checkpoint": str(checkpoint)}
        spec = {name: places.get(name, value) if value else value for name, value in task.spec.items()}
        if task.checkpoint is not None:
            parcels.unpack(task.checkpoint, checkpoint)
        if task.start is not None:
            parcels.unpack(task.start, start)
            spec["start"] = {**spec["start"], "artefact": str(start)}
        sent = parcels.stamp(checkpoint)

        def report(progress: Message) -> None:
            nonlocal sent
            stamp = parcels.stamp(checkpoint)
            parcel = parcels.pack(checkpoint) if stamp != sent else None
            sent = stamp
            with self._changed:
                self._said.append(self._told({"progress": progress}))
                self._checkpoint = parcel or self._checkpoint
                self._changed.notify_all()
            if self._asked_to_stop.is_set():
                raise JobStopped()

        module, _, function = JOBS[task.kind].partition(":")
        try:
            return {"result": getattr(importlib.import_module(module), function)(spec, report)}
        except JobStopped:
            return {"stopped": True}
        except Exception as error:
            memory = None if task.limits is None else task.limits.memory
            return {"error": worker.explain(error, memory)}

    def _told(self, message: Message) -> Message:
        """Return a message with the processor time that all threads have taken for the job."""
        return message | {"cpu_seconds": time.process_time() - self._idle_s}

    def listen(self) -> tuple[list[Message], Parcel | None, bool]:
        """Wait for news: what was reported, a new checkpoint if there is one, and whether all is over.

        Where there is none for a while, what is reported is the processor time alone.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._said or self._over, SILENCE_S)
            said, checkpoint = self._said or [self._told({})], self._checkpoint
            self._said, self._checkpoint = [], None
            return said, checkpoint, self._over

    def stop(self) -> None:
        """Have the job end at its next report."""
        self._asked_to_stop.set()


def _held_bytes() -> int:
    """Return how much memory this process may write to already, as RLIMIT_DATA counts it."""
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def difference(ours: Versions, theirs: Versions) -> str | None:
    """Return in what two places differ, for people, or None."""
    different = [name for name in ours if ours[name] != theirs.get(name)]
    if not different:
        return None
    return "; ".join(f"{name} is {theirs.get(name)} there and {ours[name]} here" for name in different)


def _home() -> Path:
    """Return our folder on this node, which nobody else may enter.

    Raises JobFailed where somebody may: its name is known beforehand, and others can make folders beside it.
    """
    home = Path(tempfile.gettempdir()) / f"helios-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        home.mkdir(mode=0o700)
    found = home.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise JobFailed(
            f"{home} on {socket.gethostname()} is {stat.filemode(found.st_mode)} of user {found.st_uid};"
            f" expected a folder, drwx------, of user {os.getuid()}: remove it"
        )
    return home


def _sweep(jobs: Path) -> None:
    """Remove what jobs left behind whose process was killed."""
    with contextlib.suppress(FileNotFoundError):
        for place in jobs.iterdir():
            try:
                os.kill(int(place.name), 0)
            except (ProcessLookupError, PermissionError):  # it is nobody's number by now, or another user's
                files.remove(place)
