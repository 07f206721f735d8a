"""What one asks of a journal that one does not trust: is it whole, is it the same, may I have a copy?"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from helios_agent.errors import NotFound, Refused, StoreCorrupt
from helios_agent.journal import archives, chain, exports, snapshot
from helios_agent.journal.chain import Head
from helios_agent.store import Connection

SHORTEST_HASH = 12
"""Digits of a noted hash, as many as a log line shows."""


def verify(connection: Connection, folder: Path | None, noted: Head | None, key: bytes | None = None) -> Head:
    """Verify a journal and, where `folder` is theirs, its archives; return the head.

    With a `key` their HMACs are checked, too. Raises StoreCorrupt at a break, at a damaged archive, or where
    the event `noted` earlier is not there any more with that hash: then the history was written anew.
    """
    head = chain.verify_database(connection)
    if folder is not None:
        damages = archives.damages(folder, archives.seals(connection), key)
        if damages:
            raise StoreCorrupt("\n".join(damages.values()))
    if noted is not None:
        _recognise(connection, folder, head, noted)
    return head


def _recognise(connection: Connection, folder: Path | None, head: Head, noted: Head) -> None:
    if noted.seq > head.seq:
        raise StoreCorrupt(
            f"The journal ends with event {head.seq}: event {noted.seq}, which was noted, is lost."
        )
    found = archives.hash_of(connection, folder, noted.seq)
    if not found.startswith(noted.hash):
        raise StoreCorrupt(
            f"The history was written anew: event {noted.seq} had the hash {noted.hash} when it was noted, "
            f"now it has {found}."
        )


def parse_head(text: str) -> Head:
    """Read a noted head, SEQ:HASH. Raises Refused."""
    read = re.fullmatch(r"(\d{1,18}):([0-9a-f]{1,64})", text.strip().lower())
    if not read or len(read[2]) < SHORTEST_HASH:
        raise Refused(
            f"head is {text!r}; expected SEQ:HASH with at least {SHORTEST_HASH} digits of the hash, "
            "such as 3473:daafd2b2c0de"
        )
    return Head(int(read[1]), read[2])


@contextmanager
def output(name: str, option: str = "output") -> Iterator[IO[bytes]]:
    """Open a file that appears once it is whole; `-` is standard output.

    Raises Refused, naming the option that names the file, when it cannot be written.
    """
    if name == "-":
        with suppress(BrokenPipeError):
            yield sys.stdout.buffer
        return
    path = Path(name)
    if path.exists() and not path.is_file():
        raise Refused(f"{option} is {name!r}, which is no file; expected the name of one, or - for stdout")
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise Refused(f"{option} is {name!r}, which cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Span:
    """Events that were exported: from `first` to `last`; `after` is the head that they follow."""

    first: int
    last: int
    after: Head


def export(
    database: Path, folder: Path | None, first: int | None, last: int | None, file: IO[bytes], compress: bool
) -> Span:
    """Write the events from `first` to `last` (None: all there are) as JSON lines.

    `folder` is that of the archives, None to leave them out. Raises NotFound where there are no such
    events, Refused where some of them were archived and archives are left out.
    """
    with snapshot.opened(database) as connection:
        row = connection.execute("SELECT min(seq) AS oldest, max(seq) AS newest FROM event").fetchone()
        if row["newest"] is None:
            raise NotFound("The journal has no events yet.")
        beginning = row["oldest"] if folder is None else 1
        span_first = beginning if first is None else first
        span_last = row["newest"] if last is None else min(last, row["newest"])
        if span_first > span_last:
            raise NotFound(f"There are no such events: the journal holds {beginning} to {row['newest']}.")
        if span_first < beginning:
            raise Refused(
                f"Events before {beginning} were archived and removed. Add --archives to export them too."
            )
        before = span_first - 1
        after = Head(before, archives.hash_of(connection, folder, before)) if before else chain.BEGINNING
        entries = archives.everything(connection, folder, span_first, span_last)
        exports.write(entries, file, compress=compress)
    return Span(span_first, span_last, after)
