"""Real draws, and a game small enough to enumerate."""

import csv
from pathlib import Path

import pytest

import helios_agent

HISTORIES = Path(helios_agent.__file__).parent / "lottery" / "history"


@pytest.fixture(scope="session")
def powerball_rows() -> list[list[int]]:
    """The 1,408 draws of 5/69 + 1/26 from 2015-10-07 to 2026-09-16, oldest first."""
    with (HISTORIES / "powerball.csv").open(newline="") as lines:
        draws = [row for row in csv.DictReader(lines) if "2015-10-07" <= row["draw_date"] <= "2026-09-16"]
    return [[int(row[f"ball{i}"]) for i in range(1, 6)] + [int(row["powerball"])] for row in draws]
