"""Decisions as they were journaled, each with what came of what it chose: what a replay is made from."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from helios_agent.decisions.policy import Policy
from helios_agent.decisions.replay import Outcome, Recorded
from helios_agent.journal import archives
from helios_agent.store import Connection

KINDS = (
    "policy.set", "decision.made", "choice.made", "decision.measured", "work.spent", "intent.refused",
    "intent.expired",
)  # fmt: skip


def recorded(connection: Connection, folder: Path) -> list[Recorded]:
    """Return every decision, the oldest first, from the archives and the database.

    Those that were made before decisions told what they were made from are passed over. Raises StoreCorrupt
    where an archive is missing or damaged.
    """
    head = connection.execute("SELECT coalesce(max(seq), 0) AS seq FROM event").fetchone()["seq"]
    everything = archives.everything(connection, folder, 1, head)
    return fold(
        (entry.seq, entry.at_us, entry.kind, json.loads(entry.payload))
        for entry in everything
        if entry.kind in KINDS
    )


def fold(events: Iterable[tuple[int, int, str, Mapping[str, Any]]]) -> list[Recorded]:
    """Put together decisions from their events: seq, microseconds, kind and payload."""
    policies: dict[str, Policy] = {}
    made: list[tuple[int, int, Mapping[str, Any], Policy]] = []
    choices: dict[str, Mapping[str, Any]] = {}
    measured: dict[str, Mapping[str, Any]] = {}
    spent: dict[str, float] = {}
    rejected: dict[str, int] = {}
    for seq, at_us, kind, told in events:
        match kind:
            case "policy.set":
                policies[told["digest"]] = Policy.from_record(told["policy"])
            case "decision.made" if "inputs" in told:
                made.append((seq, at_us, told, policies[told["policy"]]))
            case "choice.made":
                choices[told["id"]] = told
            case "decision.measured":
                measured[told["id"]] = told
            case "work.spent":
                spent[told["job"]] = spent.get(told["job"], 0.0) + told["cpu_seconds"]
            case "intent.refused" | "intent.expired":
                rejected[told["id"]] = at_us
    outcomes: dict[int, dict[tuple[str, str], Outcome]] = {}
    for name, choice in choices.items():
        found = measured.get(name, {})
        success = found.get("success")
        outcomes.setdefault(choice["decision"], {})[(choice["action"], choice["target"])] = Outcome(
            None if success is None else bool(success),
            found.get("sentence"),
            spent.get(name, 0.0),
            rejected.get(name),
        )
    return [
        Recorded(
            seq, at_us, told["inputs"], policy, tuple(told["candidates"]), told["rationale"],
            outcomes.get(seq, {}),
        )
        for seq, at_us, told, policy in made
    ]  # fmt: skip


def between(found: Iterable[Recorded], game: str | None, since_us: int, until_us: int) -> Iterator[Recorded]:
    """Yield the decisions about a game, or about any, from one instant until before another."""
    for one in found:
        if since_us <= one.at_us < until_us and game in (None, one.inputs["game"]):
            yield one
