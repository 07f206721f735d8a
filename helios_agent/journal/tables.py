"""What Helios remembers as tables of plain values: what they hold, and which rows a question is about."""

import json
from collections.abc import Collection, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from helios_agent.clock import from_us, iso
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import events
from helios_agent.store import Connection

Kind = Literal["integer", "number", "text", "yes or no", "day", "time", "json"]
"""How a value stands in the database: a `day` as ISO 8601 text, a `time` in microseconds since 1970 (UTC)."""
Row = Sequence[Any]


class Column(NamedTuple):
    """A column: its name outside, what it holds, and the SQL that yields it."""

    name: str
    kind: Kind
    sql: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table that can be taken out.

    `moment` is the column by which time selects rows, `game` and `kind` are the SQL of what those filters
    compare, `model` is a condition with :forecasters and :jobs, JSON lists of those of the model; None
    where a filter means nothing. `only` is a condition that always holds.
    """

    name: str
    about: str
    source: str
    columns: tuple[Column, ...]
    order: str
    moment: str | None = None
    game: str | None = None
    model: str | None = None
    kind: str | None = None
    only: str = ""


@dataclass(frozen=True, slots=True)
class Filters:
    """Which rows are asked for; what is None or empty is not asked about.

    `since_us` is inclusive, `until_us` exclusive; `kinds` are glob patterns, any of which may match;
    `model` is a name, version or name@version.
    """

    since_us: int | None = None
    until_us: int | None = None
    game: str | None = None
    model: str | None = None
    kinds: tuple[str, ...] = ()


def _columns(text: str) -> tuple[Column, ...]:
    """Read columns: one a line, «name kind» or «name kind: SQL»."""
    found = []
    for line in text.strip().splitlines():
        told, _, sql = line.strip().partition(": ")
        name, _, kind = told.partition(" ")
        found.append(Column(name, kind, sql or name))  # type: ignore[arg-type]
    return tuple(found)


_OF_JOB = "{} IN (SELECT value FROM json_each(:jobs))"
_OF_FORECASTER = "{} IN (SELECT value FROM json_each(:forecasters))"
_NAMED_IN = "EXISTS (SELECT 1 FROM json_each(:forecasters) AS named WHERE instr({}, named.value))"

TABLES = (
    Table(
        "events",
        "the journal, as far as it is in the database",
        "event",
        _columns(
            """
            seq integer
            at time: at_us
            kind text
            cause integer
            boot text
            payload json
            hash text: lower(hex(hash))
            """
        ),
        "seq",
        moment="at",
        game="payload->>'game'",
        model=events.CONCERNS,
        kind="kind",
    ),
    Table(
        "draws",
        "every draw",
        "draw",
        _columns(
            """
            game text
            day day
            whites json
            bonus integer
            multiplier integer
            ordered yes or no
            source text
            seq integer
            """
        ),
        "game, day",
        moment="day",
        game="game",
    ),
    Table(
        "forecasts",
        "every registered forecast, with its draw, and its gain where it was the one that was scored",
        "forecast LEFT JOIN event USING (seq) LEFT JOIN draw USING (game, day)"
        " LEFT JOIN score USING (game, day)",
        _columns(
            """
            seq integer: forecast.seq
            registered_at time: forecast.at_us
            game text: forecast.game
            day day: forecast.day
            digest text: forecast.digest
            forecast json: event.payload->'forecast'
            whites json: draw.whites
            bonus integer: draw.bonus
            scored yes or no: score.forecast IS forecast.seq
            mixture_gain_nats number: CASE WHEN score.forecast IS forecast.seq THEN score.mixture_gain END
            """
        ),
        "forecast.seq",
        moment="registered_at",
        game="forecast.game",
        model=_NAMED_IN.format("event.payload"),
    ),
    Table(
        "scores",
        "what each draw did to the mixture",
        "score",
        _columns(
            """
            game text
            day day
            era text
            basis text
            forecast integer
            mixture_gain_nats number: mixture_gain
            mixture_nats number
            peak_nats number
            seq integer
            """
        ),
        "game, day",
        moment="day",
        game="game",
    ),
    Table(
        "ledger",
        "what each draw did to each forecaster",
        "ledger",
        _columns(
            """
            game text
            day day
            forecaster text
            gain_nats number
            cumulative_nats number
            weight number
            """
        ),
        "game, day, forecaster",
        moment="day",
        game="game",
        model=_OF_FORECASTER.format("forecaster"),
    ),
    Table(
        "models",
        "every version of a network, deleted ones too",
        "model",
        _columns(
            """
            name text
            version text
            game text
            era text
            role text
            ordinal integer
            prior number
            last_draw day
            draws integer
            metrics json
            job text
            trained_at time: trained_us
            seq integer
            """
        ),
        "seq, name, version",
        moment="trained_at",
        game="game",
        model=_OF_FORECASTER.format("name || '@' || version"),
    ),
    Table(
        "trainings",
        "every training and search that is in the database, with its result and the processor time it took",
        "(SELECT * FROM intent WHERE action IN ('train', 'tune')) AS asked",
        _columns(
            """
            job text: id
            action text
            game text: target
            state text
            attempt integer
            priority integer
            requested_at time: created_us
            changed_at time: changed_us
            cpu_seconds number: (SELECT sum(cpu_seconds) FROM spending WHERE spending.job = asked.id)
            result json
            error text
            seq integer
            """
        ),
        "seq",
        moment="requested_at",
        game="target",
        model=_OF_JOB.format("id"),
        kind="action",
    ),
    Table(
        "epochs",
        "every epoch of trainings whose epochs have not been summarised",
        "epoch JOIN intent ON intent.id = epoch.job",
        _columns(
            """
            job text: epoch.job
            game text: intent.target
            epoch integer: epoch.epoch
            epochs integer: epoch.epochs
            loss number: epoch.loss
            validation_loss number: epoch.validation_loss
            validation_gain_nats number: epoch.validation_gain_nats
            seconds number: epoch.seconds
            eta_seconds number: epoch.eta_seconds
            seq integer: epoch.seq
            """
        ),
        "epoch.job, epoch.epoch",
        game="intent.target",
        model=_OF_JOB.format("epoch.job"),
    ),
    Table(
        "summaries",
        "what is left of the epochs of trainings that ended long ago",
        "training_summary",
        _columns(
            """
            job text
            epochs integer
            first_loss number
            final_loss number
            best_loss number
            best_epoch integer
            best_gain_nats number
            instability number
            seconds number
            at time: at_us
            seq integer
            """
        ),
        "seq",
        moment="at",
        model=_OF_JOB.format("job"),
    ),
    Table(
        "choices",
        "what decisions chose to do, and what came of it",
        "choice",
        _columns(
            """
            id text
            decision integer
            game text
            action text
            target text
            context text
            urgency number
            price number
            at time: at_us
            era text
            champion text
            peak_nats number
            impact number
            unit text
            success yes or no
            regret number
            measured_at time: measured_us
            """
        ),
        "at_us, id",
        moment="at",
        game="game",
        kind="action",
    ),
    Table(
        "knowledge",
        "what has been learned and not forgotten",
        "knowledge",
        _columns(
            """
            id text
            game text
            kind text
            subject text
            content text
            relevance number
            evidence json
            uses integer
            learned_at time: learned_us
            used_at time: used_us
            seq integer
            """
        ),
        "seq, id",
        moment="learned_at",
        game="game",
        kind="kind",
    ),
    Table(
        "goals",
        "every goal there was",
        "goal",
        _columns(
            """
            id text
            game text
            name text
            metric text
            target number
            direction text
            priority text
            deadline time: deadline_us
            after json
            source text
            state text
            start number
            value number
            progress number
            set_at time: set_us
            changed_at time: changed_us
            seq integer
            """
        ),
        "seq, id",
        moment="set_at",
        game="game",
    ),
    Table(
        "spending",
        "the processor time of every attempt at an action",
        "spending",
        _columns(
            """
            seq integer
            at time: at_us
            job text
            action text
            target text
            cpu_seconds number
            """
        ),
        "seq",
        moment="at",
        game="target",
        model=_OF_JOB.format("job"),
        kind="action",
    ),
    Table(
        "metrics",
        "every signal of every assessment that is in the database; empty where it could not be computed",
        "event JOIN json_each(event.payload, '$.signals') AS signal",
        _columns(
            """
            seq integer: event.seq
            at time: event.at_us
            game text: event.payload->>'game'
            signal text: signal.key
            value number: signal.value
            """
        ),
        "event.seq, signal.id",
        moment="at",
        game="event.payload->>'game'",
        kind="signal.key",
        only="event.kind = 'assessment.completed'",
    ),
)
NAMES = tuple(table.name for table in TABLES)


def find(name: str) -> Table:
    """Return the table of this name. Raises NotFound."""
    for table in TABLES:
        if table.name == name:
            return table
    raise NotFound(f"table is {name!r}; expected one of: {', '.join(NAMES)}")


def rows(connection: Connection, table: Table, filters: Filters) -> Generator[Row, None, None]:
    """Yield the rows of a table, in its order. Raises Refused for a filter that means nothing there."""
    conditions = _conditions(connection, table, filters)
    where = " AND ".join(f"({sql})" for sql, _ in conditions) or "1"
    parameters = {name: value for _, some in conditions for name, value in some.items()}
    columns = ", ".join(column.sql for column in table.columns)
    sql = f"SELECT {columns} FROM {table.source} WHERE {where} ORDER BY {table.order}"  # noqa: S608
    cursor = connection.cursor()
    cursor.row_factory = None
    yield from cursor.execute(sql, parameters)


def check(table: Table, filters: Filters) -> None:
    """Raise Refused where a filter means nothing for a table."""
    asked = {
        "since": (filters.since_us, table.moment),
        "until": (filters.until_us, table.moment),
        "game": (filters.game, table.game),
        "kind": (filters.kinds or None, table.kind),
        "model": (filters.model, table.model),
    }
    meaningless = [name for name, (value, means) in asked.items() if value is not None and means is None]
    if meaningless:
        raise Refused(f"table {table.name} cannot be filtered by {' and '.join(meaningless)}")


def _conditions(
    connection: Connection, table: Table, filters: Filters
) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the SQL of each condition with its parameters."""
    check(table, filters)
    found: list[tuple[str, Mapping[str, Any]]] = [(table.only, {})] if table.only else []
    for name, sign, us in (("since", ">=", filters.since_us), ("until", "<", filters.until_us)):
        if us is not None:
            moment = next(column for column in table.columns if column.name == table.moment)
            value = us if moment.kind == "time" else from_us(us).date().isoformat()
            found.append((f"{moment.sql} {sign} :{name}", {name: value}))
    if filters.game is not None:
        found.append((f"{table.game} = :game", {"game": filters.game}))
    if filters.kinds and table.kind:
        found.append(events.of_kinds(table.kind, filters.kinds))
    if filters.model is not None:
        models = [dict(row) for row in connection.execute(events.MODELS)]
        if table.name == "events":
            found.append(events.concerning(models, filters.model))
        else:
            found.append((table.model or "", _of_model(models, filters.model)))
    return found


def _of_model(models: Sequence[Mapping[str, Any]], model: str) -> dict[str, str]:
    meant = events.versions_meant(models, model)
    return {
        "forecasters": json.dumps([f"{row['name']}@{row['version']}" for row in meant]),
        "jobs": json.dumps([row["job"] for row in meant if row["job"] is not None]),
    }


def plain(columns: Collection[Column], row: Row) -> dict[str, Any]:
    """Return a row as it is shown outside: times and days as text, JSON as what it says."""
    return {column.name: _shown(column.kind, value) for column, value in zip(columns, row, strict=True)}


def _shown(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind == "time":
        return iso(value)
    if kind == "yes or no":
        return bool(value)
    if kind == "json":
        return json.loads(value)
    return float(value) if kind == "number" else value
