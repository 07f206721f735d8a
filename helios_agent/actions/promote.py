"""Promote: make the challenger the champion, once its trial has shown that it forecasts better.

A person may ask for it by name before its trial has shown anything; the event says who asked, and how far the
trial had come. What a decision asked for is refused where the champion is not the one of the trial any more.
"""

import json
from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions import versions
from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.errors import Refused
from helios_agent.forecasting.mixture import UNIFORM
from helios_agent.journal import intents, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.journal.models import Model
from helios_agent.lottery.games import game
from helios_agent.registry.names import Ref


async def run(context: Context, intent: Intent) -> Commit:
    named = "/" in intent.target
    rules = versions.meant(intent)[0] if named else game(intent.target)

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        if named:
            new = versions.standing(tx, "promote", versions.meant(intent)[1])
        else:
            found = models.holder(tx, rules.name, "challenger")
            if found is None:
                raise Refused(f"There is no challenger of {rules.title} to promote.")
            new = found
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
        about = versions.target(rules.name, Ref(new.name, new.version))
        intents.expire_proposal(tx, "retire", about, f"{new.forecaster} is champion by now", cause)
        logger.bind(action="promote", game=rules.name).info("{name} {version} is the champion", **promoted)
        return promoted

    return commit


ACTION = Action("promote", CORE, run)


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
