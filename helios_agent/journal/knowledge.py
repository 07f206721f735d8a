"""What was learned and is not forgotten, as the journal holds it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helios_agent.journal import chain
from helios_agent.journal.journal import Transaction
from helios_agent.store import Reader, Row


@dataclass(frozen=True, slots=True)
class StoredFragment:
    """A fragment of knowledge: see `metacognition.knowledge`. `uses` are the decisions that it bore on."""

    id: str
    game: str
    kind: str
    subject: str
    content: str
    relevance: float
    evidence: Mapping[str, Any]
    uses: int
    learned_us: int
    used_us: int | None
    seq: int

    @classmethod
    def from_row(cls, row: Row) -> "StoredFragment":
        return cls(**{**dict(row), "evidence": json.loads(row["evidence"])})


async def stored(
    store: Reader, game: str | None = None, kind: str | None = None, text: str | None = None
) -> list[StoredFragment]:
    """Return what is known, learned last first; only of a game, of a kind, or with this text in it."""
    rows = await store.rows(
        "SELECT * FROM knowledge WHERE (?1 IS NULL OR game = ?1) AND (?2 IS NULL OR kind = ?2)"
        " AND (?3 IS NULL OR instr(lower(subject || ' ' || content), lower(?3))) ORDER BY seq DESC",
        (game, kind, text),
    )
    return [StoredFragment.from_row(row) for row in rows]


def every(tx: Transaction) -> list[StoredFragment]:
    """Return all that is known, in the order in which it was learned."""
    return [StoredFragment.from_row(row) for row in tx.rows("SELECT * FROM knowledge ORDER BY seq")]


def of(tx: Transaction, game: str, kind: str, subject: str) -> StoredFragment | None:
    """Return what is known of a subject, None if nothing is."""
    rows = tx.rows(
        "SELECT * FROM knowledge WHERE game = ? AND kind = ? AND subject = ?", (game, kind, subject)
    )
    return StoredFragment.from_row(rows[0]) if rows else None


def learn(tx: Transaction, game: str, lesson: Mapping[str, Any], cause: int) -> None:
    """Journal a lesson (`kind`, `subject`, `content`, `relevance`, `evidence`) about a game."""
    text = chain.canonical([game, lesson["kind"], lesson["subject"]])
    fragment_id = hashlib.sha256(text.encode()).hexdigest()[:16]
    tx.append("knowledge.learned", {"id": fragment_id, "game": game, **lesson}, cause)


def forget(tx: Transaction, fragment_id: str, reason: str, cause: int) -> None:
    """Journal that a fragment is forgotten, and why."""
    tx.append("knowledge.forgotten", {"id": fragment_id, "reason": reason}, cause)
