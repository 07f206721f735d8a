"""A real engine with its fork server, and jobs that are short, endless, or too large for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
from loguru import logger

from helios_agent.config.model import Work
from helios_agent.forecasting.experts import PRIORS
from helios_agent.forecasting.ledger import Ledger
from helios_agent.work.children import ForkServer
from helios_agent.work.local import LocalEngine

MATRIX = {"white": 12, "bonus": 5, "pick": 3}
TINY = {"sequence": 8, "hidden": 8, "layers": 1, "heads": 2, "embedding": 4, "dropout": 0.0}
PATIENCE_S = 60

Running = asyncio.Task[dict[str, Any]]


def rows(count: int, seed: int = 1) -> list[list[int]]:
    random = np.random.default_rng(seed)
    whites = np.argsort(random.random((count, MATRIX["white"])), axis=1)[:, : MATRIX["pick"]] + 1
    bonus = random.integers(1, MATRIX["bonus"] + 1, size=(count, 1))
    drawn: list[list[int]] = np.hstack([whites, bonus]).tolist()
    return drawn


def forecast_spec(count: int = 20) -> dict[str, Any]:
    return {"rows": rows(count), "ordered": [True] * count, **MATRIX}


def endless_replay() -> dict[str, Any]:
    """A walk-forward job that reports every tenth of a second and takes far longer than any test."""
    return forecast_spec(50_000) | {"first": 0, "ledger": Ledger.start(PRIORS).to_record()}


def training_spec(out: Path, **changes: Any) -> dict[str, Any]:
    return {
        "game": "powerball",
        "era": "2015-10-07",
        "last_draw": "2026-09-16",
        "seed": 3,
        "out": str(out),
        "draws": rows(80),
        "network": TINY,
        "training": {"epochs": 2, "batch": 8, "segments": 4, **changes},
        **MATRIX,
    }


def endless_training(out: Path) -> dict[str, Any]:
    return training_spec(out, epochs=10_000, patience=10_000)


@dataclass(frozen=True)
class Works:
    """An engine, and what forks its children."""

    engine: LocalEngine
    forks: ForkServer
    settings: Work

    def run(self, kind: str, spec: dict[str, Any], *more: Any, **options: Any) -> Running:
        """Begin a job."""
        options = {"time_limit_s": PATIENCE_S} | options
        return asyncio.create_task(self.engine.run(kind, spec, *more, **options))

    def children(self) -> list[int]:
        """The processes that the fork server has forked and not yet buried, zombies included."""
        server = self.forks.pid
        if server is None:
            return []
        return [int(pid) for pid in Path(f"/proc/{server}/task/{server}/children").read_text().split()]


@asynccontextmanager
async def working(**settings: Any) -> AsyncIterator[Works]:
    work = Work(**settings)
    forks = ForkServer(work.keep_warm)
    engine = LocalEngine(work, forks)
    yield Works(engine, forks, work)
    await engine.close()
    await forks.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def works() -> AsyncIterator[Works]:
    """An engine with one worker, which the tests of a module share: to load torch takes seconds."""
    async with working(workers=1, cpu=1, memory=2**29) as made:
        yield made


async def until(condition: Callable[[], Any]) -> Any:
    """Wait until a condition holds, and return what it returned."""
    async with asyncio.timeout(PATIENCE_S):
        while not (found := condition()):  # noqa: ASYNC110  processes send no events
            await asyncio.sleep(0.01)
    return found


class Reports:
    """Takes a job's reports, and can wait for the first."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self._some = asyncio.Event()

    async def __call__(self, progress: Any) -> None:
        self.seen.append(progress)
        self._some.set()

    async def first(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            await self._some.wait()


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged during a test."""
    said: list[str] = []
    sink = logger.add(said.append, format="{level} {message}")
    yield said
    logger.remove(sink)
