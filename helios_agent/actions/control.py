"""Ask something of an intent: to pause, go on, stop, try again, or come before others."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

from helios_agent.actions.action import WORK
from helios_agent.actions.runner import ACTIONS
from helios_agent.errors import Refused
from helios_agent.journal import intents
from helios_agent.journal.journal import Transaction

Request = Literal["pause", "resume", "stop", "retry", "priority"]


def ask(tx: Transaction, intent_id: str, request: Request, by: str, priority: int = 0) -> str:
    """Ask something of an intent on behalf of a person; return the id of the intent that answers to it now.

    It is another one where what has ended is tried again. Only the request for a priority needs one. Raises
    NotFound, and Refused where the intent's state or its action does not allow it.
    """
    intent = intents.known(tx, intent_id)
    action = ACTIONS[intent.action]
    if request == "pause" and not action.pausable:
        able = ", ".join(sorted(a.name for a in ACTIONS.values() if a.pausable))
        raise Refused(f"{intent.action} {intent.id} cannot be paused: only {able} can go on later.")
    if request == "stop" and intent.state == "running" and action.lane != WORK:
        raise Refused(
            f"{intent.action} {intent.id} is running: of what runs only long computations can be stopped."
        )
    args = {"priority": priority} if request == "priority" else {}
    asked = {"action": request, "target": intent.id, "args": args, "by": by}
    cause = tx.append("action.requested", asked).seq
    if request == "retry":
        return intents.again(tx, intent.id, cause)
    effects: Mapping[Request, Callable[[Transaction, str, int], None]] = {
        "pause": intents.pause,
        "resume": intents.resume,
        "stop": intents.stop,
        "priority": partial(intents.prioritise, priority=priority),
    }
    effects[request](tx, intent.id, cause)
    return intent.id
