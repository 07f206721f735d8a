"""What the API and the command line show of assessments: the last one, its patterns, what it recommends."""

from collections.abc import Mapping
from typing import Any

from helios_agent.clock import iso
from helios_agent.errors import NotFound
from helios_agent.journal import assessments
from helios_agent.journal.journal import Event
from helios_agent.lottery.games import Game
from helios_agent.metacognition import recommendations
from helios_agent.metacognition.signals import SIGNALS
from helios_agent.store import Reader


async def latest(store: Reader, rules: Game) -> dict[str, Any]:
    """Return the last assessment of a game, its signals explained. Raises NotFound before the first."""
    event = await _latest(store, rules)
    payload = dict(event.payload)
    measured, healthy = payload.pop("signals"), payload.pop("healthy", {})
    unhealthy = payload.get("unhealthy", [])
    del payload["units"]
    return {
        "seq": event.seq,
        "at": iso(event.at_us),
        **payload,
        "signals": [
            {
                "name": signal.name,
                "value": measured.get(signal.name),
                "unit": signal.unit,
                "definition": signal.definition,
                "healthy": healthy.get(signal.name, list(signal.healthy)),
                "is_healthy": None if measured.get(signal.name) is None else signal.name not in unhealthy,
                "source": signal.source,
            }
            for signal in SIGNALS
        ],
        "recommendations": await _recommendations(store, rules, event),
    }


async def patterns(store: Reader, rules: Game) -> dict[str, Any]:
    """Return the patterns that the last assessment of a game found. Raises NotFound before the first."""
    event = await _latest(store, rules)
    return {"seq": event.seq, "at": iso(event.at_us), "patterns": event.payload.get("patterns", [])}


async def recommended(store: Reader, rules: Game) -> dict[str, Any]:
    """Return what follows from the last assessment of a game. Raises NotFound before the first."""
    event = await _latest(store, rules)
    return {
        "seq": event.seq,
        "at": iso(event.at_us),
        "strategy": event.payload.get("strategy"),
        "recommendations": await _recommendations(store, rules, event),
    }


async def _recommendations(store: Reader, rules: Game, assessed: Event) -> list[dict[str, Any]]:
    effects = await assessments.effects(store, rules.name)
    made = recommendations.make(assessed.payload["signals"], assessed.payload.get("unhealthy", []), effects)
    return [recommendation.as_record() for recommendation in made]


async def _latest(store: Reader, rules: Game) -> Event:
    found = await assessments.newest(store, rules.name, 1)
    if not found:
        raise NotFound(f"{rules.title} has not been assessed yet.")
    return found[0]


def as_text(seen: Mapping[str, Any]) -> str:
    """Render `latest`."""
    gained, strategy = seen.get("predicted_performance"), seen.get("strategy")
    lines = [f"assessed {seen['at']}, event {seen['seq']}", seen["verdict"]]
    if strategy:
        lines.append(f"strategy: {strategy['name']}. {strategy['why']}")
    if gained and gained["low"] is not None:
        lines.append(
            f"gained so far: {gained['mean']:+.5f} nats a draw on average; with 95 % confidence between "
            f"{gained['low']:+.5f} and {gained['high']:+.5f}"
        )
    lines += [f"not known: {gap['what']}: {gap['why']}" for gap in seen.get("knowledge_gaps", [])]
    lines += [f"pattern: {found['sentence']}" for found in seen.get("patterns", [])]
    lines += [_recommendation(made) for made in seen["recommendations"]]
    width = max(len(signal["name"]) for signal in seen["signals"])
    return "\n".join([*lines, "", *(_line(signal, width) for signal in seen["signals"])])


def _recommendation(made: Mapping[str, Any]) -> str:
    achieved = f" ({made['effect']})" if made["action"] else ""
    return f"{made['about']}: {made['advice']}{achieved}"


def _line(signal: Mapping[str, Any], width: int) -> str:
    value = "not known" if signal["value"] is None else f"{signal['value']:,.6g} {signal['unit']}"
    low, high = signal["healthy"]
    bounds = [
        *([] if low is None else [f"at least {low:g}"]),
        *([] if high is None else [f"at most {high:g}"]),
    ]
    wrong = "" if signal["is_healthy"] is not False else f"  unhealthy: should be {' and '.join(bounds)}"
    return f"  {signal['name']:<{width}}  {value}{wrong}"
