"""Which events ask for which actions. Pure, and readable at a glance."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from helios_agent.actions.ingest import retry_at_us
from helios_agent.journal import intents
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


def _ingested(event: Event) -> Iterable[Wish]:
    game = event.payload["game"]
    if event.payload["new"] or not event.payload["next_registered"]:
        yield Wish("score", game)
    if event.payload["retry_s"] is not None:
        yield Wish("ingest", game, retry_at_us(event.payload, event.at_us))


def _scored(event: Event) -> Iterable[Wish]:
    yield Wish("forecast", event.payload["game"])
    if event.payload["scored"]:
        yield Wish("assess", event.payload["game"])


def _trained(event: Event) -> Iterable[Wish]:
    yield Wish("forecast", event.payload["game"])
    yield Wish("assess", event.payload["game"])


def _assessed(event: Event) -> Iterable[Wish]:
    yield Wish("decide", event.payload["game"])


REACTIONS: Mapping[str, Callable[[Event], Iterable[Wish]]] = {
    "agent.started": _started,
    "ingest.completed": _ingested,
    "score.completed": _scored,
    "model.trained": _trained,
    "assessment.completed": _assessed,
}


def react(tx: Transaction, event: Event) -> None:
    """Journal hook: turn an event into the intents it asks for, in the event's own transaction."""
    reaction = REACTIONS.get(event.kind)
    for wish in reaction(event) if reaction else ():
        intents.request(tx, wish.action, wish.target, {}, event.seq, wish.due_us)
