"""SIGKILL at any moment: what was acknowledged is there afterwards."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
BATCH = 100
"""Kills on one state folder: a database that only grows would make each boot slower than the last."""


def killed(folder: Path, cycles: int, seed: int) -> dict[str, Any]:
    # A process of its own: it forks, which a process with threads must not.
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.kill_loop", str(folder), str(cycles), str(seed)],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome: dict[str, Any] = json.loads(done.stdout)
    print(f"seed {seed}: {outcome}")
    return outcome


def test_no_acknowledged_event_is_lost_in_a_hundred_kills(tmp_path: Path, seed: int) -> None:
    outcome = killed(tmp_path / "one", BATCH, seed)
    assert outcome["lost"] == []
    assert outcome["cycles"] == BATCH
    assert outcome["acknowledged"] > 0
    assert outcome["boots"] > 0
    assert outcome["backups"] > 0


@pytest.mark.soak
def test_no_acknowledged_event_is_lost_in_a_thousand_kills(tmp_path: Path, seed: int) -> None:
    for batch in range(10):
        outcome = killed(tmp_path / str(batch), BATCH, seed + batch)
        assert outcome["lost"] == []
