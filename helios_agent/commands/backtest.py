"""`helios backtest`: walk forecasters through the stored draws."""

import asyncio
import contextlib
import json
from typing import Annotated

import typer

from helios_agent import logs, oneshot
from helios_agent.actions import backtest
from helios_agent.commands import terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath, GameName
from helios_agent.journal import audit
from helios_agent.oneshot import Door
from helios_agent.web import backtest_report, views
from helios_agent.web.guard import read_token


def walk_back(
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    first: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Only draws of this day and later.")
    ] = None,
    last: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="Only draws of this day and earlier.")
    ] = None,
    forecasters: Annotated[
        list[str] | None,
        typer.Option("--forecaster", metavar="NAME", help="May be repeated; all but networks if not given."),
    ] = None,
    refit_every: Annotated[
        int, typer.Option(min=1, max=10_000, metavar="N", help="Train a network anew every N draws.")
    ] = backtest.REFIT_EVERY,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a page with plots, too; - for stdout instead.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Walk forecasters through the stored draws, each foretold from those before it, and wait for it."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    logs.to_stderr(settings.log)
    target, args = terminal.read(
        settings,
        lambda store: backtest.plan(
            store,
            settings,
            rules,
            first=first,
            last=last,
            forecasters=forecasters or (),
            refit_every=refit_every,
        ),
    )
    door = Door("/api/backtests", json={"game": rules.name, **args})
    token = read_token(settings.http)
    with audit.output(html, "--html") if html else contextlib.nullcontext() as file:
        done = asyncio.run(oneshot.carry_out(settings, "backtest", target, token, door, args=args))
        made = json.loads((settings.backtests / done["report"]).read_text("utf-8"))
        if file is not None:
            file.write(backtest_report.page(made).encode())
    if html != "-":
        terminal.show(made, backtest_report.text, as_json)
