"""`helios knowledge`: what the agent has learned and not forgotten."""

from typing import Annotated

import typer

from helios_agent.commands import terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath
from helios_agent.web import knowledge, text


def list_knowledge(
    config: ConfigPath = DEFAULT_CONFIG,
    game: Annotated[str | None, typer.Option("--game", help="Only of this game.")] = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only effect, fairness, leader, feed or cost.")
    ] = None,
    part: Annotated[
        str | None, typer.Option("--text", help="Only with this in the subject or the sentence.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what the agent has learned from its own facts, what was learned last first."""
    found = terminal.read(terminal.load(config), lambda store: knowledge.listed(store, game, kind, part))
    terminal.show(found, text.knowledge, as_json)
