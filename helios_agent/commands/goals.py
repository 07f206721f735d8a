"""`helios goals`: what signals are to reach, and how far they are."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote

import typer
from pydantic import ValidationError

from helios_agent import logs, oneshot
from helios_agent.actions import goals as actions
from helios_agent.agent import Agent
from helios_agent.commands import terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath, GameName
from helios_agent.config import Config
from helios_agent.config.decisions import Goal
from helios_agent.errors import Refused
from helios_agent.journal.journal import Transaction
from helios_agent.web import goals, text, views
from helios_agent.web.guard import read_token

app = typer.Typer(help="See, set and withdraw goals.", no_args_is_help=True)

GoalId = Annotated[str, typer.Argument(metavar="GOAL", help="Its id, as `helios goals list` shows it.")]


@app.command("list")
def list_goals(
    config: ConfigPath = DEFAULT_CONFIG,
    game: Annotated[str | None, typer.Option("--game", help="Only of this game.")] = None,
    state: Annotated[
        str | None, typer.Option("--state", help="Only waiting, open, reached, missed or withdrawn ones.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List goals, the most pressing first, with how far they are."""
    found = terminal.read(terminal.load(config), lambda store: goals.listed(store, game, state))
    terminal.show(found, text.goals, as_json)


@app.command("set")
def set_goal(
    goal: Annotated[str, typer.Argument(metavar="GOAL", help="Its id: a to z, 0 to 9 and hyphens.")],
    metric: Annotated[str, typer.Option(help="The signal that is to reach a value.")],
    name: Annotated[str | None, typer.Option(help="What it is about, in words; its id if not given.")] = None,
    at_least: Annotated[float | None, typer.Option("--at-least", help="The value to rise to.")] = None,
    at_most: Annotated[float | None, typer.Option("--at-most", help="The value to fall to.")] = None,
    priority: Annotated[str, typer.Option(help="critical, high, medium or low.")] = "medium",
    deadline: Annotated[str | None, typer.Option(metavar="DATE", help="The last day to reach it.")] = None,
    after: Annotated[
        list[str] | None, typer.Option(metavar="GOAL", help="One to be reached before; may be repeated.")
    ] = None,
    config: ConfigPath = DEFAULT_CONFIG,
    game: GameName = None,
) -> None:
    """Set a goal, which the next assessment measures for the first time."""
    settings = terminal.load(config)
    if (at_least is None) == (at_most is None):
        raise Refused("Give either --at-least or --at-most: what the signal is to reach.")
    said = {
        "id": goal, "name": name or goal, "game": views.chosen_game(settings, game).name, "metric": metric,
        "target": at_most if at_least is None else at_least,
        "direction": "at most" if at_least is None else "at least",
        "priority": priority, "deadline": deadline, "after": after or [],
    }  # fmt: skip
    try:
        wanted = Goal.model_validate(said)
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))} is {e['input']!r}: {e['msg']}" for e in error.errors()]
        raise Refused("; ".join(faults)) from None
    change = partial(actions.set_out, config=settings, setting=wanted, by="cli")
    _change(settings, "set", oneshot.Door("/api/goals", json=wanted.model_dump(mode="json")), goal, change)


@app.command()
def withdraw(goal: GoalId, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Withdraw a goal that a person has set; those of the configuration are taken out there."""
    settings = terminal.load(config)
    change = partial(actions.withdraw, config=settings, goal_id=goal, by="cli")
    door = oneshot.Door(f"/api/goals/{quote(goal, safe='')}", method="DELETE")
    _change(settings, "withdraw", door, goal, change)


def _change(
    settings: Config, what: str, door: oneshot.Door, goal: str, change: Callable[[Transaction], object]
) -> None:
    logs.to_stderr(settings.log)

    async def alone(agent: Agent) -> dict[str, Any]:
        await agent.journal.record(change)
        return await goals.shown(agent.store, goal)

    token = read_token(settings.http)
    answer = asyncio.run(oneshot.change(settings, f"helios goals {what}", door, alone, token))
    print(text.goals([answer]))
