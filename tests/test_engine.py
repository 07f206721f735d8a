import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from helios_agent.errors import WorkerLost
from helios_agent.work.engine import LocalEngine

PATIENCE_S = 20


async def test_a_worker_that_closes_its_pipes_but_lives_on_is_ended_at_the_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, begin = tmp_path / "worker", asyncio.create_subprocess_exec
    worker.write_text("#!/bin/sh\nexec <&- >&-\nexec sleep 1000\n")
    worker.chmod(0o755)

    async def begin_and_see_it_close(*command: Any, **options: Any) -> asyncio.subprocess.Process:
        child = await begin(*command, **options)
        assert child.stdin is not None
        await child.stdin.wait_closed()
        return child

    monkeypatch.setattr(sys, "executable", str(worker))
    monkeypatch.setattr(asyncio, "create_subprocess_exec", begin_and_see_it_close)
    async with asyncio.timeout(PATIENCE_S):
        with pytest.raises(WorkerLost, match="stopped after its time limit of"):
            await LocalEngine().run("train", {}, time_limit_s=0.2)
