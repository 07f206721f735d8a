"""What is said to people of intents, switches and settings: the same on the page and at the terminal."""

from collections.abc import Mapping
from typing import Any

from helios_agent.journal.intents import Intent
from helios_agent.lottery.games import GAMES

SETTINGS = {
    "learning_rate": "learning rate",
    "retrain_after_draws": "number of draws until the next training",
    "evaluation_draws": "number of draws that a network is judged by",
}
"""What `adjust` changes."""
STATES = {"refused": "rejected", "expired": "expired"}
"""Ends without a result that have a name of their own among what was cancelled."""
ORIGINS = {
    "effect": "from outcomes of decisions",
    "fairness": "from the evidence",
    "leader": "from the mixture’s weights",
    "feed": "from the feed’s delays",
    "cost": "from processor time used",
}
"""What each kind of knowledge is learned from."""
WHO = {"http": "over HTTP or on the page", "cli": "at the terminal"}


def what(intent: Intent) -> str:
    """Say what an intent asks for."""
    of, _, name = intent.target.partition("/")
    about = GAMES[of].title if of in GAMES else of
    if intent.action == "train" and not name:
        start = "on from the newest weights" if intent.args.get("start") == "newest" else "from scratch"
        return f"Train a network for {about}, {start}"
    if intent.action == "adjust" and isinstance(intent.args.get("factor"), int | float):
        setting = SETTINGS.get(name, name.replace("_", " "))
        return f"Set the {setting} of {about} to {intent.args['factor']:g} times what is configured"
    return f"{intent.action.capitalize()} {intent.target}"


def adjusted(factors: Mapping[str, float]) -> str:
    """Say by which factors of what is configured the agent has changed settings of a game."""
    return ", ".join(f"{SETTINGS.get(name, name)} × {factor:g}" for name, factor in factors.items())


def state(name: str) -> str:
    """Say how an intent stands."""
    return STATES.get(name, name)


def became(outcome: Mapping[str, Any]) -> str:
    """Say what became of what was chosen."""
    return STATES.get(outcome["state"]) or str(outcome["status"])


def origin(kind: str) -> str:
    """Say what was learned from."""
    return ORIGINS.get(kind, kind)


def who(by: str) -> str:
    """Say where a person did something."""
    return WHO.get(by, f"by {by}")
