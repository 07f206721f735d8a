"""Which events ask for which actions. Pure, and readable at a glance."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from helios_agent.clock import SECOND_US
from helios_agent.journal import draws, intents, reflections
from helios_agent.journal.journal import Event, Transaction


@dataclass(frozen=True)
class Wish:
    """An action that an event asks for: now, or at `due_us`."""

    action: str
    target: str
    due_us: int | None = None


def _started(event: Event) -> Iterable[Wish]:
    for game in event.payload["games"]:
        yield Wish("ingest", game)
        yield Wish("score", game)


def _reloaded(event: Event) -> Iterable[Wish]:
    for game in event.payload["added_games"]:
        yield Wish("ingest", game)
        yield Wish("score", game)


def _ingested(event: Event) -> Iterable[Wish]:
    game = event.payload["game"]
    if event.payload["new"] or not event.payload["next_registered"]:
        yield Wish("score", game)
    if event.payload["retry_s"] is not None:
        yield Wish("ingest", game, event.at_us + int(event.payload["retry_s"] * SECOND_US))


def _scored(event: Event) -> Iterable[Wish]:
    yield Wish("forecast", event.payload["game"])
    if event.payload["scored"]:
        yield Wish("assess", event.payload["game"])


def _trained(event: Event) -> Iterable[Wish]:
    yield Wish("forecast", event.payload["game"])
    yield Wish("assess", event.payload["game"])


def _changed(event: Event) -> Iterable[Wish]:
    yield Wish("forecast", event.payload["game"])


def _promoted(event: Event) -> Iterable[Wish]:
    yield Wish("reflect", event.payload["game"])


def _alarmed(event: Event) -> Iterable[Wish]:
    game, _, what = event.payload["about"].partition("/")
    if what in reflections.ALARMS:  # a reflection raises no alert, so this comes to an end
        yield Wish("reflect", game)


def _goal_set(event: Event) -> Iterable[Wish]:
    if event.payload["source"] == "person":  # who wants to see where it begins
        yield Wish("assess", event.payload["game"])


def _assessed(event: Event) -> Iterable[Wish]:
    yield Wish("decide", event.payload["game"])


REACTIONS: Mapping[str, Callable[[Event], Iterable[Wish]]] = {
    "agent.started": _started,
    "config.reloaded": _reloaded,
    "ingest.completed": _ingested,
    "score.completed": _scored,
    "model.trained": _trained,
    "model.imported": _trained,
    "model.promoted": _promoted,
    "model.rolled-back": _changed,
    "model.retired": _changed,
    "assessment.completed": _assessed,
    "alert.raised": _alarmed,
    "goal.set": _goal_set,
}


def watch(tx: Transaction, event: Event) -> None:
    """Journal hook: an action that failed for good is an incident until one of its kind succeeds.

    But what a person asks of a version by its name, or a backtest, is no incident: he is told, and all stays
    as it was.
    """
    if event.kind not in ("intent.done", "intent.failed", "intent.dead"):
        return
    (row,) = tx.rows("SELECT action, target FROM intent WHERE id = ?", (event.payload["id"],))
    if "@" in row["target"] or row["action"] == "backtest":
        return
    key = f"action:{row['action']}:{row['target']}"
    if event.kind == "intent.done":
        draws.close_incident(tx, key, event.seq)
    else:
        message = f"{row['action']} of {row['target']} failed: {event.payload['error']}"
        draws.open_incident(tx, key, "action-failed", message, event.seq)


def react(tx: Transaction, event: Event) -> None:
    """Journal hook: turn an event into the intents it asks for, in the event's own transaction."""
    reaction = REACTIONS.get(event.kind)
    for wish in reaction(event) if reaction else ():
        intents.request(tx, wish.action, wish.target, {}, event.seq, wish.due_us)
