"""The dead man's switch: raise an alert when an expected event does not happen.

It depends on no lane, no schedule and no decision, since one of those may be what stands still.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from loguru import logger

from helios_agent.actions import history
from helios_agent.clock import SECOND_US, from_us, to_us
from helios_agent.config import Config
from helios_agent.journal import draws
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Game, game

FIRST_S = 120.0
"""Time before the first look: enough to make up for what was missed, less than a daemon that fails lives."""
CHECK_S = 600.0
"""Time between two looks."""
REMIND_S = 86_400.0
"""How long an absence lasts before it is told of again."""
GIVEN_UP_S = 30 * 86_400.0
"""A draw that is overdue for longer is not expected any more: no source will ever tell of it."""
PREFIX = "absent:"
WATCHED = (
    "kind IN ('agent.started', 'config.reloaded')"
    " AND :game IN (SELECT value FROM json_each(payload, '$.games'))"
)
"""Events that say that a game is watched."""


@dataclass(frozen=True, slots=True)
class Absence:
    """What is overdue, and when the last of it became so, in microseconds."""

    message: str
    overdue_us: int


class DeadMansSwitch:
    """Looks, for as long as it runs, whether what is expected has happened."""

    def __init__(self, settings: Callable[[], Config], journal: Journal, pulse_s: float) -> None:
        self._settings = settings
        self._journal = journal
        self._pulse_s = pulse_s

    async def run(self) -> None:
        await self._journal.clock.sleep(max(FIRST_S, self._pulse_s))
        while True:
            await self.check()
            await self._journal.clock.sleep(max(CHECK_S, self._pulse_s))

    async def check(self) -> None:
        """Open an incident for each absence and raise an alert; close those that ended.

        The alert is raised again every day, and when another draw is overdue, too.
        """
        config = self._settings()
        absent = await self._backup(config)
        for name in config.games:
            absent |= await self._assessment(config, game(name)) | await self._draw(config, game(name))
        known = {i.key for i in await draws.open_incidents(self._journal.store) if i.key.startswith(PREFIX)}
        if known or absent:
            await self._journal.record(partial(_report, absent=absent))

    async def _backup(self, config: Config) -> dict[str, Absence]:
        since_us = await self._without_since_us("kind = 'backup.completed'", "1")
        what, limit_s = "there is no new backup of the journal", config.expected.backup
        return self._overdue("backup:journal", what, limit_s, since_us)

    async def _assessment(self, config: Config, rules: Game) -> dict[str, Absence]:
        since_us = await self._without_since_us(
            "kind = 'assessment.completed' AND payload->>'game' = :game", WATCHED, rules.name
        )
        what, limit_s = f"{rules.title} has not been assessed", config.expected.assessment
        return self._overdue(f"assessment:{rules.name}", what, limit_s, since_us)

    async def _draw(self, config: Config, rules: Game) -> dict[str, Absence]:
        store, key, limit_s = self._journal.store, f"draw:{rules.name}", config.expected.draw
        if not await draws.newest(store, rules.name, 1):
            since_us = await self._without_since_us("FALSE", WATCHED, rules.name)
            return self._overdue(key, f"no source has told of any {rules.title} draw", limit_s, since_us)
        now, longest_s = from_us(self._journal.clock.now_us()), limit_s + GIVEN_UP_S
        # A day earlier, as the day of a draw is not UTC's.
        since = (now - timedelta(seconds=longest_s) - calendar.DAY).date()
        missing = await history.missing_days(store, rules, now, since)
        held = {day: calendar.draw_instant(rules, day) for day in missing}
        overdue = [day for day, at in held.items() if limit_s < (now - at).total_seconds() <= longest_s]
        if not overdue:
            return {}
        what = f"no source has told of the {rules.title} draw of {overdue[0]}"
        if len(overdue) > 1:
            what += f", nor of {len(overdue) - 1} later ones, the last of {overdue[-1]}"
        return self._overdue(key, what, limit_s, *(to_us(held[day]) for day in overdue))

    async def _without_since_us(self, event: str, since: str, game_name: str = "") -> int:
        """Return when the newest `event` was; if there is none, the first one of `since`.

        If that was archived and removed, it was before the oldest event that is left, which stands for it.
        """
        rows = await self._journal.store.rows(
            f"SELECT coalesce((SELECT at_us FROM event WHERE {event} ORDER BY seq DESC LIMIT 1),"  # noqa: S608
            f" (SELECT at_us FROM event WHERE {since} ORDER BY seq LIMIT 1),"
            " (SELECT at_us FROM event ORDER BY seq LIMIT 1), :now_us) AS at_us",
            {"game": game_name, "now_us": self._journal.clock.now_us()},
        )
        at_us: int = rows[0]["at_us"]
        return at_us

    def _overdue(self, key: str, what: str, limit_s: float, *since_us: int) -> dict[str, Absence]:
        """Return what is absent since several instants, oldest first: nothing if none is overdue."""
        for_s = (self._journal.clock.now_us() - since_us[0]) / SECOND_US
        if for_s <= limit_s:
            return {}
        message = f"{what}: for {for_s / 3600:.1f} h; the limit is {limit_s / 3600:g} h"
        return {PREFIX + key: Absence(message, since_us[-1] + round(limit_s * SECOND_US))}


def _report(tx: Transaction, absent: Mapping[str, Absence]) -> None:
    for key in draws.open_keys(tx):
        if key.startswith(PREFIX) and key not in absent:
            draws.close_incident(tx, key, None)
    for key, absence in sorted(absent.items()):
        opened = draws.open_incident(tx, key, "expected-event-absent", absence.message, None)
        _, what, whose = key.split(":")
        about = f"{whose}/{what}-absent"
        recent = tx.rows(
            "SELECT 1 FROM event WHERE kind = 'alert.raised' AND payload->>'about' = ? AND at_us > ?",
            (about, max(absence.overdue_us, tx.now_us() - round(REMIND_S * SECOND_US))),
        )
        if opened is not None or not recent:
            logger.bind(action="alert").warning("{}", absence.message)
            tx.append("alert.raised", {"about": about, "message": absence.message}, opened)
