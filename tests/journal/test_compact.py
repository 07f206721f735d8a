"""The action that archives and removes old events, on a real agent."""

import asyncio
import errno
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from helios_agent import files
from helios_agent.actions import compact, runner
from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import VirtualClock
from helios_agent.config import Config
from helios_agent.errors import StoreError
from helios_agent.journal import archives, chain, draws, events, exports, intents, outbox, rebuild, retention
from helios_agent.journal import snapshot as snapshots
from helios_agent.journal.journal import Event, Transaction
from helios_agent.store import Store, backup

NOW = datetime(2031, 9, 18, 12, tzinfo=UTC)
DAY_S = 86_400.0


def configured(folder: Path, **settings: Any) -> Config:
    state = folder / "state"
    state.mkdir(parents=True, exist_ok=True)
    return Config.model_validate(
        {
            "paths": {"state": state, "models": folder / "models"},
            "games": {"powerball": {"feeds": []}},
            "retention": settings,
        }
    )


@asynccontextmanager
async def awake(config: Config, days_later: float = 0) -> AsyncIterator[Agent]:
    clock = VirtualClock(NOW + timedelta(days=days_later))
    async with open_agent(config, Ports(clock)) as agent:
        await agent.recover()
        yield agent


async def live_for(config: Config, days: int, size: int = 100) -> None:
    """Live for some days until now, with one event of `size` characters a day."""
    clock = VirtualClock(NOW - timedelta(days=days))
    async with open_agent(config, Ports(clock)) as agent:
        for day in range(days):
            await agent.journal.append("test.happened", {"day": day, "text": "x" * size})
            clock.step(DAY_S)


async def carry_out(agent: Agent, action: str) -> intents.Intent:
    """Ask for an action of upkeep and carry it out; return its intent."""
    asked = await agent.request(action, "journal", {}, by="test")
    claimed = await agent.journal.record(lambda tx: intents.claim(tx, (action,)))
    assert claimed is not None
    await runner.carry_out(agent.context(), claimed)
    return await intents.find(agent.store, asked.id)


async def compacted(agent: Agent) -> dict[str, Any]:
    """Compact; return what came of it."""
    intent = await carry_out(agent, "compact")
    assert (intent.state, intent.error) == ("done", None)
    return dict(intent.result or {})


async def told(agent: Agent, *kinds: str) -> list[Event]:
    """Return the events of some kinds that are still in the database, oldest first."""
    return (await events.tail(agent.store, limit=10_000, kinds=kinds))[::-1]


def archived(config: Config) -> list[str]:
    if not config.archives.exists():
        return []
    return sorted(name for name in os.listdir(config.archives) if name.endswith(".gz"))


def sound(config: Config) -> chain.Head:
    """Check that nothing is lost: chain, archives, tables; return the head."""
    head = backup.verify(config.database, chain.verify_database)
    with snapshots.opened(config.database) as database:
        assert archives.damages(config.archives, archives.seals(database)) == {}
        assert exports.verify(archives.everything(database, config.archives, 1, head.seq)) == head
    assert rebuild.check(config.database, config.archives) == head
    return head


async def test_a_young_journal_is_only_tidied(tmp_path: Path) -> None:
    config = configured(tmp_path)
    await live_for(config, 100)
    async with awake(config) as agent:
        result = await compacted(agent)
        assert (result["archive"], result["archive_bytes"], result["events"]) == (None, 0, 0)
        assert 0 < result["used_bytes"] <= config.database.stat().st_size
        (event,) = await told(agent, "compact.*")
        assert event.payload == result
        assert await told(agent, "journal.*") == []
    assert archived(config) == []


async def test_what_is_old_is_archived_sealed_and_only_then_removed(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 100)
    async with awake(config) as agent:
        result = await compacted(agent)
        assert result["events"] == 40
        assert archived(config) == [result["archive"]]
        (sealed,) = await told(agent, "journal.sealed")
        (purged,) = await told(agent, "journal.purged")
        assert sealed.seq < purged.seq
        assert (sealed.payload["from"], sealed.payload["upto"]) == (1, 40)
        assert purged.payload == {"from": 1, "upto": 40}
        assert result["archive_bytes"] == sealed.payload["bytes"]
        assert [event.payload["day"] for event in await told(agent, "test.*")] == list(range(40, 100))
        again = await compacted(agent)
        assert (again["archive"], again["events"]) == (None, 0)
    sound(config)


async def test_archives_follow_each_other_and_the_daemon_starts_from_what_is_left(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 100)
    for days_later in (0, 1, 7, 8, 16):
        async with awake(config, days_later) as agent:
            await compacted(agent)
    names = archived(config)
    assert [name.split("-")[1:3] for name in names] == [["1", "40"], ["41", "48"], ["49", "56"]]
    sound(config)


async def test_disk_space_is_given_back(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 400, size=5000)
    before = config.database.stat().st_size
    async with awake(config) as agent:
        result = await compacted(agent)
        assert result["freed_bytes"] > 1_000_000
        assert config.database.stat().st_size < before - 1_000_000


async def test_a_database_that_is_too_large_gives_up_its_oldest_events_down_to_four_fifths(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, size="2MiB")
    await live_for(config, 600, size=5000)
    async with awake(config) as agent:
        result = await compacted(agent)
        assert 0.7 * config.retention.size < result["used_bytes"] <= 0.82 * config.retention.size
        assert await draws.open_incidents(agent.store) == []
    sound(config)


async def test_a_size_that_cannot_be_kept_is_an_incident_until_it_can(tmp_path: Path) -> None:
    config = configured(tmp_path, size="1MiB")
    await live_for(config, 60, size=50_000)
    async with awake(config) as agent:
        result = await compacted(agent)
        assert result["events"] == 30, "the last thirty days stay"
        (incident,) = await draws.open_incidents(agent.store)
        assert (incident.key, incident.kind) == ("journal:size", "journal-too-large")
        assert f"holds {result['used_bytes']:,} bytes; retention.size allows 1,048,576" in incident.message
        assert "younger than 30 days" in incident.message
        assert "draws and scores, which stay for good: raise retention.size" in incident.message
        assert "Where an archive is damaged" in incident.message
    larger = configured(tmp_path, size="1GiB")
    async with awake(larger) as agent:
        await compacted(agent)
        assert await draws.open_incidents(agent.store) == []
    sound(config)


def train(tx: Transaction, epochs: int = 3) -> str:
    """Let a training come and go; return its job."""
    intents.request(tx, "train", "powerball", {}, tx.append("test.noticed", {}).seq)
    intent = intents.claim(tx, ("train",))
    assert intent is not None
    for number in range(1, epochs + 1):
        told = {
            "epoch": number,
            "epochs": epochs,
            "loss": 19.5,
            "validation_loss": 19.0 + number,
            "seconds": 1,
        }
        measured = {"validation_gain_nats": 0.5 - number, "eta_seconds": 1.5}
        tx.append("training.epoch", {"job": intent.id, **told, **measured}, intent.seq)
    intents.finish(tx, intent, {})
    return intent.id


async def summarised(agent: Agent) -> dict[str, int]:
    """Return the trainings that were summarised, with how many epochs each had."""
    rows = await agent.store.rows("SELECT job, epochs FROM training_summary ORDER BY seq")
    return {row["job"]: row["epochs"] for row in rows}


async def test_the_epochs_of_trainings_that_ended_long_ago_become_one_summary_each(tmp_path: Path) -> None:
    config = configured(tmp_path, epochs="10d")
    jobs = []
    for days_later in (-30, -20, -5):
        async with awake(config, days_later) as agent:
            jobs.append(await agent.journal.record(train))
    async with awake(config) as agent:
        result = await compacted(agent)
        assert (result["epochs"], result["events"]) == (6, 0)
        assert await summarised(agent) == {jobs[0]: 3, jobs[1]: 3}
        left = await agent.store.rows("SELECT DISTINCT job FROM epoch")
        assert [row["job"] for row in left] == jobs[2:]
        (first, _) = await told(agent, "training.summarised")
        assert first.payload == {
            "job": jobs[0], "epochs": 3, "first_loss": 19.5, "final_loss": 19.5, "best_loss": 20.0,
            "best_epoch": 1, "best_gain_nats": -0.5, "instability": 1.0, "seconds": 3.0,
        }  # fmt: skip
        assert len(await told(agent, "training.epoch")) == 9, "the events stay"
        assert (await compacted(agent))["epochs"] == 0
    sound(config)


async def test_many_trainings_are_summarised_in_several_transactions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compact, "EPOCHS", 8)
    config = configured(tmp_path, epochs="1d")
    async with awake(config, -30) as agent:
        jobs = [await agent.journal.record(partial(train, epochs=n)) for n in (1, 20, 3, 3, 3, 3)]
    async with awake(config) as agent:
        assert (await compacted(agent))["epochs"] == 33
        assert list(await summarised(agent)) == jobs
    sound(config)


async def test_a_summary_stays_when_the_training_leaves_the_database(tmp_path: Path) -> None:
    config = configured(tmp_path, age="30d", epochs="60d")
    async with awake(config, -100) as agent:
        long_ago = await agent.journal.record(train)
    async with awake(config, -45) as agent:
        job = await agent.journal.record(train)
    async with awake(config) as agent:
        result = await compacted(agent)
        assert result["epochs"] == 3, "of the one that was due"
        assert await summarised(agent) == {long_ago: 3, job: 3}
        for table in ("epoch", "intent WHERE action = 'train'"):
            assert await agent.store.rows(f"SELECT 1 FROM {table}") == []  # noqa: S608
    sound(config)


async def test_what_was_freed_is_measured(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 400, size=5000)
    config.paths.models.mkdir()
    (config.paths.models / "weights").write_bytes(bytes(1000))
    async with awake(config) as agent:
        before = config.database.stat().st_size
        result = await compacted(agent)
        after = config.database.stat().st_size
    assert result["before"]["file_bytes"] == before
    assert result["after"]["file_bytes"] == after
    assert result["before"]["used_bytes"] - result["after"]["used_bytes"] > 1_000_000
    assert result["after"]["used_bytes"] == result["used_bytes"] <= after
    assert result["after"]["log_bytes"] < result["before"]["log_bytes"]
    assert result["before"]["models_bytes"] == result["after"]["models_bytes"] == 1000


async def test_a_journal_that_grows_while_it_is_compacted_is_measured_at_the_end(tmp_path: Path) -> None:
    config = configured(tmp_path, size="2MiB")
    await live_for(config, 600, size=5000)
    async with awake(config) as agent:
        grown = 0

        async def grow() -> None:
            nonlocal grown
            while True:
                await agent.journal.append("test.happened", {"text": "x" * 500_000})
                grown += 1
                await asyncio.sleep(0)

        growing = asyncio.create_task(grow())
        result = await compacted(agent)
        growing.cancel()
        await asyncio.gather(growing, return_exceptions=True)
        assert grown > 4
        assert result["events"] > 300
        assert result["used_bytes"] > config.retention.size
        (incident,) = await draws.open_incidents(agent.store)
        assert f"holds {result['used_bytes']:,} bytes" in incident.message
    sound(config)


def wait_to_be_sent(tx: Transaction) -> None:
    outbox.queue(tx, "receiver", tx.append("test.noticed", {}))


def wait_to_be_done(tx: Transaction) -> None:
    far_off_us = tx.now_us() + 10**15
    intents.request(tx, "train", "powerball", {}, tx.append("test.noticed", {}).seq, far_off_us)


def wait_for_its_draw(tx: Transaction) -> None:
    tx.append("forecast.registered", {"game": "powerball", "day": "2031-12-01", "digest": "", "forecast": {}})


@pytest.mark.parametrize("need", [wait_to_be_sent, wait_to_be_done, wait_for_its_draw])
async def test_what_something_pending_needs_stays(
    need: Callable[[Transaction], None], tmp_path: Path
) -> None:
    config = configured(tmp_path, age="30d")
    await live_for(config, 100)
    async with awake(config) as agent:
        await agent.journal.record(need)
    async with awake(config, 100) as agent:
        result = await compacted(agent)
        oldest = await events.oldest(agent.store)
        assert oldest is not None
        assert oldest.kind in ("test.noticed", "intent.created", "forecast.registered")
        assert result["events"] == oldest.seq - 1
    sound(config)


async def test_a_forecast_whose_draw_nobody_tells_of_is_waited_for_no_longer_than_thirty_days(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, age="30d")
    await live_for(config, 100)
    async with awake(config) as agent:
        await agent.journal.record(wait_for_its_draw)
    async with awake(config, 31 + (date(2031, 12, 1) - NOW.date()).days) as agent:
        await compacted(agent)
        assert await told(agent, "forecast.registered") == []
    sound(config)


async def test_what_is_wrong_stays_known_after_its_event_was_removed_until_it_is_put_right(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, age="30d")
    await live_for(config, 100)
    async with awake(config) as agent:
        await agent.journal.record(lambda tx: draws.open_incident(tx, "test:wrong", "test-wrong", "no", None))
    async with awake(config, 100) as agent:
        await compacted(agent)
        assert await told(agent, "incident.opened") == []
        assert [incident.key for incident in await draws.open_incidents(agent.store)] == ["test:wrong"]
        await agent.journal.record(lambda tx: draws.close_incident(tx, "test:wrong", None))
    async with awake(config, 200) as agent:
        await compacted(agent)
        assert await agent.store.rows("SELECT * FROM incident") == []
    sound(config)


async def test_a_size_that_was_not_kept_once_does_not_keep_later_events_from_being_removed(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, size="1MiB")
    await live_for(config, 60, size=50_000)
    clock = VirtualClock(NOW)
    async with open_agent(config, Ports(clock)) as agent:
        await compacted(agent)
        assert [incident.key for incident in await draws.open_incidents(agent.store)] == ["journal:size"]
        for _ in range(30):
            await agent.journal.append("test.happened", {"text": "x" * 50_000})
            clock.step(DAY_S)
    async with awake(config, 100) as agent:
        assert (await compacted(agent))["used_bytes"] < config.retention.size
        assert await draws.open_incidents(agent.store) == []
    sound(config)


@pytest.mark.parametrize(
    "limits",
    [
        {"decisions": {"cooldown": "60d"}},
        {"decisions": {"backup_after": "60d"}},
        {"decisions": {"verify_after": "60d"}},
        {"expected": {"assessment": "60d"}},
        {"expected": {"backup": "60d"}},
    ],
)
async def test_what_a_slow_limit_counts_from_stays_a_day_longer_than_the_limit(
    limits: dict[str, Any], tmp_path: Path
) -> None:
    config = configured(tmp_path, age="30d")
    config = Config.model_validate(config.model_dump() | limits)
    await live_for(config, 100)
    async with awake(config) as agent:
        await compacted(agent)
        assert len(await told(agent, "test.happened")) == 61


async def test_what_becomes_needed_after_it_was_sealed_stays_until_it_is_not(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 100)
    async with awake(config) as agent:
        with snapshots.opened(config.database) as database:
            sealed = archives.make(database, config.archives, 30, None)
        await agent.journal.append("journal.sealed", sealed)
        old = await events.find(agent.store, 20)
        assert old is not None
        await agent.journal.record(lambda tx: outbox.queue(tx, "receiver", old))
        assert (await compacted(agent))["events"] == 19
        (message,) = await outbox.due(agent.store, agent.journal.clock.now_us(), 1)
        await agent.journal.append("webhook.sent", {"id": message.id, "status": 204})
        assert (await compacted(agent))["events"] == 40 - 19
    sound(config)


async def test_nothing_is_removed_while_its_archive_is_damaged_or_missing(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 100)
    with snapshots.opened(config.database) as database:
        sealed = archives.make(database, config.archives, 40, None)
    path = config.archives / sealed["archive"]
    good = path.read_bytes()
    path.write_bytes(good[:-9])
    async with awake(config) as agent:
        await agent.journal.append("journal.sealed", sealed)
        assert (await compacted(agent))["events"] == 0
        (incident,) = await draws.open_incidents(agent.store)
        assert (incident.key, incident.kind) == (f"journal:archive:{path.name}", "archive-damaged")
        files.remove(path)
        await carry_out(agent, "verify")
        assert len(await draws.open_incidents(agent.store)) == 1
        path.write_bytes(good)
        await carry_out(agent, "verify")
        assert await draws.open_incidents(agent.store) == []
        assert (await compacted(agent))["events"] == 40
    sound(config)


async def test_verification_names_each_damaged_archive_beside_a_sound_database(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 100)
    async with awake(config) as agent:
        await compacted(agent)
        verified = await carry_out(agent, "verify")
        assert dict(verified.result or {})["archives"] == 1
        (name,) = archived(config)
        files.remove(config.archives / name)
        verified = await carry_out(agent, "verify")
        assert (verified.state, dict(verified.result or {})["archives"]) == ("done", 0)
        (incident,) = await draws.open_incidents(agent.store)
        assert incident.key == f"journal:archive:{name}"
        assert incident.message.endswith(f"{name} is missing. Put it back, or a copy of it.")


async def test_a_foreign_file_under_the_archive_s_name_is_left_and_the_action_says_so(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 100)
    with snapshots.opened(config.database) as database:
        path = config.archives / str(archives.make(database, config.archives, 40, None)["archive"])
    path.write_bytes(b"not yours")
    async with awake(config) as agent:
        intent = await carry_out(agent, "compact")
        assert intent.state == "ready", "it is tried again"
        assert f"{path.name} cannot be read" in (intent.error or "")
    assert path.read_bytes() == b"not yours"


async def test_a_schedule_that_never_fired_is_still_known_after_its_first_start_was_archived(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, age="30d")
    async with awake(config, -400) as agent:
        await agent.journal.append("agent.started", {"games": [], "schedules": ["yearly"]})
        since_us = agent.journal.clock.now_us()
    async with awake(config) as agent:
        await compacted(agent)
        assert await told(agent, "agent.started") == []
        rows = await agent.store.rows("SELECT * FROM schedule")
        assert [tuple(row) for row in rows] == [("yearly", since_us)]


async def test_verification_finds_an_archive_that_was_not_sealed_with_the_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 40)
    config = configured(tmp_path, age="60d", seal_key_file=key)
    await live_for(config, 100)
    async with awake(config) as agent:
        result = await compacted(agent)
        assert dict((await carry_out(agent, "verify")).result or {})["archives"] == 1
        key.write_text("l" * 40)
        assert dict((await carry_out(agent, "verify")).result or {})["archives"] == 0
        (incident,) = await draws.open_incidents(agent.store)
        assert incident.key == f"journal:archive:{result['archive']}"
        assert "was not made with the key in retention.seal_key_file" in incident.message


async def test_verification_lets_an_archive_pass_that_was_made_before_there_was_a_key(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 100)
    async with awake(config) as agent:
        await compacted(agent)
    key = tmp_path / "key"
    key.write_text("k" * 40)
    async with awake(configured(tmp_path, age="60d", seal_key_file=key)) as agent:
        assert dict((await carry_out(agent, "verify")).result or {})["archives"] == 1
        assert await draws.open_incidents(agent.store) == []


async def test_an_archive_that_cannot_be_written_is_told_of_as_such(tmp_path: Path) -> None:
    config = configured(tmp_path, age="60d")
    await live_for(config, 100)

    def be_read_only(operation: str, path: Path) -> None:
        if operation.startswith("before"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    token = files.observer.set(be_read_only)
    try:
        with (
            snapshots.opened(config.database) as database,
            pytest.raises(StoreError, match=r"^The archive .* cannot be written: Read-only file system\.$"),
        ):
            archives.make(database, config.archives, 40, None)
    finally:
        files.observer.reset(token)


async def test_archives_are_sealed_with_the_configured_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k" * 40 + "\n")
    config = configured(tmp_path, age="60d", seal_key_file=key)
    await live_for(config, 100)
    async with awake(config) as agent:
        result = await compacted(agent)
        (sealed,) = await told(agent, "journal.sealed")
        beside = json.loads((config.archives / f"{result['archive']}.seal").read_bytes())
        assert sealed.payload == beside
        assert beside["hmac"] == archives.sign(b"k" * 40, beside)


class Killed(BaseException):
    """The process ended here."""


class Executioner:
    """Kills the process before the k-th thing that it does to its disk, and lets it do nothing after that."""

    def __init__(self, k: int) -> None:
        self.left = k

    def step(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def watch(self, operation: str, path: Path) -> None:
        if operation.startswith("before"):
            self.step()


async def compact_until_killed(config: Config, k: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Compact, but be killed before the k-th change of the disk; return whether it came to that."""
    executioner = Executioner(k)
    write = Store.write

    async def watched(store: Store, work: Any) -> Any:
        executioner.step()
        return await write(store, work)

    async with awake(config) as agent:
        asked = await agent.request("compact", "journal", {}, by="test")
        claimed = await agent.journal.record(lambda tx: intents.claim(tx, ("compact",)))
        assert claimed is not None
        assert claimed.id == asked.id
        token = files.observer.set(executioner.watch)
        try:
            with monkeypatch.context() as watching:
                watching.setattr(Store, "write", watched)
                await runner.carry_out(agent.context(), claimed)
        except Killed:
            return True
        finally:
            files.observer.reset(token)
    return False


async def test_killed_anywhere_it_is_completed_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "CHUNK", 15)
    first = configured(tmp_path / "first", age="60d")
    await live_for(first, 100)
    kills = 0
    while True:
        config = configured(tmp_path / str(kills), age="60d")
        shutil.copytree(first.paths.state, config.paths.state, dirs_exist_ok=True)
        killed = await compact_until_killed(config, kills, monkeypatch)
        sound(config)
        async with awake(config) as agent:
            await compacted(agent)
            assert [event.payload["day"] for event in await told(agent, "test.*")] == list(range(40, 100))
            assert len(archived(config)) == 1, "what an earlier run archived is taken up"
            assert not [name for name in os.listdir(config.archives) if name.startswith("partial")]
        sound(config)
        if not killed:
            break
        kills += 1
    assert kills > 15
