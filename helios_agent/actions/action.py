"""What every action is given and what it gives back."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from helios_agent.clock import Clock
from helios_agent.config import Config
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.store import Store
from helios_agent.work.engine import Engine
from helios_agent.work.metering import Meter

Commit = Callable[[Transaction, int], Mapping[str, Any]]
"""Record what was done, as caused by the event with this seq; return the intent's result."""


@dataclass(frozen=True)
class Context:
    """What an action may use. One action sees one configuration, whatever is reloaded meanwhile."""

    config: Config
    journal: Journal
    http: httpx.AsyncClient
    engine: Engine
    meter: Meter
    """What jobs have taken; `engine` tells it of those that an action has done."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once what is carried out is to be paused or stopped: then its job ends with JobStopped."""

    @property
    def store(self) -> Store:
        return self.journal.store

    @property
    def clock(self) -> Clock:
        return self.journal.clock


@dataclass(frozen=True)
class Action:
    """One thing the agent can do. Actions of one lane run one at a time, but for those of `WORK`."""

    name: str
    lane: str
    run: Callable[[Context, Intent], Awaitable[Commit]]
    pausable: bool = False
    """Whether its job keeps what it has computed so far when it is stopped, and goes on from there."""


CORE = "core"
"""Everything that reads and writes draws, forecasts and decisions."""
WORK = "work"
"""Long computations, as many at once as there are workers. They end when `Context.stop` is set."""
UPKEEP = "upkeep"
"""Care of the database."""
