"""Every command: parse, call, print."""

import asyncio
import contextlib
import json
import os
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeVar

import httpx
import typer
from loguru import logger

from helios_agent import lifecycle, logs, oneshot, timetable
from helios_agent.actions.goals import check as check_goals
from helios_agent.agent import Ports
from helios_agent.clock import SystemClock, from_us, iso, to_us
from helios_agent.commands import (
    analytics,
    backtest,
    decisions,
    goals,
    jobs,
    knowledge,
    memory,
    models,
    terminal,
)
from helios_agent.commands.terminal import (
    DEFAULT_CONFIG,
    AsJson,
    ConfigPath,
    Detach,
    GameName,
    Limit,
    Priority,
)
from helios_agent.config import Config
from helios_agent.errors import ConfigError, HeliosError, NotFound, StoreError
from helios_agent.journal import archives, audit, chain, events, rebuild
from helios_agent.lottery import games
from helios_agent.notify import webhooks
from helios_agent.oneshot import Door
from helios_agent.store import Connection, backup, lock
from helios_agent.systemd import Notifier
from helios_agent.web import analytics_text, assessments, reflections, server, text, views
from helios_agent.web.api import LAST
from helios_agent.web.guard import read_token

S = TypeVar("S")
T = TypeVar("T")

app = typer.Typer(
    name="helios",
    help="Forecast a lottery in advance, score it in public, and say honestly what was found.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
journal_app = typer.Typer(help="Read, verify and rebuild the journal.", no_args_is_help=True)
app.add_typer(journal_app, name="journal")
schedule_app = typer.Typer(help="Foresee what the schedules will do.", no_args_is_help=True)
app.add_typer(schedule_app, name="schedule")
app.add_typer(models.app, name="models")
app.add_typer(jobs.app, name="jobs")
app.add_typer(goals.app, name="goals")
app.add_typer(memory.app, name="memory")
app.add_typer(analytics.app, name="analytics")
app.add_typer(decisions.app, name="decisions")
app.command("backtest")(backtest.walk_back)
app.command("knowledge")(knowledge.list_knowledge)


def main() -> None:
    """Run the command line; known errors become one message and their exit code."""
    os.umask(0o077)  # the state folder holds what only its owner should read
    try:
        app()
    except HeliosError as error:
        print(f"helios: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


@app.command()
def run(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Start the daemon and stay until SIGTERM or Ctrl-C."""
    settings = terminal.load(config)
    logs.to_stderr(settings.log)
    with lock.hold(settings.paths.state, "helios run") as describe:
        listener = server.bind(settings.http)
        url = server.address(listener)
        describe(f"helios run, {url}")
        logger.bind(action="start").info("Helios is starting; it will answer at {}", url)
        door = server.Door(listener, read_token(settings.http))
        notifier = Notifier(os.environ)
        asyncio.run(lifecycle.run(settings, Ports(), door.serve, notifier, lambda: terminal.load(config)))


@app.command("check-config")
def check_config(
    config: ConfigPath = DEFAULT_CONFIG,
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema instead.")] = False,
) -> None:
    """Check the configuration and the environment; exit 78 naming every mistake."""
    if schema:
        print(json.dumps(Config.model_json_schema(), indent=2, sort_keys=True))
        return
    settings = terminal.load(config)
    mistakes = [
        *_mistakes(read_token, settings.http),
        *_mistakes(webhooks.endpoints, settings.webhooks),
        *_mistakes(archives.read_key, settings.retention.seal_key_file),
        *_mistakes(check_goals, settings),
    ]
    if mistakes:
        raise ConfigError("\n".join(mistakes))
    print(f"{config} is valid: {len(settings.games)} game(s), {len(settings.schedules)} schedule(s).")


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show what there is to know at a glance, whether or not the daemon runs."""
    settings = terminal.load(config)
    seen = terminal.read(settings, lambda store: views.overview(store, settings, SystemClock()))
    seen["held_by"] = lock.holder(settings.paths.state)
    terminal.show(seen, text.overview, as_json)


@app.command()
def draws(
    config: ConfigPath = DEFAULT_CONFIG, game: GameName = None, limit: Limit = 10, as_json: AsJson = False
) -> None:
    """List the newest draws, with their scores."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    terminal.show(
        terminal.read(settings, lambda store: views.drawn(store, rules, limit, None)), text.draws, as_json
    )


@app.command()
def forecast(
    config: ConfigPath = DEFAULT_CONFIG, game: GameName = None, limit: Limit = 1, as_json: AsJson = False
) -> None:
    """Show the newest registered forecasts."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    found = terminal.read(settings, lambda store: views.registered(store, rules, limit, None))
    if not found:
        raise NotFound(f"No forecast of {rules.title} is registered yet.")
    terminal.show(found, text.forecasts, as_json)


@app.command()
def assess(config: ConfigPath = DEFAULT_CONFIG, game: GameName = None, as_json: AsJson = False) -> None:
    """Show the last assessment of a game: what was measured, and what is not as it should be."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    seen = terminal.read(settings, lambda store: assessments.latest(store, rules))
    terminal.show(seen, assessments.as_text, as_json)


@app.command("audit")
def audit_game(
    game: Annotated[
        str | None, typer.Argument(metavar="[GAME]", help="Which game; the first configured if not given.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    first: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Only draws of this day and later.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Only draws of this day and earlier.")
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page with plots, too; - for stdout instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Judge by all the draws there are whether a game's machines could be fair."""
    from helios_agent.fairness import page, report, sources  # loads scipy, which nothing else needs
    from helios_agent.fairness import text as fairness_text

    settings = terminal.load(config)
    rules = views.chosen_game(settings, None) if game is None else games.game(game)
    days = sources.day("--from", first), sources.day("--to", last)
    known = settings.database.exists()
    stored = terminal.read(settings, lambda store: sources.read(store, rules)) if known else []
    found = sources.between(sources.find(rules, stored, settings.database), *days)
    with audit.output(html, "--html") if html else contextlib.nullcontext() as file:
        seen = report.report(found, settings.decisions.alarm_level)
        if file is not None:
            file.write(page.render(seen).encode())
    if html != "-":
        terminal.show(seen, fairness_text.report, as_json)


@app.command()
def train(
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    start: Annotated[
        Literal["scratch", "newest"],
        typer.Option(help="Which weights it begins from: new ones, or those of the newest version."),
    ] = "scratch",
    priority: Priority = 0,
    detach: Detach = False,
) -> None:
    """Train a network on the stored draws and wait for it."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    door = Door("/api/train", json={"game": rules.name, "start": start, "priority": priority})
    args = {} if start == "scratch" else {"start": start}
    carry_out = terminal.ask if detach else terminal.act
    carry_out(settings, "train", rules.name, door, args=args, priority=priority)


@app.command()
def tune(
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    priority: Priority = 0,
    detach: Detach = False,
) -> None:
    """Search for the network that forecasts best, train it and wait for it."""
    settings = terminal.load(config)
    carry_out = terminal.ask if detach else terminal.act
    carry_out(settings, "tune", views.chosen_game(settings, game).name, priority=priority)


@app.command()
def reflect(
    config: ConfigPath = DEFAULT_CONFIG, game: GameName = None, limit: Limit = 1, as_json: AsJson = False
) -> None:
    """Show what the agent said, when it last reflected, of what had happened."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    found = terminal.read(settings, lambda store: reflections.listed(store, rules.name, limit))
    if not found:
        raise NotFound(f"The agent has not reflected on {rules.title} yet.")
    terminal.show(found, analytics_text.reflections, as_json)


@app.command()
def ingest(config: ConfigPath = DEFAULT_CONFIG, game: GameName = None) -> None:
    """Ask the feeds for draws now and wait for it."""
    settings = terminal.load(config)
    terminal.act(settings, "ingest", views.chosen_game(settings, game).name)


@app.command("backup")
def back_up(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Make a verified backup of the database and wait for it."""
    terminal.act(terminal.load(config), "backup", "journal")


@app.command()
def restore(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[BACKUP]", help="Its name or path; the newest sound one if not given."),
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    listing: Annotated[bool, typer.Option("--list", help="Check and show the backups instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the database, which is set aside. The daemon must not run."""
    settings = terminal.load(config)
    if listing:
        terminal.show([_appraised(path) for path in backup.listed(settings.backups)], _backups, as_json)
        return
    logs.to_stderr(settings.log)
    now = from_us(SystemClock().now_us())
    with lock.hold(settings.paths.state, "helios restore"):
        print(backup.restore(settings.database, settings.backups, name, now, chain.verify_database))


@journal_app.command("tail")
def journal_tail(
    config: ConfigPath = DEFAULT_CONFIG,
    limit: Limit = 20,
    kind: Annotated[list[str] | None, typer.Option("--kind", help='Glob pattern, such as "draw.*".')] = None,
    cause: Annotated[
        int | None, typer.Option(min=1, max=LAST, help="Only what followed from this event.")
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not earlier than this.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Earlier than this.")] = None,
    model: Annotated[str | None, typer.Option(help="A model's name, version or name@version.")] = None,
    part: Annotated[str | None, typer.Option("--text", help="A part of the payload.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest events, the newest last; with --json as JSON lines."""
    times = {"since_us": events.instant_us("since", since), "until_us": events.instant_us("until", until)}
    found = terminal.read(
        terminal.load(config),
        lambda store: events.tail(
            store, limit=limit, kinds=kind or (), cause=cause, model=model, text=part, **times
        ),
    )
    for event in reversed(found):
        print(json.dumps(event.as_record(), ensure_ascii=False) if as_json else text.event(event.as_record()))


@journal_app.command("verify")
def journal_verify(
    config: ConfigPath = DEFAULT_CONFIG,
    database: Annotated[
        Path | None, typer.Option(help="Another database file, such as a backup; archives are left out.")
    ] = None,
    head: Annotated[
        str | None, typer.Option(metavar="SEQ:HASH", help="A head noted earlier, which must still be there.")
    ] = None,
) -> None:
    """Recompute the journal's whole hash chain, archives included; exit 65 at the first break."""
    settings = None if database else terminal.load(config)
    path, folder = (settings.database, settings.archives) if settings else (database or Path(), None)
    noted = audit.parse_head(head) if head else None
    terminal.must_exist(path)
    key = archives.read_key(settings.retention.seal_key_file) if settings else None

    def examine(connection: Connection) -> tuple[chain.Head, list[str]]:
        found = audit.verify(connection, folder, noted, key)
        return found, archives.unsigned(folder, archives.seals(connection)) if folder and key else []

    found, unsigned = backup.verify(path, examine)
    for name in unsigned:
        print(f"No key vouches for {name}: it was made without one.")
    print(f"The journal is sound: {found.seq} events, head {found.seq}:{found.hash}")


@journal_app.command("export")
def journal_export(
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="A file, or - for stdout.")],
    config: ConfigPath = DEFAULT_CONFIG,
    first: Annotated[
        int | None, typer.Option("--from", min=1, metavar="SEQ", help="The first event.")
    ] = None,
    last: Annotated[int | None, typer.Option("--to", min=1, metavar="SEQ", help="The last event.")] = None,
    archived: Annotated[bool, typer.Option("--archives", help="Archived events, too.")] = False,
) -> None:
    """Write events as JSON lines, compressed where the file's name ends in .gz."""
    settings = terminal.load(config)
    terminal.must_exist(settings.database)
    folder = settings.archives if archived else None
    with audit.output(output) as file:
        span = audit.export(settings.database, folder, first, last, file, compress=output.endswith(".gz"))
        print(
            f"Events {span.first} to {span.last}, after {span.after.seq}:{span.after.hash}", file=sys.stderr
        )


@journal_app.command("rebuild")
def journal_rebuild(
    config: ConfigPath = DEFAULT_CONFIG,
    check: Annotated[bool, typer.Option("--check", help="Only compare; the daemon may run.")] = False,
) -> None:
    """Fold the whole journal anew and put the outcome in the place of all tables."""
    settings = terminal.load(config)
    terminal.must_exist(settings.database)
    if check:
        head = rebuild.check(settings.database, settings.archives)
        print(f"The tables are what the journal says: {head.seq} events.")
        return
    with lock.hold(settings.paths.state, "helios journal rebuild"):
        head = rebuild.replace(settings.database, settings.archives, SystemClock(), uuid.uuid4().hex[:12])
    print(f"The tables were built anew from {head.seq} events.")


@schedule_app.command("next")
def schedule_next(
    config: ConfigPath = DEFAULT_CONFIG,
    until: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="A day or an instant, in UTC if it names no zone; 7 days ahead."),
    ] = None,
    limit: Limit = 100,
    as_json: AsJson = False,
) -> None:
    """Show in order what the schedules will fire, and why."""
    settings = terminal.load(config)
    now = from_us(SystemClock().now_us())
    end = timetable.end_of(until, now)
    known = {}
    if settings.database.exists():
        known = terminal.read(settings, lambda store: timetable.accounted(store, settings))
    terminal.show(timetable.foresee(settings, known, now, end, limit), timetable.as_text, as_json)


@app.command()
def health(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Ask the running daemon whether it is ready; exit 0 if it is, 1 if not."""
    settings = terminal.load(config)
    url = oneshot.daemon_url(settings.paths.state)
    if url is None:
        _fail(f"no daemon holds {settings.paths.state}")
    try:
        answer = httpx.get(f"{url}health", timeout=10, trust_env=False)
    except httpx.HTTPError as error:
        _fail(f"{url}health does not answer: {error}")
    print(answer.text)
    if not answer.is_success:
        raise typer.Exit(1)


def _appraised(path: Path) -> dict[str, Any]:
    """Return what there is to know of a backup. `damage` says why it cannot be restored."""
    at = backup.made_at(path)
    known = {"file": path.name, "at": at and iso(to_us(at)), "bytes": path.stat().st_size}
    try:
        head = backup.verify(path, chain.verify_database)
    except StoreError as damage:
        return {**known, "events": None, "head": None, "damage": str(damage)}
    return {**known, "events": head.seq, "head": head.hash, "damage": None}


def _backups(found: list[dict[str, Any]]) -> str:
    lines = [
        f"{b['file']}  {b['bytes']:>13,} bytes  "
        + (b["damage"] or f"sound: {b['events']:,} events, head {b['head'][:16]}")
        for b in found
    ]
    return "\n".join(lines or ["There is no backup yet."])


def _mistakes(read: Callable[[S], object], settings: S) -> list[str]:
    """Return what is wrong with what settings name: files, signals, games."""
    try:
        read(settings)
    except ConfigError as error:
        return [str(error)]
    return []


def _fail(message: str) -> NoReturn:
    print(f"helios: {message}", file=sys.stderr)
    raise typer.Exit(1)
