"""`helios decisions replay`: decide a recorded history again, by its own policies or by another."""

from pathlib import Path
from typing import Annotated, Any

import typer

from helios_agent.actions import decide, records
from helios_agent.clock import SystemClock, from_us, iso
from helios_agent.commands import terminal
from helios_agent.commands.terminal import DEFAULT_CONFIG, AsJson, ConfigPath
from helios_agent.config.load import load_policy
from helios_agent.decisions import replay
from helios_agent.decisions.replay import Difference, Recorded
from helios_agent.errors import NotFound
from helios_agent.journal import events, snapshot
from helios_agent.lottery.games import game as game_of
from helios_agent.web import views

FOREVER_US = 2**62
SHOWN = 20


def replay_decisions(
    config: ConfigPath = DEFAULT_CONFIG,
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With another `decisions:` section; by their own if not given."),
    ] = None,
    game: Annotated[str | None, typer.Option("--game", help="Only of this game.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Not earlier than this.")] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Earlier than this.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide all that was decided again: by the same policies to check it, or by another to compare.

    Exit code 1: by the same policies something would be decided otherwise.
    """
    settings = terminal.load(config)
    terminal.must_exist(settings.database)
    other = load_policy(policy, settings) if policy else None
    span = events.instant_us("--since", since) or 0, events.instant_us("--until", until) or FOREVER_US
    name = game and views.chosen_game(settings, game).name
    with snapshot.opened(settings.database) as database:
        found = list(records.between(records.recorded(database, settings.archives), name, *span))
    if not found:
        raise NotFound("There is no decision to be made again.")
    if other is None:
        unlike = list(replay.unlike(found))
        terminal.show({"decisions": len(found), "unlike": unlike}, _checked, as_json)
        if unlike:
            raise typer.Exit(1)
        return
    now = from_us(SystemClock().now_us())
    games = {one.inputs["game"] for one in found}
    policies = {name: decide.policy(other, game_of(name), now) for name in games}
    terminal.show(compare(found, list(replay.differences(found, policies))), _compared, as_json)


def compare(found: list[Recorded], differing: list[Difference]) -> dict[str, Any]:
    """Return what another policy would have decided otherwise, as a record."""
    return {
        "decisions": len(found),
        "differing": len(differing),
        "actions": replay.totals(found, differing),
        "differences": [_record(one) for one in differing],
    }


def _record(one: Difference) -> dict[str, Any]:
    def named(key: tuple[str, str]) -> dict[str, Any]:
        outcome = one.known.get(key)
        known = outcome.sentence if outcome else None
        return {"action": key[0], "target": key[1], "why": one.why[key], "outcome": known}

    return {
        "seq": one.seq,
        "at": iso(one.at_us),
        "dropped": [named(key) for key in one.dropped],
        "added": [named(key) for key in one.added],
    }


def _checked(seen: dict[str, Any]) -> str:
    if not seen["unlike"]:
        return f"{seen['decisions']:,} decisions were made again, and each is what it was."
    return "\n".join([f"Of {seen['decisions']:,} decisions {len(seen['unlike']):,} differ.", *seen["unlike"]])


def _compared(seen: dict[str, Any]) -> str:
    lines = [f"Of {seen['decisions']:,} decisions {seen['differing']:,} would differ."]
    lines += [
        f"  {action:<12} {count['then']:>6,} then  {count['now']:>6,} by this policy"
        for action, count in seen["actions"].items()
    ]
    for one in seen["differences"][:SHOWN]:
        lines.append(f"{one['at']}  decision {one['seq']}")
        for what in one["dropped"]:
            known = what["outcome"] or "what came of it is not known yet"
            lines.append(f"  not {what['action']} {what['target']}: {what['why']}. Then: {known}")
        for what in one["added"]:
            lines.append(f"  but {what['action']} {what['target']}: {what['why']}. Its outcome nobody knows")
    if seen["differing"] > SHOWN:
        lines.append(f"… and {seen['differing'] - SHOWN:,} more: --json shows all, --since later ones")
    return "\n".join(lines)
