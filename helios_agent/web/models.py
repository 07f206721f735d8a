"""What the API and the command line show of models, and which one is meant where one is named."""

import asyncio
from pathlib import Path
from typing import Any

from helios_agent.actions import versions
from helios_agent.config import Config
from helios_agent.errors import ArtefactInvalid, NotFound, Refused
from helios_agent.journal import forecasts, models
from helios_agent.journal.models import Model
from helios_agent.lottery import games
from helios_agent.registry import folders, names
from helios_agent.registry.names import Ref
from helios_agent.store import Reader
from helios_agent.web import views

HOLDERS = {"promote": ("challenger", "promote"), "rollback": ("champion", "roll back")}
"""Who is meant by these actions where a name alone is given, and what they do in words."""


async def listed(store: Reader, game: str | None, era: str | None, role: str | None) -> list[dict[str, Any]]:
    """Return the models that are as asked. Raises Refused, NotFound for a role, a game that there is not."""
    if game is not None:
        games.game(game)
    if role is not None and role not in models.ROLES:
        raise Refused(f"role is {role!r}; expected one of: {', '.join(models.ROLES)}")
    found = await models.every(store, game=game, era=era, role=role)
    return [views.model_record(model) for model in found]


async def info(store: Reader, config: Config, text: str) -> dict[str, Any]:
    """Return what there is to know of a model, with all its versions, or of one version."""
    named = names.name_or_ref(text)
    if isinstance(named, Ref):
        return await _version(store, config, await models.find(store, named.name, named.version))
    found = await models.every(store, name=named)
    if not found:
        raise NotFound(f"There is no model {named!r}.")
    return {"name": named, "versions": [views.model_record(model) for model in found]}


async def _version(store: Reader, config: Config, model: Model) -> dict[str, Any]:
    standings = await forecasts.standings(store, model.game, model.era)
    standing = next((s for s in standings if s.forecaster == model.forecaster), None)
    folder = folders.place(config.paths.models, Ref(model.name, model.version))
    before = await models.before(store, model)
    account = {"draws": standing.draws, "gain_nats": round(standing.gain_nats, 6)} if standing else None
    return {
        **views.model_record(model),
        "took_the_place_of": before.forecaster if before else None,
        "standing": account,
        "files": await asyncio.to_thread(_files, folder, model),
    }


def _files(folder: Path, model: Model) -> dict[str, Any] | None:
    """Return the card of a version and whether every byte of it is as it was, None where it was deleted."""
    if model.role == "deleted":
        return None
    try:
        card = folders.verify(folder, model.version)
    except ArtefactInvalid as error:
        return {"sound": False, "fault": str(error), "card": None}
    return {"sound": True, "fault": None, "card": card.model_dump()}


async def meant(store: Reader, config: Config, action: str, text: str, game: str | None) -> Model:
    """Return the version that an action is to be about; a name alone means the one in the right role.

    Raises Refused or NotFound where there is none, it is not for the action, or its game is not watched.
    """
    named = names.name_or_ref(text)
    if isinstance(named, Ref):
        model = await models.find(store, named.name, named.version)
    elif action in HOLDERS:
        rules = views.chosen_game(config, game)
        role, verb = HOLDERS[action]
        found = await models.every(store, game=rules.name, role=role, name=named)
        if not found:
            raise NotFound(f"There is no {role} of {rules.title} to {verb}.")
        model = found[0]
    else:
        raise Refused(f"model is {text!r}; {action} needs name@version, such as powerballnet@17e1c993042e")
    if game not in (None, model.game):
        raise Refused(f"game is {game!r}; {model.forecaster} is of {model.game}")
    views.chosen_game(config, model.game)
    versions.check(action, model)
    return model


async def kept(store: Reader, text: str) -> Ref:
    """Return the version that `name@version` means. Raises NotFound where there is none or it was deleted."""
    version = names.ref(text)
    model = await models.find(store, version.name, version.version)
    if model.role == "deleted":
        raise NotFound(f"{version} was deleted: its files are gone.")
    return version


def confirmed(model: Model, confirmation: str | None) -> None:
    """Raise Refused unless whoever wants to delete a version repeats its name in full."""
    if confirmation != model.forecaster:
        raise Refused(
            f"confirm is {confirmation!r}; expected {model.forecaster!r}: what is deleted does not come back"
        )


def target(model: Model) -> str:
    """Return the target of an action on a version."""
    return versions.target(model.game, Ref(model.name, model.version))
