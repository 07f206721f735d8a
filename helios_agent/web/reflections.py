"""What the API and the command line show of reflections: those that were made, and those on one model."""

from typing import Any

from helios_agent.actions import side_by_side
from helios_agent.clock import iso
from helios_agent.journal import models, reflections
from helios_agent.metacognition import analytics, reflection
from helios_agent.store import Reader


async def listed(store: Reader, game: str, limit: int, before: int | None = None) -> list[dict[str, Any]]:
    """Return reflections, newest first."""
    found = await reflections.newest(store, game, limit, before)
    return [{"seq": event.seq, "at": iso(event.at_us), **event.payload} for event in found]


async def of_model(store: Reader, name: str) -> dict[str, Any]:
    """Return what is recorded of each version that is meant, and what was learned and decided of it."""
    found = await models.named(store, name)
    versions = []
    for model, facts in zip(found, await side_by_side.facts(store, found), strict=True):
        record = analytics.record(facts)
        learned = await reflections.knowledge_of(store, model)
        choices = await reflections.choices_about(store, model)
        versions.append(
            {
                **record,
                "learned": learned,
                "decisions": choices,
                "text": reflection.of_model(record, learned, choices),
            }
        )
    siblings = await models.of_era(store, found[-1].game, found[-1].era)
    records = [analytics.record(facts) for facts in await side_by_side.facts(store, siblings)]
    trends = analytics.trends(records, [*analytics.METRICS.values()])
    return {
        "model": name,
        "versions": versions,
        "trends": trends,
        "verdict": analytics.trend_verdict(trends),
    }
