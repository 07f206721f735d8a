"""The end of a loop on which a process was killed."""

import asyncio

import pytest

from helios_agent.simulation import loop as loops
from helios_agent.simulation.loop import VirtualLoop


def test_all_that_runs_ends_though_a_group_tells_of_its_killed_task_once_more() -> None:
    loop = VirtualLoop()
    ended: list[str] = []

    async def kill() -> None:
        await asyncio.sleep(1.0)
        raise SystemExit

    async def outlive() -> None:
        try:
            await asyncio.sleep(100.0)
        finally:
            ended.append("cancelled")

    async def live() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(kill())
            group.create_task(outlive())

    async def wait() -> None:
        living = loop.create_task(live())  # held, or it could be gone before it ends
        await asyncio.sleep(1000.0)
        await living

    with pytest.raises(SystemExit):
        loop.run_until_complete(wait())
    assert ended == []
    loops.end(loop)
    assert ended == ["cancelled"]
    assert loop.is_closed()
