"""`helios decisions`: what was decided and why, and a person's word in it."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from helios_agent import logs, oneshot
from helios_agent.agent import Agent
from helios_agent.clock import SystemClock
from helios_agent.commands import replay, terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath, GameName, Limit
from helios_agent.errors import Refused
from helios_agent.journal import events
from helios_agent.oneshot import Door
from helios_agent.web import decisions, text, views
from helios_agent.web.api import LAST
from helios_agent.web.decisions import LONGEST_REASON
from helios_agent.web.guard import read_token

app = typer.Typer(
    help="See decisions, answer what they propose, switch them off and on.", no_args_is_help=True
)

app.command("replay")(replay.replay_decisions)

Seq = Annotated[int, typer.Argument(min=1, max=LAST, metavar="SEQ", help="The decision's event.")]
Proposal = Annotated[
    str, typer.Argument(metavar="ID", help="Of what is proposed, as `helios decisions status` shows it.")
]


@app.command("list")
def list_decisions(
    config: ConfigPath = DEFAULT_CONFIG,
    game: Annotated[str | None, typer.Option("--game", help="Only of this game.")] = None,
    action: Annotated[
        str | None, typer.Option(help="Only where this was a candidate, such as train, or wait.")
    ] = None,
    chosen: Annotated[
        bool, typer.Option("--chosen", help="Only where it, or anything but waiting, was chosen.")
    ] = False,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only where what was chosen is pending, executing, completed, failed or cancelled."
        ),
    ] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not earlier than this.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Earlier than this.")] = None,
    before: Annotated[
        int | None, typer.Option(min=1, max=LAST, metavar="SEQ", help="Only earlier decisions.")
    ] = None,
    limit: Limit = 10,
    as_json: AsJson = False,
) -> None:
    """List decisions, newest first, and what became of what was chosen."""
    settings = terminal.load(config)
    wanted = decisions.Wanted(
        game=game and views.chosen_game(settings, game).name,
        action=views.one_of("action", action, decisions.ACTIONS),
        chosen=chosen,
        status=views.one_of("status", status, decisions.STATUSES),
        since_us=events.instant_us("since", since),
        until_us=events.instant_us("until", until),
        before=before,
    )
    found = terminal.read(settings, lambda store: decisions.newest(store, wanted, limit))
    terminal.show(found, text.decisions, as_json)


@app.command()
def show(seq: Seq, config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show one decision: everything that was weighed, and why it was or was not chosen."""
    found = terminal.read(terminal.load(config), lambda store: decisions.decision(store, seq))
    terminal.show(found, text.decision, as_json)


@app.command()
def status(config: ConfigPath = DEFAULT_CONFIG, game: GameName = None, as_json: AsJson = False) -> None:
    """Show whether the agent decides for itself, what is proposed, spent and believed."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    seen = terminal.read(settings, lambda store: decisions.status(store, settings, rules, SystemClock()))
    terminal.show(seen, text.decision_status, as_json)


@app.command()
def make(config: ConfigPath = DEFAULT_CONFIG, game: GameName = None) -> None:
    """Decide now, from the newest assessment, and wait for it."""
    settings = terminal.load(config)
    rules = views.chosen_game(settings, game)
    terminal.act(settings, "decide", rules.name, Door("/api/decisions/make", json={"game": rules.name}))


@app.command()
def approve(proposal: Proposal, config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Let what is proposed be done."""

    async def by_oneself(agent: Agent) -> dict[str, Any]:
        return views.intent_record(await agent.answer(proposal, "approve", "cli"))

    print(text.jobs([_tell(config, Door(_path(proposal, "approve")), by_oneself)]))


@app.command()
def reject(
    proposal: Proposal,
    reason: Annotated[str, typer.Option("--reason", help="Why it is not to be done.")],
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Let what is proposed not be done, and say why."""
    if not 0 < len(reason) <= LONGEST_REASON:
        raise Refused(f"--reason has {len(reason)} characters; expected 1 to {LONGEST_REASON}")

    async def by_oneself(agent: Agent) -> dict[str, Any]:
        return views.intent_record(await agent.answer(proposal, "refuse", "cli", reason))

    door = Door(_path(proposal, "reject"), json={"reason": reason})
    print(text.jobs([_tell(config, door, by_oneself)]))


@app.command()
def start(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Have the agent decide for itself again."""
    _switch(config, "start", on=True)


@app.command()
def stop(config: ConfigPath = DEFAULT_CONFIG) -> None:
    """Have the agent choose nothing by itself; what was asked for already goes on."""
    _switch(config, "stop", on=False)


def _switch(config: Path, what: str, *, on: bool) -> None:
    async def by_oneself(agent: Agent) -> dict[str, Any]:
        return decisions.switch_record(await agent.switch(on, "cli"))

    print(text.switch(_tell(config, Door(f"/api/decisions/autonomous/{what}"), by_oneself)))


def _path(proposal: str, answer: str) -> str:
    return f"/api/decisions/{quote(proposal, safe='')}/{answer}"


def _tell(
    config: Path, door: Door, by_oneself: Callable[[Agent], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """Tell the running daemon, or, where none runs, write it down for the next one."""
    settings = terminal.load(config)
    terminal.must_exist(settings.database)
    logs.to_stderr(settings.log)
    told = oneshot.change(settings, "helios decisions", door, by_oneself, read_token(settings.http))
    return asyncio.run(told)
