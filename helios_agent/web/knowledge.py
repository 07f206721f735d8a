"""What the API and the command line show of what was learned."""

from typing import Any, Literal, get_args

from helios_agent.clock import iso
from helios_agent.journal import knowledge
from helios_agent.store import Reader
from helios_agent.web import views

Kind = Literal["effect", "fairness", "leader", "feed", "cost"]


async def listed(store: Reader, game: str | None, kind: str | None, text: str | None) -> list[dict[str, Any]]:
    """Return what is known, what was learned last first, also of a game that is watched no more.

    Raises Refused or NotFound where there is no such kind or game.
    """
    known = views.one_of("kind", kind, get_args(Kind))
    found = await knowledge.stored(store, views.known_game(game), known, text)
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
        for fragment in found
    ]
