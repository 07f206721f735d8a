"""Knowledge: drawn from new facts by assessments, called to mind by decisions, forgotten by compaction."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from datetime import date

from loguru import logger

from helios_agent.clock import to_us
from helios_agent.config import Config
from helios_agent.journal import experience
from helios_agent.journal import knowledge as stored
from helios_agent.journal.experience import Account, Told
from helios_agent.journal.journal import Transaction
from helios_agent.journal.knowledge import StoredFragment
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Game
from helios_agent.metacognition import knowledge
from helios_agent.metacognition.knowledge import Fragment, Lesson

HOUR_US = 3_600_000_000
DAYS_PER_YEAR = 365.25


def learn(
    tx: Transaction, config: Config, rules: Game, signals: Mapping[str, float | None], cause: int
) -> None:
    """Journal what a game's facts since its last assessment teach; `cause` is the seq of the present one."""
    since = experience.last_assessment(tx, rules.name, cause)
    for lesson in _lessons(tx, config, rules, signals, since):
        known = stored.of(tx, rules.name, lesson.kind, lesson.subject)
        if knowledge.is_news(lesson, None if known is None else _of(known)):
            stored.learn(tx, rules.name, asdict(lesson), cause)
            logger.bind(action="assess", game=rules.name).info("learned: {}", lesson.content)


def for_decision(tx: Transaction, game: str, context: str, actions: Iterable[str]) -> list[Fragment]:
    """Return what is known that bears on a decision: see `knowledge.priors` and `knowledge.costs`."""
    return knowledge.bearing(map(_of, stored.every(tx)), game, context, actions)


def forget(tx: Transaction, cause: int) -> int:
    """Journal that what has been of no use for long is forgotten; return how much it is."""
    found = knowledge.forgettable(map(_of, stored.every(tx)), tx.now_us())
    for fragment_id, reason in found:
        stored.forget(tx, fragment_id, reason, cause)
    return len(found)


def _lessons(
    tx: Transaction, config: Config, rules: Game, signals: Mapping[str, float | None], since: int
) -> list[Lesson]:
    drawn = [
        knowledge.effect(found.action, found.context, found.wins, found.losses, found.decisions)
        for found in experience.outcomes(tx, rules.name, since)
    ]
    drawn += [
        knowledge.cost(found.action, found.cpu_seconds, found.seqs)
        for found in experience.spent(tx, rules.name, since)
    ]
    drawn += [_feed(rules, found) for found in experience.told(tx, rules.name, since)]
    account = experience.account(tx, rules.name, since)
    if account is not None:
        drawn += [_fairness(config, signals, account), _leader(tx, rules, account)]
    return [lesson for lesson in drawn if lesson is not None]


def _feed(rules: Game, told: Told) -> Lesson | None:
    delays, seqs = [], []
    for day, stored_us, seq in zip(told.days, told.stored_us, told.seqs, strict=True):
        held = calendar.draw_instant(rules, date.fromisoformat(day))
        following = calendar.draw_instant(rules, calendar.next_draw_day(rules, held))
        # What was stored after the next draw was held tells of an absence, of the feed or of Helios.
        if to_us(held) <= stored_us < to_us(following):
            delays.append((stored_us - to_us(held)) / HOUR_US)
            seqs.append(seq)
    return knowledge.feed(told.source, delays[-experience.NEWEST :], seqs[-experience.NEWEST :])


def _fairness(config: Config, signals: Mapping[str, float | None], account: Account) -> Lesson | None:
    span = date.fromisoformat(account.last_day) - date.fromisoformat(account.first_day)
    lesson = knowledge.fairness(
        account.era, signals, int(span.days // DAYS_PER_YEAR), config.decisions.alarm_level
    )
    return None if lesson is None else replace(lesson, evidence={**lesson.evidence, **_scores(account)})


def _leader(tx: Transaction, rules: Game, account: Account) -> Lesson | None:
    known = stored.of(tx, rules.name, "leader", account.era)
    before = known.evidence["forecaster"] if known else None
    lesson = knowledge.leader(account.era, account.last_day, account.standings, before)
    return None if lesson is None else replace(lesson, evidence={**lesson.evidence, **_scores(account)})


def _scores(account: Account) -> dict[str, list[int]]:
    """Return the first and the last event that the account rests on, as evidence."""
    return {"scores": list(account.seqs)}


def _of(fragment: StoredFragment) -> Fragment:
    lesson = Lesson(fragment.kind, fragment.subject, fragment.content, fragment.relevance, fragment.evidence)
    return Fragment(fragment.id, fragment.game, lesson, fragment.learned_us, fragment.used_us)
