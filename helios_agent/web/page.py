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

from helios_agent.forecasting import mixture
from helios_agent.forecasting.experts import WATCHES_FOR
from helios_agent.journal import events
from helios_agent.lottery.games import Game, game
from helios_agent.metacognition.signals import SIGNALS, Signal
from helios_agent.web import chart, numbers, views
from helios_agent.web.api import Served

HERE = Path(__file__).parent
STATIC = HERE / "static"
JOURNAL_LINES = 12
DRAWS = 8
SMALLEST_SHARE = 0.001
TITLES = {
    "evidence": "Evidence against fairness",
    "evidence_peak": "Highest evidence so far",
    "fairness_p": "p-value of fairness",
    "evidence_registered": "Evidence registered in advance",
    "draws_known": "Draws known",
    "draws_scored": "Draws scored",
    "draws_registered": "Draws forecast in advance",
    "skill": "Skill",
    "skill_low": "Skill, lower bound",
    "skill_high": "Skill, upper bound",
    "calibration_error": "Chances promised too high",
    "confidence": "Belief in predictability",
    "leader_weight": "Weight of the most believed forecaster",
    "expert_disagreement": "Disagreement of the forecasters",
    "regret": "Regret to the best forecaster",
    "change": "Evidence for a change",
    "change_clearest": "Evidence for a change, at its clearest",
    "change_age": "Draws since that change",
    "challenger": "Evidence for the challenger",
    "challenger_trial": "Trial of a challenger",
    "challenger_gain": "Gain of the challenger",
    "champion_gain": "Gain of the champion",
    "challenger_loss": "Loss of the challenger to chance",
    "champion_loss": "Loss of the champion to chance",
    "validation_gap": "Gap from training to validation",
    "live_gap": "Gap from validation to new draws",
    "learning_progress": "Progress of the newest network",
    "smallest_visible_factor": "Smallest visible bias",
    "staleness": "Draws the network has not seen",
    "failed_trainings": "Trainings failed in a row",
    "draws_since_search": "Draws since the last search",
    "draws_since_backtest": "Draws since the last backtest",
    "decision_effectiveness": "Choices that did what they should",
    "missing_draws": "Missing draws",
    "draw_overdue": "Oldest missing draw",
    "feed_silence": "Silence of the feeds",
    "feed_disagreement": "Disputed draws",
    "open_incidents": "Open incidents",
    "compute_day": "Processor time chosen, 24 hours",
    "compute_month": "Processor time chosen, 30 days",
    "compute_left_day": "Processor time left of the day",
    "compute_left_month": "Processor time left of the month",
    "storage_used": "Storage used",
    "schedule_lateness": "Lateness of the schedules",
    "webhook_failures": "Messages not delivered",
    "backup_age": "Age of the backup",
    "verification_age": "Age of the last verification",
}
"""The signals' names in words."""

router = APIRouter(include_in_schema=False)
templates = Jinja2Templates(HERE / "templates")


def _short_time(text: str) -> str:
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M UTC")


def _long_day(moment: datetime) -> str:
    return f"{moment:%A}, {moment.day} {moment:%B %Y}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _share(value: float | None) -> str:
    if value is None:
        return "—"
    return f"{value:.1%}" if value >= SMALLEST_SHARE or not value else f"< {SMALLEST_SHARE:.1%}"


def _in_words(name: str) -> str:
    return TITLES.get(name, name.replace("_", " ").capitalize())


def _amount(value: float, unit: str) -> str:
    """Write a signal's value as fits its unit."""
    match unit:
        case "nats":
            return chart.signed(value, 3)
        case "nats per draw":
            return chart.signed(value, 5)
        case "probability" | "share":
            return f"{value:.3g}"
        case "times":
            return f"{value:.2f}"
        case "hours":
            return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"
        case _:
            return f"{value:,.0f}"


templates.env.undefined = StrictUndefined
templates.env.trim_blocks = templates.env.lstrip_blocks = True
templates.env.filters |= {
    "time": _short_time,
    "long_day": _long_day,
    "duration": _duration,
    "signed": chart.signed,
    "words": lambda name: name.replace("-", " ").replace("_", " "),
    "exp": math.exp,
    "share": _share,
    "stake": numbers.stake,
    "probability": numbers.probability,
}


@router.get("/")
async def index(request: Request, agent: Served) -> Response:
    """Show the agent to a person."""
    seen = await views.overview(agent.store, agent.config, agent.journal.clock)
    alarm_level = agent.config.decisions.alarm_level
    games: list[dict[str, Any]] = []
    for item in seen["games"]:
        rules = game(item["game"])
        series = await views.evidence(agent.store, rules)
        recent = await views.drawn(agent.store, rules, DRAWS, None)
        games.append(
            item | {"recent": recent, "chart": chart.evidence(series, alarm_level)} | _drawn_out(item, rules)
        )
    tail = await events.tail(agent.store, limit=JOURNAL_LINES)
    return templates.TemplateResponse(
        request,
        "index.html",
        {
            "health": agent.health(),
            "seen": seen,
            "games": games,
            "journal": [event.as_record() for event in tail],
            "alarm_level": alarm_level,
        },
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
        "title": _in_words(signal.name),
        "unit": signal.unit,
        "definition": signal.definition,
        "amount": None if value is None else _amount(value, signal.unit),
    }
