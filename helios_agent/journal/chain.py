"""The hash chain: what an event's hash covers, and how a journal is verified."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from helios_agent.errors import StoreCorrupt
from helios_agent.store import Connection

GENESIS = bytes(32)


def canonical(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, no NaN or infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def link(prev: bytes, seq: int, at_us: int, kind: str, cause: int | None, payload: str) -> bytes:
    """Return an event's hash: SHA-256 over the previous hash and the event's own lines.

    The lines are seq, at_us, kind, cause (empty when there is none) and the payload's canonical
    JSON, each ended by a line feed but the last. Which process wrote it is not covered.
    """
    text = f"{seq}\n{at_us}\n{kind}\n{'' if cause is None else cause}\n{payload}"
    return hashlib.sha256(prev + text.encode()).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """The last event of a verified chain."""

    seq: int
    hash: str


def verify(rows: Iterable[Mapping[str, Any]]) -> Head:
    """Check events in order from the first; return the head. Raises StoreCorrupt at the first break."""
    prev, expected_seq = GENESIS, 1
    for row in rows:
        seq = row["seq"]
        if seq != expected_seq:
            raise StoreCorrupt(f"The journal is broken: event {expected_seq} is missing, {seq} follows.")
        if row["prev"] != prev:
            raise StoreCorrupt(f"The journal is broken: event {seq} does not follow event {seq - 1}.")
        prev = link(prev, seq, row["at_us"], row["kind"], row["cause"], row["payload"])
        if row["hash"] != prev:
            raise StoreCorrupt(f"The journal is broken: event {seq} was changed after it was written.")
        expected_seq += 1
    return Head(expected_seq - 1, prev.hex())


VERIFY_SQL = "SELECT seq, at_us, kind, cause, payload, prev, hash FROM event ORDER BY seq"


def verify_database(connection: Connection) -> Head:
    """Verify the journal in an open database. Raises StoreCorrupt at the first break."""
    return verify(connection.execute(VERIFY_SQL))
