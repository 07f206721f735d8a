"""What the API and the command line show of what was learned."""

from typing import Any

from helios_agent.clock import iso
from helios_agent.config import Config
from helios_agent.journal import events, knowledge, retention
from helios_agent.store import Reader


async def listed(store: Reader, game: str | None, kind: str | None, text: str | None) -> list[dict[str, Any]]:
    """Return what is known, what was learned last first."""
    return [
        {
            "id": fragment.id,
            "game": fragment.game,
            "kind": fragment.kind,
            "subject": fragment.subject,
            "content": fragment.content,
            "relevance": fragment.relevance,
            "evidence": fragment.evidence,
            "uses": fragment.uses,
            "learned_at": iso(fragment.learned_us),
            "used_at": None if fragment.used_us is None else iso(fragment.used_us),
            "seq": fragment.seq,
        }
        for fragment in await knowledge.stored(store, game, kind, text)
    ]


async def stats(store: Reader, config: Config) -> dict[str, Any]:
    """Return how much the agent remembers: events, archives, bytes of the database, and what was learned."""
    oldest, head = await events.oldest(store), await events.head(store)
    [sealed] = await store.rows("SELECT count(*) AS n, max(upto) AS upto FROM seal")
    learned = await store.rows(
        "SELECT kind, count(*) AS fragments, sum(uses) AS uses FROM knowledge GROUP BY kind ORDER BY kind"
    )
    return {
        "events": {"first": oldest.seq if oldest else None, "last": head.seq},
        "archives": {"files": sealed["n"], "upto": sealed["upto"]},
        "used_bytes": await retention.used(store),
        "allowed_bytes": config.retention.size,
        "knowledge": [dict(row) for row in learned],
    }
