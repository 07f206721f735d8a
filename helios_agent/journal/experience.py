"""What lessons are drawn from: outcomes, costs, delays and standings of a game, as far as they are new.

Each function looks for facts after the event `since`, and returns all that bears on what they are about. So
nothing is learned again, of what was forgotten, without a new fact.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from helios_agent.journal.journal import Transaction

NEWEST = 50
"""How many of the newest facts a quantile is taken of, and are named as evidence."""
# What a decision chose is known by the name that decisions have for it; the target may name an era, too.
_SPENT = (
    "SELECT coalesce(choice.action, spending.action) AS action, spending.seq, spending.cpu_seconds"
    " FROM spending LEFT JOIN choice ON choice.id = spending.job"
    " WHERE spending.target = ?1 OR spending.target LIKE ?1 || '/%'"
)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How often an action was a success in a context; `decisions` are the newest that chose it, by seq."""

    action: str
    context: str
    wins: int
    losses: int
    decisions: Sequence[int]


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor time of the newest attempts at an action, seconds, and the events that tell of them."""

    action: str
    cpu_seconds: Sequence[float]
    seqs: Sequence[int]


@dataclass(frozen=True, slots=True)
class Told:
    """Draws that a feed was the first to tell of: the day, when it was stored, and the event."""

    source: str
    days: Sequence[str]
    stored_us: Sequence[int]
    seqs: Sequence[int]


@dataclass(frozen=True, slots=True)
class Account:
    """The scored draws of a game's newest era, and where each forecaster stood at the last of them.

    standings: weight in the mixture, and gain over uniform in nats, by forecaster.
    """

    era: str
    first_day: str
    last_day: str
    seqs: tuple[int, int]
    standings: dict[str, tuple[float, float]]


def last_assessment(tx: Transaction, game: str, before: int) -> int:
    """Return the seq of the last assessment of a game before an event, 0 if there is none."""
    rows = tx.rows(
        "SELECT seq FROM event WHERE kind = 'assessment.completed' AND seq < ? AND payload->>'game' = ?"
        " ORDER BY seq DESC LIMIT 1",
        (before, game),
    )
    return int(rows[0]["seq"]) if rows else 0


def outcomes(tx: Transaction, game: str, since: int) -> list[Outcomes]:
    """Return the outcomes of each action and context of which another was measured."""
    fresh = tx.rows(
        "SELECT DISTINCT choice.action, choice.context FROM event"
        " JOIN choice ON choice.id = event.payload->>'id'"
        " WHERE event.kind = 'decision.measured' AND event.seq > ? AND choice.game = ? ORDER BY 1, 2",
        (since, game),
    )
    found = []
    for row in fresh:
        rows = tx.rows(
            "SELECT success, decision FROM choice WHERE game = ? AND action = ? AND context = ?"
            " AND success IS NOT NULL ORDER BY decision",
            (game, row["action"], row["context"]),
        )
        wins = sum(outcome["success"] for outcome in rows)
        decisions = [outcome["decision"] for outcome in rows[-NEWEST:]]
        found.append(Outcomes(row["action"], row["context"], wins, len(rows) - wins, decisions))
    return found


def spent(tx: Transaction, game: str, since: int) -> list[Spent]:
    """Return the costs of each action that has spent more."""
    fresh = tx.rows(
        f"SELECT DISTINCT action FROM ({_SPENT}) WHERE seq > ?2 ORDER BY action",  # noqa: S608
        (game, since),
    )
    found = []
    for row in fresh:
        rows = tx.rows(
            f"SELECT * FROM ({_SPENT}) WHERE action = ?2 ORDER BY seq DESC LIMIT ?3",  # noqa: S608
            (game, row["action"], NEWEST),
        )
        seconds, seqs = [r["cpu_seconds"] for r in rows], [r["seq"] for r in rows]
        found.append(Spent(row["action"], seconds[::-1], seqs[::-1]))
    return found


def told(tx: Transaction, game: str, since: int) -> list[Told]:
    """Return the newest draws of each feed that has told of another one."""
    fresh = tx.rows(
        "SELECT DISTINCT payload->>'source' AS source FROM event"
        " WHERE kind = 'draw.ingested' AND seq > ? AND payload->>'game' = ? ORDER BY source",
        (since, game),
    )
    found = []
    for row in fresh:
        rows = tx.rows(
            "SELECT draw.day, draw.seq, event.at_us FROM draw JOIN event ON event.seq = draw.seq"
            " WHERE draw.game = ? AND draw.source = ? ORDER BY draw.day DESC LIMIT ?",
            (game, row["source"], 2 * NEWEST),
        )
        days, seqs, stored_us = ([r[name] for r in reversed(rows)] for name in ("day", "seq", "at_us"))
        found.append(Told(row["source"], days, stored_us, seqs))
    return found


def account(tx: Transaction, game: str, since: int) -> Account | None:
    """Return the account of the newest era, None where no draw was scored."""
    rows = tx.rows("SELECT era, day, seq FROM score WHERE game = ? ORDER BY day DESC LIMIT 1", (game,))
    if not rows or rows[0]["seq"] <= since:
        return None
    newest = rows[0]
    (first,) = tx.rows(
        "SELECT min(day) AS day, min(seq) AS seq FROM score WHERE game = ? AND era = ?",
        (game, newest["era"]),
    )
    standings = tx.rows(
        "SELECT forecaster, weight, cumulative_nats FROM ledger WHERE game = ? AND day = ?",
        (game, newest["day"]),
    )
    return Account(
        newest["era"], first["day"], newest["day"], (first["seq"], newest["seq"]),
        {row["forecaster"]: (row["weight"], row["cumulative_nats"]) for row in standings},
    )  # fmt: skip
