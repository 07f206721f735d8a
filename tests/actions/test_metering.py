"""Whatever becomes of an attempt, what its jobs have taken of processors is in the journal with its end."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from helios_agent.actions import runner
from helios_agent.agent import Agent
from helios_agent.journal import events, intents, spending
from helios_agent.journal.intents import Intent
from helios_agent.journal.journal import Event, Transaction
from helios_agent.work.metering import Meter
from tests.actions.conftest import claimed, done, settings, told

ENDS = ("intent.done", "intent.failed", "intent.retried", "intent.dead", "intent.paused", "intent.cancelled",
        "intent.released")  # fmt: skip
LONG = {"training": {"epochs": 10_000, "patience": 10_000}}
PATIENCE_S = 60.0


def learning(agent: Agent, **changes: Any) -> None:
    """Have the agent learn otherwise from now on."""
    folder = agent.config.paths.state.parent
    agent.config = type(agent.config).model_validate(settings(folder, **changes))


async def running(agent: Agent, action: str = "train") -> tuple[Intent, asyncio.Task[None]]:
    """Carry out a training that does not end by itself, as far as its first epoch."""
    await agent.request(action, "powerball", {}, by="test")
    intent = await claimed(agent, action)
    seen = len(await told(agent, "training.epoch"))
    carrying = asyncio.create_task(runner.carry_out(agent.context(), intent))

    async def learns() -> bool:
        return len(await told(agent, "training.epoch")) > seen

    await until(learns)
    return intent, carrying


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await condition():  # noqa: ASYNC110  the work of other processes
            await asyncio.sleep(0.02)


def worker(agent: Agent) -> int:
    """Return the process of the one job under way."""
    (server,) = (
        pid for pid in children(os.getpid()) if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    (pid,) = children(server)
    return pid


def children(pid: int) -> list[int]:
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]


def ticks(pid: int) -> float:
    """Return the processor time of a process, seconds, as `ps` would say it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def last_two(agent: Agent) -> tuple[Event, Event]:
    """Return what was appended last for an intent: what was spent, and the end."""
    kinds = ("work.spent", *ENDS)
    end, spent = await events.tail(agent.store, limit=2, kinds=kinds)
    return spent, end


def of_job(tx: Transaction, job: str) -> float:
    """Return what all attempts at one intent have spent."""
    (row,) = tx.rows("SELECT total(cpu_seconds) AS spent FROM spending WHERE job = ?", (job,))
    return float(row["spent"])


async def test_what_a_training_took_is_told_in_the_transaction_that_ends_it(informed: Agent) -> None:
    seen: list[Any] = []

    def watch(tx: Transaction, event: Event) -> None:
        if event.kind == "work.spent":
            (state,) = tx.rows("SELECT state FROM intent WHERE id = ?", (event.payload["job"],))
            seen.append(state["state"])
        elif event.kind == "intent.done":
            seen.append(of_job(tx, event.payload["id"]))

    informed.journal._hooks = (watch,)
    intent = await done(informed, "train")
    spent, end = await last_two(informed)

    assert (intent.state, end.kind, end.seq) == (
        "done",
        "intent.done",
        spent.seq + 2,
    )  # model.trained between
    cpu_seconds = spent.payload["cpu_seconds"]
    assert spent.payload == {
        "job": intent.id, "action": "train", "target": "powerball", "attempt": 1, "cpu_seconds": cpu_seconds,
    }  # fmt: skip
    assert 0.05 < cpu_seconds < PATIENCE_S
    # It was still running then, and whoever reacts to the end knows what it cost.
    assert seen == ["running", cpu_seconds]
    assert informed.context().meter.of(intent.id) == 0.0  # nothing is remembered of what has ended


async def test_what_a_failed_training_took_is_told(informed: Agent) -> None:
    await done(informed, "train")  # what forks the worker has loaded all it needs by then
    learning(informed, time_limit=1, **LONG)
    intent = await done(informed, "train")
    spent, end = await last_two(informed)

    assert (intent.state, end.kind, end.seq) == ("failed", "intent.failed", spent.seq + 1)
    assert 0.0 < spent.payload["cpu_seconds"] < 1.5


async def test_a_killed_worker_is_metered_and_all_attempts_add_up(informed: Agent) -> None:
    learning(informed, **LONG)
    took = []
    for attempt in (1, 2):
        intent, carrying = await running(informed)
        pid = worker(informed)
        took.append(ticks(pid))
        os.kill(pid, signal.SIGKILL)
        await carrying
        spent, end = await last_two(informed)
        assert (end.kind, end.seq) == ("intent.retried", spent.seq + 1)
        assert (spent.payload["job"], spent.payload["attempt"]) == (intent.id, attempt)
        assert took[-1] - 0.02 <= spent.payload["cpu_seconds"] < took[-1] + 5.0
        await informed.control(intent.id, "retry", by="test")
    learning(informed)
    await runner.carry_out(informed.context(), await claimed(informed, "train"))

    each = [one["cpu_seconds"] for one in await told(informed, "work.spent")]
    assert len(each) == 3
    assert await informed.journal.record(lambda tx: of_job(tx, intent.id)) == sum(each)


async def test_a_training_that_was_paused_or_stopped_is_metered_each_time_it_ran(informed: Agent) -> None:
    learning(informed, **LONG)
    intent, carrying = await running(informed)
    await informed.control(intent.id, "pause", by="test")
    await carrying
    spent, end = await last_two(informed)
    assert (end.kind, end.seq) == ("intent.paused", spent.seq + 1)
    await informed.control(intent.id, "resume", by="test")
    intent, carrying = await running(informed)
    await informed.control(intent.id, "stop", by="test")
    await carrying
    spent, end = await last_two(informed)

    assert (end.kind, end.seq) == ("intent.cancelled", spent.seq + 1)
    each = await told(informed, "work.spent")
    assert [one["attempt"] for one in each] == [1, 1]  # which was paused, and went on
    assert min(one["cpu_seconds"] for one in each) > 0.0


async def test_what_was_put_back_because_the_daemon_ends_is_metered(informed: Agent) -> None:
    learning(informed, **LONG)
    intent, carrying = await running(informed)
    took = ticks(worker(informed))
    carrying.cancel()
    await asyncio.gather(carrying, return_exceptions=True)
    assert await informed.journal.record(informed.release) == 1
    spent, end = await last_two(informed)

    assert (end.kind, end.seq, spent.payload["job"]) == ("intent.released", spent.seq + 1, intent.id)
    assert took - 0.02 <= spent.payload["cpu_seconds"] < took + 5.0
    # And not once more with the next attempt.
    learning(informed)
    await runner.carry_out(informed.context(), await claimed(informed, "train"))
    assert len(await told(informed, "work.spent")) == 2


async def test_what_an_attempt_took_is_told_once_whenever_its_end_could_not_be_recorded(
    informed: Agent,
) -> None:
    meter = Meter()
    await informed.request("backup", "journal", {}, by="test")
    intent = await claimed(informed, "backup")
    meter.add(intent.id, 1.25)
    meter.add(intent.id, 0.5)
    assert await informed.journal.record(lambda tx: runner.release(tx, meter, ("train",))) == 0
    assert await informed.journal.record(lambda tx: runner.release(tx, meter, ("backup",))) == 1
    assert await informed.journal.record(lambda tx: runner.release(tx, meter)) == 0

    assert [one["cpu_seconds"] for one in await told(informed, "work.spent")] == [1.75]
    assert (meter.of("other"), meter.of(intent.id)) == (0.0, 1.75)


async def test_several_jobs_of_one_attempt_are_one_sum(informed: Agent) -> None:
    class Noting(Meter):
        """Keeps what it is told, job by job."""

        def add(self, intent_id: str, cpu_seconds: float) -> None:
            super().add(intent_id, cpu_seconds)
            noted.append(cpu_seconds)

    noted: list[float] = []
    informed._meter = Noting()
    asked = {"from": "2026-01-03", "to": "2026-03-28", "forecasters": ["powerballnet"], "refit_every": 50}
    walked = await done(informed, "backtest", "powerball/net", **asked)
    (spent,) = await told(informed, "work.spent")

    assert (walked.state, spent["job"], spent["target"]) == ("done", walked.id, "powerball/net")
    assert len(noted) == 3  # two blocks, and the judgement
    assert min(noted) > 0.0
    assert spent["cpu_seconds"] == round(sum(noted), 6)


async def test_nothing_is_told_of_what_had_no_job(informed: Agent) -> None:
    assert (await done(informed, "ingest")).state == "done"
    assert (await done(informed, "verify", "journal")).state == "done"
    assert (await done(informed, "alert", "powerball/change", reason="a test")).state == "done"

    assert await told(informed, "work.spent") == []


async def test_what_a_crash_interrupted_is_unknown_and_nothing_is_invented(informed: Agent) -> None:
    learning(informed, **LONG)
    _, carrying = await running(informed)
    carrying.cancel()
    await asyncio.gather(carrying, return_exceptions=True)
    informed.journal.boot = "the next"
    await informed.recover()

    assert await told(informed, "work.spent") == []
    assert [event.kind for event in await events.tail(informed.store, limit=1)] == ["intent.retried"]


async def test_only_what_decisions_have_chosen_counts_towards_their_budget(informed: Agent) -> None:
    choice = {
        "decision": 1, "game": "powerball", "action": "train", "target": "powerball", "context": "quiet",
        "urgency": 1.0, "price": 0.0,
    }  # fmt: skip
    asked = await informed.request("train", "powerball", {}, by="test")
    await informed.journal.append("choice.made", {"id": asked.id, **choice})
    await runner.carry_out(informed.context(), await claimed(informed, "train"))
    chosen = (await told(informed, "work.spent"))[0]["cpu_seconds"]
    await done(informed, "train")
    total = sum(one["cpu_seconds"] for one in await told(informed, "work.spent"))
    end_us = (await last_two(informed))[0].at_us

    assert await informed.journal.record(lambda tx: spending.since(tx, 0)) == chosen < total
    assert await informed.journal.record(lambda tx: spending.since(tx, end_us)) == 0.0
    assert [await spending.known_since(informed.store, us) for us in (0, end_us)] == [chosen, 0.0]
    assert (await intents.find(informed.store, asked.id)).state == "done"
