"""Measure what came of earlier choices, as far as the journal can tell it by now."""

from collections.abc import Mapping
from typing import Any

from helios_agent.decisions import outcomes
from helios_agent.decisions.catalogue import CATALOGUE
from helios_agent.decisions.outcomes import LEARNING, Facts
from helios_agent.decisions.policy import Policy
from helios_agent.journal import choices, models
from helios_agent.journal.choices import Choice
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import Game

HOUR_S = 3600


def measure(tx: Transaction, rules: Game, limits: Policy, cause: int) -> None:
    """Journal the outcome of each of a game's choices of which it can be told now."""
    for choice in choices.unmeasured(tx, rules.name):
        outcome = outcomes.judge(_facts(tx, choice, limits), limits.evaluation_draws)
        if outcome is not None:
            told = {"id": choice.id, "game": choice.game, "action": choice.action, **outcome.as_record()}
            tx.append("decision.measured", told, cause)


def _facts(tx: Transaction, choice: Choice, limits: Policy) -> Facts:
    result: Mapping[str, Any] = choice.result or {}
    disk_gib = CATALOGUE[choice.action].disk_gib
    price = limits.cpu_price * choice.cpu_seconds / HOUR_S + limits.disk_price * disk_gib
    gains, over = None, False
    if choice.state == "done" and choice.action in (*LEARNING, "promote"):
        gains, over = _gains(tx, choice, result)
    return Facts(choice.action, choice.urgency, choice.state, result, choice.cpu_seconds, price, gains, over)


def _gains(tx: Transaction, choice: Choice, result: Mapping[str, Any]) -> tuple[list[float] | None, bool]:
    """Return what a choice's network has gained since, and whether it forecasts no more.

    What it gained is more than the champion of the day, where that is another and forecast, too; else more
    than chance. None where it made no network, or one that there was.
    """
    name, version = result.get("model") or result.get("name"), result.get("version")
    if name is None or version is None or result.get("new") is False:
        return None, False
    model = models.found(tx, name, version)
    if model is None:
        return None, False
    own = choices.gains(tx, choice.game, model.forecaster, choice.decision)
    champion = models.holder(tx, choice.game, "champion")
    other = (
        choices.gains(tx, choice.game, champion.forecaster, choice.decision)
        if champion is not None and champion.forecaster != model.forecaster
        else {}
    )
    return [gain - other.get(day, 0.0) for day, gain in own.items()], model.role not in models.ACTIVE
