"""How trainings go, what they were like and what they cost."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helios_agent.journal.intents import Intent
from helios_agent.store import Reader

_OF_JOBS = "job IN (SELECT value FROM json_each(?))"
_EPOCH = "epoch, epochs, loss, validation_loss, validation_gain_nats, seconds, eta_seconds"


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt that is under way: whether it has begun to compute, or waits for a worker.

    `eta_seconds` is how long it may still take, None until it has told of an epoch.
    """

    has_begun: bool
    eta_seconds: float | None


async def run(store: Reader, training: Intent) -> Run:
    """Return how far the attempt at a running training is."""
    rows = await store.rows(
        "WITH claimed AS (SELECT max(seq) AS seq FROM event"
        "   WHERE kind = 'intent.started' AND seq > ?1 AND cause = ?1),"
        " begun AS (SELECT max(event.seq) AS seq FROM event JOIN claimed ON event.seq > claimed.seq"
        "   WHERE kind = 'training.started' AND cause = ?1)"
        " SELECT seq, (SELECT eta_seconds FROM epoch WHERE job = ?2 AND epoch.seq > begun.seq"
        "   ORDER BY epoch DESC LIMIT 1) AS eta_seconds FROM begun",
        (training.seq, training.id),
    )
    return Run(rows[0]["seq"] is not None, rows[0]["eta_seconds"])


async def epochs(store: Reader, jobs: Sequence[str]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the epochs of each job's latest run, in order; those that were summarised are not among them."""
    found: dict[str, list[Mapping[str, Any]]] = {job: [] for job in jobs}
    rows = await store.rows(
        f"SELECT job, {_EPOCH} FROM epoch WHERE {_OF_JOBS} ORDER BY job, epoch",  # noqa: S608
        (json.dumps([*jobs]),),
    )
    for row in rows:
        epoch = dict(row)
        found[epoch.pop("job")].append(epoch)
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
