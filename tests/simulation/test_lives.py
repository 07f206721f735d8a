"""The real agent lives whole lives on a virtual clock; whatever goes wrong, nothing is lost or done twice."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
AT_ONCE = 2
WEEKS = 20
"""Weeks of one life: long enough for retention to remove what is older than its thirty days."""


def lived(folder: Path, seed: int, lives: int, weeks: int = WEEKS, **environment: str) -> dict[str, Any]:
    """Live some lives, in several processes at once; return their reports as one."""
    share = -(-lives // AT_ONCE)
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.lives", str(folder / str(first)), str(first),
             str(min(share, seed + lives - first)), str(weeks)],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment,
        )
        for first in range(seed, seed + lives, share)
    ]  # fmt: skip
    ended = [(process, *process.communicate()) for process in processes]
    failed = [said for process, _, said in ended if process.returncode]
    assert failed == []
    report: dict[str, Any] = {}
    for _, text, _ in ended:
        for name, value in json.loads(text).items():
            if isinstance(value, dict):
                value = (
                    {**report.get(name, {}), **value}
                    if name in ("broken", "digests")
                    else dict(Counter(report.get(name, {})) + Counter(value))
                )
                report[name] = value
            else:
                report[name] = report.get(name, 0) + value
    print(f"seed {seed}: {report}")
    return report


def test_two_hundred_weeks_break_nothing(tmp_path: Path, seed: int) -> None:
    report = lived(tmp_path, seed, 200 // WEEKS)
    assert report["broken"] == {}
    assert report["weeks"] == 200
    # The lives were full of what they are meant to stand.
    for fault in (
        "down", "refused", "hangs", "busy", "malformed", "wrong", "worker", "slow", "restart", "crash",
        "strike", "crammed", "reload", "pause", "resume", "stop",
    ):  # fmt: skip
        assert report["faults"][fault] > 0, fault
    for kind in (
        "agent.stopped", "clock.stepped", "clock.suspended", "feed.failed", "intent.retried",
        "intent.paused", "intent.cancelled", "journal.purged", "journal.verified", "model.trained",
        "backup.completed", "webhook.failed", "store.recovered",
    ):  # fmt: skip
        assert report["kinds"][kind] > 0, kind


def test_a_seed_gives_the_same_journal_byte_for_byte(tmp_path: Path, seed: int) -> None:
    once = lived(tmp_path / "once", seed, 2, weeks=8, PYTHONHASHSEED="1")
    again = lived(tmp_path / "again", seed, 2, weeks=8, PYTHONHASHSEED="2")
    assert once["digests"] == again["digests"]
    assert len(set(once["digests"].values())) == 2


@pytest.mark.soak
def test_ten_thousand_weeks_break_nothing(tmp_path: Path, seed: int) -> None:
    report = lived(tmp_path, 1000 * seed, 10_000 // WEEKS)
    assert report["broken"] == {}
