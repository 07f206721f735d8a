"""`helios analytics`: models and other forecasters side by side."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from helios_agent.commands import terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath, GameName
from helios_agent.lottery.games import Game
from helios_agent.metacognition.analytics import RANKED_BY
from helios_agent.store import Reader
from helios_agent.web import analytics, analytics_text, views

app = typer.Typer(help="Models and other forecasters side by side.", no_args_is_help=True)

By = Annotated[str, typer.Option("--by", metavar="METRIC", help="By what the models are ranked.")]
Some = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FORECASTER]…", help="Versions, name@version, or experts, such as ball."),
]


def _show(
    ask: Callable[[Reader, Game], Coroutine[Any, Any, Any]],
    render: Callable[[Any], str],
    config: Path,
    game: str | None,
    as_json: bool,
) -> None:
    """Ask about a game, and print the answer."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    terminal.show(terminal.read(settings, lambda store: ask(store, rules)), render, as_json)


@app.command("models")
def models(
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    by: By = RANKED_BY,
    as_json: AsJson = False,
) -> None:
    """Show how each model of a game was trained, what that cost, what it gained, and how they rank."""
    _show(
        lambda store, rules: analytics.cross_model(store, rules, by),
        analytics_text.models, config, game, as_json,
    )  # fmt: skip


@app.command()
def compare(
    forecasters: Some = None,
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    as_json: AsJson = False,
) -> None:
    """Compare two or more forecasters on the draws that all of them forecast."""
    _show(
        lambda store, rules: analytics.compared(store, rules, forecasters or [], RANKED_BY),
        analytics_text.comparison, config, game, as_json,
    )  # fmt: skip


@app.command()
def matrix(
    forecasters: Some = None,
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    as_json: AsJson = False,
) -> None:
    """Show how the gains of forecasters go together; of all, if none is named."""
    _show(
        lambda store, rules: analytics.matrix(store, rules, forecasters or []),
        analytics_text.matrix, config, game, as_json,
    )  # fmt: skip


@app.command()
def ensemble(
    forecasters: Some = None,
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    as_json: AsJson = False,
) -> None:
    """Build an ensemble, score it draw by draw, and say whether it is better than each of its members."""
    _show(
        lambda store, rules: analytics.ensemble(store, rules, forecasters or []),
        analytics_text.ensemble, config, game, as_json,
    )  # fmt: skip
