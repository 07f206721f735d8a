"""The fork server and its children, as the daemon sees them.

Nothing here blocks: sockets in this process's event loop say what comes, and when a child, or the server, has
ended.
"""

import asyncio
import contextlib
import itertools
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from helios_agent.errors import OUT_OF_MEMORY, JobFailed, WorkerLost
from helios_agent.work import forkserver, jobs, worker

STDERR_KEPT_BYTES = 4096
PATIENCE_S = 10.0
"""How long the server may take to kill a child, or to end, before it is itself killed …"""
LOADING_S = 120.0
"""… and how long before that to load what jobs need, where it still does: while it does it heeds nothing."""
LAST_WORDS_S = 1.0
"""How long after its end a child's last words may arrive."""

P = TypeVar("P", bound=asyncio.Protocol)


class ServerLost(WorkerLost):
    """The fork server ended before it had forked a child."""


class _Lines(asyncio.Protocol):
    """Gathers what comes as JSON lines. A line that is cut off by the end is dropped."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._messages: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._over = False

    def data_received(self, data: bytes) -> None:
        self._rest += data
        if b"\n" in data:
            *lines, rest = self._rest.split(b"\n")
            self._rest = bytearray(rest)
            for line in lines:
                self._messages.put_nowait(json.loads(line))

    def connection_lost(self, exc: Exception | None) -> None:
        self._messages.put_nowait(None)

    async def next(self) -> dict[str, Any] | None:
        """Return the next message; None, for ever, when there are no more."""
        message = None if self._over else await self._messages.get()
        self._over = message is None
        return message


class _Words(asyncio.Protocol):
    """Keeps the end of what a child said on its stderr."""

    def __init__(self) -> None:
        self.kept = b""
        self.over = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.kept = (self.kept + data)[-STDERR_KEPT_BYTES:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set()


class Child:
    """A forked child: JSON lines go down to it and come up from it.

    `ended` is done when it has ended; its result is the exit code, minus the signal that killed it, or None
    where nobody knows, because the server ended first. `cpu_seconds` is the processor time it has taken: what
    it last said, and once it has ended what the system counted, where the server lived to see it.
    """

    def __init__(
        self,
        number: int,
        lines: tuple[asyncio.Transport, _Lines],
        words: tuple[asyncio.Transport, _Words],
        life: "_Life",
    ) -> None:
        loop = asyncio.get_running_loop()
        self.number = number
        self.born: asyncio.Future[int | None] = loop.create_future()
        self.ended: asyncio.Future[int | None] = loop.create_future()
        self.refused: str | None = None
        self.cpu_seconds = 0.0
        self._channel, self._lines = lines
        self._stderr, self._words = words
        self._life = life

    @property
    def pid(self) -> int | None:
        return self.born.result() if self.born.done() else None

    def say(self, message: Mapping[str, Any]) -> None:
        """Send a message. One that has ended does not hear it; what it said before tells why."""
        if not self._channel.is_closing():
            self._channel.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> dict[str, Any] | None:
        """Return the next message, or None when it has ended or will say no more."""
        message = await self._lines.next()
        if message is not None:
            self.cpu_seconds = message["cpu_seconds"]
        return message

    def kill(self) -> None:
        """Have it killed, whatever it does."""
        if not self.ended.done():
            self._life.order(forkserver.KILL, self.number)

    async def end(self) -> None:
        """Have it killed if it lives, wait until it is gone, and let go of it. Safe to call twice."""
        self.kill()
        self._channel.close()
        await self._life.outlast(self)
        await self._hear_out()
        self._stderr.close()

    def words(self) -> str:
        """Return the end of what it has said on its stderr since this was asked last."""
        said, self._words.kept = self._words.kept, b""
        return said.decode("utf-8", "replace").strip()

    async def epitaph(self, memory: int, cpu_s: float | None = None) -> JobFailed:
        """Return, as an error, how it ended without a result. It must be about to end."""
        code = await asyncio.shield(self.ended)
        await self._hear_out()
        said = self.words()
        if code == -signal.SIGXCPU and cpu_s is not None:
            return JobFailed(f"The worker process used its {cpu_s:g} CPU seconds (work.cpu).")
        if code == -signal.SIGABRT and any(sign in said for sign in OUT_OF_MEMORY):
            return JobFailed(worker.too_much(memory))
        return WorkerLost(
            f"The worker process {ending(code)} before it had a result.{' It said: ' + said if said else ''}"
        )

    async def _hear_out(self) -> None:
        """Wait for the last words of one that has ended."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._words.over.wait(), LAST_WORDS_S)


def ending(code: int | None) -> str:
    """Return how a child ended, for people: see `Child.ended`."""
    if code is None:
        return "was lost with the process that had forked it"
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"


def request(
    kind: str,
    spec: Mapping[str, Any],
    *,
    memory: int,
    cpu_s: float | None = None,
    nice: int = 0,
    idle: bool = False,
) -> dict[str, Any]:
    """Return what a child is told first: what to do, and its limits. See `worker.py`."""
    cpu = None if cpu_s is None else round(cpu_s)
    return {"kind": kind, "spec": spec, "memory": memory, "cpu": cpu, "nice": nice, "idle": idle}


class _Life:
    """One run of the fork server, from its start to its end."""

    def __init__(
        self,
        control: socket.socket,
        lines: tuple[asyncio.Transport, _Lines],
        process: asyncio.subprocess.Process,
    ) -> None:
        self.over = False
        self.children: dict[int, Child] = {}
        self.pid = process.pid
        self._control = control
        self._transport, self._lines = lines
        self._process = process
        self._is_heavy = False
        self._loads = 1
        """How often it has yet to say that it has loaded what it was to load."""
        self._loaded = asyncio.Event()
        self._listening = asyncio.create_task(self._listen(), name="work.forkserver")

    @classmethod
    async def begin(cls) -> "_Life":
        control, lines, theirs = await _connect(_Lines)
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "helios_agent.work.forkserver",
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    process_group=0,  # a signal to the daemon's group must not kill work it will stop itself
                    # A library that starts threads when it is loaded would break what is forked.
                    env=os.environ | {"OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"},
                )
            except BaseException:
                lines[0].close()
                raise
        return cls(control, lines, process)

    def order(self, verb: bytes, number: int = 0, *descriptors: int) -> None:
        """Tell the server what to do. Where it takes no order any more, it has ended, or is made to."""
        try:
            socket.send_fds(self._control, [forkserver.ORDER.pack(verb, number)], descriptors)
        except OSError:
            self.kill()

    def warm_up(self) -> None:
        """Have it load what heavy jobs need, if it was not told before."""
        if not self._is_heavy:
            self._is_heavy = True
            self._loads += 1
            self._loaded.clear()
            self.order(forkserver.WARM_UP)

    async def outlast(self, child: Child) -> None:
        """Wait until a child is gone that ends or is to be killed; end a server that does not see to it."""
        loaded = asyncio.create_task(self._loaded.wait(), name="work.forkserver.load")
        gone = {child.ended}
        try:
            await asyncio.wait(gone | {loaded}, timeout=LOADING_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loaded.cancel()
        await asyncio.wait(gone, timeout=PATIENCE_S)
        if not child.ended.done():
            self.kill()
            await asyncio.wait(gone)

    def kill(self) -> None:
        """End it at once; its children end with it."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def close(self) -> None:
        """Have it end, and wait until it has."""
        self._transport.close()
        await asyncio.shield(self._listening)

    async def _listen(self) -> None:
        while (message := await self._lines.next()) is not None:
            if "loaded" in message:
                self._loads -= 1
                if not self._loads:
                    self._loaded.set()
                continue
            child = self.children[message["child"]]
            if "pid" in message:
                child.born.set_result(message["pid"])
            else:
                child.refused = message.get("refused")
                child.cpu_seconds = message.get("cpu_seconds", child.cpu_seconds)
                self.bury(child, message.get("code"))
        self.over = True
        for child in [*self.children.values()]:
            self.bury(child, None)
        self._transport.close()
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE_S)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def bury(self, child: Child, code: int | None) -> None:
        """Let those who wait for a child know that it is gone."""
        del self.children[child.number]
        for fate, value in ((child.born, None), (child.ended, code)):
            if not fate.done():
                fate.set_result(value)


class ForkServer:
    """Forks children; its process begins at need, and ends after some time in which it had no child."""

    def __init__(self, keep_warm_s: float) -> None:
        self._keep_warm_s = keep_warm_s
        self._numbers = itertools.count(1)
        self._life: _Life | None = None
        self._beginning = asyncio.Lock()
        self._cooling: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return None if self._life is None or self._life.over else self._life.pid

    async def fork(self, kind: str) -> Child:
        """Return a new child for a kind of job or service. Raises WorkerLost where there can be none."""
        try:
            return await self._fork(kind)
        except ServerLost:  # it died while it was idle, which nobody can know before
            return await self._fork(kind)

    async def close(self) -> None:
        """End the process, and with it every child. Safe to call twice."""
        self._cool()
        await asyncio.gather(*self._ending)

    async def _fork(self, kind: str) -> Child:
        self._stay()
        try:
            async with self._beginning:
                if self._life is None or self._life.over:
                    self._life = await _Life.begin()
                life = self._life
            if jobs.is_heavy(kind):
                life.warm_up()
            child = await self._order_child(life)
        finally:
            self._cool_later()
        child.ended.add_done_callback(lambda _: self._cool_later())
        try:
            pid = await asyncio.shield(child.born)
        except asyncio.CancelledError:
            await child.end()
            raise
        if pid is None:
            await child.end()
            if child.refused is None:
                raise ServerLost()
            raise WorkerLost(f"There is no worker process: {child.refused}.")
        return child

    async def _order_child(self, life: _Life) -> Child:
        _, lines, channel = await _connect(_Lines)
        with channel:
            try:
                _, words, stderr = await _connect(_Words)
            except BaseException:
                lines[0].close()
                raise
            with stderr:
                child = Child(next(self._numbers), lines, words, life)
                life.children[child.number] = child
                life.order(forkserver.FORK, child.number, channel.fileno(), stderr.fileno())
        if life.over:
            life.bury(child, None)
        return child

    def _stay(self) -> None:
        if self._cooling is not None:
            self._cooling.cancel()

    def _cool_later(self) -> None:
        """Let the process end some time from now if it has no child, and gets none until then."""
        self._stay()
        if self._life is not None and not self._life.children:
            self._cooling = asyncio.get_running_loop().call_later(self._keep_warm_s, self._cool)

    def _cool(self) -> None:
        self._stay()
        life, self._life = self._life, None
        if life is not None:
            ending = asyncio.create_task(life.close(), name="work.forkserver.end")
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


async def _connect(
    protocol: Callable[[], P],
) -> tuple[socket.socket, tuple[asyncio.Transport, P], socket.socket]:
    """Return our end of a pair of sockets, the transport and the protocol on it, and the other end."""
    ours, theirs = socket.socketpair()
    try:
        connected = await asyncio.get_running_loop().create_unix_connection(protocol, sock=ours)
    except BaseException:
        theirs.close()
        raise
    return ours, connected, theirs
