"""What commands share: their options, and how they read, act and print."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from helios_agent import logs, oneshot
from helios_agent.config import Config
from helios_agent.config import load as read_config
from helios_agent.errors import NotFound
from helios_agent.oneshot import Door
from helios_agent.store import Readers
from helios_agent.web.api import HIGHEST, LOWEST
from helios_agent.web.guard import read_token

T = TypeVar("T")

DEFAULT_CONFIG = Path("config/helios.yaml")

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
GameName = Annotated[
    str | None, typer.Option("--game", help="Which game; the first configured if not given.")
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=10_000, help="How many at most.")]

Priority = Annotated[
    int, typer.Option("--priority", min=LOWEST, max=HIGHEST, help="The highest is begun first.")
]
Detach = Annotated[bool, typer.Option("--detach", help="Print the job's id instead of waiting for it.")]


def load(path: Path) -> Config:
    """Return the configuration."""
    return read_config(path, os.environ)


def act(
    settings: Config,
    action: str,
    target: str,
    door: Door | None = None,
    prepare: Callable[[], None] | None = None,
    args: Mapping[str, Any] | None = None,
    priority: int = 0,
) -> None:
    """Ask for an action, wait, and print its result; see `oneshot.carry_out`."""
    logs.to_stderr(settings.log)
    token = read_token(settings.http)
    done = asyncio.run(oneshot.carry_out(settings, action, target, token, door, prepare, args, priority))
    print(json.dumps(done, indent=2))


def ask(
    settings: Config,
    action: str,
    target: str,
    door: Door | None = None,
    args: Mapping[str, Any] | None = None,
    priority: int = 0,
) -> None:
    """Ask for an action and print the id of its job, without waiting for it; see `oneshot.ask`."""
    logs.to_stderr(settings.log)
    token = read_token(settings.http)
    job, is_begun = asyncio.run(oneshot.ask(settings, action, target, token, door, args, priority))
    print(job)
    if not is_begun:
        print("No daemon runs: it is written down for the next one.", file=sys.stderr)


def read(settings: Config, query: Callable[[Readers], Coroutine[Any, Any, T]]) -> T:
    """Return what a query finds in the database. Raises NotFound where there is none."""
    must_exist(settings.database)

    async def ask() -> T:
        readers = await Readers.open(settings.database)
        try:
            return await query(readers)
        finally:
            await readers.close()

    return asyncio.run(ask())


def must_exist(path: Path) -> None:
    """Raise NotFound where there is no database."""
    if not path.exists():
        raise NotFound(f"There is no database {path} yet. `helios run` makes one.")


def show(value: Any, render: Callable[[Any], str], as_json: bool) -> None:
    """Print a value, as text or as JSON."""
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(value, indent=2, ensure_ascii=False) if as_json else render(value))
