"""What runs on a node of a Ray cluster: one job, in a process of its own, without our disk.

`bridge.py` makes an actor of `Worker`; Ray itself is not needed here.
"""

import contextlib
import importlib
import os
import socket
import sys
import tempfile
import threading
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from helios_agent import files, release
from helios_agent.clock import SECOND_US, SystemClock
from helios_agent.errors import HeliosError, JobStopped
from helios_agent.work import parcels
from helios_agent.work.jobs import JOBS
from helios_agent.work.parcels import Parcel

NICE = 19
ARTEFACT_KEPT_S = 7 * 86_400
"""How long a node keeps an artefact that no job has asked for."""

Versions = Mapping[str, str]
Message = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A job as it is sent: `artefacts` is the SHA-256 of each folder it reads, by its name in the spec."""

    kind: str
    spec: Mapping[str, Any]
    artefacts: Mapping[str, str]
    checkpoint: Parcel | None


@dataclass(frozen=True)
class Outcome:
    """How a job ended, as {"result": …}, {"error": …} or {"stopped": true}, and the files it left."""

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

    def greet(self) -> tuple[str, Versions]:
        """Return the name of the node, and its versions."""
        return socket.gethostname(), versions()

    def missing(self, digests: list[str]) -> list[str]:
        """Return which artefacts this node has not got."""
        lacking = []
        for sha256 in digests:
            try:
                os.utime(_artefact(sha256))
            except FileNotFoundError:
                lacking.append(sha256)
        return lacking

    def keep(self, artefact: Parcel) -> None:
        """Keep an artefact on this node, for this job and later ones; forget those long unused."""
        parcels.unpack(artefact, _artefact(artefact.sha256))
        for other in _artefact("").iterdir():
            if SystemClock().now_us() / SECOND_US - other.stat().st_mtime > ARTEFACT_KEPT_S:
                files.remove(other)

    def run(self, task: Task) -> Outcome:
        """Compute the job and return how it ended; never raises what the job raised."""
        os.nice(NICE)
        _sweep()
        place = _home() / "jobs" / str(os.getpid())
        out, checkpoint = place / "out", place / "checkpoint"
        try:
            files.remove(place)
            place.mkdir(parents=True)
            message = self._compute(task, out, checkpoint)
            return Outcome(
                message,
                parcels.pack(out) if "result" in message and out.exists() else None,
                parcels.pack(checkpoint) if "stopped" in message and checkpoint.exists() else None,
            )
        finally:
            files.remove(place)
            with self._changed:
                self._over = True
                self._changed.notify_all()

    def _compute(self, task: Task, out: Path, checkpoint: Path) -> Message:
        spec = parcels.moved(task.spec, {name: str(_artefact(s)) for name, s in task.artefacts.items()})
        spec |= {
            name: str(path) for name, path in (("out", out), ("checkpoint", checkpoint)) if spec.get(name)
        }
        if task.checkpoint is not None:
            parcels.unpack(task.checkpoint, checkpoint)
        sent = parcels.stamp(checkpoint)

        def report(progress: Message) -> None:
            nonlocal sent
            stamp = parcels.stamp(checkpoint)
            parcel = parcels.pack(checkpoint) if stamp != sent else None
            sent = stamp
            with self._changed:
                self._said.append(progress)
                self._checkpoint = parcel or self._checkpoint
                self._changed.notify_all()
            if self._asked_to_stop.is_set():
                raise JobStopped()

        module, _, function = JOBS[task.kind].partition(":")
        try:
            return {"result": getattr(importlib.import_module(module), function)(spec, report)}
        except JobStopped:
            return {"stopped": True}
        except HeliosError as error:
            return {"error": str(error)}
        except Exception as error:
            traceback.print_exc()
            return {"error": f"{type(error).__name__}: {error}"}

    def listen(self) -> tuple[list[Message], Parcel | None, bool]:
        """Wait for news: what was reported, a new checkpoint if there is one, and whether all is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._said or self._over)
            said, checkpoint = self._said, self._checkpoint
            self._said, self._checkpoint = [], None
            return said, checkpoint, self._over

    def stop(self) -> None:
        """Have the job end at its next report."""
        self._asked_to_stop.set()


def difference(ours: Versions, theirs: Versions) -> str | None:
    """Return in what two places differ, for people, or None."""
    different = [name for name in ours if ours[name] != theirs.get(name)]
    if not different:
        return None
    return "; ".join(f"{name} is {theirs.get(name)} there and {ours[name]} here" for name in different)


def _home() -> Path:
    """Return our folder on this node, which nobody else may enter."""
    home = Path(tempfile.gettempdir()) / f"helios-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    return home


def _artefact(sha256: str) -> Path:
    return _home() / "artefacts" / sha256


def _sweep() -> None:
    """Remove what jobs left behind whose process was killed."""
    with contextlib.suppress(FileNotFoundError):
        for place in (_home() / "jobs").iterdir():
            try:
                os.kill(int(place.name), 0)
            except ProcessLookupError:
                files.remove(place)
