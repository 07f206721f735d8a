"""What searches have tried."""

import json
from typing import Any

from helios_agent.store import Reader


async def of_job(store: Reader, job: str) -> list[dict[str, Any]]:
    """Return the trials of a search, in order: see `learning.search.Trial`."""
    rows = await store.rows(
        "SELECT number, state, parameters, gains, gain, error, cpu_seconds FROM search_trial WHERE job = ?"
        " ORDER BY number",
        (job,),
    )
    return [
        {**dict(row), "parameters": json.loads(row["parameters"]), "gains": json.loads(row["gains"])}
        for row in rows
    ]
