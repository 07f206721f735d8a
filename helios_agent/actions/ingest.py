"""Ingest: ask every source for draws, store the new ones, report what cannot be believed."""

import asyncio
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from loguru import logger

from helios_agent.actions.action import CORE, Action, Commit, Context
from helios_agent.clock import from_us, iso
from helios_agent.config.model import Feed
from helios_agent.errors import FeedError, Refused
from helios_agent.feeds import local, packaged, simulated
from helios_agent.feeds.fetch import Source, Validators, fetch
from helios_agent.feeds.reconcile import Dispute, Reconciliation, Sighting, reconcile
from helios_agent.feeds.reports import FeedReport
from helios_agent.journal import draws, forecasts
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Transaction
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Game, game


@dataclass(frozen=True)
class _Reading:
    """What one feed answered."""

    report: FeedReport


@dataclass(frozen=True)
class _Failure:
    source: str
    error: str


async def run(context: Context, intent: Intent) -> Commit:
    rules = game(intent.target)
    if rules.name not in context.config.games:
        raise Refused(f"{rules.title} is not among the games that are watched.")
    last = await draws.newest(context.store, rules.name, 1)
    readings: list[_Reading] = []
    failures: list[_Failure] = []
    clock_was_wrong = any(i.key == f"clock:{rules.name}" for i in await draws.open_incidents(context.store))
    packaged_first = packaged.exist(rules) and (not last or clock_was_wrong)
    if packaged_first:
        # The packaged draws first and alone: nobody waits for the network to see them.
        reports = [await asyncio.to_thread(packaged.read, rules)]
    else:
        newest_stored = last[0].draw.day if last else rules.eras[0].start
        readings, failures = await _ask(context, rules, newest_stored)
        reports = [reading.report for reading in readings]
    told = [draw.day for report in reports for draw in report.draws]
    stored = await draws.stored(context.store, rules.name, since=min(told, default=date.max).isoformat())
    found = reconcile(
        {item.draw.day: item.draw for item in stored},
        {item.draw.day: item.source for item in stored},
        reports,
    )
    newest = max([item.draw.day for item in last] + [s.draw.day for s in found.new], default=None)
    now_us = context.clock.now_us()
    feeds = context.config.feeds_of(rules.name)
    held, unheld = _split_by_calendar(found, rules, now_us)
    states = await draws.feeds(context.store, rules.name)
    ask_feeds_now = bool(packaged_first and held and feeds)
    retry_s = 0.0 if ask_feeds_now else _retry_s(context, states, failures)
    next_day = calendar.next_draw_day(rules, from_us(now_us)).isoformat()
    next_registered = await forecasts.registered(context.store, rules.name, next_day) is not None

    def commit(tx: Transaction, cause: int) -> Mapping[str, Any]:
        for reading in readings:
            _record_reading(tx, cause, rules, reading, found, states)
        for failure in failures:
            tx.append(
                "feed.failed", {"game": rules.name, "source": failure.source, "error": failure.error}, cause
            )
            draws.open_incident(
                tx, f"feed:{rules.name}:{failure.source}", "feed-unreachable", failure.error, cause
            )
        _close_settled(tx, cause, rules, {feed.name for feed in feeds}, now_us)
        for sighting in held:
            # What is told of before any draw is known has happened long ago, and is no news to anyone.
            is_history = not last or sighting.source == packaged.SOURCE
            kind = "history.imported" if is_history else "draw.ingested"
            tx.append(kind, draws.to_payload(sighting.draw, sighting.source), cause)
        unheld_packaged = [s for s in unheld if s.source == packaged.SOURCE]
        if unheld_packaged:
            message = (
                f"The clock says {iso(now_us)}, but {len(unheld_packaged)} packaged draws are later than that"
            )
            draws.open_incident(tx, f"clock:{rules.name}", "clock-wrong", message, cause)
        else:
            draws.close_incident(tx, f"clock:{rules.name}", cause)
        for sighting in unheld:
            if sighting.source == packaged.SOURCE:
                continue
            message = f"{sighting.source} tells of a draw on {sighting.draw.day}, which has not been held yet"
            draws.open_incident(
                tx,
                f"future:{rules.name}:{sighting.draw.day}:{sighting.source}",
                "draw-unheld",
                message,
                cause,
            )
        for dispute in found.disputes:
            draws.open_incident(tx, _dispute_key(rules, dispute), "draw-disputed", _describe(dispute), cause)
        result = {
            "game": rules.name,
            "new": len(held),
            "newest": newest.isoformat() if newest else None,
            "confirmed": found.confirmed,
            "disputed": len(found.disputes),
            "rejected": len(found.rejected) + len(unheld),
            "failed": [failure.source for failure in failures],
            "retry_s": retry_s,
            "next_registered": next_registered,
        }
        tx.append("ingest.completed", result, cause)
        return result

    return commit


ACTION = Action("ingest", CORE, run)


async def _ask(context: Context, rules: Game, newest: date) -> tuple[list[_Reading], list[_Failure]]:
    """Ask every feed at the same time; return the answers in the order of the feeds, and who gave none."""
    states = await draws.feeds(context.store, rules.name)
    since = newest - timedelta(days=context.config.feeds.overlap_days)
    answers = await asyncio.gather(
        *(
            _ask_one(context, rules, feed, since, states.get(feed.name, {}))
            for feed in context.config.feeds_of(rules.name)
        )
    )
    readings = [answer for answer in answers if isinstance(answer, _Reading)]
    return readings, [answer for answer in answers if isinstance(answer, _Failure)]


async def _ask_one(
    context: Context, rules: Game, feed: Feed, since: date, state: Mapping[str, Any]
) -> _Reading | _Failure:
    log = logger.bind(action="ingest", game=rules.name, feed=feed.name)
    try:
        report = await _read(context, rules, feed, since, (state.get("etag"), state.get("last_modified")))
    except FeedError as error:
        log.warning("{}", error)
        return _Failure(feed.name, str(error))
    log.info("{} draws, {} rows refused", len(report.draws), len(report.rejected))
    return _Reading(report)


async def _read(context: Context, rules: Game, feed: Feed, since: date, validators: Validators) -> FeedReport:
    if feed.path is not None:
        return await asyncio.to_thread(local.read, rules, feed.path, feed.name, validators[0])
    if feed.machine is not None:
        now = from_us(context.clock.now_us())
        return await asyncio.to_thread(simulated.read, rules, feed.machine, feed.name, since, now)
    source = Source(feed.name, feed.kind, str(feed.url))
    return await fetch(context.http, source, rules, since=since, validators=validators)


def _record_reading(
    tx: Transaction,
    cause: int,
    rules: Game,
    reading: _Reading,
    found: Reconciliation,
    states: Mapping[str, Mapping[str, Any]],
) -> None:
    """Record that a feed answered; open and close the incidents that its answer speaks of."""
    report = reading.report
    tx.append(
        "feed.read",
        {
            "game": rules.name,
            "source": report.source,
            "draws": len(report.draws),
            "rejected": len(report.rejected),
            "unchanged": report.unchanged,
            "etag": report.etag,
            "last_modified": report.last_modified,
        },
        cause,
    )
    if states.get(report.source, {}).get("failures"):
        draws.close_incident(tx, f"feed:{rules.name}:{report.source}", cause)
    if report.unchanged:
        return
    refused = {}
    for row in report.rejected:
        digest = hashlib.sha256(row.text.encode()).hexdigest()[:12]
        refused[f"row:{rules.name}:{report.source}:{digest}"] = (
            f"{report.source}, line {row.line}, {row.text!r}: {row.reason}"
        )
    for key, message in refused.items():
        draws.open_incident(tx, key, "row-rejected", message, cause)
    disputed = {_dispute_key(rules, d) for d in found.disputes}
    told = {f"dispute:{rules.name}:{draw.day}:{report.source}" for draw in report.draws}
    for key in draws.open_keys(tx):
        # Rows that the feed no longer shows, or that have left the span which is read again, trouble no one.
        gone = key.startswith(f"row:{rules.name}:{report.source}:") and key not in refused
        settled = key in told and key not in disputed
        if gone or settled:
            draws.close_incident(tx, key, cause)


def _close_settled(tx: Transaction, cause: int, rules: Game, feeds: set[str], now_us: int) -> None:
    """Close the incidents of feeds that are no longer configured, and of draws that have been held since."""
    for key in draws.open_keys(tx):
        kind, _, rest = key.partition(":")
        game_name, _, rest = rest.partition(":")
        if game_name != rules.name:
            continue
        first, _, last = rest.partition(":")
        source = {"feed": rest, "row": first, "dispute": last}.get(kind)
        removed = source is not None and source not in feeds
        held = kind == "future" and calendar.draw_instant(rules, date.fromisoformat(first)) <= from_us(now_us)
        if removed or held:
            draws.close_incident(tx, key, cause)


def _split_by_calendar(
    found: Reconciliation, rules: Game, now_us: int
) -> tuple[list[Sighting], list[Sighting]]:
    now = from_us(now_us)
    held = [s for s in found.new if calendar.draw_instant(rules, s.draw.day) <= now]
    return held, [s for s in found.new if calendar.draw_instant(rules, s.draw.day) > now]


def _retry_s(
    context: Context, states: Mapping[str, Mapping[str, Any]], failures: list[_Failure]
) -> float | None:
    """Return how long to wait before asking the failed feeds again: doubling, up to the limit."""
    if not failures:
        return None
    settings = context.config.feeds
    fewest = min(states.get(failure.source, {}).get("failures", 0) for failure in failures)
    return float(min(settings.retry_limit, settings.retry_first * 2 ** min(fewest, 30)))


def _dispute_key(rules: Game, dispute: Dispute) -> str:
    return f"dispute:{rules.name}:{dispute.day}:{dispute.claimed_source}"


def _describe(dispute: Dispute) -> str:
    def balls(draw: Any) -> str:
        return f"{' '.join(map(str, sorted(draw.whites)))} + {draw.bonus}"

    return (
        f"{dispute.day}: {dispute.claimed_source} says {balls(dispute.claimed)}, but {dispute.stored_source} "
        f"said {balls(dispute.stored)}, which stays"
    )
