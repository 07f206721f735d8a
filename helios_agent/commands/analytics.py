"""`helios analytics`: models and other forecasters side by side."""

from typing import Annotated

import typer

from helios_agent.commands import terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath, GameName
from helios_agent.metacognition.analytics import RANKED_BY
from helios_agent.web import analytics, analytics_text, views

app = typer.Typer(help="Models and other forecasters side by side.", no_args_is_help=True)

By = Annotated[str, typer.Option("--by", metavar="METRIC", help="By what the models are ranked.")]
Some = Annotated[
    list[str] | None,
    typer.Argument(metavar="[FORECASTER]…", help="Versions, name@version, or experts, such as ball."),
]


@app.command("models")
def models(
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    by: By = RANKED_BY,
    as_json: AsJson = False,
) -> None:
    """Show how each model of a game was trained, what that cost, what it gained, and how they rank."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    found = terminal.read(settings, lambda store: analytics.cross_model(store, rules, by))
    terminal.show(found, analytics_text.models, as_json)


@app.command()
def compare(
    forecasters: Some = None,
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    as_json: AsJson = False,
) -> None:
    """Compare two or more forecasters on the draws that all of them forecast."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    names = forecasters or []
    found = terminal.read(settings, lambda store: analytics.compared(store, rules, names, RANKED_BY))
    terminal.show(found, analytics_text.comparison, as_json)


@app.command()
def matrix(
    forecasters: Some = None,
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    as_json: AsJson = False,
) -> None:
    """Show how the gains of forecasters go together; of all, if none is named."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    found = terminal.read(settings, lambda store: analytics.matrix(store, rules, forecasters or []))
    terminal.show(found, analytics_text.matrix, as_json)


@app.command()
def ensemble(
    forecasters: Some = None,
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
    as_json: AsJson = False,
) -> None:
    """Build an ensemble, score it draw by draw, and say whether it is better than each of its members."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    found = terminal.read(settings, lambda store: analytics.ensemble(store, rules, forecasters or []))
    terminal.show(found, analytics_text.ensemble, as_json)
