"""Adjust: change a setting of a game by a factor of what is configured, within bounds.

The configuration stays as it is, and a change of it is multiplied by the same factor.
"""

from collections.abc import Mapping
from typing import Any

from loguru import logger

from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.errors import Refused
from helios_agent.journal import parameters
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery.games import game


async def run(context: Context, intent: Intent) -> Commit:
    of_game, _, name = intent.target.partition("/")
    rules = game(of_game)
    factor = parameters.check(name, intent.args.get("factor"))
    reason = intent.args.get("reason")
    if not isinstance(reason, str) or not reason:
        raise Refused(f"reason is {reason!r}; expected why {name} is to be changed")

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        before = parameters.factors(tx, rules.name).get(name, 1.0)
        if factor != before:
            changed = {"game": rules.name, "name": name, "factor": factor, "before": before, "reason": reason}
            tx.append("parameter.adjusted", changed, cause)
        return {"factor": factor, "before": before}

    logger.bind(action="adjust", game=rules.name).info("{} times {:g}: {}", name, factor, reason)
    return commit


ACTION = Action("adjust", CORE, run)
