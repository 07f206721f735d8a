"""A kill after each single thing that the agent does to the outside changes nothing of how the week ends."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def swept(folder: Path, stride: int, seed: int, span: str = "week") -> dict[str, Any]:
    # A process of its own: it forks, which a process with threads must not.
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation.sweep", str(folder), str(stride), str(seed), span],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    print(f"seed {seed}: {outcome}")
    return outcome


def test_a_kill_at_any_point_of_a_week_is_made_good(tmp_path: Path, seed: int) -> None:
    outcome = swept(tmp_path, 1, seed)
    assert outcome["differences"] == []
    assert outcome["tried"] == outcome["points"] > 300
    assert {"commit", "sent", "rename", "sync"} <= outcome["kinds"].keys()


def test_a_kill_at_any_point_of_a_day_on_which_old_events_are_archived_is_made_good(
    tmp_path: Path, seed: int
) -> None:
    outcome = swept(tmp_path, 1, seed, "archiving")
    assert outcome["differences"] == []
    assert outcome["tried"] > 30
    assert outcome["archives"] == 1


@pytest.mark.soak
@pytest.mark.parametrize("later", range(1, 6))
def test_a_kill_at_any_point_of_other_weeks_is_made_good(tmp_path: Path, seed: int, later: int) -> None:
    assert swept(tmp_path, 1, seed + later)["differences"] == []
