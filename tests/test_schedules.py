import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from helios_agent.clock import SECOND_US, VirtualClock, from_us, to_us
from helios_agent.config import Config, cron, load
from helios_agent.config.model import Schedule
from helios_agent.errors import StoreError
from helios_agent.journal import intents
from helios_agent.journal.journal import Event, Journal, Transaction
from helios_agent.schedules import CHUNK, PULSE_S, Scheduler, due_instants, jitter_us, outcomes
from helios_agent.store import Store

ROOT = Path(__file__).parents[1]
TICK = timedelta(microseconds=1)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
HOUR_S, DAY_S, YEAR_S = 3600, 86_400, 365 * 86_400
LATE_S = 60.0


def schedule(**settings: Any) -> Schedule:
    rhythm = {} if "every" in settings else {"cron": "0 12 * * *"}
    return Schedule.model_validate({"name": "test", "action": "ingest"} | rhythm | settings)


def documented() -> list[tuple[str, str, str, str]]:
    """Return what the document says: (zone, day, line, local times with their offset from UTC)."""
    text = (ROOT / "docs/reference/schedules.md").read_text("utf-8")
    row = re.compile(r"^\| (\w+/\w+) \| ([-\d]+) \| [^|]+ \| `([^`]+)` \| ([^|]+) \|$", re.MULTILINE)
    return row.findall(text)


@pytest.mark.parametrize(("zone", "day", "line", "expected"), documented())
def test_on_a_day_on_which_clocks_change_a_line_is_due_as_the_document_says(
    zone: str, day: str, line: str, expected: str
) -> None:
    midnight = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
    first, last = (m.astimezone(UTC) - TICK for m in (midnight, midnight + DAY))
    instants, _ = due_instants(cron.trigger(line, zone), first, last)
    found = [f"{t.astimezone(ZoneInfo(zone)):%H:%M %z}" for t in instants]
    assert (", ".join(found) or "never") == expected


def test_the_document_tells_of_a_gap_and_a_fold_in_each_of_six_zones_and_of_one_without() -> None:
    rows = documented()
    days = Counter(zone for zone, _ in {(zone, day) for zone, day, _, _ in rows})
    assert sum(count == 2 for count in days.values()) == 6
    assert sum(count == 1 for count in days.values()) == 1


NOW = datetime(2026, 9, 18, 12, 0, tzinfo=UTC)


def told(ages_s: list[float], *, more: bool = False, **settings: Any) -> list[str]:
    instants = [NOW - timedelta(seconds=age) for age in ages_s]
    firings = outcomes(schedule(**settings), instants, NOW, LATE_S, more=more)
    assert [firing.due_us for firing in firings] == [to_us(t) for t in instants]
    return [firing.outcome for firing in firings]


WEEK_S = 7 * DAY_S


@pytest.mark.parametrize(
    ("catch_up", "ages_s", "expected"),
    [
        ("latest", [3 * HOUR_S, 2 * HOUR_S, HOUR_S], ["coalesced", "coalesced", "run"]),
        ("latest", [0], ["run"]),
        ("latest", [], []),
        ("all", [3 * HOUR_S, 2 * HOUR_S, HOUR_S], ["run", "run", "run"]),
        ("none", [3 * HOUR_S, 2 * HOUR_S, HOUR_S], ["expired", "expired", "expired"]),
        ("none", [HOUR_S, LATE_S], ["expired", "run"]),
        ("none", [LATE_S + 0.001], ["expired"]),
        ("all", [WEEK_S + 0.001, WEEK_S, HOUR_S], ["expired", "run", "run"]),
        ("latest", [9 * DAY_S, WEEK_S + 0.001], ["expired", "expired"]),
        ("latest", [9 * DAY_S, WEEK_S], ["expired", "run"]),
        ("latest", [9 * DAY_S, 2 * HOUR_S, HOUR_S], ["expired", "coalesced", "run"]),
    ],
)
def test_catch_up_and_max_age_say_what_becomes_of_what_was_missed(
    catch_up: str, ages_s: list[float], expected: list[str]
) -> None:
    assert told(ages_s, catch_up=catch_up) == expected


def test_where_more_is_due_than_was_looked_at_the_latest_is_not_among_it() -> None:
    assert told([9 * DAY_S, 2 * HOUR_S, HOUR_S], more=True) == ["expired", "coalesced", "coalesced"]
    assert told([2 * HOUR_S, HOUR_S], more=True, catch_up="all") == ["run", "run"]
    assert told([LATE_S], more=True, catch_up="none") == ["coalesced"]


@pytest.mark.parametrize("catch_up", ["all", "latest", "none"])
@pytest.mark.parametrize("more", [True, False])
def test_a_schedule_that_is_paused_runs_nothing(catch_up: str, more: bool) -> None:
    assert told([9 * DAY_S, HOUR_S, 0], more=more, catch_up=catch_up, enabled=False) == ["paused"] * 3


def config(*schedules: Schedule, games: tuple[str, ...] = ("powerball",)) -> Config:
    return Config.model_validate({"games": {game: {} for game in games}, "schedules": schedules})


async def boot(journal: Journal, settings: Config) -> Scheduler:
    """Start a daemon, as far as its schedules are concerned."""
    names = [s.name for s in settings.schedules]
    await journal.append("agent.started", {"schedules": names})
    scheduler = Scheduler(settings, journal)
    await scheduler.tick()
    return scheduler


async def fired(store: Store) -> list[tuple[str, datetime, str]]:
    rows = await store.rows("SELECT schedule, due_us, outcome FROM firing ORDER BY due_us, schedule")
    return [(row["schedule"], from_us(row["due_us"]), row["outcome"]) for row in rows]


async def firings(store: Store) -> list[tuple[str, str, str]]:
    return [(name, f"{due:%d %H:%M}", outcome) for name, due, outcome in await fired(store)]


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


async def test_a_schedule_that_a_reload_brings_is_due_from_the_reload_on(
    journal: Journal, clock: VirtualClock
) -> None:
    old, new = schedule(name="old", cron="0 * * * *"), schedule(name="new", cron="30 * * * *")
    scheduler = await boot(journal, config(old))
    await clock.advance(2 * HOUR_S)
    await journal.append("config.reloaded", {"schedules": ["old", "new"]})
    scheduler.config = config(old, new)
    await clock.advance(HOUR_S)
    await scheduler.tick()
    later = await boot(Journal(journal.store, clock, "boot-2"), config(old, new))
    await clock.advance(HOUR_S)
    await later.tick()
    assert [at for name, at, _ in await firings(journal.store) if name == "new"] == ["18 14:30", "18 15:30"]
    assert len([at for name, at, _ in await firings(journal.store) if name == "old"]) == 4


async def test_a_schedule_of_which_the_journal_knows_nothing_goes_on_from_where_it_was_first_seen(
    journal: Journal, clock: VirtualClock
) -> None:
    scheduler = Scheduler(config(schedule(cron="0 * * * *")), journal)
    for _ in range(5):
        await scheduler.tick()
        await clock.advance(1200)
    assert await firings(journal.store) == [("test", "18 13:00", "run")]


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


ABSENCE_S = 2 * DAY_S + 90
MINUTES = ABSENCE_S // 60
AGE_S = DAY_S
"""An absence of several chunks; half of what was missed is too old."""


def expected_outcomes(catch_up: str, enabled: bool) -> list[str]:
    if not enabled:
        return ["paused"] * MINUTES
    if catch_up == "none":
        return ["expired"] * (MINUTES - 1) + ["run"]
    old = sum(ABSENCE_S - 60 * minute > AGE_S for minute in range(1, MINUTES + 1))
    rest = ["run"] * (MINUTES - old) if catch_up == "all" else ["coalesced"] * (MINUTES - old - 1) + ["run"]
    return ["expired"] * old + rest


@pytest.mark.parametrize(
    ("catch_up", "enabled"), [("latest", True), ("all", True), ("none", True), ("all", False)]
)
async def test_a_long_absence_is_accounted_for_in_portions_as_if_it_were_one(
    catch_up: str, enabled: bool, journal: Journal, clock: VirtualClock
) -> None:
    line = schedule(cron="* * * * *", max_age=AGE_S, catch_up=catch_up, enabled=enabled)
    scheduler = await boot(journal, config(line))
    await clock.advance(ABSENCE_S)
    await scheduler.tick()
    found = await fired(journal.store)
    assert [due for _, due, _ in found] == [NOW + timedelta(minutes=m) for m in range(1, MINUTES + 1)]
    assert [outcome for _, _, outcome in found] == expected_outcomes(catch_up, enabled)
    assert await finish_all(journal, "ingest") == (1 if enabled else 0)


async def test_a_schedule_with_much_to_make_up_for_lets_the_others_and_the_loop_have_their_turn(
    journal: Journal, clock: VirtualClock
) -> None:
    schedules = (
        schedule(name="often", cron="* * * * *"),
        schedule(name="rarely", cron="0 4 * * *", action="backup"),
    )
    scheduler = await boot(journal, config(*schedules))
    await clock.advance(ABSENCE_S)
    committed: list[int] = []
    with journal.listening() as listener:
        ticking = asyncio.create_task(scheduler.tick())
        while not ticking.done():
            listener.clear()
            await asyncio.wait({ticking, asyncio.create_task(listener.wait())}, return_when="FIRST_COMPLETED")
            committed += [(await journal.store.rows("SELECT count(*) AS n FROM firing"))[0]["n"]]
        listener.set()
    assert len(set(committed)) >= MINUTES // CHUNK
    rarely, first_chunk = await journal.store.rows(
        "SELECT max(iif(schedule = 'rarely', seq, 0)) AS seq FROM firing UNION ALL"
        " SELECT count(*) FROM firing WHERE seq < (SELECT max(seq) FROM firing WHERE schedule = 'rarely')"
    )
    assert rarely["seq"] > 0
    assert first_chunk["seq"] <= CHUNK + 1


class Crash(Exception):
    """The end of a daemon, at a chosen event."""


def crashing_at(place: int) -> Callable[[Transaction, Event], None]:
    seen = 0

    def hook(tx: Transaction, event: Event) -> None:
        nonlocal seen
        seen += event.kind == "schedule.fired"
        if seen == place:
            raise Crash

    return hook


@pytest.mark.parametrize(
    "place", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 1, MINUTES - 1, MINUTES]
)
async def test_a_crash_while_a_long_absence_is_accounted_for_loses_and_repeats_nothing(
    place: int, journal: Journal, clock: VirtualClock
) -> None:
    settings = config(schedule(cron="* * * * *", max_age=AGE_S))
    await boot(journal, settings)
    await clock.advance(ABSENCE_S)
    doomed = Journal(journal.store, clock, "boot-2", (crashing_at(place),))
    with pytest.raises(Crash):
        await boot(doomed, settings)
    kept = await fired(journal.store)
    assert len(kept) == (place - 1) // CHUNK * CHUNK
    later = Journal(journal.store, clock, "boot-3")
    await boot(later, settings)
    found = await fired(journal.store)
    assert found[: len(kept)] == kept
    assert [outcome for _, _, outcome in found] == expected_outcomes("latest", enabled=True)
    assert await finish_all(later, "ingest") == 1
    events = await journal.store.rows("SELECT count(*) AS n FROM event WHERE kind = 'schedule.fired'")
    assert events[0]["n"] == MINUTES


@given(st.text(min_size=1, max_size=5), st.integers(0, 10**16), st.integers(0, 86_400))
def test_jitter_stays_within_its_setting_and_is_the_same_for_the_same_instant(
    suffix: str, due_us: int, jitter: int
) -> None:
    line = schedule(jitter=jitter)
    waits = jitter_us(line, due_us)
    assert 0 <= waits <= jitter * SECOND_US
    assert waits == jitter_us(schedule(jitter=jitter, catch_up="all"), due_us)


def test_jitter_takes_all_values_equally_often_and_differs_between_schedules() -> None:
    one, other = schedule(name="one", jitter=100), schedule(name="other", jitter=100)
    days = [to_us(NOW + n * DAY) for n in range(4000)]
    waits = [jitter_us(one, due_us) / SECOND_US for due_us in days]
    quarters = Counter(int(wait // 25) for wait in waits)
    assert set(quarters) == {0, 1, 2, 3}
    assert sum((n - 1000) ** 2 / 1000 for n in quarters.values()) < 16.3  # chi-squared, 3 degrees: 0.1 %
    assert waits != [jitter_us(other, due_us) / SECOND_US for due_us in days]
    assert (
        jitter_us(schedule(name="one", jitter=100), days[0]) == 61_493_762
    )  # for good: an upgrade moves nothing


@pytest.mark.parametrize("away_s", [0, HOUR_S])
async def test_what_is_due_waits_for_its_jitter_and_what_was_missed_no_longer_than_that(
    away_s: int, journal: Journal, clock: VirtualClock
) -> None:
    line = schedule(cron="0 13 * * *", jitter=600)
    scheduler = await boot(journal, config(line))
    await clock.advance(HOUR_S + away_s)
    await scheduler.tick()
    due_us = to_us(NOW + HOUR)
    (intent,) = await intents.open_ones(journal.store)
    assert [due for _, due, _ in await fired(journal.store)] == [NOW + HOUR]
    assert intent.due_us == max(due_us + jitter_us(line, due_us), clock.now_us())
    assert (intent.due_us > clock.now_us()) == (away_s == 0)


def test_a_jitter_that_is_no_shorter_than_the_interval_is_refused() -> None:
    assert schedule(every=600, jitter=599).jitter == 599
    with pytest.raises(ValidationError, match=r"jitter is 600 s, every 600 s: jitter must be shorter"):
        schedule(every=600, jitter=600)


def test_an_interval_beyond_all_reason_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"every is 8\.64e\+10 s; the longest is 31622400 s, 366 days"):
        schedule(every="1000000d")


LIVED = ("advance", DAY_S)


async def live(journal: Journal, clock: VirtualClock, *moves: tuple[str, float]) -> Scheduler:
    """Boot, and after each move of the clock tick as the daemon does; return the scheduler."""
    settings = config(
        schedule(name="half-daily", cron="0 */12 * * *", catch_up="all"),
        schedule(name="every", every=7 * HOUR_S, action="decide"),
    )
    scheduler = await boot(journal, settings)
    for move, seconds in moves:
        if move == "down":
            await clock.advance(seconds)
            scheduler = await boot(Journal(journal.store, clock, "another boot"), settings)
        elif move == "advance":
            for _ in range(int(seconds // 1800)):
                await clock.advance(1800)
                await scheduler.tick()
        else:
            getattr(clock, move)(seconds)
            await scheduler.tick()
    return scheduler


async def assert_one_outcome_for_each_due_instant(store: Store, now: datetime) -> None:
    """Check that each instant since the first boot has one outcome, and the table what the journal says."""
    found = await fired(store)
    half_daily = [due for name, due, _ in found if name == "half-daily" and due <= now]
    every = [due for name, due, _ in found if name == "every" and due <= now]
    assert half_daily == [NOW + n * 12 * HOUR for n in range(1, (now - NOW) // (12 * HOUR) + 1)]
    assert every == [every[0] + n * 7 * HOUR for n in range(len(every))]
    assert now - 7 * HOUR < every[-1] <= now
    told: dict[tuple[str, int], str] = {}
    for row in await store.rows("SELECT kind, payload FROM event WHERE kind GLOB 'schedule.*' ORDER BY seq"):
        event = json.loads(row["payload"])
        if row["kind"] == "schedule.rewound":
            name, after_us = event["schedule"], event["after_us"]
            told = {key: told[key] for key in told if key[0] != name or key[1] <= after_us}
        else:
            key = event["schedule"], event["due_us"]
            assert key not in told
            told[key] = event["outcome"]
    assert {(name, to_us(due)): outcome for name, due, outcome in found} == told


@pytest.mark.parametrize(
    "moves",
    [
        [LIVED],
        [LIVED, ("step", HOUR_S), LIVED],
        [LIVED, ("advance", 1800), ("step", -HOUR_S), LIVED],
        [LIVED, ("step", -HOUR_S), ("step", -HOUR_S), ("step", -HOUR_S), LIVED],
        [LIVED, ("suspend", 36 * HOUR_S), LIVED],
        [LIVED, ("step", 36 * HOUR_S), LIVED, ("step", -36 * HOUR_S), LIVED],
        [LIVED, ("step", 10 * YEAR_S), ("step", -10 * YEAR_S), LIVED, LIVED],
        [LIVED, ("step", 10 * YEAR_S), LIVED, ("step", -10 * YEAR_S), LIVED],
    ],
    ids=lambda moves: ", ".join(f"{move} {seconds / HOUR_S:g} h" for move, seconds in moves),
)
async def test_whatever_the_clock_does_every_due_instant_has_exactly_one_outcome(
    moves: list[tuple[str, float]], journal: Journal, clock: VirtualClock
) -> None:
    await live(journal, clock, *moves)
    await assert_one_outcome_for_each_due_instant(journal.store, from_us(clock.now_us()))


@pytest.mark.parametrize("seed", range(12))
async def test_however_often_the_clock_is_set_and_the_daemon_dies_every_due_instant_has_exactly_one_outcome(
    seed: int, journal: Journal, clock: VirtualClock
) -> None:
    chance = random.Random(seed)  # noqa: S311
    moves: list[tuple[str, float]] = [LIVED]
    ahead_s = 0
    for _ in range(20):
        move = chance.choice(["advance", "advance", "down", "suspend", "step", "back"])
        seconds = chance.choice([60, 1800, 3599, 3600, 3601, 7200, 12 * HOUR_S, 40 * HOUR_S, 90 * DAY_S])
        if move == "back":
            move, seconds = "step", -min(seconds, ahead_s)
        elif move == "advance":
            seconds = min(seconds, 2 * DAY_S)
        ahead_s += seconds if move == "step" else 0
        moves.append((move, seconds))
    await live(journal, clock, *moves, LIVED)
    await assert_one_outcome_for_each_due_instant(journal.store, from_us(clock.now_us()))


async def test_a_clock_that_was_ten_years_ahead_voids_what_fired_in_the_future_and_only_that(
    journal: Journal, clock: VirtualClock
) -> None:
    scheduler = await live(journal, clock, ("advance", DAY_S), ("step", 10 * YEAR_S))
    ahead = [due for name, due, _ in await fired(journal.store) if name == "half-daily"]
    assert len(ahead) == 2 + 10 * 365 * 2
    clock.step(-10 * YEAR_S + 1800)
    await scheduler.tick()
    assert len([1 for name, _, _ in await fired(journal.store) if name == "half-daily"]) == len(ahead)
    back_us = clock.now_us()
    await clock.advance(11.5 * HOUR_S)
    await scheduler.tick()
    rows = await journal.store.rows("SELECT payload FROM event WHERE kind = 'schedule.rewound' ORDER BY seq")
    assert [json.loads(row["payload"]) for row in rows] == [
        {"schedule": "half-daily", "after_us": back_us},
        {"schedule": "every", "after_us": back_us},
    ]
    half_daily = [(due, outcome) for name, due, outcome in await fired(journal.store) if name == "half-daily"]
    assert half_daily == [(NOW + n * 12 * HOUR, "run") for n in (1, 2, 3)]


async def test_a_schedule_that_a_clock_ten_years_ahead_made_known_is_not_silent_until_then(
    journal: Journal, store: Store
) -> None:
    ahead = VirtualClock(NOW + 3650 * DAY)
    settings = config(schedule(cron="0 * * * *"))
    await boot(Journal(store, ahead, "boot-1"), settings)
    right = VirtualClock(NOW)
    scheduler = await boot(Journal(store, right, "boot-2"), settings)
    for _ in range(3):
        await right.advance(HOUR_S)
        await scheduler.tick()
    assert await firings(store) == [("test", f"18 {hour}:00", "run") for hour in (13, 14, 15)]


async def test_a_clock_that_is_behind_only_until_something_is_due_voids_nothing(
    journal: Journal, clock: VirtualClock
) -> None:
    scheduler = await live(journal, clock, ("advance", 3 * DAY_S))
    before = await fired(journal.store)
    clock.step(-20 * YEAR_S)
    await scheduler.tick()
    await clock.advance(1800)
    await scheduler.tick()
    assert await fired(journal.store) == before
    clock.step(20 * YEAR_S)
    await scheduler.tick()
    assert await fired(journal.store) == before
    assert await journal.store.rows("SELECT 1 FROM event WHERE kind = 'schedule.rewound'") == []
    await clock.advance(DAY_S)
    await scheduler.tick()
    await assert_one_outcome_for_each_due_instant(journal.store, from_us(clock.now_us()))


async def test_a_clock_that_was_set_back_by_less_than_an_hour_does_not_fire_again(
    journal: Journal, clock: VirtualClock
) -> None:
    scheduler = await boot(journal, config(schedule(cron="*/20 * * * *", catch_up="all")))
    await clock.advance(HOUR_S)
    await scheduler.tick()
    clock.step(-3599)
    await scheduler.tick()
    await clock.advance(3599)
    await scheduler.tick()
    assert [at for _, at, _ in await firings(journal.store)] == ["18 12:20", "18 12:40", "18 13:00"]
    await clock.advance(1200)
    await scheduler.tick()
    assert [at for _, at, _ in await firings(journal.store)][3:] == ["18 13:20"]
    assert await journal.store.rows("SELECT 1 FROM event WHERE kind = 'schedule.rewound'") == []


async def test_after_a_crash_between_two_looks_a_rewound_schedule_still_has_one_outcome_for_each_instant(
    journal: Journal, clock: VirtualClock
) -> None:
    moves: list[tuple[str, float]] = [("advance", DAY_S), ("step", YEAR_S), ("step", -YEAR_S)]
    await live(journal, clock, *moves)
    await clock.advance(DAY_S)  # down, before anything was due again
    await live(Journal(journal.store, clock, "boot-2"), clock, ("advance", DAY_S))
    await assert_one_outcome_for_each_due_instant(journal.store, from_us(clock.now_us()))


@asynccontextmanager
async def running(
    scheduler: Scheduler, journal: Journal, clock: VirtualClock
) -> AsyncIterator[Callable[[float], Any]]:
    """Run a scheduler; lend a function that lets time pass, as fast as the scheduler follows."""
    task = asyncio.create_task(scheduler.run())

    async def settle() -> None:
        while not clock.sleepers and not task.done():
            await journal.store.rows("SELECT 1")

    async def pass_by(seconds: float) -> None:
        await settle()
        for _ in range(round(seconds)):
            await clock.advance(1)
            await settle()

    try:
        yield pass_by
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def noticed(store: Store) -> list[tuple[str, dict[str, Any]]]:
    rows = await store.rows("SELECT kind, payload FROM event WHERE kind GLOB 'clock.*' ORDER BY seq")
    return [(row["kind"], json.loads(row["payload"])) for row in rows]


async def test_the_running_scheduler_fires_on_time_and_shows_that_it_lives(
    journal: Journal, clock: VirtualClock
) -> None:
    scheduler = await boot(journal, config(schedule(cron="10 12 * * *")))
    async with running(scheduler, journal, clock) as pass_by:
        await pass_by(700)
        assert clock.mono_us() - scheduler.pulse_mono_us <= 30 * SECOND_US
    rows = await journal.store.rows("SELECT e.at_us, f.due_us FROM firing f JOIN event e USING (seq)")
    assert [row["at_us"] - row["due_us"] for row in rows] == [0]
    assert await noticed(journal.store) == []


async def test_a_step_and_a_sleep_are_noticed_within_a_pulse_and_journaled_once(
    journal: Journal, clock: VirtualClock
) -> None:
    scheduler = await boot(journal, config(schedule(cron="0 3 1 * *")))
    async with running(scheduler, journal, clock) as pass_by:
        await pass_by(40)
        clock.step(-3600)
        await pass_by(30)
        clock.suspend(36 * HOUR_S)
        await pass_by(30)
        clock.step(4.9)
        await pass_by(30)
        clock.step(10 * YEAR_S)
        clock.suspend(6)
        await pass_by(30)
        clock.step(-10 * YEAR_S)
        await pass_by(100)
    assert await noticed(journal.store) == [
        ("clock.stepped", {"by_s": -3600.0}),
        ("clock.suspended", {"for_s": 129_600.0}),
        ("clock.suspended", {"for_s": 6.0}),
        ("clock.stepped", {"by_s": 315_360_000.0}),
        ("clock.stepped", {"by_s": -315_360_000.0}),
    ]


async def test_a_machine_that_slept_makes_up_for_what_was_due_within_a_pulse_of_waking(
    journal: Journal, clock: VirtualClock
) -> None:
    scheduler = await boot(journal, config(schedule(cron="0 */12 * * *")))
    async with running(scheduler, journal, clock) as pass_by:
        await pass_by(10)
        clock.suspend(36 * HOUR_S)
        await pass_by(30)
        assert [outcome for _, _, outcome in await firings(journal.store)] == ["coalesced"] * 2 + ["run"]
    assert await noticed(journal.store) == [("clock.suspended", {"for_s": 129_600.0})]


async def test_settings_that_were_replaced_hold_at_once_when_the_scheduler_is_told(
    journal: Journal, clock: VirtualClock
) -> None:
    scheduler = await boot(journal, config(schedule(cron="0 3 1 * *")))
    async with running(scheduler, journal, clock) as pass_by:
        await pass_by(5)
        await journal.append("config.reloaded", {"schedules": ["new"]})
        scheduler.config = config(schedule(name="new", every=60))
        scheduler.changed.set()
        while scheduler.pulse_mono_us < clock.mono_us():
            await journal.store.rows("SELECT 1")
        await pass_by(60)
    assert scheduler.pulse_mono_us == 65 * SECOND_US
    assert await fired(journal.store) == [("new", NOW + timedelta(seconds=65), "run")]


@pytest.mark.parametrize(
    ("settings", "targets"),
    [
        ({}, ["megamillions", "powerball"]),
        ({"game": "powerball"}, ["powerball"]),
        ({"action": "backup"}, ["journal"]),
        ({"action": "verify"}, ["journal"]),
        ({"action": "compact"}, ["journal"]),
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


def test_the_shipped_draw_schedule_fires_in_the_night_after_every_draw() -> None:
    shipped = load(ROOT / "config" / "helios.yaml", {})
    after_draw = next(s for s in shipped.schedules if s.name == "ingest-after-draw")
    year = datetime(2026, 1, 1, tzinfo=UTC)
    instants, _ = due_instants(after_draw.trigger(), year, year + 365 * DAY)
    nights = {t.astimezone(ZoneInfo("America/New_York")).strftime("%a") for t in instants}
    assert nights == {"Tue", "Thu", "Sun"}
    assert len(instants) == len(set(instants))


async def test_a_scheduler_whose_database_fails_has_given_a_sign_of_life(
    journal: Journal, clock: VirtualClock
) -> None:
    scheduler = Scheduler(Config.model_validate({"games": {"powerball": {}}}), journal)
    running = asyncio.create_task(scheduler.run())
    while not clock.sleepers:
        await asyncio.wait({running}, timeout=0.001)
    clock.step(60)  # which is to be journaled
    await journal.store.close()
    await clock.advance(PULSE_S)
    with pytest.raises(StoreError):
        await running
    assert scheduler.pulse_mono_us == clock.mono_us()


async def propose(journal: Journal, target: str, for_s: float) -> str:
    def change(tx: Transaction) -> str:
        expires_us, cause = tx.now_us() + round(for_s * SECOND_US), tx.append("test.decided", {}).seq
        return intents.propose(tx, "train", target, {}, cause, expires_us=expires_us, reason="it is old")

    return await journal.record(change)


async def expiries(store: Store) -> list[tuple[str, float]]:
    """Return which intents expired, and how many seconds after the proposals were made."""
    rows = await store.rows(
        "SELECT payload->>'id' AS id, at_us FROM event WHERE kind = 'intent.expired' ORDER BY seq"
    )
    return [(row["id"], (from_us(row["at_us"]) - NOW).total_seconds()) for row in rows]


async def test_what_nobody_answers_expires_at_its_time_though_nobody_asks_and_nothing_is_scheduled(
    journal: Journal, clock: VirtualClock
) -> None:
    first, answered, last = [await propose(journal, *p) for p in (("a", 95), ("b", 96), ("c", 1200))]
    async with running(await boot(journal, config()), journal, clock) as pass_by:
        await pass_by(90)
        assert await expiries(journal.store) == []
        await journal.record(lambda tx: intents.approve(tx, answered, "http"))
        late = await propose(journal, "d", 60)  # between two looks
        await pass_by(1200)
    assert await expiries(journal.store) == [(first, 95), (late, 150), (last, 1200)]
    assert (await intents.find(journal.store, answered)).state == "ready"


async def test_what_expired_while_the_machine_slept_or_no_daemon_ran_expires_within_a_pulse(
    journal: Journal, clock: VirtualClock
) -> None:
    first, last = await propose(journal, "a", 60), await propose(journal, "b", 36 * HOUR_S)
    await clock.advance(600)
    scheduler = await boot(journal, config())
    async with running(scheduler, journal, clock) as pass_by:
        await pass_by(1)
        assert await expiries(journal.store) == [(first, 600)]
        clock.suspend(36 * HOUR_S)
        await pass_by(30)
    assert [intent for intent, _ in await expiries(journal.store)] == [first, last]
