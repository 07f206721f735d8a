import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from helios_agent.clock import SECOND_US, VirtualClock, from_us, to_us
from helios_agent.config import Config, cron, load
from helios_agent.config.model import Schedule
from helios_agent.journal import intents
from helios_agent.journal.journal import Journal
from helios_agent.schedules import LATE_S, Scheduler, due_instants, outcomes
from helios_agent.store import Store

DAY = timedelta(days=1)


def schedule(**settings: Any) -> Schedule:
    rhythm = {} if "every" in settings else {"cron": "0 12 * * *"}
    return Schedule.model_validate({"name": "test", "action": "ingest"} | rhythm | settings)


def fires(line: str, zone: str, first: datetime, last: datetime) -> list[datetime]:
    instants, following = due_instants(cron.trigger(line, zone), first, last)
    assert following is None or following > last
    return instants


def local(line: str, zone: str, day: str, days: int = 1) -> list[str]:
    """Return the local times, with their offset from UTC, at which a line fires on some whole days."""
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    first, last = (m.astimezone(UTC) - timedelta(microseconds=1) for m in (midnight, midnight + days * DAY))
    instants = fires(line, zone, first, last)
    return [f"{t.astimezone(ZoneInfo(zone)):%d %H:%M %z}" for t in instants]


ZONES = {
    "America/New_York": 2026,
    "Europe/London": 2026,
    "Australia/Sydney": 2026,
    "America/Sao_Paulo": 2018,  # the last year in which it changed its clocks, at midnight
    "Asia/Kolkata": 2026,  # half an hour off, and without summer time
    "Australia/Lord_Howe": 2026,  # moves by half an hour
}


@pytest.mark.parametrize(("zone", "year"), ZONES.items())
@pytest.mark.parametrize("hour", [5, 12, 22])
def test_a_daily_schedule_away_from_the_night_fires_once_each_day_of_the_year(
    zone: str, year: int, hour: int
) -> None:
    first = datetime(year, 1, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    instants = fires(f"30 {hour} * * *", zone, first, first + 365 * DAY)
    seen = [t.astimezone(ZoneInfo(zone)) for t in instants]
    assert [(t.hour, t.minute) for t in seen] == [(hour, 30)] * 365
    assert [t.date() for t in seen] == [(datetime(year, 1, 1) + i * DAY).date() for i in range(365)]  # noqa: DTZ001


@pytest.mark.parametrize(("zone", "year"), ZONES.items())
def test_an_hourly_schedule_fires_at_every_whole_hour_outside_the_hours_of_the_change(
    zone: str, year: int
) -> None:
    tz = ZoneInfo(zone)
    first = datetime(year, 1, 1, tzinfo=tz).astimezone(UTC)
    instants = fires("0 * * * *", zone, first - timedelta(microseconds=1), first + 365 * DAY)
    halves = [first + i * timedelta(minutes=30) for i in range(365 * 48 + 1)]
    whole = [t for t in halves if t.astimezone(tz).minute == 0]
    night = (23, 0, 1, 2, 3)
    assert [t for t in instants if t.astimezone(tz).hour not in night] == [
        t for t in whole if t.astimezone(tz).hour not in night
    ]
    assert max(Counter(instants).values()) == 1
    assert set(instants) <= set(whole)
    assert len(set(whole) - set(instants)) <= 1


@pytest.mark.parametrize(("zone", "year"), ZONES.items())
@pytest.mark.parametrize("line", ["30 1 * * *", "0 2 * * *", "*/20 0-4,23 * * *"])
def test_no_instant_is_found_twice_however_often_one_looks(zone: str, year: int, line: str) -> None:
    first = datetime(year, 1, 1, tzinfo=UTC)
    at_once = fires(line, zone, first, first + 365 * DAY)
    assert at_once == sorted(set(at_once))
    trigger, after, bit_by_bit = cron.trigger(line, zone), first, []
    while after < first + 365 * DAY:
        now = min(after + timedelta(days=20, hours=1, minutes=7), first + 365 * DAY)
        found, _ = due_instants(trigger, bit_by_bit[-1] if bit_by_bit else first, now)
        bit_by_bit += found
        after = now
    assert bit_by_bit == at_once


def test_in_the_gap_of_spring_a_daily_schedule_fires_an_hour_later() -> None:
    assert local("30 2 * * *", "America/New_York", "2026-03-07", 3) == [
        "07 02:30 -0500", "08 03:30 -0400", "09 02:30 -0400",
    ]  # fmt: skip
    assert local("15 2 * * *", "Australia/Lord_Howe", "2026-10-04") == ["04 02:45 +1100"]


def test_in_the_gap_of_spring_an_hourly_schedule_goes_on_every_hour() -> None:
    assert local("0 0-4 * * *", "America/New_York", "2026-03-08") == [
        "08 00:00 -0500", "08 01:00 -0500", "08 03:00 -0400", "08 04:00 -0400",
    ]  # fmt: skip


def test_where_the_gap_is_at_midnight_a_schedule_in_it_misses_that_day() -> None:
    assert local("30 0 * * *", "America/Sao_Paulo", "2018-11-03", 3) == ["03 00:30 -0300", "05 00:30 -0200"]


def test_in_the_fold_of_autumn_a_schedule_fires_in_both_of_the_hours() -> None:
    assert local("30 1 * * *", "America/New_York", "2026-11-01", 2) == [
        "01 01:30 -0400", "01 01:30 -0500", "02 01:30 -0500",
    ]  # fmt: skip
    assert local("30 23 * * *", "America/Sao_Paulo", "2018-02-17") == ["17 23:30 -0200", "17 23:30 -0300"]
    assert local("45 1 * * *", "Australia/Lord_Howe", "2026-04-05") == ["05 01:45 +1100", "05 01:45 +1030"]
    assert len(local("*/30 * * * *", "Europe/London", "2026-10-25")) == 50


def test_an_interval_goes_on_through_every_change_of_clocks() -> None:
    start = datetime(2026, 1, 1, 0, 7, tzinfo=UTC)
    trigger = schedule(every=5400, timezone="America/New_York").trigger()
    instants, _ = due_instants(trigger, start, start + 365 * DAY)
    assert instants == [start + i * timedelta(minutes=90) for i in range(1, 365 * 16 + 1)]


NOW = datetime(2026, 9, 18, 12, 0, tzinfo=UTC)


def told(ages_s: list[float], **settings: Any) -> list[str]:
    instants = [NOW - timedelta(seconds=age) for age in ages_s]
    firings = outcomes(schedule(**settings), instants, NOW, LATE_S)
    assert [firing.due_us for firing in firings] == [to_us(t) for t in instants]
    return [firing.outcome for firing in firings]


HOUR = 3600


@pytest.mark.parametrize(
    ("catch_up", "ages_s", "expected"),
    [
        ("latest", [3 * HOUR, 2 * HOUR, HOUR], ["coalesced", "coalesced", "run"]),
        ("latest", [0], ["run"]),
        ("latest", [], []),
        ("all", [3 * HOUR, 2 * HOUR, HOUR], ["run", "run", "run"]),
        ("none", [3 * HOUR, 2 * HOUR, HOUR], ["expired", "expired", "expired"]),
        ("none", [HOUR, LATE_S], ["expired", "run"]),
        ("none", [LATE_S + 0.001], ["expired"]),
        ("all", [9 * 24 * HOUR, 7 * 24 * HOUR, HOUR], ["expired", "run", "run"]),
        ("latest", [9 * 24 * HOUR, 8 * 24 * HOUR], ["expired", "expired"]),
        ("latest", [9 * 24 * HOUR, 2 * HOUR, HOUR], ["expired", "coalesced", "run"]),
    ],
)
def test_catch_up_and_max_age_say_what_becomes_of_what_was_missed(
    catch_up: str, ages_s: list[float], expected: list[str]
) -> None:
    assert told(ages_s, catch_up=catch_up) == expected


@pytest.mark.parametrize("catch_up", ["all", "latest", "none"])
def test_a_schedule_that_is_paused_runs_nothing(catch_up: str) -> None:
    assert told([9 * 24 * HOUR, HOUR, 0], catch_up=catch_up, enabled=False) == ["paused"] * 3


def config(*schedules: Schedule, games: tuple[str, ...] = ("powerball",)) -> Config:
    return Config.model_validate({"games": {game: {} for game in games}, "schedules": schedules})


async def boot(journal: Journal, settings: Config) -> Scheduler:
    """Start a daemon, as far as its schedules are concerned."""
    names = [s.name for s in settings.schedules]
    await journal.append("agent.started", {"schedules": names})
    scheduler = Scheduler(settings, journal)
    await scheduler.tick()
    return scheduler


async def firings(store: Store) -> list[tuple[str, str, str]]:
    rows = await store.rows("SELECT schedule, due_us, outcome FROM firing ORDER BY due_us, schedule")
    return [(row["schedule"], f"{from_us(row['due_us']):%d %H:%M}", row["outcome"]) for row in rows]


async def finish_all(journal: Journal, *actions: str) -> int:
    done = 0
    while (claimed := await journal.record(lambda tx: intents.claim(tx, actions))) is not None:
        await journal.record(lambda tx, intent=claimed: intents.finish(tx, intent, {}))
        done += 1
    return done


async def test_a_schedule_is_due_from_its_first_boot_on_and_not_before(
    journal: Journal, clock: VirtualClock
) -> None:
    settings = config(schedule(cron="0 * * * *"))
    scheduler = await boot(journal, settings)
    assert await firings(journal.store) == []
    await clock.advance(3599)
    assert await scheduler.tick() == [datetime(2026, 9, 18, 13, 0, tzinfo=UTC)]
    assert await firings(journal.store) == []
    await clock.advance(1)
    assert await scheduler.tick() == [datetime(2026, 9, 18, 14, 0, tzinfo=UTC)]
    assert await firings(journal.store) == [("test", "18 13:00", "run")]
    assert await finish_all(journal, "ingest") == 1


async def test_after_three_days_down_the_latest_is_run_once_and_every_instant_is_accounted_for(
    journal: Journal, clock: VirtualClock
) -> None:
    settings = config(schedule(cron="0 */8 * * *", catch_up="latest"))
    await boot(journal, settings)
    await clock.advance(3 * 86_400 + 1800)
    later = Journal(journal.store, clock, "boot-2")
    scheduler = await boot(later, settings)
    expected = [f"{day} {hour:02}:00" for day in range(18, 22) for hour in (0, 8, 16)][2:11]
    assert await firings(journal.store) == [
        ("test", at, "run" if at == "21 08:00" else "coalesced") for at in expected
    ]
    assert await finish_all(later, "ingest") == 1
    events = await journal.store.rows("SELECT count(*) AS n FROM event")
    for _ in range(3):
        await scheduler.tick()
    assert await journal.store.rows("SELECT count(*) AS n FROM event") == events
    assert await finish_all(later, "ingest") == 0


async def test_a_daemon_that_dies_between_two_ticks_neither_loses_nor_repeats_an_instant(
    journal: Journal, clock: VirtualClock
) -> None:
    settings = config(
        schedule(name="hourly", cron="5 * * * *", catch_up="all"),
        schedule(name="daily", cron="0 2 * * *", action="assess", catch_up="all"),
        schedule(name="often", every=1000, action="decide", catch_up="all"),
    )
    started_us = clock.now_us()
    for number, seconds in enumerate([0, 50, 3599, 1, 7200, 20_000, 3, 86_400, 999, 1]):
        await clock.advance(seconds)
        await boot(Journal(journal.store, clock, f"boot-{number}"), settings)
    found = await firings(journal.store)
    assert len(found) == len(set(found))
    assert {outcome for _, _, outcome in found} == {"run"}
    lived_s = (clock.now_us() - started_us) // SECOND_US
    counts = Counter(name for name, _, _ in found)
    assert counts == {"hourly": 33, "daily": 1, "often": lived_s // 1000}
    assert lived_s == 118_253


async def test_a_paused_schedule_keeps_its_account_and_does_not_catch_up_when_it_goes_on(
    journal: Journal, clock: VirtualClock
) -> None:
    await boot(journal, config(schedule(cron="0 * * * *", enabled=False, catch_up="all")))
    await clock.advance(3 * 3600)
    await boot(journal, config(schedule(cron="0 * * * *", enabled=False, catch_up="all")))
    await clock.advance(3600)
    await boot(journal, config(schedule(cron="0 * * * *", catch_up="all")))
    assert [outcome for _, _, outcome in await firings(journal.store)] == [
        "paused",
        "paused",
        "paused",
        "run",
    ]
    assert await finish_all(journal, "ingest") == 1


async def test_a_clock_that_was_set_back_does_not_fire_again(journal: Journal, store: Store) -> None:
    settings = config(schedule(cron="0 * * * *", catch_up="all"))
    clock = VirtualClock(NOW)
    await boot(Journal(store, clock, "boot-1"), settings)
    await clock.advance(2 * 3600)
    await boot(Journal(store, clock, "boot-1"), settings)
    earlier = VirtualClock(NOW - timedelta(hours=5))
    scheduler = await boot(Journal(store, earlier, "boot-2"), settings)
    await earlier.advance(6 * 3600)
    await scheduler.tick()
    assert len(await firings(store)) == 2
    await earlier.advance(2 * 3600)
    await scheduler.tick()
    assert [at for _, at, _ in await firings(store)] == ["18 13:00", "18 14:00", "18 15:00"]


@pytest.mark.parametrize(
    ("settings", "targets"),
    [
        ({}, ["megamillions", "powerball"]),
        ({"game": "powerball"}, ["powerball"]),
        ({"action": "backup"}, ["journal"]),
        ({"action": "verify"}, ["journal"]),
    ],
)
async def test_a_schedule_asks_for_its_action_on_its_targets_because_it_fired(
    settings: dict[str, Any], targets: list[str], journal: Journal, clock: VirtualClock
) -> None:
    scheduler = await boot(journal, config(schedule(**settings), games=("powerball", "megamillions")))
    await clock.advance(86_400)
    await scheduler.tick()
    rows = await journal.store.rows(
        "SELECT i.target, i.action, why.kind, why.payload->>'due_us' AS due_us FROM intent i"
        " JOIN event asked ON asked.seq = i.seq JOIN event why ON why.seq = asked.cause ORDER BY i.target"
    )
    due_us = to_us(NOW + DAY)
    action = settings.get("action", "ingest")
    assert [tuple(row) for row in rows] == [(t, action, "schedule.fired", due_us) for t in targets]


async def test_the_running_scheduler_fires_on_time_and_shows_that_it_lives(
    journal: Journal, clock: VirtualClock
) -> None:
    settings = config(schedule(cron="10 12 * * *"))
    scheduler = await boot(journal, settings)
    running = asyncio.create_task(scheduler.run())
    for _ in range(24):
        await asyncio.sleep(0.005)  # its queries take real time
        await clock.advance(30)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert clock.mono_us() - scheduler.pulse_mono_us <= 60 * SECOND_US
    rows = await journal.store.rows("SELECT e.at_us, f.due_us FROM firing f JOIN event e USING (seq)")
    assert len(rows) == 1
    assert 0 <= rows[0]["at_us"] - rows[0]["due_us"] <= 60 * SECOND_US


def test_the_shipped_draw_schedule_fires_in_the_night_after_every_draw() -> None:
    shipped = load(Path(__file__).parents[1] / "config" / "helios.yaml", {})
    after_draw = next(s for s in shipped.schedules if s.name == "ingest-after-draw")
    year = datetime(2026, 1, 1, tzinfo=UTC)
    instants, _ = due_instants(after_draw.trigger(), year, year + 365 * DAY)
    nights = {t.astimezone(ZoneInfo("America/New_York")).strftime("%a") for t in instants}
    assert nights == {"Tue", "Thu", "Sun"}
    assert len(instants) == len(set(instants))
