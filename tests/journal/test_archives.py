"""Exports and archives: what they hold, how they are proven, and the script that needs no Helios."""

import gzip
import hashlib
import hmac
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from helios_agent.clock import VirtualClock
from helios_agent.errors import ConfigError, NotFound, Refused, StoreCorrupt
from helios_agent.journal import archives, audit, chain, events, exports, snapshot
from helios_agent.journal.archives import Seal
from helios_agent.journal.chain import Head
from helios_agent.journal.exports import Entry
from helios_agent.journal.journal import Journal
from tests.journal.story import archive, purge

SCRIPT = Path(__file__).parents[2] / "docs/verify_journal.py"
KEY = b"0123456789abcdef0123456789abcdef"
EVENTS = 12


@pytest.fixture
async def head(journal: Journal, clock: VirtualClock) -> Head:
    """The head of a journal of some events, with whatever JSON can hold."""
    for seq in range(1, EVENTS + 1):
        await clock.advance(1)
        payload = {"text": 'Zürich "☀"\n,"payload":{}', "numbers": [seq, -0.0, 1e-300, None], "seq": seq}
        await journal.append("test.happened", payload, seq // 2 or None)
    return await events.head(journal.store)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archives"


def export(journal: Journal, path: Path, first: int | None = None, last: int | None = None) -> audit.Span:
    with audit.output(str(path)) as file:
        folder = journal.store.path.parent / "archives"
        compress = path.suffix == ".gz"
        return audit.export(journal.store.path, folder, first, last, file, compress=compress)


def script(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the script as someone does who has Python and nothing else."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["journal.jsonl", "journal.jsonl.gz"])
def test_an_export_holds_every_event_with_the_text_that_its_hash_covers(
    name: str, head: Head, journal: Journal, tmp_path: Path
) -> None:
    span = export(journal, tmp_path / name)
    assert span == audit.Span(1, EVENTS, chain.BEGINNING)
    read = list(exports.read(tmp_path / name))
    assert exports.verify(read) == head
    with snapshot.opened(journal.store.path) as database:
        assert read == list(exports.stored(database, 1, EVENTS))
    text = (tmp_path / name).read_bytes()
    lines = (gzip.decompress(text) if name.endswith(".gz") else text).decode().splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "seq": entry.seq, "at_us": entry.at_us, "kind": "test.happened", "cause": entry.cause,
            "hash": entry.hash, "boot": "boot-1", "mono_us": entry.mono_us,
            "payload": json.loads(entry.payload),
        }
        for entry in read
    ]  # fmt: skip


def test_a_part_can_be_exported_and_says_what_it_follows(
    head: Head, journal: Journal, tmp_path: Path
) -> None:
    span = export(journal, tmp_path / "part.jsonl", 5, 9)
    entries = list(exports.read(tmp_path / "part.jsonl"))
    assert [entry.seq for entry in entries] == [5, 6, 7, 8, 9]
    assert exports.verify(entries, span.after).seq == 9
    with pytest.raises(StoreCorrupt, match="events 1 to 4 are missing"):
        exports.verify(entries)
    assert export(journal, tmp_path / "end.jsonl", 12, 99) == audit.Span(12, 12, span_before(journal, 12))
    with pytest.raises(NotFound, match="There are no such events: the journal holds 1 to 12"):
        export(journal, tmp_path / "none.jsonl", 13)
    assert not (tmp_path / "none.jsonl").exists()


def span_before(journal: Journal, seq: int) -> Head:
    with snapshot.opened(journal.store.path) as database:
        return Head(seq - 1, archives.hash_of(database, None, seq - 1))


def test_the_same_events_give_the_same_bytes(head: Head, journal: Journal, tmp_path: Path) -> None:
    for name in ("one.jsonl.gz", "two.jsonl.gz"):
        export(journal, tmp_path / name)
    assert (tmp_path / "one.jsonl.gz").read_bytes() == (tmp_path / "two.jsonl.gz").read_bytes()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:-20], "cannot be read after event"),
        (lambda text: text[:30] + bytes([text[30] ^ 1]) + text[31:], "cannot be read"),
        (lambda text: gzip.compress(b"hello\n"), "cannot be read at its beginning"),
        (lambda text: gzip.compress(b'{"seq":1,"payload":{}}\n'), "cannot be read at its beginning"),
        (lambda text: gzip.compress(b"\xff\n"), "cannot be read at its beginning"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_last_event_that_could(
    spoil: Any, message: str, head: Head, journal: Journal, tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl.gz"
    export(journal, path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(StoreCorrupt, match=rf"journal\.jsonl\.gz {message}"):
        exports.verify(exports.read(path))
    assert script(path).returncode == 1


async def test_an_archive_is_named_by_what_it_holds_and_sealed_with_the_key(
    head: Head, journal: Journal, folder: Path
) -> None:
    with snapshot.opened(journal.store.path) as database:
        sealed = archives.make(database, folder, 7, KEY)
        hashes = {entry.seq: entry.hash for entry in exports.stored(database, 1, EVENTS)}
    path = folder / f"journal-1-7-{hashes[7][:12]}.jsonl.gz"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    lines = f"1\n7\n{'0' * 64}\n{hashes[7]}\n{digest}".encode()
    assert sealed == {
        "from": 1, "upto": 7, "prev": "0" * 64, "hash": hashes[7], "archive": path.name,
        "bytes": len(path.read_bytes()), "sha256": digest, "hmac": hmac.digest(KEY, lines, "sha256").hex(),
    }  # fmt: skip
    assert json.loads((folder / f"{path.name}.seal").read_bytes()) == sealed
    assert exports.verify(exports.read(path)) == Head(7, hashes[7])
    assert set(os.listdir(folder)) == {path.name, f"{path.name}.seal"}
    await journal.append("journal.sealed", sealed)
    with snapshot.opened(journal.store.path) as database:
        following = archives.make(database, folder, 9, None)
    assert (following["from"], following["prev"], following["hmac"]) == (8, hashes[7], None)


async def test_another_file_of_the_same_name_is_never_overwritten(
    head: Head, journal: Journal, folder: Path
) -> None:
    with snapshot.opened(journal.store.path) as database:
        path = folder / str(archives.make(database, folder, 7, None)["archive"])
        again = archives.make(database, folder, 7, None)
        assert path.name == again["archive"]
        path.write_bytes(gzip.compress(b"what is this?\n"))
        with pytest.raises(StoreCorrupt, match="cannot be read at its beginning"):
            archives.make(database, folder, 7, None)
    assert gzip.decompress(path.read_bytes()) == b"what is this?\n"


async def test_a_broken_chain_is_not_archived(head: Head, journal: Journal, folder: Path) -> None:
    def vandal(connection: Any) -> None:
        connection.execute("DROP TRIGGER event_never_edited")
        connection.execute("UPDATE event SET at_us = 1 WHERE seq = 3")

    await journal.store.write(vandal)
    with (
        snapshot.opened(journal.store.path) as database,
        pytest.raises(StoreCorrupt, match="The journal is broken: event 3 was changed"),
    ):
        archives.make(database, folder, 7, None)
    assert os.listdir(folder) == []


async def test_a_missing_or_changed_archive_is_told_and_the_others_are_still_proven(
    head: Head, journal: Journal, folder: Path
) -> None:
    names = [(await archive(journal, upto))["archive"] for upto in (4, 8, 10)]
    with snapshot.opened(journal.store.path) as database:
        sealed = archives.seals(database)
    assert [(seal.first, seal.upto, seal.archive) for seal in sealed] == [
        (1, 4, names[0]), (5, 8, names[1]), (9, 10, names[2])
    ]  # fmt: skip
    assert archives.damages(folder, sealed) == {}
    (folder / names[0]).rename(folder / "elsewhere")
    edit(folder / names[1], 6, at_us=1)
    recompressed = gzip.compress(gzip.decompress((folder / names[2]).read_bytes()), 1)
    (folder / names[2]).write_bytes(recompressed)
    assert archives.damages(folder, sealed) == {
        names[0]: f"The archive {folder / names[0]} is missing. Put it back, or a copy of it.",
        names[1]: f"The archive {names[1]} is damaged: event 6 was changed after it was written.",
        names[
            2
        ]: f"The archive {folder / names[2]} is not the file that was sealed. Put a good copy in its place.",
    }


def edit(path: Path, seq: int, **changes: Any) -> None:
    """Change an event of an archive."""
    entries = [
        Entry(**{**{n: getattr(e, n) for n in Entry.__slots__}, **(changes if e.seq == seq else {})})
        for e in exports.read(path)
    ]
    with path.open("wb") as file:
        exports.write(entries, file, compress=True)


def test_an_archive_that_ends_early_is_not_what_was_sealed(
    head: Head, journal: Journal, folder: Path
) -> None:
    with snapshot.opened(journal.store.path) as database:
        sealed = archives.make(database, folder, 7, None)
        path = folder / str(sealed["archive"])
        with path.open("wb") as file:
            exports.write(exports.stored(database, 1, 6), file, compress=True)
    seal = Seal(1, 7, sealed["hash"], path.name, sealed["sha256"], 0, 0)
    with pytest.raises(StoreCorrupt, match=r"is damaged: it ends with event 6, \w{12}…, not with event 7"):
        archives.check(folder, seal, chain.BEGINNING)


async def test_what_left_the_database_is_exported_from_its_archives(
    head: Head, journal: Journal, tmp_path: Path
) -> None:
    await archive(journal, 5)
    assert await purge(journal, 5) == 5
    newest = await events.head(journal.store)
    assert export(journal, tmp_path / "whole.jsonl") == audit.Span(1, newest.seq, chain.BEGINNING)
    assert exports.verify(exports.read(tmp_path / "whole.jsonl")) == newest
    across = export(journal, tmp_path / "across.jsonl.gz", 4, 6)
    assert exports.verify(exports.read(tmp_path / "across.jsonl.gz"), across.after).seq == 6
    with audit.output(str(tmp_path / "live.jsonl")) as file:
        live = audit.export(journal.store.path, None, None, None, file, compress=False)
    assert (live.first, live.after.seq) == (6, 5)
    assert exports.verify(exports.read(tmp_path / "live.jsonl"), live.after) == newest
    with (
        pytest.raises(Refused, match="Events before 6 were archived and removed"),
        audit.output(str(tmp_path / "refused.jsonl")) as file,
    ):
        audit.export(journal.store.path, None, 3, None, file, compress=False)
    assert not (tmp_path / "refused.jsonl").exists()


async def test_a_noted_head_is_found_in_the_archives_too(head: Head, journal: Journal, folder: Path) -> None:
    with snapshot.opened(journal.store.path) as database:
        hashes = {entry.seq: entry.hash for entry in exports.stored(database, 1, EVENTS)}
    await archive(journal, 5)
    await purge(journal, 5)
    newest = await events.head(journal.store)
    with snapshot.opened(journal.store.path) as database:
        for seq, digest in hashes.items():
            assert audit.verify(database, folder, Head(seq, digest[:12])) == newest
            with pytest.raises(StoreCorrupt, match="The history was written anew"):
                audit.verify(database, folder, Head(seq, f"{'0' * 12}"))
        with pytest.raises(NotFound, match="no event 2 in the database, and archives were left out"):
            audit.verify(database, None, Head(2, hashes[2]))


@pytest.mark.parametrize(
    "text", ["", "7", "7:", "7:12345678901", "x:123456789012", "7:12345678901g", "-1:" + "0" * 64]
)
def test_what_is_no_head_is_refused_saying_what_one_looks_like(text: str) -> None:
    with pytest.raises(
        Refused, match="expected SEQ:HASH with at least 12 digits of the hash, such as 3473:daaf"
    ):
        audit.parse_head(text)


def test_a_head_is_read_as_it_was_noted() -> None:
    assert audit.parse_head(" 3473:DAAFD2B2C0DE \n") == Head(3473, "daafd2b2c0de")


def test_a_key_is_read_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(KEY + b"\n")
    assert archives.read_key(path) == KEY
    assert archives.read_key(None) is None
    path.write_bytes(KEY[:-1] + b"\n" * 9)
    with pytest.raises(
        ConfigError, match=r"retention\.seal_key_file: .*key: the key has 31 bytes; at least 32"
    ):
        archives.read_key(path)
    with pytest.raises(ConfigError, match=r"retention\.seal_key_file: .*cannot be read: No such file"):
        archives.read_key(tmp_path / "nowhere")


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(Refused, match="which cannot be written: No such file"),
        audit.output(f"{tmp_path}/no/x"),
    ):
        pass


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.jsonl.gz"])
def test_the_script_does_not_call_a_file_without_events_sound(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"") if name.endswith(".gz") else b"")
    empty = script(path)
    assert (empty.returncode, empty.stderr) == (1, f"{path}: holds no event\n")


async def test_the_script_verifies_archives_and_an_export_in_order(
    head: Head, journal: Journal, tmp_path: Path, folder: Path
) -> None:
    key = tmp_path / "key"
    key.write_bytes(KEY + b"\n")
    paths = []
    for upto in (4, 9):
        with snapshot.opened(journal.store.path) as database:
            sealed = archives.make(database, folder, upto, KEY)
        await journal.append("journal.sealed", sealed)
        paths.append(folder / str(sealed["archive"]))
    rest = tmp_path / "rest.jsonl"
    span = export(journal, rest, 10)
    newest = await events.head(journal.store)

    sound = script("--key", key, *paths, rest)
    assert (sound.returncode, sound.stderr) == (0, "")
    assert sound.stdout.splitlines() == [
        f"{paths[0]}: events 1 to 4, sealed with the key",
        f"{paths[1]}: events 5 to 9, sealed with the key",
        f"{rest}: events 10 to {newest.seq}",
        f"sound; head {newest.seq}:{newest.hash}",
    ]
    alone = script("--after", f"{span.after.seq}:{span.after.hash}", rest)
    assert alone.stdout.splitlines()[-1] == f"sound; head {newest.seq}:{newest.hash}"

    unordered = script(paths[1], paths[0])
    assert (unordered.returncode, unordered.stderr) == (
        1, f"{paths[1]}: broken at event 1, where event 5 stands\n"
    )  # fmt: skip
    key.write_bytes(KEY[::-1])
    forged = script("--key", key, *paths)
    assert (forged.returncode, forged.stderr) == (
        1, f"{paths[0]}: its seal was not made with this key for these events\n"
    )  # fmt: skip
    key.write_bytes(KEY)
    seal = paths[0].with_name(f"{paths[0].name}.seal")
    seal.write_text(json.dumps(json.loads(seal.read_text()) | {"hmac": None}))
    keyless = script("--key", key, *paths)
    assert keyless.stdout.splitlines()[:2] == [
        f"{paths[0]}: events 1 to 4, sealed without a key: none vouches for it",
        f"{paths[1]}: events 5 to 9, sealed with the key",
    ]
    seal.unlink()
    removed = script("--key", key, *paths)
    assert (removed.returncode, f"{paths[0]}: it or its seal cannot be read" in removed.stderr) == (1, True)
    edit(paths[1], 7, payload="{}")
    edited = script(*paths)
    assert (edited.returncode, edited.stderr) == (1, f"{paths[1]}: broken at event 7, where event 7 stands\n")
