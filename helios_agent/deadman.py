"""The dead man's switch: raise an alert when an expected event does not happen.

It depends on no lane, no schedule and no decision, since one of those may be what stands still.
"""

from collections.abc import Callable, Mapping
from functools import partial

from loguru import logger

from helios_agent.actions import history
from helios_agent.clock import SECOND_US, from_us, to_us
from helios_agent.config import Config
from helios_agent.journal import draws
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.lottery import calendar
from helios_agent.lottery.games import Game, game

CHECK_S = 600.0
"""Time between two looks; the first comes as long after the start, so that what was missed can be made up."""
REMIND_S = 86_400.0
"""How long an absence lasts before it is told of again."""
HOUR_US = 3600 * SECOND_US
PREFIX = "absent:"


class DeadMansSwitch:
    """Looks, for as long as it runs, whether what is expected has happened."""

    def __init__(self, settings: Callable[[], Config], journal: Journal, pulse_s: float) -> None:
        self._settings = settings
        self._journal = journal
        self._pause_s = max(CHECK_S, pulse_s)

    async def run(self) -> None:
        while True:
            await self._journal.clock.sleep(self._pause_s)
            await self.check()

    async def check(self) -> None:
        """Open an incident for each absence and raise an alert, again every day; close those that ended."""
        config = self._settings()
        absent = await self._backup(config)
        for name in config.games:
            absent |= await self._assessment(config, game(name)) | await self._draw(config, game(name))
        known = {i.key for i in await draws.open_incidents(self._journal.store) if i.key.startswith(PREFIX)}
        if known or absent:
            await self._journal.record(partial(_report, absent=absent))

    async def _backup(self, config: Config) -> dict[str, str]:
        hours = await self._hours_without("kind = 'backup.completed'", "1")
        limit = config.expected.backup
        return _overdue("backup:journal", "there is no new backup of the journal", hours, limit)

    async def _assessment(self, config: Config, rules: Game) -> dict[str, str]:
        hours = await self._hours_without(
            "kind = 'assessment.completed' AND payload->>'game' = :game",
            "kind IN ('agent.started', 'config.reloaded')"
            " AND :game IN (SELECT value FROM json_each(payload, '$.games'))",
            rules.name,
        )
        limit = config.expected.assessment
        return _overdue(f"assessment:{rules.name}", f"{rules.title} has not been assessed", hours, limit)

    async def _draw(self, config: Config, rules: Game) -> dict[str, str]:
        now_us = self._journal.clock.now_us()
        missing = await history.missing_days(self._journal.store, rules, from_us(now_us))
        if not missing:
            return {}
        hours = (now_us - to_us(calendar.draw_instant(rules, missing[0]))) / HOUR_US
        what = f"no source has told of the {rules.title} draw of {missing[0]}"
        if len(missing) > 1:
            what += f", nor of {len(missing) - 1} later ones"
        return _overdue(f"draw:{rules.name}", what, hours, config.expected.draw)

    async def _hours_without(self, event: str, since: str, game_name: str = "") -> float:
        """Return how long ago the newest `event` was; if there is none, the first one of `since`.

        If that was archived and removed, it is at least as long as the oldest event that is left.
        """
        rows = await self._journal.store.rows(
            f"SELECT coalesce((SELECT at_us FROM event WHERE {event} ORDER BY seq DESC LIMIT 1),"  # noqa: S608
            f" (SELECT at_us FROM event WHERE {since} ORDER BY seq LIMIT 1),"
            " (SELECT at_us FROM event ORDER BY seq LIMIT 1), :now_us) AS at_us",
            {"game": game_name, "now_us": self._journal.clock.now_us()},
        )
        return float(self._journal.clock.now_us() - rows[0]["at_us"]) / HOUR_US


def _overdue(key: str, what: str, hours: float, limit_s: float) -> dict[str, str]:
    if hours * 3600 <= limit_s:
        return {}
    return {PREFIX + key: f"{what}: for {hours:.1f} h; the limit is {limit_s / 3600:g} h"}


def _report(tx: Transaction, absent: Mapping[str, str]) -> None:
    for key in draws.open_keys(tx):
        if key.startswith(PREFIX) and key not in absent:
            draws.close_incident(tx, key, None)
    for key, message in sorted(absent.items()):
        opened = draws.open_incident(tx, key, "expected-event-absent", message, None)
        _, what, whose = key.split(":")
        about = f"{whose}/{what}-absent"
        recent = tx.rows(
            "SELECT 1 FROM event WHERE kind = 'alert.raised' AND payload->>'about' = ? AND at_us > ?",
            (about, tx.now_us() - round(REMIND_S * SECOND_US)),
        )
        if opened is not None or not recent:
            logger.bind(action="alert").warning("{}", message)
            tx.append("alert.raised", {"about": about, "message": message}, opened)
