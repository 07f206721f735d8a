"""`helios jobs`: long computations, and what can be asked of them."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from helios_agent import logs, oneshot
from helios_agent.actions.control import Request
from helios_agent.clock import SystemClock
from helios_agent.commands import terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath, Limit
from helios_agent.journal import intents
from helios_agent.web import text, views
from helios_agent.web.api import HIGHEST, LOWEST
from helios_agent.web.guard import read_token

app = typer.Typer(help="See and control long computations.", no_args_is_help=True)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="Its id, as `helios jobs list` shows it.")]
Priority = Annotated[int, typer.Argument(min=LOWEST, max=HIGHEST, help="The highest is begun first.")]


@app.command("list")
def list_jobs(config: ConfigPath = DEFAULT_CONFIG, limit: Limit = 20, as_json: AsJson = False) -> None:
    """List long computations, those asked for last first."""
    found = terminal.read(terminal.load(config), lambda store: views.jobs(store, SystemClock(), limit))
    terminal.show(found, text.jobs, as_json)


@app.command()
def show(job: JobId, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show a job: its state, how far it is, how long it may still take, and why it did not succeed."""
    found = terminal.read(terminal.load(config), lambda store: views.one_job(store, SystemClock(), job))
    terminal.show(found, text.job, as_json)


@app.command()
def pause(job: JobId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Let a job keep what it has computed so far and wait until it is resumed."""
    _ask(config, job, "pause")


@app.command()
def resume(job: JobId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Let a paused job go on."""
    _ask(config, job, "resume")


@app.command()
def stop(job: JobId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """End a job for good."""
    _ask(config, job, "stop")


@app.command()
def retry(job: JobId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Try a job again that was not done."""
    _ask(config, job, "retry")


@app.command()
def priority(job: JobId, priority: Priority, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Give a job another priority."""
    _ask(config, job, "priority", priority)


def _ask(config: Path, job: str, request: Request, priority: int = 0) -> None:
    settings = terminal.load(config)
    terminal.must_exist(settings.database)
    logs.to_stderr(settings.log)
    token = read_token(settings.http)
    answering = asyncio.run(oneshot.control(settings, job, request, token, priority))
    found = terminal.read(settings, lambda store: intents.find(store, answering))
    print(text.jobs([views.intent_record(found)]))
