"""The hash chain: what an event's hash covers, and how a journal is verified."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from sqlite3 import Cursor
from typing import Any

from helios_agent.errors import StoreCorrupt
from helios_agent.journal.snapshot import one_moment
from helios_agent.store import Connection

GENESIS = bytes(32)
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

Link = tuple[int, bytes, bytes, bytes]
"""An event as the chain sees it: seq, prev, hash, and the text that the hash covers besides prev."""

# As bytes: text that is no longer UTF-8 is then found to be changed, not merely unreadable.
_UNNUMBERED = (
    "CAST(char(10) || at_us || char(10) || kind || char(10) || coalesce(cause, '') || char(10) || payload"
    " AS BLOB)"
)
_LINKS = f"SELECT seq, prev, hash, CAST(seq || {_UNNUMBERED} AS BLOB) FROM event ORDER BY seq"  # noqa: S608


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN or infinity."""
    return _ENCODER.encode(value)


def covered(seq: int, at_us: int, kind: str, cause: int | None, payload: str) -> bytes:
    """Return what an event's hash covers besides the hash before it.

    The lines are seq, at_us, kind, cause (empty when there is none) and the payload's canonical
    JSON, each ended by a line feed but the last. Which process wrote it is not covered.
    """
    return f"{seq}\n{at_us}\n{kind}\n{'' if cause is None else cause}\n{payload}".encode()


def link(prev: bytes, seq: int, at_us: int, kind: str, cause: int | None, payload: str) -> bytes:
    """Return an event's hash: SHA-256 over the previous hash and what is `covered`."""
    return hashlib.sha256(prev + covered(seq, at_us, kind, cause, payload)).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a verified chain."""

    seq: int
    hash: str


BEGINNING = Head(0, GENESIS.hex())
"""The head of a journal that has no event yet."""


class Broken(StoreCorrupt):
    """The chain of the journal is broken at the event `seq`; `prev` is the hash that it should follow."""

    def __init__(self, seq: int, prev: bytes, what: str) -> None:
        super().__init__(f"The journal is broken: {what}.")
        self.seq, self.prev, self.what = seq, prev, what


def verify(links: Iterable[Link], after: Head = BEGINNING) -> Head:
    """Check that events follow `after` without a break; return the head. Raises Broken at the first break."""
    last, head, sha256 = after.seq, bytes.fromhex(after.hash), hashlib.sha256
    for seq, prev, digest, text in links:
        if seq != last + 1 or prev != head or digest != sha256(head + text).digest():
            raise _break(last, head, (seq, prev, digest, text))
        last, head = seq, digest
    return Head(last, head.hex())


def _break(last: int, head: bytes, found: Link) -> Broken:
    """Say what is wrong with an event that does not follow event `last` with the hash `head`."""
    seq, prev, digest, text = found
    if seq <= last:
        return Broken(seq, head, f"event {seq} was put in: up to event {last} all were archived and removed")
    if seq != last + 1:
        return Broken(last + 1, head, _missing(last + 1, seq - 1))
    if prev != head and digest == hashlib.sha256(prev + text).digest():
        return Broken(seq, head, f"event {seq} does not follow event {last}")
    return Broken(seq, head, f"event {seq} was changed after it was written")


def _missing(first: int, last: int) -> str:
    return f"event {first} is missing" if first == last else f"events {first} to {last} are missing"


def verify_database(connection: Connection) -> Head:
    """Verify the journal in an open database; return its head. Raises Broken, naming the events.

    Where old events were archived and removed, the chain begins after them and must pass through every
    event that a seal names.
    """
    cursor = connection.cursor()
    cursor.row_factory = None
    with one_moment(connection):
        sealing = knows_seals(connection)
        after = _start(cursor) if sealing else BEGINNING
        try:
            head = verify(cursor.execute(_LINKS), after)
        except Broken as damage:
            raise _swapped(cursor, damage) or damage from None
        if sealing:
            _check_end(cursor, head)
    return head


def knows_seals(connection: Connection) -> bool:
    """Return whether a database can hold seals: one of an earlier Helios, such as a backup, cannot."""
    return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'seal'").fetchone() is not None


def _start(cursor: Cursor) -> Head:
    """Return the head of what was archived and removed."""
    removed = cursor.execute(
        "SELECT purged, upto, hash FROM seal WHERE purged > 0 ORDER BY upto DESC"
    ).fetchone()
    if removed is None:
        return BEGINNING
    purged, upto, digest = removed
    if purged == upto:
        return Head(upto, digest)
    # A purge was cut short. What the first event follows is proven where the chain meets the seal.
    first = cursor.execute("SELECT prev FROM event WHERE seq = ?", (purged + 1,)).fetchone()
    return Head(purged, first[0].hex() if first else BEGINNING.hash)


def _check_end(cursor: Cursor, head: Head) -> None:
    """Raise Broken where the newest events were cut off, or an event is not the one that was sealed."""
    digest = bytes.fromhex(head.hash)
    written = cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    if written is not None and written[0] > head.seq:
        raise Broken(head.seq + 1, digest, f"its end is cut off: {_missing(head.seq + 1, written[0])}")
    other = cursor.execute(
        "SELECT upto, archive FROM seal JOIN event ON seq = upto WHERE lower(hex(event.hash)) <> seal.hash"
        " ORDER BY upto"
    ).fetchone()
    if other is not None:
        raise Broken(other[0], digest, f"event {other[0]} is not the one that was sealed in {other[1]}")


def _swapped(cursor: Cursor, damage: Broken) -> Broken | None:
    """Return which two events were swapped, with their hashes or without, if that is what is wrong."""

    def hashed(prev: bytes, seq: int, rest: bytes) -> bytes:
        return hashlib.sha256(prev + str(seq).encode() + rest).digest()

    sql = f"SELECT seq, prev, hash, {_UNNUMBERED} FROM event WHERE seq >= ? ORDER BY seq"  # noqa: S608
    rows = cursor.execute(sql, (damage.seq,))
    one, prev_of_one, hash_of_one, rest_of_one = next(rows, (0, b"", b"", b""))
    for two, prev_of_two, hash_of_two, rest_of_two in rows:
        moved = hashed(damage.prev, one, rest_of_two)
        with_hashes = moved == hash_of_two and hash_of_one == hashed(prev_of_one, two, rest_of_one)
        without = moved == hash_of_one and hash_of_two == hashed(prev_of_two, two, rest_of_one)
        if with_hashes or without:
            return Broken(one, damage.prev, f"events {one} and {two} were swapped")
    return None
