"""Goals of a daemon: from its configuration, from the command line, and across its restarts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.acceptance.conftest import Daemon

CONFIGURED = {
    "id": "all-draws", "name": "all draws are known", "game": "powerball", "metric": "missing_draws",
    "target": 0, "direction": "at most",
}  # fmt: skip


def write(path: Path, *goals: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump({"games": {"powerball": {"feeds": []}}, "decisions": {"goals": [*goals]}}))


def goals(daemon: Daemon) -> dict[str, dict[str, Any]]:
    found = json.loads(daemon.cli("goals", "list", "--json").stdout)
    return {goal["id"]: goal for goal in found}


def test_goals_come_from_the_configuration_and_from_persons_and_outlive_the_daemon(
    tmp_path: Path, new_daemon: Callable[..., Daemon]
) -> None:
    config = tmp_path / "helios.yaml"
    write(config, CONFIGURED)
    daemon = new_daemon(config=config).start()
    daemon.wait_until_idle()
    said = daemon.cli("goals", "set", "sharp", "--metric", "smallest_visible_factor", "--at-most", "1.01")
    assert "sharp  powerball  medium  sharp: smallest_visible_factor at most 1.01  waiting" in said.stdout
    daemon.wait_for(lambda: goals(daemon)["sharp"]["state"] == "open", "the goal to be measured")
    found = goals(daemon)
    assert found["sharp"]["start"] == found["sharp"]["value"] > 1.01
    assert found["all-draws"]["source"] == "configuration"
    assert found["all-draws"]["state"] == "open"
    assert found["all-draws"]["start"] > 0

    refused = daemon.cli("goals", "withdraw", "all-draws", check=False)
    assert (refused.returncode, "stands in the configuration" in refused.stderr) == (64, True)
    write(config)
    assert daemon.post("/api/reload", {}).json()["changed"]["decisions.goals.all-draws.target"] == [0.0, None]
    assert goals(daemon)["all-draws"]["state"] == "withdrawn"
    write(config, CONFIGURED | {"metric": "luck"})
    wrong = daemon.post("/api/reload", {})
    assert wrong.status_code == 422
    assert "decisions.goals: all-draws: metric is 'luck'; expected a signal" in wrong.json()["detail"]
    checked = daemon.cli("check-config", check=False)
    assert (checked.returncode, "metric is 'luck'" in checked.stderr) == (78, True)

    write(config, CONFIGURED)
    assert daemon.stop() == 0
    alone = daemon.cli("goals", "set", "then", "--metric", "skill", "--at-least=-0.5", "--after", "sharp")
    assert "then: skill at least -0.5, after sharp  waiting" in alone.stdout
    found = goals(daemon)
    assert found["all-draws"]["state"] == "waiting", "set anew by whoever opened the database next"
    assert (found["then"]["state"], found["sharp"]["state"]) == ("waiting", "open")
    assert "sharp  powerball" in daemon.cli("goals", "withdraw", "sharp").stdout
    twice = daemon.cli("goals", "withdraw", "sharp", check=False)
    assert (twice.returncode, "The goal sharp is withdrawn" in twice.stderr) == (64, True)

    daemon.start()
    daemon.wait_until_idle()
    daemon.post("/api/intents", {"action": "assess"})
    daemon.wait_for(lambda: goals(daemon)["then"]["state"] == "missed", "the goal to be missed")
    assert goals(daemon)["then"]["reason"] == "it comes after sharp, which was withdrawn"
    listed = daemon.cli("goals", "list", "--state", "missed").stdout
    assert listed.startswith(
        "then  powerball  medium  then: skill at least -0.5, after sharp  missed: it comes"
    )
    learned = daemon.cli("knowledge", "--kind", "fairness").stdout
    assert (
        "powerball  fairness of 2015-10-07  In 10 years of draws under the rules from 2015-10-07" in learned
    )
    assert daemon.cli("journal", "rebuild", "--check").returncode == 0
