"""When the engine of the configuration looks for whom it needs elsewhere."""

from pathlib import Path

from helios_agent.agent import Ports, open_agent
from helios_agent.config import Config
from helios_agent.systemd import Notifier
from tests.work.conftest import until

NOWHERE = {"engine": "ray", "ray": {"address": "127.0.0.2:9", "connect": 1}}


def bridges() -> list[int]:
    """The processes of ours that hold a connection to a cluster, or try to."""
    children = [(thread / "children").read_text() for thread in Path("/proc/self/task").iterdir()]
    return [
        int(pid)
        for pid in " ".join(children).split()
        if b"helios_agent.work.bridge" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


async def test_a_cluster_is_looked_for_when_the_agent_starts_and_not_when_something_is_asked_of_a_job(
    tmp_path: Path,
) -> None:
    paths = {"state": tmp_path / "state", "models": tmp_path / "models"}
    config = Config.model_validate(
        {"paths": paths, "games": {"powerball": {"feeds": []}}, "schedules": [], "work": NOWHERE}
    )
    config.paths.state.mkdir()
    async with open_agent(config, Ports()) as agent:
        await agent.recover()
        job = await agent.request("train", "powerball", {}, "cli")
        assert (await agent.control(job.id, "pause", "cli")).state == "paused"
        assert bridges() == []
        agent.start(Notifier({}))
        await until(bridges)
        await agent.supervisor.stop()
    await until(lambda: not bridges())
