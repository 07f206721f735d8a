"""What searches have tried."""

import json
from typing import Any

from helios_agent.store import Reader

_TRIALS = (
    "SELECT number, question, state, parameters, gains, gain, error, cpu_seconds FROM search_trial"
    " WHERE job = ? ORDER BY number"
)


async def trials(store: Reader, job: str) -> list[dict[str, Any]]:
    """Return the trials of a search, in order: see `learning.search.Trial`."""
    rows = await store.rows(_TRIALS, (job,))
    return [dict(row) | {name: json.loads(row[name]) for name in ("parameters", "gains")} for row in rows]


async def is_completed(store: Reader, job: str) -> bool:
    """Return whether the journal tells what came of a search, and no trial that was made after that."""
    found = await store.rows(
        "SELECT 1 FROM search WHERE job = ?1"
        " AND seq > (SELECT coalesce(max(seq), 0) FROM search_trial WHERE job = ?1)",
        (job,),
    )
    return bool(found)


async def last_completed(store: Reader, game: str) -> int | None:
    """Return the event in which the last search of a game came to its end."""
    seq: int | None = (await store.rows("SELECT max(seq) AS seq FROM search WHERE game = ?", (game,)))[0][
        "seq"
    ]
    return seq
