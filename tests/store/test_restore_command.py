"""`helios restore` as a person runs it, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helios_agent.clock import VirtualClock
from helios_agent.journal import chain, events
from helios_agent.journal.journal import Journal, tell_of_restoration
from helios_agent.store import Store, backup, lock
from helios_agent.store.rotation import Rotation

KILLED_AT_A_RENAME = """
import os, signal, sys
from helios_agent import cli, files
left = int(sys.argv.pop(1))
def observe(operation, path):
    global left
    left -= operation == "after rename"
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
files.observer.set(observe)
cli.main()
"""


def helios(
    state: Path, *arguments: str, program: tuple[str, ...] = ("-m", "helios_agent")
) -> tuple[int, str]:
    """Run a command on a state folder; return its exit code and all it printed."""
    environment = os.environ | {"HELIOS_PATHS__STATE": str(state)}
    ended = subprocess.run(
        [sys.executable, *program, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
async def state(tmp_path: Path, clock: VirtualClock) -> Path:
    """A state folder with two backups, of 3 and 6 events, and a database of 9."""
    path = tmp_path / "helios.db"
    for days in range(3):
        store = await Store.open(path)
        for i in range(3):
            await Journal(store, clock, "boot-1").append("test.happened", {"i": i})
        await store.close()
        if days < 2:
            now = datetime(2026, 9, 18 + days, tzinfo=UTC)
            backup.take(path, tmp_path / "backups", now, Rotation(7, 0, 0), chain.verify_database)
    return tmp_path


async def kinds_after_the_next_start(state: Path, clock: VirtualClock) -> list[str]:
    path = state / "helios.db"
    backup.verify_or_restore(
        path, state / "backups", datetime(2026, 9, 21, tzinfo=UTC), chain.verify_database
    )
    store = await Store.open(path)
    await Journal(store, clock, "boot-2").record(tell_of_restoration)
    found = await events.tail(store, limit=99)
    await store.close()
    return [event.kind for event in reversed(found)]


async def test_the_newest_backup_is_restored_and_the_next_start_journals_it(
    state: Path, clock: VirtualClock
) -> None:
    code, output = helios(state, "restore")
    assert code == 0
    assert output.startswith("helios-20260919T000000000000Z.db was restored as asked for.")
    assert await kinds_after_the_next_start(state, clock) == ["test.happened"] * 6 + ["store.restored"]


async def test_the_backups_are_listed_with_what_they_hold(state: Path) -> None:
    (state / "backups" / "helios-20260920T000000000000Z.db").write_bytes(b"garbage")
    code, output = helios(state, "restore", "--list", "--json")
    assert code == 0
    damaged, newest, oldest = json.loads(output)
    assert (newest["events"], oldest["events"]) == (6, 3)
    assert oldest["file"] == "helios-20260918T000000000000Z.db"
    assert oldest["at"] == "2026-09-18T00:00:00Z"
    assert oldest["bytes"] == (state / "backups" / oldest["file"]).stat().st_size
    assert oldest["head"] == backup.verify(state / "backups" / oldest["file"], chain.verify_database).hash
    assert "is damaged: file is not a database" in damaged["damage"]
    code, output = helios(state, "restore", "--list")
    assert [line.split()[0] for line in output.splitlines()] == [b["file"] for b in (damaged, newest, oldest)]
    assert f"sound: 3 events, head {oldest['head'][:16]}" in output


async def test_while_a_daemon_holds_the_state_nothing_is_restored(state: Path) -> None:
    before = (state / "helios.db").read_bytes()
    with lock.hold(state, "helios run, http://127.0.0.1:8080/"):
        code, output = helios(state, "restore")
        assert code == 75
        assert f"is held by process {os.getpid()} (helios run, http://127.0.0.1:8080/)" in output
        assert helios(state, "restore", "--list")[0] == 0
    assert (state / "helios.db").read_bytes() == before


@pytest.mark.parametrize("renames", [1, 2, 3])
async def test_killed_after_any_rename_it_is_either_done_at_the_next_start_or_was_not_begun(
    state: Path, clock: VirtualClock, renames: int
) -> None:
    """The copy is given the name of what is whole, the database goes aside, the copy takes its place."""
    code, _ = helios(state, str(renames), "restore", program=("-c", KILLED_AT_A_RENAME))
    assert code == -signal.SIGKILL
    kinds = await kinds_after_the_next_start(state, clock)
    if renames == 1:
        assert kinds == ["test.happened"] * 9
    else:
        assert kinds == ["test.happened"] * 6 + ["store.restored"]
    code, _ = helios(state, "restore", "helios-20260918T000000000000Z.db")
    assert code == 0
    assert await kinds_after_the_next_start(state, clock) == ["test.happened"] * 3 + ["store.restored"]
