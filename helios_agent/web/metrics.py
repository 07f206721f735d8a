"""Metrics in Prometheus' text format, read from the journal's tables at each scrape."""

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from helios_agent.agent import Agent
from helios_agent.clock import SECOND_US
from helios_agent.metacognition.signals import SIGNALS
from helios_agent.web import views

__all__ = ["CONTENT_TYPE", "render"]


async def render(agent: Agent) -> bytes:
    """Return every metric as text."""
    seen = await views.overview(agent.store, agent.config, agent.journal.clock)
    registry = CollectorRegistry()

    def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"helios_{name}", text, labels, registry=registry)

    gauge("ready", "1 if the agent is ready, else 0.").set(agent.health().ready)
    up_s = (agent.journal.clock.mono_us() - agent.begun_mono_us) / SECOND_US
    gauge("up_seconds", "Time since this boot.").set(up_s)
    gauge("journal_events", "Events in the journal.").set(seen["journal"]["events"])
    gauge("open_incidents", "Incidents that are open.").set(len(seen["incidents"]))
    gauge("open_intents", "Intents that wait or run.").set(len(seen["under_way"]))
    webhooks = gauge("webhook_messages", "Webhook messages by state.", ("state",))
    for state, count in seen["webhooks"].items():
        webhooks.labels(state).set(count)

    draws = gauge("draws", "Draws stored.", ("game",))
    failures = gauge("feed_failures", "Failures of a feed since it last answered.", ("game", "source"))
    measured = {
        s.name: gauge(f"signal_{s.name}", f"{s.definition} Unit: {s.unit}.", ("game",)) for s in SIGNALS
    }
    for game in seen["games"]:
        draws.labels(game["game"]).set(game["draws"])
        for feed in game["feeds"]:
            failures.labels(game["game"], feed["source"]).set(feed["failures"])
        for name, value in (game["assessment"] or {"signals": {}})["signals"].items():
            if value is not None and name in measured:
                measured[name].labels(game["game"]).set(value)
    return generate_latest(registry)
