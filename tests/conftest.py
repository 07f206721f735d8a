"""An open journal on a real SQLite file under a clock that the test moves, and the seed of what is random."""

import os
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import settings

from helios_agent.clock import VirtualClock
from helios_agent.journal.journal import Journal
from helios_agent.store import Store

MEMORY, NEEDED_BYTES = Path("/dev/shm"), 4 * 1024**3  # noqa: S108
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= NEEDED_BYTES:
    # Temporary files lie in memory where there is room: no test cuts the power, which is what a disk is for.
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# What is tried takes as long as the machine is busy with other things.
settings.register_profile("helios", deadline=None)
settings.load_profile("helios")

START = datetime(2026, 9, 18, 12, 0, tzinfo=UTC)


@pytest.fixture
def clock() -> VirtualClock:
    """A clock that stands at 2026-09-18 12:00 UTC, a Friday."""
    return VirtualClock(START)


@pytest.fixture
def seed() -> int:
    """What random tests begin from: HELIOS_SEED, or 1. It is printed with what they found."""
    return int(os.environ.get("HELIOS_SEED", "1"))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(tmp_path / "helios.db")
    yield opened
    await opened.close()


@pytest.fixture
def journal(store: Store, clock: VirtualClock) -> Journal:
    return Journal(store, clock, boot="boot-1")
