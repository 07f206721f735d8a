"""Retention: which events are old enough, or too many, to be archived, and how they leave the database."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import chain

from helios_agent.clock import SECOND_US, from_us
from helios_agent.journal import summaries
from helios_agent.journal.journal import Transaction
from helios_agent.store import Connection, Reader

DAY_US = 86_400 * SECOND_US
KEPT_US = 30 * DAY_US
"""What is younger than this stays, whatever the size of the database."""
BATCH_US = 7 * DAY_US
"""By age, events are archived a week's worth at a time, so that archives are few."""
FILLED = 0.8
"""To what part of its allowed size a database that has outgrown it is brought back."""
ROW_BYTES = 170
"""What an event takes in the database besides its payload, measured over 300,000 events."""
CHUNK = 1000
"""Events that leave the database in one transaction, at most."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An event as retention sees it: when it happened, and the bytes that it takes."""

    seq: int
    at_us: int
    size: int


def archive_upto(
    events: Iterable[Stored], *, now_us: int, age_us: int, kept_us: int, excess: int, needed: int | None
) -> int | None:
    """Return up to which event to archive, None where nothing is to be.

    `events` are those not sealed yet, oldest first; no more of them are taken than need be. Archived is
    what is older than `age_us`, and the oldest that make up `excess` bytes; but nothing younger than
    `kept_us`, and nothing from the event `needed` on.
    """
    remaining = iter(events)
    oldest = next(remaining, None)
    if oldest is None:
        return None
    is_batch = oldest.at_us < now_us - age_us - BATCH_US
    upto = None
    for event in chain([oldest], remaining):
        aged = is_batch and event.at_us < now_us - age_us
        if event.at_us >= now_us - kept_us or not (aged or excess > 0):
            break
        if needed is not None and event.seq >= needed:
            break
        excess -= event.size
        upto = event.seq
    return upto


def due(
    connection: Connection, games: Collection[str], *, now_us: int, age_us: int, kept_us: int, size: int
) -> int | None:
    """Return up to which event an open database is to be archived; `size` is what it may use, in bytes."""
    used = used_bytes(connection)
    rows = connection.execute(
        "SELECT seq, at_us, length(payload) + ? FROM event"
        " WHERE seq > (SELECT coalesce(max(upto), 0) FROM seal) ORDER BY seq",
        (ROW_BYTES,),
    )
    return archive_upto(
        (Stored(*row) for row in rows),
        now_us=now_us,
        age_us=age_us,
        kept_us=kept_us,
        excess=round(used - FILLED * size) if used > size else 0,
        needed=connection.execute(_NEEDED, _open(games, now_us)).fetchone()["seq"],
    )


def used_bytes(connection: Connection) -> int:
    """Return how much of a database file is in use."""
    return int(connection.execute(_USED).fetchone()["used"])


async def used(store: Reader) -> int:
    """Return how much of the database file is in use, in bytes."""
    return int((await store.rows(_USED))[0]["used"])


_USED = (
    "SELECT (page_count - freelist_count) * page_size AS used"
    " FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)


def purge(tx: Transaction, upto: int, games: Collection[str], cause: int, chunk: int | None = None) -> int:
    """Remove the next of the oldest events up to `upto`, which is sealed; return how many.

    They are `chunk` at most, by default `CHUNK`. Of the trainings whose intents go with them summaries
    stay. What waits to be done or sent keeps its events; so does a draw of these games that was forecast
    within the last `KEPT_US` and is not scored yet.
    """
    first = tx.rows("SELECT min(seq) AS seq FROM event")[0]["seq"]
    needed = tx.rows(_NEEDED, _open(games, tx.now_us()))[0]["seq"]
    last = min(upto, first + (chunk or CHUNK) - 1, upto if needed is None else needed - 1)
    if last < first:
        return 0
    summaries.summarise(tx, summaries.leaving(tx, last), cause)
    tx.append("journal.purged", {"from": first, "upto": last}, cause)
    return int(last - first + 1)


def _open(games: Collection[str], now_us: int) -> tuple[str, str]:
    """Return the parameters of `_NEEDED`: the games, and from which day on their draws may yet be scored."""
    return json.dumps(list(games)), from_us(now_us - KEPT_US).date().isoformat()


# The + keeps SQLite from walking through all rows in the order of seq; few are open, and they are indexed.
# What is paused may stay so for ever: it does not keep the journal from being archived.
_NEEDED = """
SELECT min(seq) AS seq FROM (
  SELECT min(+event) AS seq FROM outbox WHERE state = 'pending'
  UNION ALL SELECT min(+seq) FROM intent WHERE state IN ('proposed', 'ready', 'running', 'paused')
    AND state <> 'paused'
  UNION ALL SELECT min(forecast.seq) FROM json_each(?1) AS game JOIN forecast ON forecast.game = game.value
    AND forecast.day >= ?2
    AND forecast.day > coalesce((SELECT max(day) FROM score WHERE score.game = game.value), '')
)
"""
