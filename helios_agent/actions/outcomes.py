"""Measure what came of earlier choices, as far as the journal can tell it by now."""

from collections.abc import Mapping
from typing import Any

from helios_agent.decisions import outcomes
from helios_agent.decisions.catalogue import CATALOGUE
from helios_agent.decisions.outcomes import LEARNING, Facts
from helios_agent.decisions.policy import Policy
from helios_agent.journal import choices, models, parameters
from helios_agent.journal.choices import Choice
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import Game

HOUR_S = 3600
PATIENCE = 2
"""A network that is on trial is waited for until so many times the draws by which it is judged went by."""


def measure(tx: Transaction, rules: Game, limits: Policy, cause: int) -> int | None:
    """Journal the outcome of each of a game's choices of which it can be told now.

    Returns how many more draws the newest network has to forecast to be judged, None if none is on trial.
    """
    factor = parameters.factors(tx, rules.name).get("evaluation_draws", 1.0)
    draws = round(limits.evaluation_draws * factor)
    left: int | None = None
    for choice in choices.unmeasured(tx, rules.name):
        facts = _facts(tx, choice, limits, draws)
        outcome = outcomes.judge(facts, draws)
        if outcome is None and choice.action in LEARNING and facts.gains is not None:
            left = draws - len(facts.gains)
        if outcome is not None:
            told = {"id": choice.id, "game": choice.game, "action": choice.action, **outcome.as_record()}
            tx.append("decision.measured", told, cause)
    return left


def _facts(tx: Transaction, choice: Choice, limits: Policy, draws: int) -> Facts:
    result: Mapping[str, Any] = choice.result or {}
    disk_gib = CATALOGUE[choice.action].disk_gib
    price = limits.cpu_price * choice.cpu_seconds / HOUR_S + limits.disk_price * disk_gib
    gains, over, in_vain = None, False, False
    if choice.state == "done" and choice.action in (*LEARNING, "promote"):
        gains, over = _gains(tx, choice, result, draws)
    elif choice.action == "ingest":
        in_vain = choices.brought_nothing_since_newest(tx, choice.game, choice.action)
    return Facts(
        choice.action, choice.urgency, choice.state, result, choice.cpu_seconds, price, gains, over, in_vain
    )


def _gains(
    tx: Transaction, choice: Choice, result: Mapping[str, Any], draws: int
) -> tuple[list[float] | None, bool]:
    """Return what a choice's network has gained since, and whether it forecasts no more.

    It does not where it is neither champion nor challenger, where other rules are in force by now, and where
    twice the `draws` by which it is judged went by.

    What a training's network gained is what it gained over who was champion when it was decided, where that
    forecast, too; else over chance, as a promoted one. None where it made no network, or one that there was.
    """
    name, version = result.get("model") or result.get("name"), result.get("version")
    if name is None or version is None or result.get("new") is False:
        return None, False
    model = models.found(tx, name, version)
    if model is None:
        return None, False
    own = choices.gains(tx, choice.game, model.forecaster, choice.decision)
    other: Mapping[str, float] = {}
    if choice.action in LEARNING and choice.champion is not None:
        other = choices.gains(tx, choice.game, choice.champion, choice.decision)
    scored, era = choices.scored_since(tx, choice.game, max(choice.decision, model.seq))
    over = model.role not in models.ACTIVE or era not in (None, model.era) or scored >= PATIENCE * draws
    return [gain - other.get(day, 0.0) for day, gain in own.items()], over
