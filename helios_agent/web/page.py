"""The page that a person reads, and what it needs that is not data."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Request, Response
from fastapi.templating import Jinja2Templates
from jinja2 import StrictUndefined

from helios_agent import wording
from helios_agent.forecasting import mixture
from helios_agent.forecasting.experts import WATCHES_FOR
from helios_agent.journal import events
from helios_agent.lottery.games import Game, game
from helios_agent.metacognition.signals import SIGNALS, Signal
from helios_agent.web import chart, decisions, numbers, self_knowledge, told, views
from helios_agent.web.api import Seq, Served

HERE = Path(__file__).parent
STATIC = HERE / "static"
JOURNAL_LINES = 12
DRAWS = 8
SMALLEST_SHARE = 0.001
router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(HERE / "templates")


def _short_time(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M UTC")


def _long_day(moment: datetime) -> str:
    return f"{moment:%A}, {moment.day} {moment:%B %Y}"


def _share(value: float | None) -> str:
    if value is None:
        return "—"
    return f"{value:.1%}" if value >= SMALLEST_SHARE or not value else f"< {SMALLEST_SHARE:.1%}"


def _amount(value: float, unit: str) -> tuple[str, str]:
    """Write a signal's value, and its unit, as fits both."""
    match unit:
        case "nats":
            return chart.signed(value, 3), unit
        case "nats per draw":
            return chart.signed(value, 5), unit
        case "probability":
            return f"{value:.3g}".replace("-", "−"), unit
        case "share":
            return numbers.percent(value), ""
        case "trial":
            return f"{value:,.0f}", ""
        case "times":
            return f"{value:.2f}", unit
        case "hours":
            return f"{value:,.0f}" if value >= 10 else f"{value:.1f}", unit
        case _:
            return f"{value:,.0f}", unit.removesuffix("s") if value == 1 else unit


def _bound(value: float, unit: str) -> str:
    """Write a bound of a signal, whose unit stands beside it already."""
    return numbers.percent(value) if unit == "share" else numbers.amount(value)


templates.env.undefined = StrictUndefined
templates.env.trim_blocks = templates.env.lstrip_blocks = True
templates.env.filters |= {
    "time": _short_time,
    "long_day": _long_day,
    "duration": numbers.duration,
    "signed": chart.signed,
    "words": lambda name: name.replace("-", " ").replace("_", " "),
    "exp": math.exp,
    "share": _share,
    "stake": numbers.stake,
    "probability": numbers.probability,
    "amount": numbers.amount,
    "listed": numbers.and_,
    "score": numbers.score,
    "during": wording.during,
    "became": told.became,
    "state": told.state,
    "who": told.who,
    "origin": told.origin,
    "sentence": lambda text: text[:1].upper() + text[1:].removesuffix(".") + ".",
    "title_of": wording.title,
    "adjusted": told.adjusted,
}


@router.get("/")
async def index(request: Request, agent: Served) -> Response:
    """Show the agent to a person."""
    seen = await views.overview(agent.store, agent.config, agent.journal.clock)
    alarm_level = agent.config.decisions.alarm_level
    beside: self_knowledge.Models = request.app.state.models
    games: list[dict[str, Any]] = []
    for item in seen["games"]:
        rules = game(item["game"])
        series = await views.evidence(agent.store, rules)
        recent = await views.drawn(agent.store, rules, DRAWS, None)
        games.append(
            item
            | {"recent": recent, "chart": chart.evidence(series, alarm_level)}
            | _drawn_out(item, rules)
            | {"assessed": _assessed(item["assessment"]) if item["assessment"] else None}
            | await self_knowledge.of_game(agent.store, rules)
            | {"side_by_side": await beside.of_game(agent.store, rules)}
        )
    tail = await events.tail(agent.store, limit=JOURNAL_LINES)
    return templates.TemplateResponse(
        request,
        "index.html",
        {
            "health": agent.health(),
            "seen": seen,
            "unfair": [game(name).title for name in seen["unfair_among_all"]],
            "games": games,
            "control": await decisions.control(agent.store, agent.config, agent.journal.clock),
            "longest_reason": decisions.LONGEST_REASON,
            "journal": [event.as_record() for event in tail],
            "alarm_level": alarm_level,
        },
    )


@router.get("/decisions/{seq}")
async def decision(request: Request, agent: Served, seq: Seq) -> Response:
    """Show one decision to a person."""
    made = await decisions.decision(agent.store, seq)
    return templates.TemplateResponse(
        request, "decision.html", {"made": made, "title": game(made["game"]).title}
    )


def _drawn_out(item: Mapping[str, Any], rules: Game) -> dict[str, Any]:
    """Return what the page shows of a game that follows from its overview."""
    era, forecast, training = item["era"], item["next_forecast"], item["training"]
    chance = era["pick"] / era["white"]
    held = datetime.fromisoformat(item["next_draw"]["at"]).astimezone(ZoneInfo(rules.timezone))
    signals = item["assessment"]["signals"] if item["assessment"] else {}
    return {
        "held": held,
        "place": rules.timezone.rpartition("/")[2].replace("_", " "),
        "chance": chance,
        "bars": chart.bars(forecast["white_probabilities"], chance) if forecast else None,
        "ranking": _ranking(item["standings"], forecast["weights"] if forecast else {}),
        "figures": [_figure(signal, signals.get(signal.name)) for signal in SIGNALS] if signals else [],
        "training_chart": (
            chart.training(training["epochs"], item["fair_log_score_nats"]) if training else None
        ),
    }


def _ranking(standings: Sequence[Mapping[str, Any]], weights: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return every forecaster of the mixture: those with scores, those that have just joined, the reserve.

    Weights are those of the registered forecast where there is one.
    """
    scored = [
        {**row, "weight": weights.get(row["forecaster"], None if weights else row["weight"])}
        for row in standings
    ]
    known = {row["forecaster"] for row in standings}
    joined = [
        {
            "forecaster": name,
            "gain_nats": None,
            "weight": weight,
            "draws": None if name == mixture.RESERVE else 0,
        }
        for name, weight in weights.items()
        if name not in known
    ]
    remarks = {
        **WATCHES_FOR,
        mixture.UNIFORM: "chance itself",
        mixture.RESERVE: "for networks that join later; until then it forecasts chance",
    }
    return [row | {"remark": remarks.get(row["forecaster"])} for row in (*scored, *joined)]


def _figure(signal: Signal, value: float | None) -> dict[str, Any]:
    return {
        "name": signal.name,
        "title": wording.title(signal.name),
        "definition": signal.definition,
        "amount": None if value is None else _amount(value, signal.unit),
    }


def _assessed(assessment: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an assessment says of the agent; None is what one of an earlier release leaves out."""
    unhealthy = assessment.get("unhealthy")
    return {
        "says": unhealthy is not None,
        "strategy": assessment.get("strategy"),
        "expects": _expectations(assessment),
        "unhealthy": None if unhealthy is None else [_out_of_range(name, assessment) for name in unhealthy],
        "gaps": assessment.get("knowledge_gaps"),
        "patterns": assessment.get("patterns"),
    }


def _expectations(assessment: Mapping[str, Any]) -> list[tuple[str, str | None]]:
    """Return what was gained so far and how sure that is, in words; None for what cannot be said."""
    gain = assessment.get("predicted_performance") or dict.fromkeys(("mean", "low", "high"))
    unsure = assessment.get("uncertainty") or dict.fromkeys(("width", "spread"))
    confidence = assessment.get("confidence")
    mean, low, high = (gain[name] for name in ("mean", "low", "high"))
    between = (
        f"; with 95% confidence between {chart.signed(low, 5)} and {chart.signed(high, 5)}"
        if low is not None and high is not None
        else ""
    )
    width, spread = unsure["width"], unsure["spread"]
    return [
        (
            "Mean gain over chance so far",
            None if mean is None else f"{chart.signed(mean, 5)} nats a draw{between}",
        ),
        ("Width of that interval", None if width is None else f"{width:.5f} nats a draw"),
        (
            "Disagreement of the forecasters",
            None if spread is None else f"{numbers.amount(spread)} in a ball’s chance",
        ),
        ("Belief that the game can be predicted", None if confidence is None else _share(confidence)),
    ]


def _out_of_range(name: str, assessment: Mapping[str, Any]) -> dict[str, Any]:
    unit, value = assessment["units"][name], assessment["signals"][name]
    low, high = assessment["healthy"][name]
    bounds = [
        f"{word} {_bound(bound, unit)}"
        for word, bound in (("at least", low), ("at most", high))
        if bound is not None
    ]
    return {
        "title": wording.title(name),
        "amount": _amount(value, unit),
        "healthy": numbers.and_(bounds),
    }
