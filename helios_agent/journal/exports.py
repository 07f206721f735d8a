"""Exports and archives: events as JSON lines that can be verified without the database.

A line holds `seq`, `at_us`, `kind`, `cause`, `hash` (hex), `boot`, `mono_us` and, always last,
`payload` in the very text that the hash covers. Files whose name ends in `.gz` are compressed.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from helios_agent.errors import StoreCorrupt
from helios_agent.journal import chain
from helios_agent.journal.chain import Head
from helios_agent.store import Connection, Row

COMPRESSED = ".gz"
LEVEL = 6
PAGE = 1000
"""Events that are read at a time."""
_PAYLOAD = ',"payload":'


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it stands in an export: hash in hex, payload as canonical JSON text."""

    seq: int
    at_us: int
    kind: str
    cause: int | None
    hash: str
    boot: str
    mono_us: int
    payload: str

    @classmethod
    def from_row(cls, row: Row) -> "Entry":
        return cls(
            row["seq"], row["at_us"], row["kind"], row["cause"], row["hash"].hex(), row["boot"],
            row["mono_us"], row["payload"],
        )  # fmt: skip

    @classmethod
    def from_line(cls, line: str) -> "Entry":
        """Read one line. Raises ValueError, KeyError or TypeError when it is not that of an event."""
        start, _, rest = line.partition(_PAYLOAD)
        entry = cls(**json.loads(start + "}"), payload=rest.rstrip("\n").removesuffix("}"))
        if not (isinstance(entry.seq, int) and len(bytes.fromhex(entry.hash)) == len(chain.GENESIS)):
            raise ValueError("seq is not a number, or hash is not that of an event")
        return entry

    def as_line(self) -> str:
        fields = {
            "seq": self.seq, "at_us": self.at_us, "kind": self.kind, "cause": self.cause, "hash": self.hash,
            "boot": self.boot, "mono_us": self.mono_us,
        }  # fmt: skip
        start = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
        return f"{start[:-1]}{_PAYLOAD}{self.payload}}}\n"


def stored(connection: Connection, first: int, last: int) -> Iterator[Entry]:
    """Yield the events of an open database from `first` to `last`, in order.

    A query returns a page of them and has ended before they are yielded: who takes long over them holds
    nothing up.
    """
    sql = "SELECT * FROM event WHERE seq BETWEEN ? AND ? ORDER BY seq LIMIT ?"
    while rows := connection.execute(sql, (first, last, PAGE)).fetchall():
        yield from map(Entry.from_row, rows)
        first = rows[-1]["seq"] + 1


def write(entries: Iterable[Entry], file: IO[bytes], *, compress: bool) -> None:
    """Write events as lines. The same events give the same bytes, also compressed."""
    if compress:
        with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed:
            packed.writelines(entry.as_line().encode() for entry in entries)
    else:
        file.writelines(entry.as_line().encode() for entry in entries)


def read(path: Path) -> Iterator[Entry]:
    """Yield the events of an export or archive. Raises StoreCorrupt at what cannot be read as an event."""
    last = None
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.name.endswith(COMPRESSED)
            else path.open(encoding="utf-8") as lines
        ):
            for line in lines:
                entry = Entry.from_line(line)
                last = entry.seq
                yield entry
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        place = "at its beginning" if last is None else f"after event {last}"
        raise StoreCorrupt(f"{path} cannot be read {place}: {error}.") from error


def verify(entries: Iterable[Entry], after: Head = chain.BEGINNING) -> Head:
    """Check that events follow `after` without a break; return the head. Raises Broken at the first break."""
    return chain.verify(_links(entries, bytes.fromhex(after.hash)), after)


def _links(entries: Iterable[Entry], prev: bytes) -> Iterator[chain.Link]:
    for entry in entries:
        digest = bytes.fromhex(entry.hash)
        text = chain.covered(entry.seq, entry.at_us, entry.kind, entry.cause, entry.payload)
        yield entry.seq, prev, digest, text
        prev = digest
