"""What searches have tried."""

import json
from typing import Any

from helios_agent.store import Reader

_TRIALS = "SELECT number, state, parameters, gains, gain, error, cpu_seconds FROM search_trial WHERE job = ?"


async def trials(store: Reader, job: str, question: str | None = None) -> list[dict[str, Any]]:
    """Return the trials of a search, in order: see `learning.search.Trial`.

    With `question`, a digest of what they are an answer to, only those that answer it: draws may have come,
    or settings changed, since the search was paused.
    """
    rows = await store.rows(
        f"{_TRIALS} AND (? IS NULL OR question = ?) ORDER BY number", (job, question, question)
    )
    return [dict(row) | {name: json.loads(row[name]) for name in ("parameters", "gains")} for row in rows]


async def is_completed(store: Reader, job: str) -> bool:
    """Return whether the end of a search is in the journal."""
    return bool(await store.rows("SELECT 1 FROM search WHERE job = ?", (job,)))


async def last_completed(store: Reader, game: str) -> int | None:
    """Return the event in which the last search of a game came to its end."""
    seq: int | None = (await store.rows("SELECT max(seq) AS seq FROM search WHERE game = ?", (game,)))[0][
        "seq"
    ]
    return seq
