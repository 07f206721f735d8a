"""Sealed archives: old events in files of their own, proven before they leave the database."""

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helios_agent import files
from helios_agent.errors import ConfigError, NotFound, StoreCorrupt, StoreError
from helios_agent.journal import chain, exports
from helios_agent.journal.chain import Broken, Head
from helios_agent.journal.exports import Entry
from helios_agent.store import Connection

SHORTEST_KEY_BYTES = 32
DIGITS = 12
"""Of a hash, in the name of an archive."""
PARTIAL = "partial-"


@dataclass(frozen=True, slots=True)
class Seal:
    """What an archive holds: the events from `first` to `upto`, the last of which has this hash (hex).

    `sha256` is the file's, `at_us` when it was sealed, `purged` up to which event they have left the
    database.
    """

    first: int
    upto: int
    hash: str
    archive: str
    sha256: str
    at_us: int
    purged: int

    @property
    def head(self) -> Head:
        return Head(self.upto, self.hash)


def seals(connection: Connection) -> list[Seal]:
    """Return every seal, the oldest first."""
    if not chain.knows_seals(connection):
        return []
    rows = connection.execute(
        "SELECT first, upto, hash, archive, sha256, at_us, purged FROM seal ORDER BY upto"
    )
    return [Seal(**dict(row)) for row in rows]


def read_key(path: Path | None) -> bytes | None:
    """Return the key that archives are sealed with, or None. Raises ConfigError, never showing it."""
    if path is None:
        return None
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError(f"retention.seal_key_file: {path}: cannot be read: {error.strerror}") from error
    if len(key) < SHORTEST_KEY_BYTES:
        raise ConfigError(
            f"retention.seal_key_file: {path}: the key has {len(key)} bytes; at least {SHORTEST_KEY_BYTES} "
            "are needed. Make one with: openssl rand -hex 32"
        )
    return key


def unsealed(connection: Connection, folder: Path) -> int | None:
    """Return the last event of an archive that was written, but not sealed before its process was killed."""
    after = _last_sealed(connection)
    found = []
    for path in folder.glob(f"journal-{after.seq + 1}-*.jsonl.gz"):
        named = re.fullmatch(r"journal-\d+-(\d+)-([0-9a-f]+)\.jsonl\.gz", path.name)
        if named and (_stored_hash(connection, int(named[1])) or "").startswith(named[2]):
            found.append(int(named[1]))
    return max(found, default=None)


def make(connection: Connection, folder: Path, upto: int, key: bytes | None) -> dict[str, Any]:
    """Write the events after the last seal, up to `upto`, to an archive, and prove it by reading it back.

    Returns the payload of `journal.sealed`, which also stands beside the archive in a file of its own.
    Raises StoreCorrupt where the chain is broken or a file of this name holds something else, StoreError
    where the archive cannot be written. `upto` must be stored, and later than the last seal.
    """
    after = _last_sealed(connection)
    head = Head(upto, _stored_hash(connection, upto) or "")
    path = folder / f"journal-{after.seq + 1}-{upto}-{head.hash[:DIGITS]}.jsonl.gz"
    partial = path.with_name(f"{PARTIAL}{path.name}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.sync(folder.parent)
        for left_over in folder.glob(f"{PARTIAL}*"):
            files.remove(left_over)
        try:
            if path.exists():
                _prove(path, after, head)
            else:
                exports.verify(exports.stored(connection, after.seq + 1, upto), after)
                with partial.open("wb") as file:
                    exports.write(exports.stored(connection, after.seq + 1, upto), file, compress=True)
                _prove(partial, after, head)
                files.sync(partial)
                files.rename(partial, path)
            record = {
                "from": after.seq + 1,
                "upto": upto,
                "prev": after.hash,
                "hash": head.hash,
                "archive": path.name,
                "bytes": path.stat().st_size,
                "sha256": _sha256(path),
            }
            record["hmac"] = None if key is None else sign(key, record)
            files.write(partial, chain.canonical(record).encode() + b"\n")
            files.rename(partial, _beside(path))
        finally:
            files.remove(partial)
    except OSError as error:
        raise StoreError(f"The archive {path} cannot be written: {error.strerror}.") from error
    return record


def sign(key: bytes, record: Mapping[str, Any]) -> str:
    """Return the HMAC-SHA256, hex, of a seal: of from, upto, prev, hash and sha256, a line each."""
    text = "\n".join(str(record[name]) for name in ("from", "upto", "prev", "hash", "sha256"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def damages(folder: Path, sealed: Sequence[Seal], key: bytes | None = None) -> dict[str, str]:
    """Return what is wrong with archives, by name: those that are missing, or not what was sealed.

    With a key their HMACs are checked too; one that was made before there was a key has none to check.
    """
    found = {}
    after = chain.BEGINNING
    for seal in sealed:
        try:
            check(folder, seal, after)
            if key is not None:
                _authenticate(folder, seal, after, key)
        except StoreCorrupt as damage:
            found[seal.archive] = str(damage)
        after = seal.head
    return found


def check(folder: Path, seal: Seal, after: Head) -> None:
    """Raise StoreCorrupt unless the archive of a seal is there and holds what was sealed after `after`."""
    path = folder / seal.archive
    if not path.exists():
        raise StoreCorrupt(f"The archive {path} is missing. Put it back, or a copy of it.")
    _prove(path, after, seal.head)
    if _sha256(path) != seal.sha256:
        raise StoreCorrupt(
            f"The archive {path} is not the file that was sealed. Put a good copy in its place."
        )


def unsigned(folder: Path, sealed: Sequence[Seal]) -> list[str]:
    """Return the archives without an HMAC, which no key can vouch for."""
    return [seal.archive for seal in sealed if _hmac(folder / seal.archive) is None]


def _authenticate(folder: Path, seal: Seal, after: Head, key: bytes) -> None:
    """Raise StoreCorrupt where an archive has an HMAC that was not made with `key`."""
    path = folder / seal.archive
    named = {
        "from": seal.first, "upto": seal.upto, "prev": after.hash, "hash": seal.hash, "sha256": seal.sha256
    }  # fmt: skip
    if _hmac(path) not in (None, sign(key, named)):
        raise StoreCorrupt(
            f"The HMAC of the archive {path} was not made with the key in retention.seal_key_file for these "
            "events. Either one of them was forged, or the key was changed since: put the old one back."
        )


def _hmac(path: Path) -> str | None:
    """Return the HMAC that stands beside an archive, None where it was made without a key."""
    beside = _beside(path)
    try:
        found = json.loads(beside.read_bytes())["hmac"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreCorrupt(
            f"The seal {beside} cannot be read: {error}. Put a good copy in its place."
        ) from error
    return None if found is None else str(found)


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.seal")


def _prove(path: Path, after: Head, head: Head) -> None:
    try:
        found = exports.verify(exports.read(path), after)
    except Broken as damage:
        raise StoreCorrupt(f"The archive {path.name} is damaged: {damage.what}.") from damage
    if found != head:
        raise StoreCorrupt(
            f"The archive {path.name} is damaged: it ends with event {found.seq}, {found.hash[:DIGITS]}…, "
            f"not with event {head.seq}, {head.hash[:DIGITS]}…"
        )


def everything(connection: Connection, folder: Path | None, first: int, last: int) -> Iterator[Entry]:
    """Yield the events from `first` to `last`: from the archives what left the database, then the rest.

    Without a folder, archives are left out. Raises StoreCorrupt at one that is missing or unreadable.
    """
    for seal in seals(connection):
        if folder is not None and first <= seal.purged and seal.first <= last:
            entries = exports.read(folder / seal.archive)
            yield from (entry for entry in entries if first <= entry.seq <= min(last, seal.purged))
    yield from exports.stored(connection, first, last)


def hash_of(connection: Connection, folder: Path | None, seq: int) -> str:
    """Return the hash (hex) of an event, stored or archived. Raises NotFound when there is none."""
    following = connection.execute("SELECT prev FROM event WHERE seq = ?", (seq + 1,)).fetchone()
    if following is not None:
        return str(following["prev"].hex())
    found = next(everything(connection, folder, seq, seq), None)
    if found is None:
        raise NotFound(
            f"There is no event {seq} in the database{'' if folder else ', and archives were left out'}."
        )
    return found.hash


def _last_sealed(connection: Connection) -> Head:
    row = connection.execute("SELECT upto, hash FROM seal ORDER BY upto DESC LIMIT 1").fetchone()
    return Head(row["upto"], row["hash"]) if row else chain.BEGINNING


def _stored_hash(connection: Connection, seq: int) -> str | None:
    row = connection.execute("SELECT hash FROM event WHERE seq = ?", (seq,)).fetchone()
    return row["hash"].hex() if row else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
