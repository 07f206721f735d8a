"""Trained models and the progress of their training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helios_agent.store import Reader, Row


@dataclass(frozen=True, slots=True)
class Model:
    """A trained network. Its role: challenger (the newest), champion (the last one promoted), or retired."""

    name: str
    version: str
    game: str
    era: str
    role: str
    ordinal: int
    prior: float
    last_draw: str
    draws: int
    metrics: Mapping[str, Any]
    job: str
    trained_us: int
    seq: int

    @property
    def forecaster(self) -> str:
        """The name under which it forecasts and stands in the ledger."""
        return f"{self.name}@{self.version}"

    @classmethod
    def from_row(cls, row: Row) -> "Model":
        return cls(**{**dict(row), "metrics": json.loads(row["metrics"])})


def in_role(models: Sequence[Model], role: str) -> str | None:
    """Return the name under which the model of a role forecasts, or None."""
    return next((model.forecaster for model in models if model.role == role), None)


async def of_era(store: Reader, game: str, era: str) -> list[Model]:
    """Return every model of an era, in the order in which they joined its mixture."""
    rows = await store.rows("SELECT * FROM model WHERE game = ? AND era = ? ORDER BY ordinal", (game, era))
    return [Model.from_row(row) for row in rows]


async def active(store: Reader, game: str, era: str) -> list[Model]:
    """Return the models of an era that forecast now."""
    return [model for model in await of_era(store, game, era) if model.role != "retired"]


async def epochs(store: Reader, job: str) -> list[Mapping[str, Any]]:
    """Return the epochs of a training job's latest run, in order."""
    rows = await store.rows(
        "SELECT epoch, epochs, loss, validation_loss, validation_gain_nats, seconds, eta_seconds FROM epoch"
        " WHERE job = ? ORDER BY epoch",
        (job,),
    )
    return [dict(row) for row in rows]
