"""The engine on a Ray cluster that runs already, as the daemon sees it.

Ray itself is held by a process of its own (`bridge.py`), begun for the first job and ended when there has
been none for a while. Every attempt is a fresh process on the cluster, which Ray never begins again: whether
to try again is for the journal to decide.
"""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.config.model import Cluster, Work
from helios_agent.errors import HeliosError, JobFailed, JobStopped, JobTooLong, WorkerLost
from helios_agent.work import jobs, turns
from helios_agent.work.engine import Engine, Progress, Spent, unmetered

LINE_LIMIT_BYTES = 64 * 1024 * 1024
WORDS_KEPT_BYTES = 4096
STOP_GRACE_S = 30.0
"""How long a job that was asked to stop may go on, and its checkpoint be on its way, before it is ended."""
END_GRACE_S = 10.0
"""How long the bridge may take to end a job, or itself, before it is killed."""
REFUSED = (b"InvalidAuthToken", b"missing authentication token")
"""What Ray writes to stderr, again and again, while it is refused: it does not give up by itself."""
LAST_WORDS = frozenset({"result", "error", "lost", "stopped"})
"""With which message of a job nothing of it goes on any more."""


class RayEngine:
    """Computes long jobs on a cluster, and those of `jobs.URGENT` with the engine of this machine."""

    def __init__(self, settings: Work, cluster: Cluster, local: Engine) -> None:
        self._settings = settings
        self._cluster = cluster
        self._local = local
        self._turns = turns.Turns(settings.workers)
        self._connecting = asyncio.Lock()
        self._bridge: _Bridge | None = None
        self._cooling: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._greeting: asyncio.Task[None] | None = None

    @property
    def bridge_pid(self) -> int | None:
        """The process that holds the connection, while there is one."""
        return None if self._bridge is None else self._bridge.pid

    def greet(self) -> None:
        """Begin to connect, so that what is wrong with the cluster is known before the first job."""
        self._greeting = asyncio.create_task(self._greet(), name="work.ray.greet")

    async def run(
        self,
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None = None,
        *,
        time_limit_s: float,
        stop: asyncio.Event | None = None,
        priority: int = 0,
        on_spent: Spent = unmetered,
    ) -> dict[str, Any]:
        """Compute one job in a process of its own on the cluster; see `Engine.run`.

        Waiting for the cluster to have room is no part of the time limit either, but has one of its own.
        """
        if kind in jobs.URGENT:
            return await self._local.run(
                kind, spec, on_progress, time_limit_s=time_limit_s, stop=stop, priority=priority,
                on_spent=on_spent,
            )  # fmt: skip
        stop = stop or asyncio.Event()
        async with self._turns.turn(priority, stop):
            bridge = await self._connected()
            try:
                return await self._compute(bridge, kind, spec, on_progress, time_limit_s, stop, on_spent)
            finally:
                self._cool_later()

    async def close(self) -> None:
        """Let go of the cluster, and of what computes the urgent jobs."""
        if self._greeting is not None:
            self._greeting.cancel()
            await asyncio.gather(self._greeting, return_exceptions=True)
        self._cool()
        await asyncio.gather(*self._ending)
        await self._local.close()

    async def _greet(self) -> None:
        log = logger.bind(action="work")
        try:
            await self._connected()
        except HeliosError as error:
            log.error("long jobs will fail until this is mended: {}", error)
        else:
            log.info("connected with the cluster at {}", self._cluster.address)
            self._cool_later()

    async def _connected(self) -> "_Bridge":
        async with self._connecting:
            if self._bridge is None or self._bridge.over:
                self._bridge = await _Bridge.open(self._cluster)
            if self._cooling is not None:
                self._cooling.cancel()
            return self._bridge

    async def _compute(
        self,
        bridge: "_Bridge",
        kind: str,
        spec: Mapping[str, Any],
        on_progress: Progress | None,
        time_limit_s: float,
        stop: asyncio.Event,
        on_spent: Spent,
    ) -> dict[str, Any]:
        cpu_seconds = 0.0
        job = bridge.begin(
            {
                "kind": kind,
                "spec": spec,
                "threads": _threads(spec),
                "memory": self._settings.memory,
                "cpu": self._settings.cpu,
                "queue": self._cluster.queue,
            }
        )
        stopping = asyncio.create_task(_pass_on(stop, job), name=f"work.ray.stop.{job.number}")
        try:
            async with asyncio.timeout(None) as limit:
                while message := await job.hear():
                    cpu_seconds = message.get("cpu_seconds", cpu_seconds)
                    if "started" in message:
                        job.begun = True
                        limit.reschedule(asyncio.get_running_loop().time() + time_limit_s)
                        logger.bind(action="work").info("{} job begun on {}", kind, message["started"])
                    elif LAST_WORDS & message.keys():
                        return _result(message, stop)
                    elif cpu_seconds > self._settings.cpu:
                        raise JobFailed(
                            f"The worker process used its {self._settings.cpu:g} CPU seconds (work.cpu)."
                        )
                    elif "progress" in message and on_progress is not None:
                        await on_progress(message["progress"])
            if stop.is_set():
                raise JobStopped()
            raise WorkerLost(f"The connection to {self._cluster.address} ended. {bridge.last_words()}")
        except TimeoutError:
            raise JobTooLong(
                f"The {kind} job was stopped after its time limit of {time_limit_s:g} s."
            ) from None
        finally:
            stopping.cancel()
            on_spent(cpu_seconds)
            await asyncio.shield(job.end())

    def _cool_later(self) -> None:
        """Let the bridge end some time from now if it has no job, and gets none until then."""
        if self._cooling is not None:
            self._cooling.cancel()
        if self._bridge is not None and not self._bridge.jobs:
            self._cooling = asyncio.get_running_loop().call_later(self._settings.keep_warm, self._cool)

    def _cool(self) -> None:
        if self._cooling is not None:
            self._cooling.cancel()
        bridge, self._bridge = self._bridge, None
        if bridge is not None:
            ending = asyncio.create_task(bridge.close(), name="work.ray.end")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


def _threads(spec: Mapping[str, Any]) -> int:
    """Return with how many threads a job computes: the most of its training, or of those that it makes."""
    makers = (spec, spec.get("job"), *spec.get("forecasters", ()))
    trainings = [maker["training"] for maker in makers if isinstance(maker, Mapping) and "training" in maker]
    wanted: list[int] = [training.get("threads", 1) for training in trainings]
    return max(wanted, default=1)


def _result(message: Mapping[str, Any], stop: asyncio.Event) -> dict[str, Any]:
    """Return the result that a job's last message holds, or raise what it tells of."""
    if "result" in message:
        result: dict[str, Any] = message["result"]
        return result
    if "error" in message:
        raise JobFailed(message["error"])
    if "stopped" in message or stop.is_set():
        raise JobStopped()
    raise WorkerLost(message["lost"])


async def _pass_on(stop: asyncio.Event, job: "_Job") -> None:
    await stop.wait()
    job.say({"stop": True} if job.begun else {"end": True})
    await asyncio.sleep(STOP_GRACE_S)
    job.say({"end": True})


class _Job:
    """One job, as its messages."""

    def __init__(self, number: int, bridge: "_Bridge") -> None:
        self.number = number
        self.begun = False
        self._bridge = bridge
        self._messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def say(self, message: Mapping[str, Any]) -> None:
        self._bridge.say({"job": self.number, **message})

    def heard(self, message: dict[str, Any] | None) -> None:
        self._messages.put_nowait(message)

    async def hear(self) -> dict[str, Any] | None:
        """Return the next message, or None when the bridge has ended."""
        return await self._messages.get()

    async def end(self) -> None:
        """Return when nothing of the job goes on any more, having it killed if it does."""
        if self.number in self._bridge.jobs:
            self.say({"end": True})
            try:
                async with asyncio.timeout(END_GRACE_S):
                    while self.number in self._bridge.jobs:
                        await self.hear()
            except TimeoutError:
                self._bridge.kill()


class _Bridge:
    """The process that holds the connection. Whoever has opened it closes it."""

    def __init__(self, process: asyncio.subprocess.Process, cluster: Cluster) -> None:
        self.jobs: dict[int, _Job] = {}
        self.over = False
        self._process = process
        self._cluster = cluster
        self._numbers = itertools.count(1)
        self._words = b""
        self._refused = asyncio.Event()
        self._listening = asyncio.create_task(self._listen_to_words(), name=f"work.ray.stderr.{process.pid}")
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, cluster: Cluster) -> "_Bridge":
        """Connect. Raises JobFailed where the cluster refuses us, WorkerLost where it does not answer."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "helios_agent.work.bridge",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=LINE_LIMIT_BYTES,
            process_group=0,  # a signal to the daemon's group must not end what it will end itself
            env=os.environ | _environment(cluster),
        )
        bridge = cls(process, cluster)
        try:
            await bridge._connect()
        except BaseException:
            bridge.kill()
            await asyncio.shield(bridge.close())
            raise
        return bridge

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, order: Mapping[str, Any]) -> _Job:
        job = _Job(next(self._numbers), self)
        self.jobs[job.number] = job
        job.say(order)
        if self.over:
            self._forget_jobs()
        return job

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message. A process that has ended does not hear it; its end is told to every job."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(message).encode() + b"\n")

    def last_words(self) -> str:
        said = self._words.decode("utf-8", "replace").strip()
        return f"It said: {said}" if said else ""

    def kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()

    async def close(self) -> None:
        """End the process, and with it every job. Safe to call twice."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(END_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
        await asyncio.gather(*(task for task in (self._listening, self._reading) if task is not None))

    async def _connect(self) -> None:
        where = f"The cluster at {self._cluster.address} (work.ray.address)"
        self.say({"address": self._cluster.address})
        refused = asyncio.create_task(self._refused.wait())
        hearing = asyncio.create_task(self._hear())
        try:
            done, _ = await asyncio.wait(
                (hearing, refused), timeout=self._cluster.connect, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            refused.cancel()
            hearing.cancel()
        if refused in done:
            raise JobFailed(f"{where} refused our credentials (work.ray.token_file).")
        if hearing not in done:
            raise WorkerLost(
                f"{where} has not answered within {self._cluster.connect:g} s (work.ray.connect). "
                f"{self.last_words()}"
            )
        answer = hearing.result()
        if answer is None:
            raise WorkerLost(f"{where} cannot be reached. {self.last_words()}")
        if "ready" not in answer:
            failure, reason = (
                (JobFailed, answer["error"]) if "error" in answer else (WorkerLost, answer["lost"])
            )
            raise failure(f"{where}: {reason}")
        self._reading = asyncio.create_task(self._read(), name=f"work.ray.read.{self.pid}")

    async def _hear(self) -> dict[str, Any] | None:
        """Return the next message, or None at the end. Raises WorkerLost where nobody understands it."""
        if self._process.stdout is None:
            return None
        try:
            line = await self._process.stdout.readline()
            return json.loads(line) if line else None
        except ValueError as error:  # it is too long, or no JSON
            raise WorkerLost(
                f"What the process that holds the connection says is not understood: {error}"
            ) from error

    async def _read(self) -> None:
        try:
            while message := await self._hear():
                job = self.jobs[message["job"]]
                if LAST_WORDS & message.keys():
                    del self.jobs[job.number]
                job.heard(message)
        except Exception as error:
            logger.bind(action="work").error("the connection to the cluster is given up: {}", error)
        finally:
            self.over = True
            self.kill()
            self._forget_jobs()

    def _forget_jobs(self) -> None:
        jobs, self.jobs = self.jobs, {}
        for job in jobs.values():
            job.heard(None)

    async def _listen_to_words(self) -> None:
        while self._process.stderr is not None and (
            chunk := await self._process.stderr.read(WORDS_KEPT_BYTES)
        ):
            self._words = (self._words + chunk)[-WORDS_KEPT_BYTES:]
            if any(sign in self._words for sign in REFUSED):
                self._refused.set()


def _environment(cluster: Cluster) -> dict[str, str]:
    """Return how Ray is told what to leave, and of the credentials by the names of files, which it reads."""
    found = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_COLOR_PREFIX": "0"}
    found |= {"RAY_ENABLE_AUTO_CONNECT": "0"}  # else it begins a cluster of its own when it has lost ours
    if cluster.token_file is not None:
        found |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(cluster.token_file.absolute())}
    if cluster.tls is not None:
        found |= {
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": str(cluster.tls.certificate.absolute()),
            "RAY_TLS_SERVER_KEY": str(cluster.tls.key.absolute()),
            "RAY_TLS_CA_CERT": str(cluster.tls.authority.absolute()),
        }
    return found
