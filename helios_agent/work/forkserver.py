"""The fork server: a process that has loaded what jobs need, and forks a child for each of them.

A child begins in milliseconds with what takes a second to import, and shares that memory. The server does
nothing else and has a single thread, so a child inherits no held lock and no half of a thread pool; the
daemon, which has threads, is never forked. Orders come on standard input, a socket: see `children.py`. When
that closes, the server kills its children and ends. While it loads it heeds nothing, and afterwards says so.

`multiprocessing` has such a server too, but to start a process with it blocks the caller while the server
imports, makes the child import the caller's `__main__`, and needs a thread that waits for the child's end.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import traceback
from types import FrameType

from helios_agent.work import jobs, worker

ORDER = struct.Struct("=cQ")
"""What the server is told: a verb and the number of a child."""
FORK, KILL, WARM_UP = b"f", b"k", b"w"
"""Fork a child, with its channel and its stderr passed along; kill a child; get ready for heavy jobs."""

PR_SET_PDEATHSIG = 1


def main() -> None:
    control = socket.socket(fileno=0)
    woken, waker = socket.socketpair()
    woken.setblocking(False)
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _wake)
    for module in jobs.PRELOADED:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    _tell(control, {"loaded": True})
    children: dict[int, int] = {}  # number → pid
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _reap(control, children)
        if control in ready:
            order, given = _next_order(control)
            if not order:
                break
            verb, number = ORDER.unpack(order)
            if verb == FORK:
                _fork(control, children, number, *given)
            elif verb == KILL and number in children:
                os.kill(children[number], signal.SIGKILL)
            elif verb == WARM_UP:
                _warm_up()
                _tell(control, {"loaded": True})
    signal.set_wakeup_fd(-1)  # nobody waits for the ends of those that are killed now
    for pid in children.values():
        os.kill(pid, signal.SIGKILL)
    os._exit(0)  # to unload torch takes a while


def _next_order(control: socket.socket) -> tuple[bytes, list[int]]:
    """Return an order and the descriptors that go with it; an empty one when there will be no more."""
    try:
        order, given, _, _ = socket.recv_fds(control, ORDER.size, 2)
    except ConnectionResetError:  # the daemon was killed before it had read all that we told it
        return b"", []
    return order, given


def _wake(number: int, frame: FrameType | None) -> None:
    """Let the signal reach the wake-up socket; that is all it is for."""


def _warm_up() -> None:
    module, _, function = jobs.WARM_UP.partition(":")
    try:
        getattr(importlib.import_module(module), function)()
    except Exception:  # each job that needs it will say what is wrong
        traceback.print_exc()


def _fork(control: socket.socket, children: dict[int, int], number: int, channel: int, stderr: int) -> None:
    server = os.getpid()
    try:
        pid = os.fork()
    except OSError as error:
        _tell(control, {"child": number, "refused": f"it cannot be forked: {error.strerror}"})
    else:
        if pid == 0:
            _be_the_child(control, server, channel, stderr)
        children[number] = pid
        _tell(control, {"child": number, "pid": pid})
    os.close(channel)
    os.close(stderr)


def _reap(control: socket.socket, children: dict[int, int]) -> None:
    """Tell of every child that has ended: its processor time, and its exit code or minus what killed it."""
    for number, pid in list(children.items()):
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            del children[number]
            code, cpu_seconds = os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime
            _tell(control, {"child": number, "code": code, "cpu_seconds": cpu_seconds})


def _tell(control: socket.socket, message: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):  # the daemon is gone; the next look at the control says so
        control.sendall(json.dumps(message).encode() + b"\n")


def _be_the_child(control: socket.socket, server: int, channel: int, stderr: int) -> None:
    """Work in the forked child, and end it whatever happens."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.dup2(stderr, 1)
        os.dup2(stderr, 2)
        os.close(stderr)
        control.close()  # which was standard input
        os.open(os.devnull, os.O_RDONLY)
        _die_with(server)
        worker.work(socket.socket(fileno=channel))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        os._exit(code)  # without waiting for library threads


def _die_with(server: int) -> None:
    """Be killed when the server is, where the system can arrange that; else the closed channel ends us."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != server:  # it died before that
            os._exit(1)


if __name__ == "__main__":
    main()
