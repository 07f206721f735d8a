"""Gather what is journaled about models and other forecasters, so that they can be seen side by side."""

from collections.abc import Sequence

from helios_agent.clock import iso
from helios_agent.errors import NotFound, Refused
from helios_agent.forecasting import ensemble
from helios_agent.forecasting.mixture import SWITCHING, UNIFORM
from helios_agent.journal import forecasts, models, trainings
from helios_agent.journal.models import Model
from helios_agent.lottery.games import Game
from helios_agent.metacognition.analytics import Facts, Gains
from helios_agent.store import Reader


async def facts(store: Reader, found: Sequence[Model]) -> list[Facts]:
    """Return what is journaled about each of some models."""
    jobs = [model.job for model in found if model.job is not None]
    epochs, summaries = await trainings.epochs(store, jobs), await trainings.summaries(store, jobs)
    spent = await trainings.cpu_seconds(store, jobs)
    gains: dict[str, dict[str, float]] = {}
    for game, era in dict.fromkeys((model.game, model.era) for model in found):
        named = [model.forecaster for model in found if (model.game, model.era) == (game, era)]
        gains |= await forecasts.gains(store, game, era, named)
    return [
        Facts(
            model=model.forecaster,
            game=model.game,
            era=model.era,
            role=model.role,
            ordinal=model.ordinal,
            trained_at=iso(model.trained_us),
            trained_on_draws=model.draws,
            epochs=epochs.get(model.job or "", []),
            summary=summaries.get(model.job or ""),
            cpu_seconds=spent.get(model.job or ""),
            gains=gains.get(model.forecaster, {}),
        )
        for model in found
    ]


async def newest_era(store: Reader, rules: Game) -> str | None:
    """Return the newest era of a game with a scored draw, None if there is none."""
    rows = await store.rows("SELECT era FROM score WHERE game = ? ORDER BY day DESC LIMIT 1", (rules.name,))
    return str(rows[0]["era"]) if rows else None


async def accounts(store: Reader, rules: Game, names: Sequence[str]) -> dict[str, Gains]:
    """Return the gains of the forecasters that are named, in that order: models, and experts of their era.

    A model is named by its version or name@version, and says which game and era are meant; without one it is
    the game's newest era. Raises Refused for one named twice, or where they do not forecast the same game
    under the same rules; NotFound for a name that nobody has.
    """
    versions = {name: await _version(store, name) for name in names}
    found = [model for model in versions.values() if model is not None]
    if len({(model.game, model.era) for model in found}) > 1:
        told = ", ".join(f"{model.forecaster} ({model.game}, {model.era})" for model in found)
        raise Refused(f"models are of different games or rules, and forecast no draw in common: {told}")
    game, era = rules.name, await newest_era(store, rules)
    if found:
        game, era = found[0].game, found[0].era
    meant = [model.forecaster if model else name for name, model in versions.items()]
    if len({*meant}) < len(names):
        raise Refused(f"models name one of them twice: {', '.join(names)}; expected different ones")
    gains = await forecasts.gains(store, game, era, meant) if era else {}
    unknown = [name for name, model in versions.items() if model is None and name not in gains]
    if unknown:
        raise NotFound(
            f"models name {unknown[0]!r}; expected a version, name@version, or a forecaster that stands in"
            f" the ledger of {game}, such as {UNIFORM}"
        )
    return {name: gains.get(name, {}) for name in meant}


async def _version(store: Reader, name: str) -> Model | None:
    try:
        found = await models.named(store, name)
    except NotFound:
        return None
    if len(found) > 1:
        raise Refused(
            f"models name {name!r}, which has {len(found)} versions; expected name@version, such as "
            f"{found[-1].forecaster}"
        )
    return found[0]


async def of_last_draw(store: Reader, rules: Game) -> list[str]:
    """Return the forecasters that forecast the last scored draw, but for uniform and those made of others."""
    rows = await store.rows(
        "SELECT forecaster FROM ledger WHERE game = ?1 AND day = (SELECT max(day) FROM score WHERE game = ?1)"
        " AND forecaster NOT IN (?2, ?3) ORDER BY forecaster",
        (rules.name, UNIFORM, SWITCHING),
    )
    return [row["forecaster"] for row in rows]


def check_members(names: Sequence[str]) -> None:
    """Raise Refused unless an ensemble of these can be built."""
    if not 2 <= len(names) <= ensemble.MOST_MEMBERS:
        raise Refused(f"models name {len(names)}; expected 2 to {ensemble.MOST_MEMBERS}")
