"""Trained models and the progress of their training."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helios_agent.errors import NotFound, Refused
from helios_agent.store import Reader, Row

NAME = re.compile(r"([a-z][a-z0-9-]{0,39})(?:@([0-9a-f]{12}))?")
"""A model's name, and the version after an @."""
SERVING = ("champion", "challenger")
"""Whom a name without a version means: the first role that is held."""


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


async def named(store: Reader, game: str, era: str, name: str) -> Model:
    """Return the model of an era that `name` or `name@version` means; without a version, who serves.

    Raises Refused where `name` cannot be a name, NotFound where there is no such model in this era.
    """
    parts = NAME.fullmatch(name)
    if parts is None:
        raise Refused(f"name is {name!r}; expected one such as powerballnet or powerballnet@17e1c993042e")
    found = [model for model in await of_era(store, game, era) if model.name == parts[1]]
    if parts[2] is not None:
        chosen = [model for model in found if model.version == parts[2]]
    else:
        chosen = [model for role in SERVING for model in found if model.role == role]
    if not chosen:
        raise NotFound(f"name is {name!r}; there is no such model of {game} in the era from {era}")
    return chosen[0]


async def epochs(store: Reader, job: str) -> list[Mapping[str, Any]]:
    """Return the epochs of a training job's latest run, in order."""
    rows = await store.rows(
        "SELECT epoch, epochs, loss, validation_loss, validation_gain_nats, seconds, eta_seconds FROM epoch"
        " WHERE job = ? ORDER BY epoch",
        (job,),
    )
    return [dict(row) for row in rows]
