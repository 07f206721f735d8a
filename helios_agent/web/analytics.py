"""What the API and the command line show of forecasters side by side."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from helios_agent.actions import side_by_side
from helios_agent.errors import Refused
from helios_agent.journal import forecasts, models
from helios_agent.lottery.games import Game
from helios_agent.metacognition import analytics
from helios_agent.metacognition.analytics import METRICS, TRENDED, Metric
from helios_agent.store import Reader


def metric(name: str) -> Metric:
    """Return a metric. Raises Refused for one that there is not."""
    if name not in METRICS:
        raise Refused(f"metric is {name!r}; expected one of: {', '.join(METRICS)}")
    return METRICS[name]


async def listed(store: Reader, rules: Game) -> dict[str, Any]:
    """Return every model of the newest rules of a game that have one, in the order in which they joined."""
    records = await side_by_side.of_newest_rules(store, rules)
    return {"game": rules.name, "models": records, "verdict": _known(rules, records)}


async def cross_model(store: Reader, rules: Game, ranked_by: str) -> dict[str, Any]:
    """Return the models of a game, ranked, with the trends from each to the next."""
    by = metric(ranked_by)
    records = await side_by_side.of_newest_rules(store, rules)
    found = await side_by_side.trends(records)
    return {
        "game": rules.name,
        "models": records,
        "ranking": ranking(records, by),
        "trends": found,
        "verdict": f"{_known(rules, records)} {analytics.trend_verdict(found)}" if records else _none(rules),
    }


def ranking(records: Sequence[Mapping[str, Any]], by: Metric) -> dict[str, Any]:
    """Return models in the order of a metric, and what that is."""
    return {
        "metric": by.name,
        "unit": by.unit,
        "definition": by.definition,
        "best": by.best,
        "order": analytics.rank(records, by),
    }


async def performance(store: Reader, name: str) -> dict[str, Any]:
    """Return the figures of every version that a name, a version or name@version means."""
    return {"model": name, "versions": await side_by_side.records(store, await models.named(store, name))}


async def trends(store: Reader, rules: Game, name: str | None) -> dict[str, Any]:
    """Return the trends of one metric, or of all that have one, from each model of a game to the next.

    Raises Refused for a metric that there is not, or of which equal models may show one.
    """
    if name and not metric(name).trend:
        known = ", ".join(each.name for each in TRENDED)
        raise Refused(f"metric is {name!r}, of which equal models may show a trend; expected one of: {known}")
    records = await side_by_side.of_newest_rules(store, rules)
    found = await side_by_side.trends(records, [metric(name)] if name else TRENDED)
    return {"game": rules.name, "trends": found, "verdict": analytics.trend_verdict(found)}


async def compared(store: Reader, rules: Game, names: Sequence[str], ranked_by: str) -> dict[str, Any]:
    """Return how forecasters compare on the draws that all of them forecast; models are ranked, too."""
    by = metric(ranked_by)
    if len(names) < 2:
        raise Refused(f"models name {len(names)}; expected two or more")
    accounts = await side_by_side.accounts(store, rules, names)
    found = [model for name in accounts if "@" in name for model in await models.named(store, name)]
    records = await side_by_side.records(store, found)
    made = await asyncio.to_thread(analytics.compare, accounts)
    return made | {"ranking": ranking(records, by)}


async def matrix(store: Reader, rules: Game, names: Sequence[str]) -> dict[str, Any]:
    """Return how the gains of forecasters go together: of those named, or of all of the newest era."""
    era = await side_by_side.newest_era(store, rules)
    if names:
        accounts = await side_by_side.accounts(store, rules, names)
    else:
        accounts = {**(await forecasts.gains(store, rules.name, era) if era else {})}
    found = await asyncio.to_thread(analytics.matrix, accounts)
    verdict = (
        None if any(accounts.values()) else f"No draw of {rules.title} that they forecast is scored yet."
    )
    return {"game": rules.name, **found, "fewest_draws": analytics.FEWEST_DRAWS, "verdict": verdict}


async def ensemble(store: Reader, rules: Game, names: Sequence[str]) -> dict[str, Any]:
    """Return an ensemble that was built and scored: of those named, or of the models that forecast last."""
    if not names:
        last = await side_by_side.of_last_draw(store, rules)
        names = [name for name in last if "@" in name]
        if len(names) < 2:
            count = "Only one model" if names else "No model"
            verdict = f"{count} forecast the last scored draw of {rules.title}; an ensemble needs two."
            others = f" Forecasters that can be named: {', '.join(last)}." if last else ""
            return {"members": names, "recommended": False, "verdict": verdict + others}
    side_by_side.check_members(names)
    accounts = await side_by_side.accounts(store, rules, names)
    return await asyncio.to_thread(analytics.recommend, accounts)


def _known(rules: Game, records: Sequence[Mapping[str, Any]]) -> str:
    if not records:
        return _none(rules)
    scored = sum(bool(record["live_draws"]) for record in records)
    count = "1 model" if len(records) == 1 else f"{len(records)} models"
    return (
        f"{rules.title} has {count} for the rules from {records[0]['era']}; {scored} forecast scored draws."
    )


def _none(rules: Game) -> str:
    return f"There is no model of {rules.title} yet."
