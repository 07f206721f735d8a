"""What the actions on one version of a model share: what it must be for them, and how one joins the mixture.

Their intents name it: the target is `game/name@version`.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loguru import logger

from helios_agent import files
from helios_agent.errors import NotFound, Refused
from helios_agent.forecasting import mixture
from helios_agent.journal import draws, intents, models
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.journal.models import Model
from helios_agent.lottery.games import Era, Game, game
from helios_agent.registry import folders, names
from helios_agent.registry.card import ModelCard
from helios_agent.registry.names import Ref

TAKES: Mapping[str, tuple[str, ...]] = {
    "promote": ("challenger",),
    "rollback": ("champion",),
    "retire": ("challenger", "champion"),
    "delete": ("retired",),
    "validate": ("challenger", "champion", "retired"),
}
"""In which roles a model must be for an action."""
DECISION = "decision"
"""Who asked, if no person did."""
ORPHANS = "models:orphans"


def target(game_name: str, version: Ref) -> str:
    """Return the target of an intent on one version."""
    return f"{game_name}/{version}"


def meant(intent: Intent) -> tuple[Game, Ref]:
    """Return what game and version an intent is about. Raises Refused, NotFound."""
    game_name, _, text = intent.target.partition("/")
    return game(game_name), names.ref(text)


def check(action: str, model: Model) -> None:
    """Raise Refused where a model is not in a role that an action takes."""
    takes = TAKES[action]
    if model.role not in takes:
        raise Refused(f"{model.forecaster} is {model.role}; {action} is for one that is {' or '.join(takes)}")


def standing(tx: Transaction, action: str, version: Ref) -> Model:
    """Return the model as it stands in this transaction. Raises NotFound, or Refused as `check`."""
    model = models.found(tx, version.name, version.version)
    if model is None:
        raise NotFound(f"There is no model {version}.")
    check(action, model)
    return model


def asked_by(tx: Transaction, intent: Intent) -> str:
    """Return who asked for an intent: `http` or `cli` for a person, or `decision`."""
    rows = tx.rows(
        "SELECT why.payload->>'by' AS asker FROM event AS made JOIN event AS why ON why.seq = made.cause"
        " WHERE made.seq = ? AND why.kind = 'action.requested'",
        (intent.seq,),
    )
    return str(rows[0]["asker"]) if rows else DECISION


def told(model: Model) -> dict[str, Any]:
    """Return what every event on a version says of it."""
    return {"game": model.game, "era": model.era, "name": model.name, "version": model.version}


def fits(card: ModelCard, rules: Game, era: Era) -> None:
    """Raise Refused where a network is not one of these rules, naming the field and what was expected."""
    for field, given, expected in (
        ("game", card.game, rules.name),
        ("era", card.era, era.name),
        ("white", card.white, era.white),
        ("bonus", card.bonus, era.bonus),
        ("pick", card.pick, era.pick),
    ):
        if given != expected:
            raise Refused(
                f"model.json: {field} is {given!r}; expected {expected!r}, by the rules of {rules.title}"
                f" from {era.name}"
            )


def join(tx: Transaction, kind: str, version: Ref, facts: Mapping[str, Any], cause: int) -> bool:
    """Make a version the challenger, and journal that as `kind`; return False where it stands already.

    `facts` are `game`, `era` and what else is known of it. One that was deleted keeps the ordinal, and so the
    place in the mixture, that it had. One that forecasts is asked for a forecast: its files may have been
    damaged until now.
    """
    known = models.found(tx, version.name, version.version)
    if known is not None and known.role != "deleted":
        if known.role in models.ACTIVE:
            intents.request(tx, "forecast", known.game, {}, cause)
        return False
    ordinal = known.ordinal if known else models.ordinal(tx, facts["game"], facts["era"])
    retired = models.holder(tx, facts["game"], "challenger")
    if retired is not None:
        leave(tx, retired, cause)
    named = {"name": version.name, "version": version.version}
    prior = mixture.newcomer_prior(ordinal)
    tx.append(kind, {**named, **facts, "ordinal": ordinal, "prior": prior}, cause)
    return True


def leave(tx: Transaction, model: Model, cause: int) -> None:
    """Forget what was wrong with a model that forecasts no more."""
    draws.close_incident(tx, f"model:{model.game}:{model.forecaster}", cause)


async def sweep(journal: Journal, folder: Path) -> None:
    """At a start, end what deletions and imports left undone, and tell of folders that nobody knows.

    Removed is only what is known to be ours: versions that were deleted, and files brought in that no intent
    asks for any more. Versions without a row are left where they are, and are an incident.
    """
    rows = await journal.store.rows("SELECT name, version, role FROM model")
    roles = {f"{row['name']}@{row['version']}": row["role"] for row in rows}
    unfinished = await intents.open_ones(journal.store)
    asked = [intent for intent in unfinished if intent.action in ("train", "tune", "import")]
    wanted = {intent.target.rpartition("/")[2] for intent in asked if intent.action == "import"}
    try:
        unknown = await asyncio.to_thread(_tidy, folder, roles, wanted)
    except OSError as error:
        logger.bind(action="start").error("{} cannot be tidied: {}", folder, error)
        return

    def note(tx: Transaction) -> None:
        if not unknown:
            draws.close_incident(tx, ORPHANS, None)
        elif not asked:  # else one of these may be about to be known
            message = (
                f"{folder} holds versions that the journal does not know: {', '.join(unknown)}. A person put"
                " them there, or a training that was cut off; they are not used. Remove their folders, or"
                " bring them in as files with `helios models import`."
            )
            draws.open_incident(tx, ORPHANS, "model-orphan", message, None)

    await journal.record(note)


def _tidy(folder: Path, roles: Mapping[str, str], wanted: set[str]) -> list[str]:
    """Remove what is ours and done with; return the versions that nobody knows."""
    for waiting in folders.waiting(folder):
        if waiting.name not in wanted:
            files.remove(waiting)
    unknown = []
    for version in folders.found(folder):
        role = roles.get(str(version))
        if role == "deleted":
            files.remove(folders.place(folder, version))
        elif role is None:
            unknown.append(str(version))
    return unknown
