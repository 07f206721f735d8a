"""The dead man's switch on a real journal: what is absent too long raises an alert, once a day."""

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest

from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.deadman import FIRST_S, DeadMansSwitch
from helios_agent.journal import draws, events
from helios_agent.journal.journal import Journal
from helios_agent.lottery import calendar
from helios_agent.lottery.draws import Draw
from helios_agent.lottery.games import game

HOUR_S = 3600.0
CONFIG = Config.model_validate({"games": {"simulated": {}}})


@pytest.fixture
async def switch(journal: Journal) -> DeadMansSwitch:
    """A switch whose agent has just been started."""
    await journal.append("agent.started", {"games": ["simulated"], "schedules": []})
    return DeadMansSwitch(lambda: CONFIG, journal, pulse_s=30)


async def alerts(journal: Journal) -> list[Mapping[str, Any]]:
    found = await events.tail(journal.store, limit=100, kinds=["alert.raised"])
    return [event.payload for event in reversed(found)]


async def keys(journal: Journal) -> list[str]:
    return [incident.key for incident in await draws.open_incidents(journal.store)]


@pytest.mark.parametrize(
    ("event", "key", "about", "limit_h"),
    [
        ("assessment.completed", "absent:assessment:simulated", "simulated/assessment-absent", 36),
        ("backup.completed", "absent:backup:journal", "journal/backup-absent", 48),
    ],
)
async def test_an_event_that_does_not_come_raises_an_alert_and_its_coming_ends_the_incident(
    journal: Journal,
    clock: VirtualClock,
    switch: DeadMansSwitch,
    event: str,
    key: str,
    about: str,
    limit_h: int,
) -> None:
    await clock.advance(limit_h * HOUR_S)
    await switch.check()
    assert key not in await keys(journal)
    await clock.advance(1)
    await switch.check()
    assert key in await keys(journal)
    (alert,) = [a for a in await alerts(journal) if a["about"] == about]
    assert f"the limit is {limit_h} h" in alert["message"]

    await journal.append(event, {"game": "simulated", "file": "x", "bytes": 1})
    await switch.check()
    assert key not in await keys(journal)
    await clock.advance(limit_h * HOUR_S + 1)
    await switch.check()
    assert key in await keys(journal)


async def test_an_absence_that_lasts_is_told_of_once_a_day(
    journal: Journal, clock: VirtualClock, switch: DeadMansSwitch
) -> None:
    await clock.advance(49 * HOUR_S)
    for _ in range(3):
        await switch.check()
    assert [a["about"] for a in await alerts(journal)] == [
        "simulated/assessment-absent", "journal/backup-absent", "simulated/draw-absent",
    ]  # fmt: skip
    await clock.advance(24 * HOUR_S)
    await switch.check()
    assert len(await alerts(journal)) == 6
    assert len(await events.tail(journal.store, limit=10, kinds=["incident.opened"])) == 3


async def tell(journal: Journal, day: date) -> None:
    draw = Draw("simulated", day, (1, 2, 3, 4, 5), 6, None, ordered=True)
    await journal.append("draw.ingested", draws.to_payload(draw, "texas"))


async def draw_alerts(journal: Journal) -> list[str]:
    return [a["message"] for a in await alerts(journal) if a["about"] == "simulated/draw-absent"]


async def test_a_game_of_which_no_draw_ever_becomes_known_is_told_of(
    journal: Journal, clock: VirtualClock, switch: DeadMansSwitch
) -> None:
    await clock.advance(24 * HOUR_S)
    await switch.check()
    assert await draw_alerts(journal) == []
    await clock.advance(1)
    await switch.check()
    assert await draw_alerts(journal) == [
        "no source has told of any Simulated lottery draw: for 24.0 h; the limit is 24 h"
    ]
    await tell(journal, date(2026, 9, 16))
    await switch.check()
    assert "absent:draw:simulated" not in await keys(journal)


async def test_another_draw_that_is_overdue_is_told_of_at_once(
    journal: Journal, clock: VirtualClock, switch: DeadMansSwitch
) -> None:
    await tell(journal, date(2026, 9, 16))
    to_sunday_night_s = timedelta(days=2, hours=14, minutes=59).total_seconds()
    await clock.advance(to_sunday_night_s + 47 * HOUR_S)  # Saturday's is overdue, Monday's within an hour
    await switch.check()
    assert len(await draw_alerts(journal)) == 1
    await clock.advance(HOUR_S + 1)
    for _ in range(3):
        await switch.check()
    _, alert = await draw_alerts(journal)
    assert "of 2026-09-19, nor of 1 later ones, the last of 2026-09-21: for 72.0 h" in alert


async def test_a_draw_that_is_overdue_for_thirty_days_is_expected_no_more(
    journal: Journal, clock: VirtualClock, switch: DeadMansSwitch
) -> None:
    await tell(journal, date(2026, 9, 16))
    for day in calendar.draw_days(game("simulated"), date(2026, 9, 20), date(2026, 10, 30)):
        await tell(journal, day)  # of all but Saturday's
    overdue_s = timedelta(days=2, hours=14, minutes=59).total_seconds()
    await clock.advance(overdue_s + 30 * 24 * HOUR_S)
    await switch.check()
    assert "absent:draw:simulated" in await keys(journal)
    await clock.advance(1)
    await switch.check()
    assert "absent:draw:simulated" not in await keys(journal)


async def test_a_draw_that_nobody_tells_of_a_day_after_it_was_held_is_absent(
    journal: Journal, clock: VirtualClock, switch: DeadMansSwitch
) -> None:
    await tell(journal, date(2026, 9, 16))
    await switch.check()  # Friday noon: the next draw is Saturday's, at 22:59 in New York
    assert await keys(journal) == []
    await clock.advance(timedelta(days=2, hours=14, minutes=58).total_seconds())
    await switch.check()
    assert "absent:draw:simulated" not in await keys(journal)
    await clock.advance(120)
    await switch.check()
    assert "absent:draw:simulated" in await keys(journal)
    alert = next(a for a in await alerts(journal) if a["about"] == "simulated/draw-absent")
    assert alert["message"].startswith(
        "no source has told of the Simulated lottery draw of 2026-09-19: for 24.0 h; the limit is 24 h"
    )
    await clock.advance(48 * HOUR_S)
    await tell(journal, date(2026, 9, 19))
    await switch.check()
    assert "absent:draw:simulated" in await keys(journal), "Monday's draw is missing as well"
    await tell(journal, date(2026, 9, 21))
    await switch.check()
    assert "absent:draw:simulated" not in await keys(journal)


async def test_a_game_watched_only_lately_has_its_time_before_it_must_have_been_assessed(
    journal: Journal, clock: VirtualClock
) -> None:
    await journal.append("agent.started", {"games": ["simulated"], "schedules": []})
    await clock.advance(100 * HOUR_S)
    await journal.append("config.reloaded", {"games": ["simulated", "powerball"], "schedules": []})
    both = Config.model_validate({"games": {"simulated": {}, "powerball": {}}})
    switch = DeadMansSwitch(lambda: both, journal, pulse_s=30)
    await clock.advance(30 * HOUR_S)
    await switch.check()
    assert "absent:assessment:simulated" in await keys(journal)
    assert "absent:assessment:powerball" not in await keys(journal)


async def test_after_a_start_there_is_time_to_make_up_for_what_was_missed(
    journal: Journal, clock: VirtualClock, switch: DeadMansSwitch
) -> None:
    await clock.advance(1000 * HOUR_S)
    running = asyncio.create_task(switch.run())
    await asyncio.sleep(0)  # it begins to wait
    with journal.listening() as news:
        await clock.advance(FIRST_S - 1)
        assert await alerts(journal) == []
        await clock.advance(1)
        await news.wait()
    assert len(await alerts(journal)) == 3
    running.cancel()
