"""SIGKILL of whatever takes part in a training, at any moment of it: it ends, for a reason, and once."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.training_kills import SHARES

ROOT = Path(__file__).parents[2]
KILLS = sum(SHARES.values())
"""With those of the cluster, in tests/cluster, 50."""


def killed(folder: Path, kills: int, seed: int) -> dict[str, Any]:
    # A process of its own: it forks, and becomes the parent of whom its agents leave behind.
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.training_kills", str(folder), str(kills), str(seed)],
        cwd=ROOT, capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip
    print(f"seed {seed}: {done.stdout or done.stderr}")
    assert done.returncode == 0
    assert done.stderr == ""
    outcome: dict[str, Any] = json.loads(done.stdout)
    return outcome


def check(outcome: dict[str, Any]) -> None:
    assert outcome["wrong"] == []
    assert outcome["kills"] == SHARES
    assert outcome["ends"].keys() <= {"done", "dead"}
    assert outcome["ends"]["done"] > 0


def test_no_training_is_lost_and_none_is_done_twice_in_fifty_kills(tmp_path: Path, seed: int) -> None:
    check(killed(tmp_path / "one", KILLS, seed))


@pytest.mark.soak
def test_no_training_is_lost_and_none_is_done_twice_in_five_hundred_kills(tmp_path: Path, seed: int) -> None:
    for batch in range(10):
        check(killed(tmp_path / str(batch), KILLS, seed + batch))
