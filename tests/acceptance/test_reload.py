"""The configuration is read again while the daemon runs: whole, or not at all."""

import asyncio
import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from helios_agent.agent import Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from tests.acceptance.conftest import SECRET, Daemon, World

SCHEDULES: list[dict[str, Any]] = [
    {"name": "assess-daily", "action": "assess", "cron": "0 12 * * *"},
    {"name": "backup-nightly", "action": "backup", "cron": "12 4 * * *"},
]


def write(path: Path, **sections: Any) -> None:
    path.write_text(
        yaml.safe_dump({"games": {"powerball": {"feeds": []}}, "schedules": SCHEDULES} | sections)
    )


def changed(daemon: Daemon) -> dict[str, Any]:
    answer = daemon.post("/api/reload", {})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["changed"]
    return found


def test_a_reload_takes_the_new_settings_and_says_what_changed(
    tmp_path: Path, new_daemon: Callable[..., Daemon]
) -> None:
    config = tmp_path / "helios.yaml"
    write(config)
    daemon = new_daemon(config=config).start()
    daemon.wait_until_idle()
    assert changed(daemon) == {}

    often = [*SCHEDULES, {"name": "verify-often", "action": "verify", "every": "60s", "catch_up": "all"}]
    often[0] = SCHEDULES[0] | {"cron": "0 6 * * *"}
    write(config, schedules=often, decisions={"cooldown": "2h"})
    told = changed(daemon)
    assert told["schedules.assess-daily.cron"] == ["0 12 * * *", "0 6 * * *"]
    assert told["decisions.cooldown"] == [86400.0, 7200.0]
    assert told["schedules.verify-often.action"] == [None, "verify"]

    write(config, schedules=often, webhooks={"attempts": 3})
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for(
        lambda: len(daemon.get("/api/journal?kind=config.reloaded").json()) == 3, "the reload at SIGHUP"
    )
    newest = daemon.get("/api/journal?kind=config.reloaded&limit=1").json()[0]["payload"]
    assert newest["changed"] == {"decisions.cooldown": [7200.0, 86400.0], "webhooks.attempts": [20, 3]}
    assert newest["schedules"] == ["assess-daily", "backup-nightly", "verify-often"]
    assert daemon.get("/health").json()["status"] == "ready"


def test_what_is_not_valid_is_refused_whole_and_the_old_configuration_stays(
    tmp_path: Path, new_daemon: Callable[..., Daemon]
) -> None:
    config = tmp_path / "helios.yaml"
    write(config)
    daemon = new_daemon(config=config).start()
    daemon.wait_until_idle()

    write(config, decisions={"cooldown": "soon"}, retention={"age": "60d"})
    refused = daemon.post("/api/reload", {})
    assert refused.status_code == 422
    assert "decisions.cooldown: 'soon'" in refused.json()["detail"]
    write(config, retention={"age": "60d"}, http={"hosts": ["helios.example"]})
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGHUP)
    daemon.wait_for(
        lambda: len(daemon.get("/api/journal?kind=config.refused").json()) == 2, "the refusal at SIGHUP"
    )
    assert daemon.get("/health").json()["status"] == "ready"

    write(config, retention={"age": "60d"})
    assert changed(daemon) == {"retention.age": [1825 * 86400.0, 60 * 86400.0]}


def test_a_game_that_is_added_is_watched_at_once(tmp_path: Path, new_daemon: Callable[..., Daemon]) -> None:
    config = tmp_path / "helios.yaml"
    write(config)
    daemon = new_daemon(config=config, GAMES=None).start()
    daemon.wait_until_idle()
    write(config, games={"powerball": {"feeds": []}, "megamillions": {"feeds": []}})
    changed(daemon)
    daemon.wait_for(
        lambda: len(daemon.get("/api/draws?game=megamillions").json()) == 50, "the draws of the added game"
    )


async def know_since_yesterday(folder: Path, schedule: str) -> None:
    """Leave a database of which an agent knew of a schedule yesterday: a firing of it is due by now."""
    config = Config.model_validate({"paths": {"state": folder}, "games": {"powerball": {"feeds": []}}})
    yesterday = VirtualClock(datetime.now(UTC) - timedelta(days=1))
    async with open_agent(config, Ports(yesterday)) as agent:
        await agent.journal.append("agent.started", {"games": ["powerball"], "schedules": [schedule]})


def test_a_schedule_that_is_added_fires_and_an_endpoint_that_is_added_is_told_of_it(
    tmp_path: Path, new_daemon: Callable[..., Daemon], world: World
) -> None:
    (tmp_path / "state").mkdir()
    asyncio.run(know_since_yesterday(tmp_path / "state", "verify-hourly"))
    config, secret = tmp_path / "helios.yaml", tmp_path / "secret"
    secret.write_text(SECRET)
    write(config)
    daemon = new_daemon(config=config).start()
    daemon.wait_until_idle()
    assert not daemon.happened("journal.verified")

    hourly = {"name": "verify-hourly", "action": "verify", "cron": "0 * * * *"}
    receiver = {
        "name": "receiver", "url": f"{world.url}/hook", "events": ["journal.verified"],
        "secret_file": str(secret),
    }  # fmt: skip
    write(config, schedules=[*SCHEDULES, hourly], webhooks={"endpoints": [receiver]})
    changed(daemon)
    daemon.wait_for(lambda: world.messages, "the message about what the added schedule asked for")
    assert {json.loads(body)["type"] for _, body in world.messages} == {"journal.verified"}
    fired = [e["payload"] for e in daemon.get("/api/journal?kind=schedule.fired&limit=100").json()]
    outcomes = {firing["outcome"] for firing in fired if firing["schedule"] == "verify-hourly"}
    assert outcomes == {"run", "coalesced"}
