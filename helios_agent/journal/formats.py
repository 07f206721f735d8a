"""Write tables as CSV, JSON lines or Parquet, a part at a time, however long they are."""

import importlib.util
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import IO, Any, Literal

from helios_agent.clock import iso
from helios_agent.errors import Refused
from helios_agent.journal.tables import Column, Kind, Row, plain

Format = Literal["csv", "jsonl", "parquet"]
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
PART_ROWS = 10_000
PART_BYTES = 8 * 1024**2
"""A part of a Parquet file (a row group) is ended at so many rows, or at so much text if that comes first."""
_QUOTED = re.compile(r'[",\r\n]|^\s|\s$|^$')
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def check(form: Format) -> None:
    """Raise Refused where a format cannot be written here."""
    if form == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise Refused("format is 'parquet', which needs pyarrow: install the extra 'parquet'")


def write(columns: Sequence[Column], rows: Iterable[Row], form: Format, file: IO[bytes]) -> int:
    """Write rows in a format; return how many. Raises Refused where the format cannot be written here.

    CSV is that of RFC 4180, in UTF-8, with the names of the columns in the first line. Nothing stands where
    there is no value, "" where there is an empty text. Text that a spreadsheet would take for a formula, for
    it begins with = + - @, a tab or a carriage return, is preceded by an apostrophe; JSON lines and Parquet
    hold it as it is. Parquet holds JSON as text.
    """
    check(form)
    if form == "parquet":
        return _write_parquet(columns, rows, file)
    count = 0
    if form == "csv":
        file.write(_line([column.name for column in columns]))
    for row in rows:
        if form == "csv":
            file.write(_line(_field(column.kind, value) for column, value in zip(columns, row, strict=True)))
        else:
            file.write(json.dumps(plain(columns, row), ensure_ascii=False).encode() + b"\n")
        count += 1
    return count


def _line(fields: Iterable[str]) -> bytes:
    return (",".join(fields) + "\r\n").encode()


def _field(kind: Kind, value: Any) -> str:
    if value is None:
        return ""
    if kind == "time":
        return iso(value)
    if kind == "yes or no":
        return "true" if value else "false"
    if kind in ("integer", "number"):
        return repr(float(value) if kind == "number" else value)
    text = f"'{value}" if value.startswith(_FORMULA) else value
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def _write_parquet(columns: Sequence[Column], rows: Iterable[Row], file: IO[bytes]) -> int:
    import pyarrow
    from pyarrow import parquet

    types = {
        "integer": pyarrow.int64(),
        "number": pyarrow.float64(),
        "text": pyarrow.string(),
        "yes or no": pyarrow.bool_(),
        "day": pyarrow.date32(),
        "time": pyarrow.timestamp("us", tz="UTC"),
        "json": pyarrow.string(),
    }
    schema = pyarrow.schema([(column.name, types[column.kind]) for column in columns])
    count = 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for part in _parts(rows):
            values = [
                pyarrow.array([_typed(column.kind, row[place]) for row in part], types[column.kind])
                for place, column in enumerate(columns)
            ]
            writer.write_batch(pyarrow.record_batch(values, schema=schema))
            count += len(part)
    return count


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield rows in lists that are not too large to be held."""
    part: list[Row] = []
    size = 0
    for row in rows:
        part.append(row)
        size += sum(len(value) for value in row if isinstance(value, str))
        if len(part) >= PART_ROWS or size >= PART_BYTES:
            yield part
            part, size = [], 0
    if part:
        yield part


def _typed(kind: Kind, value: Any) -> Any:
    if value is None:
        return None
    if kind == "day":
        return date.fromisoformat(value)
    if kind == "yes or no":
        return bool(value)
    return float(value) if kind == "number" else value
