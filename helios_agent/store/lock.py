"""One daemon per state folder: an advisory lock that dies with its holder."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from helios_agent.errors import StateLocked, StoreError

LOCK_NAME = "helios.lock"


@contextmanager
def hold(state: Path, purpose: str) -> Iterator[Callable[[str], None]]:
    """Hold the state folder, creating it, for as long as the context lasts.

    Lends a function that changes what others are told of the holder's purpose. Raises StateLocked,
    naming the holder, when another process has it, StoreError when the folder cannot be used.
    """
    try:
        state.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(state / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"paths.state: {state} cannot be used: {error.strerror}") from error
    try:
        while not _locked(descriptor):
            held_by = holder(state)
            if held_by is None:
                continue  # no one holds it: who asked for the holder stood in the way for a moment
            raise StateLocked(
                f"The state folder {state} is held by {held_by}. Stop it first, or give this one "
                "another folder with HELIOS_PATHS__STATE."
            )

        def describe(purpose: str) -> None:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"process {os.getpid()} ({purpose})\n".encode(), 0)

        describe(purpose)
        yield describe
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def holder(state: Path) -> str | None:
    """Return who holds the state folder now ("process 1234 (helios run)"), or None."""
    try:
        descriptor = os.open(state / LOCK_NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, 200, 0).decode("utf-8", "replace").strip() or "an unknown process"
    finally:
        os.close(descriptor)
    return None
