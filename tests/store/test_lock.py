import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from helios_agent.errors import StateLocked
from helios_agent.store import lock

PROGRAM = """
import sys
from pathlib import Path
from helios_agent.store import lock
with lock.hold(Path(sys.argv[1]), "starting") as describe:
    describe("helios run, http://127.0.0.1:8080/")
    print("held", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def another(state: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process hold the state folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, state], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with another(tmp_path) as holder:
        named = f"process {holder.pid} (helios run, http://127.0.0.1:8080/)"
        assert lock.holder(tmp_path) == named
        with pytest.raises(StateLocked) as caught, lock.hold(tmp_path, "second"):
            pass
        assert str(tmp_path) in str(caught.value)
        assert named in str(caught.value)
        assert lock.holder(tmp_path) == named  # the refused one has not put its own name there


def test_the_lock_dies_with_its_holder_however_that_ends(tmp_path: Path) -> None:
    with another(tmp_path) as holder:
        holder.kill()
        holder.wait()
        assert lock.holder(tmp_path) is None
        with lock.hold(tmp_path, "next"):
            assert lock.holder(tmp_path) == f"process {os.getpid()} (next)"


def test_a_free_folder_has_no_holder(tmp_path: Path) -> None:
    assert lock.holder(tmp_path / "never made") is None
    assert lock.holder(tmp_path) is None
    with lock.hold(tmp_path / "made", "first"):
        pass
    assert lock.holder(tmp_path / "made") is None


def test_a_shorter_description_replaces_a_longer_one_whole(tmp_path: Path) -> None:
    with lock.hold(tmp_path, "a very long description of what this is") as describe:
        describe("short")
        assert lock.holder(tmp_path) == f"process {os.getpid()} (short)"


def test_who_only_asks_for_the_holder_never_keeps_a_daemon_from_starting(tmp_path: Path) -> None:
    with lock.hold(tmp_path, "first"):
        pass
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            lock.holder(tmp_path)

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(300):
            with lock.hold(tmp_path, "start"):
                pass
    finally:
        done.set()
        for asker in askers:
            asker.join()


def test_the_lock_is_not_passed_on_to_children(tmp_path: Path) -> None:
    program = "print('running', flush=True); input()"
    with lock.hold(tmp_path, "parent"):
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            close_fds=False,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == b"running\n"
    try:
        assert lock.holder(tmp_path) is None
    finally:
        child.communicate(b"\n")
