"""What is taken out of the memory is what stands in its tables, in every format."""

import csv
import io
import json
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from helios_agent.clock import from_us
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import formats, snapshot, tables
from helios_agent.journal.journal import Journal
from helios_agent.journal.tables import Column, Filters
from helios_agent.store import Store
from tests.journal.story import GAME

TYPES = {
    "integer": pyarrow.int64(), "number": pyarrow.float64(), "text": pyarrow.string(),
    "json": pyarrow.string(), "yes or no": pyarrow.bool_(), "day": pyarrow.date32(),
    "time": pyarrow.timestamp("us", tz="UTC"),
}  # fmt: skip


def taken(path: Path, name: str, form: formats.Format, filters: Filters | None = None) -> bytes:
    file, table = io.BytesIO(), tables.find(name)
    with snapshot.opened(path) as database:
        rows = tables.rows(database, table, filters or Filters())
        formats.write(table.columns, rows, form, file)
    return file.getvalue()


def lines(path: Path, name: str, **filters: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in taken(path, name, "jsonl", Filters(**filters)).splitlines()]


def stored(path: Path, name: str) -> list[tuple[Any, ...]]:
    """Return the rows as they stand in the database."""
    with snapshot.opened(path) as database:
        return [tuple(row) for row in tables.rows(database, tables.find(name), Filters())]


@pytest.fixture
async def measured(lived: Store, journal: Journal) -> Store:
    """The store after the story and an assessment."""
    signals = {"evidence": -0.5, "draws": 7, "regret": None}
    await journal.append("assessment.completed", {"game": GAME, "signals": signals, "verdict": "no"})
    return lived


@pytest.mark.parametrize("name", tables.NAMES)
async def test_every_table_holds_something_and_comes_back_from_parquet_as_it_stands(
    name: str, measured: Store
) -> None:
    read = parquet.read_table(io.BytesIO(taken(measured.path, name, "parquet")))
    columns = tables.find(name).columns

    assert [(field.name, field.type) for field in read.schema] == [(c.name, TYPES[c.kind]) for c in columns]
    rows = stored(measured.path, name)
    assert rows
    found = list(zip(*(read.column(column.name).to_pylist() for column in columns), strict=True))
    assert found == [
        tuple(expected(column, value) for column, value in zip(columns, row, strict=True)) for row in rows
    ]


def expected(column: Column, value: Any) -> Any:
    if value is None:
        return None
    if column.kind == "time":
        return from_us(value)
    if column.kind == "day":
        return date.fromisoformat(value)
    return bool(value) if column.kind == "yes or no" else value


@pytest.mark.parametrize("name", tables.NAMES)
async def test_csv_and_json_lines_tell_the_same(name: str, measured: Store) -> None:
    told = lines(measured.path, name)
    rows = list(csv.reader(io.StringIO(taken(measured.path, name, "csv").decode(), newline="")))
    columns = tables.find(name).columns

    assert rows[0] == [column.name for column in columns]
    assert len(rows) - 1 == len(told) == len(stored(measured.path, name))
    for row, record in zip(rows[1:], told, strict=True):
        for column, cell in zip(columns, row, strict=True):
            assert read(column, cell) == record[column.name], column.name


def read(column: Column, cell: str) -> Any:
    if cell == "":
        return None
    if column.kind in ("integer", "number"):
        return float(cell)
    if column.kind == "json":
        return json.loads(cell)
    return {"true": True, "false": False}[cell] if column.kind == "yes or no" else cell


async def test_a_forecast_comes_with_its_outcome(measured: Store) -> None:
    scored = [row for row in lines(measured.path, "forecasts") if row["scored"]]
    assert scored
    for row in scored:
        assert (row["whites"] is None, row["mixture_gain_nats"]) == (False, 0.125)
    for row in lines(measured.path, "forecasts"):
        assert row["scored"] or row["mixture_gain_nats"] is None


async def test_each_signal_of_an_assessment_is_a_row(measured: Store) -> None:
    told = [(row["signal"], row["value"]) for row in lines(measured.path, "metrics")]
    assert told == [("draws", 7.0), ("evidence", -0.5), ("regret", None)]
    assert [row["signal"] for row in lines(measured.path, "metrics", kinds=("e*",))] == ["evidence"]


async def test_filters_choose_rows(measured: Store) -> None:
    path = measured.path
    seqs = [row["seq"] for row in lines(path, "events")]
    everything = [row["at"] for row in lines(path, "events")]
    middle = datetime.fromisoformat(everything[len(everything) // 2])
    us = round(middle.timestamp() * 1e6)
    early, late = lines(path, "events", until_us=us), lines(path, "events", since_us=us)
    assert [row["seq"] for row in early + late] == seqs
    assert early
    assert all(datetime.fromisoformat(row["at"]) >= middle for row in late)

    assert {row["kind"] for row in lines(path, "events", kinds=("draw.*", "goal.set"))} == {
        "draw.ingested", "goal.set"
    }  # fmt: skip
    day_us = int(datetime(2026, 9, 17, tzinfo=UTC).timestamp() * 1e6)
    days = [row["day"] for row in lines(path, "draws")]
    after = [row["day"] for row in lines(path, "draws", since_us=day_us)]
    assert after == [day for day in days if day >= "2026-09-17"]
    assert 0 < len(after) < len(days)
    assert lines(path, "draws", game="megamillions") == []
    assert [row["version"] for row in lines(path, "models", model="bbb")] == ["bbb"]
    assert len(lines(path, "models", model="powerballnet")) == len(lines(path, "models"))
    assert {row["action"] for row in lines(path, "trainings", kinds=("train",))} == {"train"}
    concerning = lines(path, "events", model="powerballnet@ddd")
    assert {row["kind"] for row in concerning} >= {"model.imported", "model.deleted"}


async def test_what_means_nothing_is_refused_by_name(measured: Store) -> None:
    with pytest.raises(Refused, match=r"^table epochs cannot be filtered by since and kind$"):
        lines(measured.path, "epochs", since_us=1, kinds=("x",))
    with pytest.raises(NotFound, match=r"^table is 'secrets'; expected one of: events, draws, "):
        tables.find("secrets")
    with pytest.raises(NotFound, match="model is 'nobody'"):
        lines(measured.path, "ledger", model="nobody")


COLUMNS = tuple(
    Column(kind, kind, kind)  # type: ignore[arg-type]
    for kind in ("text", "number", "integer", "yes or no", "time", "json", "day")
)


def written(form: formats.Format, *rows: tuple[Any, ...]) -> bytes:
    file = io.BytesIO()
    assert formats.write(COLUMNS, rows, form, file) == len(rows)
    return file.getvalue()


def test_csv_tells_no_value_from_an_empty_text_and_runs_in_no_spreadsheet() -> None:
    rows = (
        (None, None, None, None, None, None, None),
        ("", -0.1, -3, 1, 0, '{"a":"b"}', "2026-09-16"),
        ('=HYPERLINK("x")', 1e-17, 2**62, 0, 1, "[]", "2026-09-17"),
        *((sign + "1", 1, 0, 1, 1, "1", "2026-09-18") for sign in "+-@\t\r"),
        ("two\nlines, one “quote”", 1.0, 0, 1, 1, "1", "2026-09-18"),
    )
    assert written("csv", *rows).decode().split("\r\n") == [
        "text,number,integer,yes or no,time,json,day",
        ",,,,,,",
        '"",-0.1,-3,true,1970-01-01T00:00:00Z,"{""a"":""b""}",2026-09-16',
        '"\'=HYPERLINK(""x"")",1e-17,4611686018427387904,false,1970-01-01T00:00:00.000001Z,[],2026-09-17',
        "'+1,1.0,0,true,1970-01-01T00:00:00.000001Z,1,2026-09-18",
        "'-1,1.0,0,true,1970-01-01T00:00:00.000001Z,1,2026-09-18",
        "'@1,1.0,0,true,1970-01-01T00:00:00.000001Z,1,2026-09-18",
        "'\t1,1.0,0,true,1970-01-01T00:00:00.000001Z,1,2026-09-18",
        '"\'\r1",1.0,0,true,1970-01-01T00:00:00.000001Z,1,2026-09-18',
        '"two\nlines, one “quote”",1.0,0,true,1970-01-01T00:00:00.000001Z,1,2026-09-18',
        "",
    ]


def test_json_lines_and_parquet_hold_text_as_it_is() -> None:
    rows = [(text, 1, 0, 1, 1, "1", "2026-09-18") for text in ("=1+1", "", "'x", "a\r\nb", "é")]
    texts = [json.loads(line)["text"] for line in written("jsonl", *rows).split(b"\n")[:-1]]
    assert texts == parquet.read_table(io.BytesIO(written("parquet", *rows))).column("text").to_pylist()
    assert texts == [row[0] for row in rows]


def test_a_long_table_is_written_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("x" * 100, float(n), n, n % 2, n, "1", "2026-09-18") for n in range(25)]
    monkeypatch.setattr(formats, "PART_ROWS", 10)
    file = parquet.ParquetFile(io.BytesIO(written("parquet", *rows)))
    assert (file.num_row_groups, file.metadata.num_rows) == (3, 25)
    assert file.read().column("integer").to_pylist() == list(range(25))
    monkeypatch.setattr(formats, "PART_BYTES", 500)
    assert parquet.ParquetFile(io.BytesIO(written("parquet", *rows))).num_row_groups == 5
    empty = parquet.ParquetFile(io.BytesIO(written("parquet")))
    assert empty.read().num_rows == 0
    assert empty.schema_arrow.names == [column.name for column in COLUMNS]


def test_without_pyarrow_parquet_is_refused_and_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(Refused, match="needs pyarrow: install the extra 'parquet'"):
        formats.check("parquet")
    formats.check("csv")
