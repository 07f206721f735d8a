"""Where jobs are computed: the port, and the local engine, a child process a job at the lowest priority."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from helios_agent.errors import JobFailed, JobStopped, WorkerLost

LINE_LIMIT_BYTES = 64 * 1024 * 1024
STDERR_KEPT_BYTES = 4096
SHORT_JOB_S = 300.0
"""Time limit of jobs that take seconds: whoever exceeds it hangs."""

Progress = Callable[[Mapping[str, Any]], Awaitable[None]]


class Engine(Protocol):
    """Whatever computes jobs outside the event loop."""

    async def run(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None = None,
        *,
        time_limit_s: float,
        stop: asyncio.Event | None = None,
    ) -> dict[str, Any]:
        """Compute one job and return its result, awaiting `on_progress` for each report of it.

        When the caller is cancelled, or the time limit is reached, the job is ended. When `stop` is set it is
        asked to end at its next report, having kept a checkpoint if it knows how, and is ended if it does
        not. Raises JobFailed, naming the reason, when it did not succeed, WorkerLost when it was killed or
        did not end in time, and JobStopped when it ended because of `stop`.
        """


class LocalEngine:
    """Computes each job in a child process of its own, which ends with it."""

    async def run(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None = None,
        *,
        time_limit_s: float,
        stop: asyncio.Event | None = None,
    ) -> dict[str, Any]:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "helios_agent.work.child",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT_BYTES,
            process_group=0,  # a signal to the daemon's group must not kill work that it will stop itself
            env=os.environ | {"OMP_WAIT_POLICY": "passive"},
        )
        if child.stdin is None or child.stdout is None or child.stderr is None:
            raise JobFailed("The worker process has no pipes.")
        complaints = asyncio.create_task(_last_words(child.stderr), name=f"work.stderr.{child.pid}")
        try:
            async with asyncio.timeout(time_limit_s):
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its output says why
                    child.stdin.write(json.dumps({"kind": kind, "spec": spec}).encode() + b"\n")
                    await child.stdin.drain()
                return await _listen(child.stdout, on_progress, child, complaints, stop or asyncio.Event())
        except TimeoutError:
            raise WorkerLost(
                f"The {kind} job was stopped after its time limit of {time_limit_s:g} s."
            ) from None
        finally:
            if child.returncode is None:
                child.kill()
            child.stdin.close()
            await asyncio.shield(child.wait())
            await complaints


async def _listen(
    answers: asyncio.StreamReader,
    on_progress: Progress | None,
    child: asyncio.subprocess.Process,
    complaints: asyncio.Task[str],
    stop: asyncio.Event,
) -> dict[str, Any]:
    while line := await answers.readline():
        message = json.loads(line)
        if "result" in message:
            result: dict[str, Any] = message["result"]
            return result
        if "error" in message:
            raise JobFailed(message["error"])
        if on_progress is not None:
            await on_progress(message["progress"])
        if stop.is_set():
            raise JobStopped()
    raise WorkerLost(await _epitaph(child, complaints))


async def _epitaph(child: asyncio.subprocess.Process, complaints: asyncio.Task[str]) -> str:
    code = await child.wait()
    ending = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
    said = (await complaints).strip()
    return f"The worker process {ending} before it had a result.{' It said: ' + said if said else ''}"


async def _last_words(stream: asyncio.StreamReader) -> str:
    kept = b""
    while chunk := await stream.read(STDERR_KEPT_BYTES):
        kept = (kept + chunk)[-STDERR_KEPT_BYTES:]
    return kept.decode("utf-8", "replace")
