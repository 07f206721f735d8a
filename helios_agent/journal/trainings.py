"""What trainings were like and what they cost."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from helios_agent.store import Reader

_OF_JOBS = "job IN (SELECT value FROM json_each(?))"


async def epochs(store: Reader, jobs: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the epochs of each job's latest run, in order; those that were summarised are not among them."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    rows = await store.rows(
        "SELECT job, epoch, loss, validation_loss, validation_gain_nats, seconds FROM epoch"  # noqa: S608
        f" WHERE {_OF_JOBS} ORDER BY job, epoch",
        (json.dumps([*jobs]),),
    )
    for row in rows:
        found.setdefault(row["job"], []).append(dict(row))
    return found


async def summaries(store: Reader, jobs: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return what is left of the epochs of each job that was summarised."""
    rows = await store.rows(
        f"SELECT * FROM training_summary WHERE {_OF_JOBS}",  # noqa: S608
        (json.dumps([*jobs]),),
    )
    return {row["job"]: dict(row) for row in rows}


async def cpu_seconds(store: Reader, jobs: Sequence[str]) -> dict[str, float]:
    """Return the processor time that workers spent on each job of which it is known, in all its attempts."""
    rows = await store.rows(
        f"SELECT job, sum(cpu_seconds) AS seconds FROM spending WHERE {_OF_JOBS} GROUP BY job",  # noqa: S608
        (json.dumps([*jobs]),),
    )
    return {row["job"]: float(row["seconds"]) for row in rows}
