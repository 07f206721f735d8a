"""Take tables out and search archives in a process of its own, so that the daemon goes on as if nothing were.

`python -m helios_agent.journal.takeout` reads a question, as `Export.question` and `Search.question` make it,
from its standard input and writes the answer to its standard output.
"""

import json
import os
import sys
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from helios_agent.errors import HeliosError
from helios_agent.journal import events, formats, recall, snapshot, tables

NICENESS = 10


@dataclass(frozen=True, slots=True)
class Export:
    """A table that is to be written in a format."""

    database: Path
    table: str
    form: formats.Format
    filters: tables.Filters

    def question(self) -> str:
        return json.dumps({"export": asdict(self)}, default=str)

    def check(self) -> None:
        """Raise NotFound or Refused where it can be said at once that this cannot be done."""
        tables.check(tables.find(self.table), self.filters)
        formats.check(self.form)

    def write(self, file: IO[bytes]) -> int:
        """Write the table as it is at one moment; return how many rows. Raises NotFound and Refused."""
        table = tables.find(self.table)
        with (
            snapshot.opened(self.database) as connection,
            closing(tables.rows(connection, table, self.filters)) as rows,
        ):
            return formats.write(table.columns, rows, self.form, file)


@dataclass(frozen=True, slots=True)
class Search:
    """Events that are looked for, also in archives where their folder is given."""

    database: Path
    folder: Path | None
    filters: events.Filters
    limit: int

    def question(self) -> str:
        return json.dumps({"search": asdict(self)}, default=str)

    def answer(self) -> dict[str, Any]:
        """Return what is found, as it is shown outside. Raises as `recall.search`."""
        with snapshot.following(self.database) as connection:
            found = recall.search(connection, self.folder, self.filters, self.limit)
        return {"events": [event.as_record() for event in found.events], "before": found.before}


def _export(told: dict[str, Any]) -> Export:
    asked = told["filters"]
    filters = tables.Filters(**asked | {"kinds": tuple(asked["kinds"])})
    return Export(Path(told["database"]), told["table"], told["form"], filters)


def _search(told: dict[str, Any]) -> Search:
    asked = told["filters"]
    filters = events.Filters(**asked | {"kinds": tuple(asked["kinds"])})
    folder = told["folder"] and Path(told["folder"])
    return Search(Path(told["database"]), folder, filters, told["limit"])


def main(question: str) -> int:
    """Answer a question on standard output; return the exit code."""
    os.nice(NICENESS)
    told = json.loads(question)
    try:
        if "export" in told:
            _export(told["export"]).write(sys.stdout.buffer)
        else:
            found = _search(told["search"]).answer()
            sys.stdout.buffer.write(json.dumps(found, ensure_ascii=False).encode())
        sys.stdout.buffer.flush()
    except HeliosError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.stdin.read()))
