"""What is left of the epochs of trainings that ended long ago."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader

_ENDED = "intent.state IN ('done', 'failed', 'dead', 'refused', 'expired', 'cancelled')"
_COLUMNS = "epoch, loss, validation_loss, validation_gain_nats, seconds"


def summary(epochs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what is kept of a training's epochs, which are those of its latest run, in order.

    `first_loss` and `final_loss` are those on the draws that it learnt from, `best_loss` and
    `best_gain_nats` those on the draws kept back, of the epoch `best_epoch`: the first with the smallest
    validation loss. All are nats a draw. `instability` is the root mean square of the changes of the
    validation loss from one epoch to the next, √(Σ (v[n] − v[n−1])² / (N − 1)), nats a draw; 0 where there
    was one epoch alone. `seconds` is the time of all epochs together.
    """
    losses = [float(epoch["validation_loss"]) for epoch in epochs]
    best = losses.index(min(losses))
    changes = [after - before for before, after in pairwise(losses)]
    return {
        "epochs": len(epochs),
        "first_loss": epochs[0]["loss"],
        "final_loss": epochs[-1]["loss"],
        "best_loss": losses[best],
        "best_epoch": epochs[best]["epoch"],
        "best_gain_nats": epochs[best]["validation_gain_nats"],
        "instability": math.sqrt(sum(c * c for c in changes) / len(changes)) if changes else 0.0,
        "seconds": sum(float(epoch["seconds"]) for epoch in epochs),
    }


async def due(store: Reader, before_us: int) -> list[tuple[str, int]]:
    """Return the trainings that ended before an instant and have epochs, the oldest first: (job, epochs)."""
    rows = await store.rows(
        "SELECT intent.id, count(*) AS epochs FROM epoch JOIN intent ON intent.id = epoch.job"  # noqa: S608
        f" WHERE {_ENDED} AND intent.changed_us < ? GROUP BY intent.id ORDER BY intent.seq",
        (before_us,),
    )
    return [(row["id"], row["epochs"]) for row in rows]


def summarise(tx: Transaction, jobs: Sequence[str], cause: int) -> int:
    """Put a summary in the place of the epochs of each of these trainings, which have ended.

    Returns how many epochs were summarised.
    """
    count = 0
    for job in jobs:
        epochs = tx.rows(f"SELECT {_COLUMNS} FROM epoch WHERE job = ? ORDER BY epoch", (job,))  # noqa: S608
        if epochs:
            tx.append("training.summarised", {"job": job, **summary([dict(row) for row in epochs])}, cause)
            count += len(epochs)
    return count


def leaving(tx: Transaction, upto: int) -> list[str]:
    """Return the trainings with epochs that were asked for up to an event and have ended."""
    rows = tx.rows(
        f"SELECT id FROM intent WHERE seq <= ? AND {_ENDED}"  # noqa: S608
        " AND EXISTS (SELECT 1 FROM epoch WHERE epoch.job = intent.id)",
        (upto,),
    )
    return [row["id"] for row in rows]


async def find(store: Reader, job: str) -> dict[str, Any] | None:
    """Return the summary of a training, None where its epochs have not been summarised."""
    rows = await store.rows(
        "SELECT epochs, first_loss, final_loss, best_loss, best_epoch, best_gain_nats, instability, seconds"
        " FROM training_summary WHERE job = ?",
        (job,),
    )
    return dict(rows[0]) if rows else None


async def counts(store: Reader, jobs: Sequence[str]) -> dict[str, int]:
    """Return how many epochs some trainings had in their latest run, whether or not they were summarised."""
    rows = await store.rows(
        "WITH wanted AS (SELECT value FROM json_each(?))"
        " SELECT job, count(*) AS epochs FROM epoch WHERE job IN wanted GROUP BY job"
        " UNION ALL SELECT job, epochs FROM training_summary WHERE job IN wanted",
        (json.dumps(jobs),),
    )
    return {row["job"]: row["epochs"] for row in rows}
