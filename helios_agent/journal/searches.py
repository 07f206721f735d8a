"""What searches have tried, and what came of it."""

import json
from typing import Any

from helios_agent.store import Reader


async def trials(store: Reader, job: str) -> list[dict[str, Any]]:
    """Return the trials of a search, in order: see `learning.search.Trial`."""
    rows = await store.rows(
        "SELECT number, state, parameters, gains, gain, error, cpu_seconds FROM search_trial WHERE job = ?"
        " ORDER BY number",
        (job,),
    )
    return [dict(row) | {name: json.loads(row[name]) for name in ("parameters", "gains")} for row in rows]
