"""The commands that read, verify, export and rebuild the journal."""

import asyncio
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from helios_agent import cli
from helios_agent.clock import VirtualClock
from helios_agent.journal import archives, chain, exports
from helios_agent.journal.chain import Head
from helios_agent.journal.journal import Journal
from helios_agent.store import Store, backup, lock
from tests.journal.story import archive, purge

CONFIG = str(Path(__file__).parents[2] / "config/helios.yaml")
EVENTS = 8
Command = Callable[..., tuple[int, str, str]]


async def live(state: Path) -> Head:
    """Live a short life in which the first two events are archived; return the head."""
    clock = VirtualClock(datetime(2026, 9, 18, 12, tzinfo=UTC))
    store = await Store.open(state / "helios.db")
    journal = Journal(store, clock, "boot-1")
    for place in range(EVENTS - 2):
        await journal.append("test.happened", {"place": f"no. {place}"}, place or None)
        await clock.advance(60)
    await archive(journal, 2)
    await purge(journal, 2)
    await store.close()
    return backup.verify(store.path, chain.verify_database)


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv("HELIOS_PATHS__STATE", str(folder))
    return folder


@pytest.fixture
def head(state: Path) -> Head:
    return asyncio.run(live(state))


@pytest.fixture
def helios(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """Run a command as one types it; return its exit code and what it printed."""

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["helios", *words, "--config", CONFIG])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    mask = os.umask(0o077)
    yield run
    os.umask(mask)


def test_the_tail_is_filtered(helios: Command, head: Head) -> None:
    words = ("--cause", "4", "--since", "2026-09-18", "--until", "2026-09-19", "--text", "NO.")
    code, out, _ = helios("journal", "tail", "--json", *words)
    assert (code, [json.loads(line)["seq"] for line in out.splitlines()]) == (0, [5])


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--until", "soon", "until is 'soon'; expected a time such as 2026-09-16"),
        ("--since", "12:00", "since is '12:00'; expected a time such as 2026-09-16"),
        (
            "--model",
            "ccc",
            "model is 'ccc'; expected a name, a version or name@version of one that was trained: none",
        ),
    ],
)
def test_the_tail_refuses_bad_values(
    option: str, value: str, message: str, helios: Command, head: Head
) -> None:
    code, out, err = helios("journal", "tail", option, value)
    assert (code, out) == (66 if option == "--model" else 64, "")
    assert err.startswith(f"helios: {message}")


def test_a_noted_head_is_looked_for(helios: Command, head: Head) -> None:
    sound = f"The journal is sound: {head.seq} events, head {head.seq}:{head.hash}\n"
    assert helios("journal", "verify") == (0, sound, "")
    assert helios("journal", "verify", "--head", f"{head.seq}:{head.hash[:12]}") == (0, sound, "")
    code, out, err = helios("journal", "verify", "--head", f"1:{'0' * 12}")
    assert (code, out) == (65, "")
    assert "The history was written anew: event 1 had the hash 000000000000 when it was noted" in err
    code, _, err = helios("journal", "verify", "--head", f"{head.seq + 1}:{'0' * 64}")
    assert (code, f"event {head.seq + 1}, which was noted, is lost" in err) == (65, True)
    code, _, err = helios("journal", "verify", "--head", "latest")
    assert (code, "head is 'latest'; expected SEQ:HASH" in err) == (64, True)


def test_a_missing_archive_is_not_overlooked(helios: Command, head: Head, state: Path) -> None:
    shutil.rmtree(state / "archives")
    code, out, err = helios("journal", "verify")
    assert (code, out) == (65, "")
    assert "is missing. Put it back, or a copy of it." in err
    code, out, _ = helios("journal", "verify", "--database", str(state / "helios.db"))
    assert (code, out.startswith("The journal is sound")) == (0, True)


def test_an_archive_is_checked_with_the_key_where_it_was_made_with_one(
    helios: Command, head: Head, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 40)
    monkeypatch.setenv("HELIOS_RETENTION__SEAL_KEY_FILE", str(key))
    (seal,) = (state / "archives").glob("*.seal")
    record = json.loads(seal.read_bytes())
    code, out, err = helios("journal", "verify")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == f"No key vouches for {record['archive']}: it was made without one."
    seal.write_text(json.dumps(record | {"hmac": archives.sign(b"k" * 40, record)}))
    assert helios("journal", "verify") == (
        0, f"The journal is sound: {head.seq} events, head {head.seq}:{head.hash}\n", ""
    )  # fmt: skip
    seal.write_text(json.dumps(record | {"hmac": archives.sign(b"l" * 40, record)}))
    code, out, err = helios("journal", "verify")
    assert (code, out) == (65, "")
    assert "Either one of them was forged, or the key was changed since: put the old one back." in err
    seal.unlink()
    code, out, err = helios("journal", "verify")
    assert (code, f"The seal {seal} cannot be read" in err) == (65, True)


def test_the_tail_understands_no_event_that_cannot_be(helios: Command, head: Head) -> None:
    assert helios("journal", "tail", "--cause", str(2**63 - 1)) == (0, "", "")
    code, _, err = helios("journal", "tail", "--cause", str(2**63))
    assert (code, "9223372036854775807" in err) == (2, True)


def test_events_are_exported_to_a_file_or_to_standard_output(
    helios: Command, head: Head, tmp_path: Path
) -> None:
    code, out, err = helios("journal", "export", "--from", "3", "--to", "4", "-o", "-")
    assert (code, [json.loads(line)["seq"] for line in out.splitlines()]) == (0, [3, 4])
    assert err.startswith("Events 3 to 4, after 2:")
    path = tmp_path / "whole.jsonl.gz"
    code, out, err = helios("journal", "export", "--archives", "--output", str(path))
    assert (code, out, err) == (0, "", f"Events 1 to {head.seq}, after 0:{'0' * 64}\n")
    assert exports.verify(exports.read(path)) == head
    code, out, err = helios("journal", "export", "--from", "1", "-o", str(path))
    assert (code, out, "Events before 3 were archived" in err) == (64, "", True)
    assert exports.verify(exports.read(path)) == head, "what was there is left alone"


def test_the_tables_are_checked_and_built_anew(helios: Command, head: Head, state: Path) -> None:
    told = f"The tables are what the journal says: {head.seq} events.\n"
    assert helios("journal", "rebuild", "--check") == (0, told, "")
    with closing(sqlite3.connect(state / "helios.db", isolation_level=None)) as connection:
        connection.execute("INSERT INTO firing VALUES ('nightly', 1, 'run', 1)")
    code, out, err = helios("journal", "rebuild", "--check")
    assert (code, out) == (65, "")
    assert "firing schedule 'nightly', due_us 1 is there, but the journal does not know it" in err
    with lock.hold(state, "helios run"):
        code, _, err = helios("journal", "rebuild")
        assert (code, "is held by process" in err) == (75, True)
    assert helios("journal", "rebuild") == (0, f"The tables were built anew from {head.seq} events.\n", "")
    assert helios("journal", "rebuild", "--check")[0] == 0


@pytest.mark.parametrize("words", [("tail",), ("verify",), ("export", "-o", "-"), ("rebuild",)])
def test_where_there_is_no_database_they_say_so(words: tuple[str, ...], helios: Command, state: Path) -> None:
    code, out, err = helios("journal", *words)
    assert (code, out) == (66, "")
    assert err.startswith(f"helios: There is no database {state / 'helios.db'} yet.")
    assert not (state / "helios.db").exists()


def test_a_key_that_is_too_short_is_found_before_anything_is_started(
    helios: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "key"
    key.write_text("short")
    monkeypatch.setenv("HELIOS_RETENTION__SEAL_KEY_FILE", str(key))
    code, _, err = helios("check-config")
    assert (code, err) == (
        78,
        f"helios: retention.seal_key_file: {key}: the key has 5 bytes; at least 32 are needed. "
        "Make one with: openssl rand -hex 32\n",
    )
    key.write_text("s" * 32)
    assert helios("check-config")[0] == 0
