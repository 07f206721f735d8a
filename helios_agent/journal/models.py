"""Trained models and the progress of their training."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helios_agent.errors import NotFound
from helios_agent.journal import trainings
from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader, Row

ROLES = ("challenger", "champion", "retired", "deleted")
ACTIVE = ("challenger", "champion")
"""Who forecasts."""


@dataclass(frozen=True, slots=True)
class Model:
    """A trained network.

    role: challenger (the newest), champion (the last one promoted), retired, or deleted: only its facts are
    left. job: that which trained it, None if it was imported.
    """

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
    job: str | None
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


async def newest(store: Reader, game: str, era: str, limit: int) -> list[Model]:
    """Return the models of an era that joined last, the last one first, be they deleted by now."""
    rows = await store.rows(
        "SELECT * FROM model WHERE game = ? AND era = ? ORDER BY seq DESC LIMIT ?", (game, era, limit)
    )
    return [Model.from_row(row) for row in rows]


async def promoted(store: Reader, model: Model) -> int | None:
    """Return the event in which a model was last promoted."""
    rows = await store.rows(
        "SELECT max(seq) AS seq FROM promotion WHERE game = ? AND version = ?", (model.game, model.version)
    )
    seq: int | None = rows[0]["seq"]
    return seq


async def of_game(store: Reader, game: str) -> list[Model]:
    """Return every model of a game, deleted ones too: era by era, in the order in which they joined."""
    rows = await store.rows("SELECT * FROM model WHERE game = ? ORDER BY era, ordinal", (game,))
    return [Model.from_row(row) for row in rows]


async def active(store: Reader, game: str, era: str) -> list[Model]:
    """Return the models of an era that forecast now."""
    return [model for model in await of_era(store, game, era) if model.role in ACTIVE]


async def roles(store: Reader) -> dict[str, str]:
    """Return the role of every model, of whatever game, by the name under which it forecasts."""
    rows = await store.rows("SELECT name || '@' || version AS forecaster, role FROM model")
    return {row["forecaster"]: row["role"] for row in rows}


async def every(
    store: Reader,
    game: str | None = None,
    era: str | None = None,
    role: str | None = None,
    name: str | None = None,
) -> list[Model]:
    """Return the models that are as asked, in the order in which they joined; deleted ones by their role."""
    rows = await store.rows(
        "SELECT * FROM model WHERE (?1 IS NULL OR game = ?1) AND (?2 IS NULL OR era = ?2)"
        " AND CASE WHEN ?3 IS NULL THEN role <> 'deleted' ELSE role = ?3 END AND (?4 IS NULL OR name = ?4)"
        " ORDER BY game, era, ordinal",
        (game, era, role, name),
    )
    return [Model.from_row(row) for row in rows]


async def find(store: Reader, name: str, version: str) -> Model:
    """Return one version. Raises NotFound."""
    rows = await store.rows(_ONE, (name, version))
    if not rows:
        raise NotFound(f"There is no model {name}@{version}.")
    return Model.from_row(rows[0])


async def named(store: Reader, text: str) -> list[Model]:
    """Return the versions that a name, a version or name@version means, deleted ones too, as they joined.

    Raises NotFound where there is none.
    """
    rows = await store.rows(
        "SELECT * FROM model WHERE ?1 IN (name, version, name || '@' || version) ORDER BY seq", (text,)
    )
    if not rows:
        raise NotFound(f"There is no model {text!r}; expected a name, a version or name@version.")
    return [Model.from_row(row) for row in rows]


def found(tx: Transaction, name: str, version: str) -> Model | None:
    """Return one version as it stands in this transaction."""
    rows = tx.rows(_ONE, (name, version))
    return Model.from_row(rows[0]) if rows else None


_ONE = "SELECT * FROM model WHERE name = ? AND version = ?"


def holder(tx: Transaction, game: str, role: str) -> Model | None:
    """Return the model of a game that has a role which one at most can have."""
    rows = tx.rows("SELECT * FROM model WHERE game = ? AND role = ?", (game, role))
    return Model.from_row(rows[0]) if rows else None


def ordinal(tx: Transaction, game: str, era: str) -> int:
    """Return the how-many-th the next model to join an era's mixture is."""
    rows = tx.rows("SELECT count(*) AS n FROM model WHERE game = ? AND era = ?", (game, era))
    return int(rows[0]["n"]) + 1


async def before(store: Reader, champion: Model) -> Model | None:
    """Return the model that a champion took the place of, None if there was none."""
    rows = await store.rows(
        "SELECT model.* FROM promotion JOIN model ON model.game = promotion.game"
        " AND model.version = promotion.in_place_of WHERE promotion.seq ="
        " (SELECT max(seq) FROM promotion WHERE game = ? AND version = ?)",
        (champion.game, champion.version),
    )
    return Model.from_row(rows[0]) if rows else None


def can_give_way(tx: Transaction, champion: Model) -> bool:
    """Return whether the model whose place a champion took, if there was one, could be champion again."""
    rows = tx.rows(
        "SELECT model.role, model.era FROM promotion JOIN model ON model.game = promotion.game"
        " AND model.version = promotion.in_place_of WHERE promotion.seq ="
        " (SELECT max(seq) FROM promotion WHERE game = ? AND version = ?)",
        (champion.game, champion.version),
    )
    return all(row["role"] != "deleted" and row["era"] == champion.era for row in rows)


async def epochs(store: Reader, job: str) -> list[Mapping[str, Any]]:
    """Return the epochs of a training job's latest run, in order."""
    return (await trainings.epochs(store, [job]))[job]
