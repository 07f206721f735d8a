"""Append events, fold them into the tables, and tell those who wait that something happened."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from typing import Any, TypeVar

from helios_agent.clock import Clock, iso
from helios_agent.journal import chain
from helios_agent.store import Connection, Pace, Row, Store, Tip, backup

T = TypeVar("T")

KIND = re.compile(r"[a-z]+(\.[a-z-]+)+")


@dataclass(frozen=True, slots=True)
class Event:
    """A fact that happened. `hash` is hex; `cause` is the seq of the event it followed from."""

    seq: int
    at_us: int
    boot: str
    kind: str
    cause: int | None
    payload: Mapping[str, Any]
    hash: str

    @classmethod
    def from_row(cls, row: Row) -> "Event":
        return cls(
            row["seq"], row["at_us"], row["boot"], row["kind"], row["cause"], json.loads(row["payload"]),
            row["hash"].hex(),
        )  # fmt: skip

    def as_record(self) -> dict[str, Any]:
        """Return the event as it is shown outside: API, webhooks, exports."""
        return {
            "seq": self.seq,
            "at": iso(self.at_us),
            "kind": self.kind,
            "cause": self.cause,
            "payload": self.payload,
            "hash": self.hash,
        }


Hook = Callable[["Transaction", Event], None]
"""Called for every appended event in its own transaction; may append more."""


class Transaction:
    """What a function handed to `Journal.record` may do: append events and look at the tables."""

    def __init__(
        self, connection: Connection, clock: Clock, boot: str, hooks: Sequence[Hook], tip: Tip | None = None
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._hooks = hooks
        self._tip = Tip() if tip is None else tip
        self.boot = boot

    def append(self, kind: str, payload: Mapping[str, Any], cause: int | None = None) -> Event:
        """Append one event, fold it into the tables and run the hooks.

        Raises ValueError for a kind that is not of the form noun.verb and for a cause that is not an
        earlier event's seq, ValueError or TypeError for a payload that is no JSON.
        """
        if not KIND.fullmatch(kind):
            raise ValueError(f"event kind {kind!r} is not of the form noun.verb")
        last, prev = self._tip.event or self._newest()
        seq = last + 1
        if cause is not None and not 0 < cause <= last:
            raise ValueError(
                f"cause {cause!r} of a {kind} is not the seq of an earlier event; the last is {last}"
            )
        at_us, text = self._clock.now_us(), chain.canonical(payload)
        digest = chain.link(prev, seq, at_us, kind, cause, text)
        self._connection.execute(
            "INSERT INTO event (seq, at_us, mono_us, boot, kind, cause, payload, prev, hash)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (seq, at_us, self._clock.mono_us(), self.boot, kind, cause, text, prev, digest),
        )
        self._tip.event = (seq, digest)
        if kind in PROJECTIONS:
            project(self._connection, kind, seq=seq, at_us=at_us, boot=self.boot, cause=cause, payload=text)
        event = Event(seq, at_us, self.boot, kind, cause, payload, digest.hex())
        for hook in self._hooks:
            hook(self, event)
        return event

    def _newest(self) -> tuple[int, bytes]:
        row = self._connection.execute("SELECT seq, hash FROM event ORDER BY seq DESC LIMIT 1").fetchone()
        return (row["seq"], row["hash"]) if row else (0, chain.GENESIS)

    def apply(self, change: Callable[[Connection], T]) -> T:
        """Do in this transaction what the store itself has to change."""
        return change(self._connection)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return all rows of a query, seeing what this transaction has written so far."""
        return self._connection.execute(sql, parameters).fetchall()

    def now_us(self) -> int:
        """Return the wall clock."""
        return self._clock.now_us()


class Journal:
    """The one way to change anything: a function of a transaction, durable when it returns."""

    def __init__(self, store: Store, clock: Clock, boot: str, hooks: Sequence[Hook] = ()) -> None:
        self.store = store
        self.clock = clock
        self.boot = boot
        self._hooks = hooks

    async def record(self, change: Callable[[Transaction], T], pace: Pace | None = None) -> T:
        """Run `change` in one transaction; return its result after the commit.

        Where it is one step of many, `pace` is told how long it took.
        """

        def work(connection: Connection) -> T:
            return change(Transaction(connection, self.clock, self.boot, self._hooks, self.store.tip))

        if pace is not None:
            return await self.store.timed(work, self.clock, pace)
        return await self.store.write(work)

    async def append(self, kind: str, payload: Mapping[str, Any], cause: int | None = None) -> Event:
        """Append one event in a transaction of its own."""
        return await self.record(lambda tx: tx.append(kind, payload, cause))

    @contextmanager
    def listening(self) -> Iterator[asyncio.Event]:
        """Lend an asyncio.Event that is set after every commit that appended something."""
        listener = asyncio.Event()
        self.store.listeners[listener] = None
        try:
            yield listener
        finally:
            del self.store.listeners[listener]


def tell_of_restoration(tx: Transaction) -> str | None:
    """Journal, once, that this database was restored from a backup; return what was done."""
    message = tx.apply(backup.take_note)
    if message is not None:
        tx.append("store.restored", {"message": message})
    return message


def project(connection: Connection, kind: str, **event: Any) -> None:
    """Change the tables as `projections.sql` says for this kind of event."""
    for statement in PROJECTIONS.get(kind, ()):
        connection.execute(statement, event)


def parse_projections(text: str) -> dict[str, tuple[str, ...]]:
    """Return kind → SQL statements, in the order of the file."""
    found: dict[str, list[str]] = {}
    for block in re.split(r"^-- on ", text, flags=re.MULTILINE)[1:]:
        heading, _, body = block.partition("\n")
        statements = [s.strip() for s in body.split(";") if s.strip()]
        for kind in heading.split(","):
            found.setdefault(kind.strip(), []).extend(statements)
    return {kind: tuple(statements) for kind, statements in found.items()}


PROJECTIONS = parse_projections(resources.files(__package__).joinpath("projections.sql").read_text("utf-8"))
