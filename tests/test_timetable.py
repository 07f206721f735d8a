import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from helios_agent import timetable
from helios_agent.clock import SECOND_US, VirtualClock, to_us
from helios_agent.config import Config
from helios_agent.errors import Refused
from helios_agent.journal.journal import Journal
from helios_agent.schedules import Scheduler, jitter_us

NOW = datetime(2026, 10, 31, 12, 0, tzinfo=UTC)


def config(*schedules: dict[str, Any]) -> Config:
    return Config.model_validate(
        {
            "games": {"powerball": {}, "megamillions": {}},
            "schedules": [{"name": f"s{n}", "action": "ingest"} | s for n, s in enumerate(schedules)],
        }
    )


def foreseen(
    settings: Config, last: dict[str, int | None] | None = None, hours: float = 24, limit: int = 100
) -> list[dict[str, Any]]:
    seen = timetable.foresee(settings, last or {}, NOW, NOW + timedelta(hours=hours), limit)
    return list(seen["firings"])


def test_what_will_fire_is_told_in_order_with_its_local_time_its_targets_and_the_reason() -> None:
    settings = config(
        {"cron": "30 1 * * *", "timezone": "America/New_York"},
        {"cron": "0 20 * * *", "action": "backup", "enabled": False},
        {"cron": "0 6 * * *", "game": "powerball", "timezone": "Asia/Kolkata"},
    )
    found = foreseen(settings)
    assert [(f["at"], f["local"], f["schedule"], f["targets"], f["paused"]) for f in found] == [
        ("2026-10-31T20:00:00Z", "2026-10-31T20:00:00+00:00", "s1", ["journal"], True),
        ("2026-11-01T00:30:00Z", "2026-11-01T06:00:00+05:30", "s2", ["powerball"], False),
        ("2026-11-01T05:30:00Z", "2026-11-01T01:30:00-04:00", "s0", ["powerball", "megamillions"], False),
    ]
    assert [f["reason"] for f in found] == [
        'cron "0 20 * * *"; paused',
        'cron "0 6 * * *"',
        'cron "30 1 * * *"; 01:30 comes twice that day: the first',
    ]


def test_a_time_of_day_that_the_clocks_leave_out_is_told() -> None:
    settings = config({"cron": "30 2 * * *", "timezone": "America/New_York"})
    day = datetime(2026, 3, 8, tzinfo=UTC)
    seen = timetable.foresee(settings, {}, day, day + timedelta(days=1), 10)
    (firing,) = seen["firings"]
    assert firing["local"] == "2026-03-08T03:00:00-04:00"
    assert firing["reason"] == 'cron "30 2 * * *"; 02:30 does not exist that day: at the end of the gap'


def test_an_hour_that_comes_twice_is_shown_twice_to_a_line_that_follows_elapsed_time() -> None:
    settings = config({"cron": "*/30 1 * * *", "timezone": "America/New_York"})
    seen = timetable.foresee(settings, {}, NOW, NOW + timedelta(days=1), 10)
    assert [f["local"][11:] for f in seen["firings"]] == [
        "01:00:00-04:00",
        "01:30:00-04:00",
        "01:00:00-05:00",
        "01:30:00-05:00",
    ]
    lines = timetable.as_text(seen).splitlines()
    assert [line[15:27] for line in lines] == ["01:00:00 EDT", "01:30:00 EDT", "01:00:00 EST", "01:30:00 EST"]
    assert lines[0].endswith('cron "*/30 1 * * *"; 01:00 comes twice that day: both times')


def test_the_jitter_told_is_the_one_that_will_be_waited() -> None:
    settings = config({"cron": "0 14 * * *", "jitter": 300})
    (firing,) = foreseen(settings)
    waits_us = jitter_us(settings.schedules[0], to_us(NOW + timedelta(hours=2)))
    assert firing["jitter_s"] == waits_us / SECOND_US
    assert firing["reason"] == f'cron "0 14 * * *"; jitter +{waits_us / SECOND_US:.0f} s'


@pytest.mark.parametrize(
    ("last", "hour", "reason"),
    [
        (None, "14:00", "every 7200 s from now on: no firing of it is known"),
        (timedelta(minutes=-90), "12:30", "every 7200 s since 2026-10-31T10:30:00Z"),
        (timedelta(hours=-1001), "13:00", "every 7200 s since 2026-09-19T19:00:00Z"),
        (timedelta(minutes=59), "14:59", "every 7200 s since 2026-10-31T12:59:00Z"),
        (timedelta(minutes=61), "14:00", "every 7200 s from now on: no firing of it is known"),
    ],
)
def test_an_interval_is_counted_from_its_last_firing_if_there_is_one_that_can_be(
    last: timedelta | None, hour: str, reason: str
) -> None:
    settings = config({"every": 7200})
    known = {"s0": None if last is None else to_us(NOW + last)}
    first, second, *_ = foreseen(settings, known)
    assert (first["at"], first["reason"]) == (f"2026-10-31T{hour}:00Z", reason)
    assert datetime.fromisoformat(second["at"]) - datetime.fromisoformat(first["at"]) == timedelta(hours=2)


def test_what_has_fired_under_a_clock_a_little_ahead_is_not_foreseen_again() -> None:
    settings = config({"cron": "*/15 * * * *"})
    known: dict[str, int | None] = {"s0": to_us(NOW + timedelta(minutes=30))}
    assert foreseen(settings, known)[0]["at"] == "2026-10-31T12:45:00Z"


def test_no_more_is_told_than_was_asked_for_and_that_there_is_more_is() -> None:
    settings = config({"cron": "* * * * *"}, {"cron": "*/10 * * * *"})
    seen = timetable.foresee(settings, {}, NOW, NOW + timedelta(minutes=10), 5)
    assert len(seen["firings"]) == 5
    assert seen["more"] is True
    assert timetable.as_text(seen).splitlines()[-1] == (
        "… and more until 2026-10-31T12:10:00Z: ask for it with --limit"
    )
    whole = timetable.foresee(settings, {}, NOW, NOW + timedelta(minutes=10), 11)
    assert (len(whole["firings"]), whole["more"]) == (11, False)


def test_where_nothing_is_due_that_is_said() -> None:
    assert timetable.as_text(timetable.foresee(config(), {}, NOW, NOW + timedelta(days=7), 5)) == (
        "Nothing will be due until 2026-11-07T12:00:00Z."
    )


@pytest.mark.parametrize(
    ("until", "end"),
    [
        (None, datetime(2026, 11, 7, 12, tzinfo=UTC)),
        ("2026-10-31", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-02", datetime(2026, 11, 3, tzinfo=UTC)),
        ("2026-11-02T06:00", datetime(2026, 11, 2, 6, tzinfo=UTC)),
        ("2026-11-02T06:00Z", datetime(2026, 11, 2, 6, tzinfo=UTC)),
        ("2026-11-02T06:00-05:00", datetime(2026, 11, 2, 11, tzinfo=UTC)),
    ],
)
def test_a_day_counts_to_its_end_and_an_instant_as_it_stands(until: str | None, end: datetime) -> None:
    assert timetable.end_of(until, NOW) == end


@pytest.mark.parametrize(
    ("until", "said"),
    [
        ("2026-10-30", r"--until '2026-10-30' is past: it is 2026-10-31 12:00 UTC; name a later date"),
        ("2026-10-31T12:00", "is past"),
        ("9999-12-31", "expected a day like"),
        ("2040-01-01", "expected a date at most 3660 days ahead"),
        ("tomorrow", "--until 'tomorrow': expected a day like 2026-11-02, or an instant like"),
        ("2026-02-30", "expected a day like"),
        ("", "expected a day like"),
    ],
)
def test_a_date_that_is_past_or_none_is_refused(until: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        timetable.end_of(until, NOW)


async def test_what_is_foreseen_is_what_then_fires(journal: Journal, clock: VirtualClock) -> None:
    settings = config(
        {"cron": "*/20 0-2 * * *", "timezone": "America/New_York"},
        {"cron": "30 1 * * *", "timezone": "Europe/Berlin", "action": "verify"},
        {"every": 50_000, "action": "decide"},
        {"every": 7_777, "action": "assess"},
    )
    await journal.append("agent.started", {"schedules": [s.name for s in settings.schedules]})
    scheduler = Scheduler(settings, journal)
    await clock.advance(36 * 86_400)
    await scheduler.tick()
    start, end = clock.now_us(), clock.now_us() + 14 * 86_400 * SECOND_US
    known = await timetable.accounted(journal.store, settings)
    now, until = (datetime.fromtimestamp(us / SECOND_US, UTC) for us in (start, end))
    seen = timetable.foresee(settings, known, now, until, 10_000)
    await clock.advance(14 * 86_400)
    await scheduler.tick()
    rows = await journal.store.rows(
        "SELECT schedule, due_us FROM firing WHERE due_us > ? ORDER BY due_us", (start,)
    )
    foreseen = [(f["schedule"], to_us(datetime.fromisoformat(f["at"]))) for f in seen["firings"]]
    assert len(foreseen) == 14 * 9 + 3 + 14 + 24 + 156  # on 2026-11-01 New York's second hour comes twice
    assert sorted(foreseen) == sorted((row["schedule"], row["due_us"]) for row in rows)


def _helios(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HELIOS_")}
    environment["HELIOS_PATHS__STATE"] = str(folder / "state")
    command = [sys.executable, "-m", "helios_agent", "schedule", "next", *arguments]
    return subprocess.run(
        command, cwd=Path(__file__).parents[1], env=environment, capture_output=True, text=True
    )


def test_the_command_needs_no_database_and_makes_none(tmp_path: Path) -> None:
    told = _helios(tmp_path, "--json", "--limit", "3")
    seen = json.loads(told.stdout)
    assert (told.returncode, told.stderr) == (0, "")
    assert len(seen["firings"]) == 3
    assert seen["more"] is True
    refused = _helios(tmp_path, "--until", "2001-02-03")
    assert (refused.returncode, refused.stdout) == (64, "")
    assert refused.stderr.startswith("helios: --until '2001-02-03' is past: it is ")
    assert not (tmp_path / "state").exists()
