"""`helios models`: versions of networks, their roles, and their way in and out."""

import asyncio
import io
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from helios_agent import logs, oneshot
from helios_agent.actions import import_model
from helios_agent.agent import Agent
from helios_agent.clock import SystemClock
from helios_agent.commands import terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath, GameName
from helios_agent.config import Config
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import audit
from helios_agent.oneshot import Door
from helios_agent.registry import bundles
from helios_agent.web import models, text, views
from helios_agent.web.guard import read_token
from helios_agent.web.predictions import MOST_PICKS, Predictions

app = typer.Typer(help="Versions of networks: look, check, change their roles, move.", no_args_is_help=True)

Version = Annotated[str, typer.Argument(metavar="NAME@VERSION", help="Such as powerballnet@17e1c993042e.")]
Named = Annotated[
    str,
    typer.Argument(metavar="[NAME|NAME@VERSION]", help="A name, whoever has the role, or one version."),
]
NAME = "powerballnet"
LONGEST_S = 120.0
"""To load a network, let it take in the draws since its training, and hear its answer."""
IMPORT_S = 300.0
"""How long a daemon may take to check the largest file and to bring it to a slow disk."""


@app.command("list")
def list_models(
    config: ConfigPath = DEFAULT_CONFIG,
    game: Annotated[str | None, typer.Option("--game", help="Only of this game.")] = None,
    role: Annotated[
        str | None, typer.Option(help="Only challenger, champion, retired or deleted ones.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List every version, in the order in which they joined; deleted ones with --role deleted."""
    found = terminal.read(terminal.load(config), lambda store: models.listed(store, game, None, role))
    terminal.show(found, text.models, as_json)


@app.command()
def info(name: Named, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show what there is to know of a model, or of one version after checking every byte of it."""
    settings = terminal.load(config)
    found = terminal.read(settings, lambda store: models.info(store, settings, name))
    terminal.show(found, text.model, as_json)


@app.command()
def validate(version: Version, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Check a version in full, by loading it and having it forecast, too, and wait for it."""
    _act(terminal.load(config), "validate", version)


@app.command()
def predict(
    name: Named = NAME,
    picks: Annotated[int, typer.Option("--picks", min=1, max=MOST_PICKS, help="How many tickets.")] = 5,
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    as_json: AsJson = False,
) -> None:
    """Show what a network says of the next draw, and the likeliest tickets with their true odds."""
    settings = terminal.load(config)
    logs.to_stderr(settings.log)
    rules = views.chosen_game(settings, game)
    wanted = {"name": name, "game": rules.name, "picks": picks}
    door = Door("/api/predict", json=wanted, answer_s=LONGEST_S)

    async def alone(agent: Agent) -> dict[str, Any]:
        return await Predictions(agent).predict(rules, name, picks)

    asked = oneshot.change(settings, "helios models predict", door, alone, read_token(settings.http))
    terminal.show(asyncio.run(asked), text.prediction, as_json)


@app.command("export")
def export(
    version: Version,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="A file, or - for stdout.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write a version as one file, a tar, after checking every byte of it."""
    settings = terminal.load(config)
    ref = terminal.read(settings, lambda store: models.kept(store, version))
    packed = bundles.pack(settings.paths.models, ref)
    with audit.output(output) as file:
        file.writelines(packed.parts)
    print(f"{ref}: {packed.size:,} bytes", file=sys.stderr)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="As `helios models export` wrote it.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Bring a version in: it becomes the challenger. Wait for it."""
    settings = terminal.load(config)
    try:
        size = file.stat().st_size
        content = file.read_bytes() if size <= bundles.LARGEST_BYTES else b""
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}") from error
    if not content:
        raise Refused(f"{file} has {size:,} bytes; expected 1 to {bundles.LARGEST_BYTES:,}")
    bundle = import_model.check(settings, SystemClock(), io.BytesIO(content))
    door = Door("/api/models/import", content=content, answer_s=IMPORT_S)
    keep = partial(bundle.keep, settings.paths.models)
    terminal.act(settings, "import", import_model.target(bundle), door, keep)


@app.command()
def promote(name: Named = NAME, config: ConfigPath = DEFAULT_CONFIG, game: GameName = None) -> None:
    """Make the challenger the champion, whatever its trial has shown by now. Wait for it."""
    _act(terminal.load(config), "promote", name, game)


@app.command()
def rollback(name: Named = NAME, config: ConfigPath = DEFAULT_CONFIG, game: GameName = None) -> None:
    """Make the one before champion again. Wait for it."""
    _act(terminal.load(config), "rollback", name, game)


@app.command()
def retire(version: Version, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Let a challenger or champion forecast no more. Wait for it."""
    _act(terminal.load(config), "retire", version)


@app.command()
def delete(
    version: Version,
    config: ConfigPath = DEFAULT_CONFIG,
    confirm: Annotated[
        str | None, typer.Option(metavar="NAME@VERSION", help="The same again; asked for if not given.")
    ] = None,
) -> None:
    """Remove the files of a retired version; the journal keeps the facts. Wait for it."""
    settings = terminal.load(config)
    model = terminal.read(settings, lambda store: models.meant(store, settings, "delete", version, None))
    if confirm is None and sys.stdin.isatty():
        confirm = typer.prompt(f"What is deleted does not come back. Type {model.forecaster} to delete it")
    models.confirmed(model, confirm)
    _act(settings, "delete", version, confirm=model.forecaster)


def _act(
    settings: Config, action: str, name: str, game: str | None = None, *, confirm: str | None = None
) -> None:
    model = terminal.read(settings, lambda store: models.meant(store, settings, action, name, game))
    path = f"/api/models/{model.forecaster}"
    door = Door(f"{path}/{action}")
    if confirm is not None:
        door = Door(path, "DELETE", parameters={"confirm": confirm})
    terminal.act(settings, action, models.target(model), door)
