"""What a forked child does: one job, or one service for as long as it is wanted.

JSON lines come and go on its channel. The first line down is the request: {"kind", "spec", "nice", "idle",
"memory", "cpu"}. A job then sends {"progress": …} while it works, at last {"result": …}, {"error": …} or,
when it was told {"stop": true}, {"stopped": true}. A service sends {"ready": true} and answers each line with
{"answer": …} or {"error": …}. With every message goes "cpu_seconds", what all threads of the child
have taken of processors since it was forked. When the channel closes the child ends: it never outlives who
wants it.
"""

import contextlib
import importlib
import json
import os
import resource
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from helios_agent.errors import HeliosError, JobStopped, is_out_of_memory
from helios_agent.work.jobs import JOBS, SERVICES

Say = Callable[[dict[str, Any]], None]


def work(channel: socket.socket) -> None:
    """Do what the first line of the channel asks, and return when that is done."""
    lines = channel.makefile("r", encoding="utf-8")

    def say(message: dict[str, Any]) -> None:
        told = message | {"cpu_seconds": time.process_time()}
        channel.sendall(json.dumps(told, allow_nan=False).encode() + b"\n")

    first = lines.readline()
    if not first:
        return
    request = json.loads(first)
    _step_back(request)
    limit(request["memory"], request["cpu"])
    try:
        if request["kind"] in SERVICES:
            _serve(request, lines, say)
        else:
            _compute(request, lines, say)
    except JobStopped:
        say({"stopped": True})
    except Exception as error:
        say({"error": explain(error, request["memory"])})


def _compute(request: Mapping[str, Any], lines: Iterable[str], say: Say) -> None:
    asked_to_stop = threading.Event()
    threading.Thread(target=_listen, args=(lines, asked_to_stop), daemon=True).start()

    def report(progress: dict[str, Any]) -> None:
        say({"progress": progress})
        if asked_to_stop.is_set():
            raise JobStopped()

    say({"result": _find(JOBS[request["kind"]])(request["spec"], report)})


def _serve(request: Mapping[str, Any], lines: Iterable[str], say: Say) -> None:
    answer = _find(SERVICES[request["kind"]])(request["spec"])
    say({"ready": True})
    for line in lines:
        try:
            say({"answer": answer(json.loads(line))})
        except Exception as error:
            say({"error": explain(error, request["memory"])})


def _listen(lines: Iterable[str], asked_to_stop: threading.Event) -> None:
    with contextlib.suppress(OSError):  # a channel that broke is closed
        for line in lines:
            if json.loads(line).get("stop"):
                asked_to_stop.set()
    os._exit(1)


def _find(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def _step_back(request: Mapping[str, Any]) -> None:
    """Let whatever else the machine does come first."""
    os.nice(request["nice"])
    if request["idle"] and hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(PermissionError):  # where that is forbidden, being nice has to do
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def limit(memory: int, cpu_s: int | None) -> None:
    """Have the system refuse memory beyond the limit, and end us (SIGXCPU) when the CPU time is used up."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for kind, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_CPU, cpu_s)):
        if most is None:
            continue
        _, allowed = resource.getrlimit(kind)
        if allowed != resource.RLIM_INFINITY:
            most = min(most, allowed)
        resource.setrlimit(kind, (most, allowed))


def explain(error: Exception, memory: int | None) -> str:
    """Return what is wrong, for people; the traceback of what nobody foresaw goes to stderr."""
    if isinstance(error, HeliosError):
        return str(error)
    if memory is not None and is_out_of_memory(error):
        return too_much(memory)
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}"


def too_much(memory: int) -> str:
    """Return what there is to say of a worker that was refused memory beyond so many bytes."""
    return f"The worker process needed more than {memory / 1024**2:,.0f} MiB of memory (work.memory)."
