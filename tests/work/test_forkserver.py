"""The fork server as a process that is spoken to by hand."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from helios_agent.work.forkserver import FORK, ORDER

ROOT = Path(__file__).parents[2]


def test_a_daemon_that_was_killed_before_it_had_read_everything_leaves_a_server_that_ends_quietly() -> None:
    ours, theirs = socket.socketpair()
    server = subprocess.Popen(
        [sys.executable, "-m", "helios_agent.work.forkserver"], stdin=theirs, stderr=subprocess.PIPE, cwd=ROOT
    )
    theirs.close()
    channel, far = socket.socketpair()
    with channel, far, Path(os.devnull).open("wb") as stderr:
        assert json.loads(ours.recv(4096)) == {"loaded": True}
        socket.send_fds(ours, [ORDER.pack(FORK, 1)], [far.fileno(), stderr.fileno()])
        child = json.loads(ours.recv(4096))["pid"]
        os.kill(child, signal.SIGKILL)
        assert ours.recv(1, socket.MSG_PEEK)  # what it says of that stays unread
        ours.close()
        _, said = server.communicate(timeout=30)

    assert (server.returncode, said) == (0, b"")
