"""Promote: make the challenger the champion, once its trial has shown that it forecasts better.

A person may ask for it by name before its trial has shown anything; the event says who asked, and how far the
trial had come. What a decision asked for is refused where the champion is not the one of the trial any more.
Whoever asks, one that cannot forecast is refused, and the champion stays.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions import versions
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.clock import from_us
from helios_agent.errors import Refused
from helios_agent.forecasting.mixture import UNIFORM
from helios_agent.journal import intents, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.journal.models import Model
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Game, game
from helios_agent.registry import folders
from helios_agent.registry.names import Ref


async def run(context: Context, intent: Intent) -> Commit:
    rules, version = await _meant(context, intent)
    await _able(context, rules, version)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        new = versions.standing(tx, "promote", version)
        old = models.holder(tx, rules.name, "champion")
        asked_by, trial = versions.asked_by(tx, intent), _trial(tx, new, old)
        if trial is None and asked_by == versions.DECISION:
            held = old.forecaster if old else "chance"
            raise Refused(f"{new.forecaster} was not tried against {held}, which it would take the place of.")
        promoted = {
            **versions.told(new),
            "in_place_of": old.version if old else None,
            "by": asked_by,
            "trial": trial,
        }
        if old is not None:
            versions.leave(tx, old, cause)
        tx.append("model.promoted", promoted, cause)
        # What was proposed of it as challenger is not meant of the champion.
        about = versions.target(rules.name, version)
        intents.expire_proposal(tx, "retire", about, f"{new.forecaster} is champion by now", cause)
        logger.bind(action="promote", game=rules.name).info("{name} {version} is the champion", **promoted)
        return promoted

    return commit


ACTION = Action("promote", CORE, run)


async def _meant(context: Context, intent: Intent) -> tuple[Game, Ref]:
    """Return the version that is named, or who is challenger. Raises Refused where nobody is."""
    if "/" in intent.target:
        return versions.meant(intent)
    rules = game(intent.target)
    found = await models.every(context.store, game=rules.name, role="challenger")
    if not found:
        raise Refused(f"There is no challenger of {rules.title} to promote.")
    return rules, Ref(found[0].name, found[0].version)


async def _able(context: Context, rules: Game, version: Ref) -> None:
    """Raise Refused where a version is of other rules than the next draw, or its files are damaged."""
    model = await models.find(context.store, version.name, version.version)
    versions.check("promote", model)
    era = calendar.era_now(rules, from_us(context.clock.now_us()))
    if model.era != era.name:
        raise Refused(
            f"{version} is of the rules from {model.era}; the next draw of {rules.title} is under those from"
            f" {era.name}"
        )
    folder = folders.place(context.config.paths.models, version)
    await asyncio.to_thread(folders.verify, folder, version.version)


def _trial(tx: Transaction, new: Model, old: Model | None) -> dict[str, Any] | None:
    """Return how far the trial of `new` against `old` has come: its draws and the most it has shown."""
    rows = tx.rows(
        "SELECT ledger->'$.trial' AS trial FROM score WHERE game = ? AND era = ? ORDER BY day DESC LIMIT 1",
        (new.game, new.era),
    )
    trial = json.loads(rows[0]["trial"] or "null") if rows else None
    parties = (new.forecaster, old.forecaster if old else UNIFORM)
    if trial is None or (trial["challenger"], trial["champion"]) != parties:
        return None
    return {"draws": trial["comparison"]["draws"], "peak_nats": trial["comparison"]["peak_nats"]}
