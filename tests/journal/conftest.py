"""A journal in which everything has happened."""

import pytest

from helios_agent.clock import VirtualClock
from helios_agent.journal.journal import Journal
from helios_agent.store import Store
from tests.journal.story import live


@pytest.fixture
async def lived(journal: Journal, clock: VirtualClock) -> Store:
    """A store after the story."""
    await live(journal, clock)
    return journal.store
