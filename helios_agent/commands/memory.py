"""`helios memory`: what there is, how much room it takes, look for something, take tables out, compact."""

import sys
from typing import Annotated

import typer

from helios_agent.commands import terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath, Limit
from helios_agent.journal import audit, events, formats, room, tables, takeout
from helios_agent.web import text
from helios_agent.web.api import LAST

app = typer.Typer(help="What Helios remembers: how much, find, take out, compact.", no_args_is_help=True)

Since = Annotated[str | None, typer.Option(metavar="TIME", help="Not earlier than this.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Earlier than this.")]
Model = Annotated[str | None, typer.Option(help="A model's name, version or name@version.")]
Kinds = Annotated[list[str] | None, typer.Option("--kind", help='Glob pattern, such as "draw.*".')]


@app.command()
def stats(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show how much there is, and the room that it takes."""
    settings = terminal.load(config)
    terminal.must_exist(settings.database)
    terminal.show(room.stats(settings), text.room, as_json)


@app.command()
def search(
    part: Annotated[str | None, typer.Argument(metavar="[TEXT]", help="A part of the payload.")] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    kind: Kinds = None,
    model: Model = None,
    since: Since = None,
    until: Until = None,
    before: Annotated[int | None, typer.Option(min=1, max=LAST, help="Only earlier events.")] = None,
    limit: Limit = 20,
    archived: Annotated[bool, typer.Option("--archives", help="Archived events, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look for events, the newest first, also in archives."""
    settings = terminal.load(config)
    terminal.must_exist(settings.database)
    filters = events.Filters(
        before=before,
        kinds=tuple(kind or ()),
        since_us=events.instant_us("since", since),
        until_us=events.instant_us("until", until),
        model=model,
        text=part,
    )
    folder = settings.archives if archived else None
    found = takeout.Search(settings.database, folder, filters, limit).answer()
    terminal.show(found, text.found, as_json)


@app.command()
def export(
    table: Annotated[str, typer.Option("--table", "-t", metavar="TABLE", help=", ".join(tables.NAMES) + ".")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="A file, or - for stdout.")],
    config: ConfigPath = DEFAULT_CONFIG,
    form: Annotated[formats.Format, typer.Option("--format", "-f", help="csv, jsonl or parquet.")] = "csv",
    game: Annotated[str | None, typer.Option(help="Only of this game.")] = None,
    kind: Kinds = None,
    model: Model = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write a table, or some of its rows, as one file."""
    settings = terminal.load(config)
    terminal.must_exist(settings.database)
    filters = tables.Filters(
        since_us=events.instant_us("since", since),
        until_us=events.instant_us("until", until),
        game=game,
        model=model,
        kinds=tuple(kind or ()),
    )
    asked = takeout.Export(settings.database, table, form, filters)
    asked.check()
    with audit.output(output) as file:
        print(f"{table}: {asked.write(file):,} rows", file=sys.stderr)


@app.command()
def compact(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Summarise, archive and remove what retention says, give back disk space, and wait for it."""
    terminal.act(terminal.load(config), "compact", "journal")
