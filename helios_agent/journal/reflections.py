"""What happened between two events of the journal, and what was said of it then."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helios_agent.clock import iso
from helios_agent.journal.journal import Event
from helios_agent.journal.models import Model
from helios_agent.store import Reader, Row

ALARMS = ("evidence", "change")
"""What of a game an alert is about when it says that its machine is not fair, or has changed."""


@dataclass(frozen=True, slots=True)
class Span:
    """The events of a game after one (exclusive, 0 for the journal's first) and up to another."""

    game: str
    after: int
    upto: int


async def newest(store: Reader, game: str, limit: int, before: int | None = None) -> list[Event]:
    """Return reflections, newest first."""
    rows = await store.rows(
        "SELECT seq, at_us, boot, kind, cause, payload, hash FROM event WHERE kind = 'reflection.completed'"
        " AND payload->>'game' = ?1 AND (?2 IS NULL OR seq < ?2) ORDER BY seq DESC LIMIT ?3",
        (game, before, limit),
    )
    return [Event.from_row(row) for row in rows]


async def alarms(store: Reader, span: Span) -> list[dict[str, Any]]:
    """Return the alarms about a game's machine, each with where the evidence stood when it was raised."""
    rows = await store.rows(
        "SELECT e.seq, e.at_us, e.payload->>'about' AS about, e.payload->>'message' AS message,"
        " l.mixture_nats AS evidence_nats, l.peak_nats,"
        " (SELECT count(*) FROM score s WHERE s.game = ?1 AND s.era = l.era AND s.seq < e.seq)"
        " AS draws_scored FROM event e LEFT JOIN score l ON l.game = ?1 AND l.day ="
        " (SELECT max(day) FROM score WHERE game = ?1 AND seq < e.seq)"
        " WHERE e.kind = 'alert.raised' AND e.seq > ?2 AND e.seq <= ?3"
        " AND e.payload->>'about' IN (SELECT value FROM json_each(?4)) ORDER BY e.seq",
        (span.game, span.after, span.upto, json.dumps([f"{span.game}/{what}" for what in ALARMS])),
    )
    return [_told(row) for row in rows]


def _told(row: Row) -> dict[str, Any]:
    known = dict(row)
    return {"at": iso(known.pop("at_us")), **known}


async def scored(store: Reader, span: Span) -> dict[str, Any]:
    """Return how many draws were scored, from which day to which, and what the mixture gained, in nats."""
    rows = await store.rows(
        "SELECT count(*) AS scored, coalesce(sum(basis = 'registered'), 0) AS registered,"
        " sum(mixture_gain) AS gain_nats, min(day) AS 'from', max(day) AS 'to'"
        " FROM score WHERE game = ? AND seq > ? AND seq <= ?",
        (span.game, span.after, span.upto),
    )
    return dict(rows[0])


async def account_since(store: Reader, span: Span, era: str, forecaster: str) -> dict[str, Any]:
    """Return what a forecaster gained over uniform in an era, and how much of that in the span."""
    rows = await store.rows(
        "SELECT count(*) AS draws, sum(l.gain_nats) AS gain_nats,"
        " sum(CASE WHEN s.seq > ?4 THEN l.gain_nats END) AS gain_since_nats"
        " FROM ledger l JOIN score s USING (game, day)"
        " WHERE l.game = ?1 AND s.era = ?2 AND l.forecaster = ?3 AND s.seq <= ?5",
        (span.game, era, forecaster, span.after, span.upto),
    )
    return dict(rows[0])


async def role_changes(store: Reader, span: Span) -> list[dict[str, Any]]:
    """Return which models were promoted, rolled back or retired, by whom, and what their trial had shown."""
    rows = await store.rows(
        "SELECT seq, at_us, kind, payload->>'name' || '@' || (payload->>'version') AS model,"
        " coalesce(payload->>'in_place_of', payload->>'back_to') AS other, payload->>'by' AS by,"
        " payload->>'$.trial.draws' AS trial_draws, payload->>'$.trial.peak_nats' AS trial_nats FROM event"
        " WHERE kind IN ('model.promoted', 'model.rolled-back', 'model.retired') AND payload->>'game' = ?"
        " AND seq > ? AND seq <= ? ORDER BY seq",
        (span.game, span.after, span.upto),
    )
    return [_told(row) for row in rows]


async def trained(store: Reader, span: Span) -> list[Model]:
    """Return the models that joined, in that order."""
    rows = await store.rows(
        "SELECT * FROM model WHERE game = ? AND seq > ? AND seq <= ? ORDER BY seq",
        (span.game, span.after, span.upto),
    )
    return [Model.from_row(row) for row in rows]


async def failed_trainings(store: Reader, span: Span) -> int:
    """Return how many trainings and searches were given up."""
    rows = await store.rows(
        "SELECT count(*) AS n FROM event e JOIN intent i ON i.id = e.payload->>'id'"
        " WHERE e.kind IN ('intent.failed', 'intent.dead') AND i.action IN ('train', 'tune') AND i.target = ?"
        " AND e.seq > ? AND e.seq <= ?",
        (span.game, span.after, span.upto),
    )
    return int(rows[0]["n"])


async def learned(store: Reader, span: Span) -> list[dict[str, Any]]:
    """Return the knowledge that is new, or was learned again, and is not forgotten since."""
    rows = await store.rows(
        "SELECT id, kind, subject, content, relevance FROM knowledge WHERE game = ? AND seq > ? AND seq <= ?"
        " ORDER BY relevance DESC, id",
        (span.game, span.after, span.upto),
    )
    return [dict(row) for row in rows]


async def knowledge_of(store: Reader, model: Model) -> list[dict[str, Any]]:
    """Return the knowledge that names a version."""
    rows = await store.rows(
        "SELECT id, kind, subject, content, relevance FROM knowledge WHERE game = ?1"
        " AND instr(subject || ' ' || content || ' ' || evidence, ?2) ORDER BY relevance DESC, id",
        (model.game, model.version),
    )
    return [dict(row) for row in rows]


async def decisions(store: Reader, span: Span) -> dict[str, Any]:
    """Return how often it was decided, and for each action what was chosen, measured, worth it and spent.

    CPU seconds are those of the chosen jobs, spent in the span; regret: what waiting would have scored more;
    worth it: without any.
    """
    made = await store.rows(
        "SELECT count(*) AS n FROM event WHERE kind = 'decision.made' AND payload->>'game' = ?"
        " AND seq > ? AND seq <= ?",
        (span.game, span.after, span.upto),
    )
    rows = await store.rows(
        "WITH measured AS (SELECT payload->>'id' AS id, payload->>'regret' AS regret FROM event"
        " WHERE kind = 'decision.measured' AND payload->>'game' = ?1 AND seq > ?2 AND seq <= ?3),"
        " spent AS (SELECT job, sum(cpu_seconds) AS seconds FROM spending"
        " WHERE seq > ?2 AND seq <= ?3 GROUP BY job)"
        " SELECT c.action, sum(c.decision > ?2 AND c.decision <= ?3) AS chosen, count(m.regret) AS measured,"
        " count(CASE WHEN m.regret = 0.0 THEN 1 END) AS worth_it, sum(coalesce(s.seconds, 0)) AS cpu_seconds,"
        " sum(m.regret) AS regret FROM choice c"
        " LEFT JOIN measured m ON m.id = c.id LEFT JOIN spent s ON s.job = c.id"
        " WHERE c.game = ?1"
        " AND (c.decision > ?2 AND c.decision <= ?3 OR m.id IS NOT NULL OR s.job IS NOT NULL)"
        " GROUP BY c.action ORDER BY c.action",
        (span.game, span.after, span.upto),
    )
    return {"made": made[0]["n"], "actions": [dict(row) for row in rows]}


async def choices_about(store: Reader, model: Model) -> list[dict[str, Any]]:
    """Return what decisions did about a version, and what came of it: it was trained, promoted, retired, …"""
    rows = await store.rows(
        "SELECT c.at_us, c.action, c.target, c.context, c.impact, c.unit, c.success, c.regret,"
        " c.measured_us IS NOT NULL AS is_measured FROM choice c"
        " LEFT JOIN intent i ON i.id = c.id WHERE c.id = ?1 OR instr(c.target, ?2)"
        " OR i.result->>'version' = ?2 ORDER BY c.at_us, c.id",
        (model.job, model.version),
    )
    return [_told(row) for row in rows]


async def spent(store: Reader, span: Span) -> dict[str, float]:
    """Return the CPU seconds of a game's jobs, by action."""
    rows = await store.rows(
        "SELECT action, sum(cpu_seconds) AS seconds FROM spending"
        " WHERE (target = ?1 OR target GLOB ?1 || '/*') AND seq > ?2 AND seq <= ?3"
        " GROUP BY action ORDER BY action",
        (span.game, span.after, span.upto),
    )
    return {row["action"]: float(row["seconds"]) for row in rows}


async def spent_between(store: Reader, game: str, from_us: int, to_us: int) -> float:
    """Return the CPU seconds of a game's jobs from one instant to before another."""
    rows = await store.rows(
        "SELECT coalesce(sum(cpu_seconds), 0.0) AS seconds FROM spending"
        " WHERE (target = ?1 OR target GLOB ?1 || '/*') AND at_us >= ?2 AND at_us < ?3",
        (game, from_us, to_us),
    )
    return float(rows[0]["seconds"])


async def patterns(store: Reader, span: Span) -> list[Mapping[str, Any]] | None:
    """Return the patterns that the last assessment found; None if it looked for none."""
    rows = await store.rows(
        "SELECT payload->'patterns' AS patterns FROM event WHERE kind = 'assessment.completed'"
        " AND payload->>'game' = ? AND seq <= ? ORDER BY seq DESC LIMIT 1",
        (span.game, span.upto),
    )
    found: list[Mapping[str, Any]] | None = json.loads(rows[0]["patterns"] or "null") if rows else None
    return found
