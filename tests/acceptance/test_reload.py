"""The configuration is read again while the daemon runs: whole, or not at all."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.conftest import Daemon

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
