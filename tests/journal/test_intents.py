import asyncio
import json
import math
import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from helios_agent.clock import SECOND_US, VirtualClock
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import chain, events, intents
from helios_agent.journal.intents import MAX_ATTEMPT, Intent
from helios_agent.journal.journal import Journal, Transaction
from helios_agent.store import Store
from helios_agent.store.store import connect


class Agenda:
    """Short names for what a test does to the intents of one journal."""

    def __init__(self, journal: Journal, cause: int) -> None:
        self.journal, self.store, self.cause = journal, journal.store, cause

    async def ask(
        self, action: str, target: str = "powerball", *, cause: int = 0, in_s: float = 0, **args: Any
    ) -> str:
        def change(tx: Transaction) -> str:
            due_us = tx.now_us() + round(in_s * SECOND_US)
            return intents.request(tx, action, target, args, cause or self.cause, due_us)

        return await self.journal.record(change)

    async def claim(self, *actions: str) -> Intent | None:
        return await self.journal.record(lambda tx: intents.claim(tx, actions))

    async def begin(self, action: str) -> Intent:
        claimed = await self.claim(action)
        assert claimed is not None
        return claimed

    async def retry(self, intent: Intent, in_s: float = 0) -> bool:
        return await self.journal.record(
            lambda tx: intents.retry(tx, intent, "busy", tx.now_us() + round(in_s * SECOND_US))
        )

    async def find(self, intent_id: str) -> Intent:
        return await intents.find(self.store, intent_id)

    async def another_cause(self) -> int:
        return (await self.journal.append("test.happened", {})).seq


@pytest.fixture
async def agenda(journal: Journal) -> Agenda:
    return Agenda(journal, (await journal.append("test.happened", {})).seq)


async def test_an_intent_is_ready_then_running_then_done(agenda: Agenda, clock: VirtualClock) -> None:
    asked = await agenda.find(await agenda.ask("train", epochs=3))
    assert (asked.state, asked.attempt, asked.max_attempt) == ("ready", 0, MAX_ATTEMPT)
    assert (asked.action, asked.target, asked.args) == ("train", "powerball", {"epochs": 3})
    assert asked.due_us == asked.created_us == asked.changed_us == clock.now_us()
    await clock.advance(1)
    running = await agenda.begin("train")
    assert (running.id, running.state, running.attempt) == (asked.id, "running", 1)
    assert running.changed_us == asked.changed_us + SECOND_US
    await agenda.journal.record(lambda tx: intents.finish(tx, running, {"gain": 0.5}))
    done = await agenda.find(asked.id)
    assert (done.state, done.result, done.error) == ("done", {"gain": 0.5}, None)
    kinds = [(e.kind, e.cause) for e in await events.tail(agenda.store, limit=9, kinds=["intent.*"])]
    assert kinds == [
        ("intent.done", asked.seq),
        ("intent.started", asked.seq),
        ("intent.created", agenda.cause),
    ]


async def test_an_intent_that_fails_is_not_tried_again(agenda: Agenda) -> None:
    asked = await agenda.ask("train")
    running = await agenda.begin("train")
    await agenda.journal.record(lambda tx: intents.fail(tx, running, "there are no draws"))
    failed = await agenda.find(asked)
    assert (failed.state, failed.error) == ("failed", "there are no draws")
    assert await agenda.claim("train") is None


async def test_asking_again_while_one_waits_asks_for_nothing_more(agenda: Agenda) -> None:
    first = await agenda.ask("train")
    assert await agenda.ask("train", cause=await agenda.another_cause(), epochs=9) == first
    assert (await agenda.find(first)).args == {}
    assert len(await intents.open_ones(agenda.store)) == 1
    assert await agenda.ask("train", "megamillions") != first


async def test_asking_for_it_earlier_hastens_and_asking_for_it_later_does_not(
    agenda: Agenda, clock: VirtualClock
) -> None:
    now_us = clock.now_us()
    asked = await agenda.ask("ingest", in_s=60)
    for in_s, due_s in ((90, 60), (60, 60), (5, 5), (30, 5)):
        assert await agenda.ask("ingest", cause=await agenda.another_cause(), in_s=in_s) == asked
        assert (await agenda.find(asked)).due_us == now_us + due_s * SECOND_US
    assert len(await events.tail(agenda.store, limit=9, kinds=["intent.hastened"])) == 1


async def test_asking_twice_for_the_same_reason_is_asking_once_even_after_it_was_done(agenda: Agenda) -> None:
    asked = await agenda.ask("train")
    running = await agenda.begin("train")
    await agenda.journal.record(lambda tx: intents.finish(tx, running, {}))
    assert await agenda.ask("train") == asked
    assert (await agenda.find(asked)).state == "done"
    assert await agenda.claim("train") is None
    assert await agenda.ask("train", cause=await agenda.another_cause()) != asked


async def test_the_longest_due_is_claimed_first_and_what_is_not_due_waits(
    agenda: Agenda, clock: VirtualClock
) -> None:
    for action, in_s in (("score", 3), ("ingest", 1), ("assess", 1), ("decide", 2), ("train", 0)):
        await agenda.ask(action, in_s=in_s)
    assert await intents.next_due_us(agenda.store, ("score", "decide")) == clock.now_us() + 2 * SECOND_US
    assert await intents.next_due_us(agenda.store, ("backup",)) is None
    lane = ("score", "ingest", "assess", "decide")
    assert await agenda.claim(*lane) is None
    await clock.advance(2.5)
    claimed = [await agenda.claim(*lane) for _ in range(4)]
    assert [c.action if c else None for c in claimed] == ["ingest", "assess", "decide", None]


async def test_what_is_tried_in_vain_too_often_is_dead(agenda: Agenda, clock: VirtualClock) -> None:
    asked = await agenda.ask("ingest")
    for attempt in range(1, MAX_ATTEMPT):
        running = await agenda.begin("ingest")
        assert running.attempt == attempt
        assert await agenda.retry(running, in_s=30) is True
        waiting = await agenda.find(asked)
        assert (waiting.state, waiting.error) == ("ready", "busy")
        assert waiting.due_us == clock.now_us() + 30 * SECOND_US
        assert await agenda.claim("ingest") is None
        await clock.advance(30)
    running = await agenda.begin("ingest")
    assert await agenda.retry(running) is False
    dead = await agenda.find(asked)
    assert (dead.state, dead.attempt, dead.error) == ("dead", MAX_ATTEMPT, "busy")


async def test_who_goes_back_to_waiting_takes_the_place_of_a_twin(agenda: Agenda) -> None:
    first = await agenda.ask("ingest")
    running = await agenda.begin("ingest")
    twin = await agenda.ask("ingest", cause=await agenda.another_cause())
    assert twin != first
    assert await agenda.retry(running)
    expired = await agenda.find(twin)
    assert (expired.state, expired.error) == ("expired", f"intent {first} waits again for the same")
    assert [i.id for i in await intents.open_ones(agenda.store)] == [first]


async def test_a_twin_is_not_claimed_while_the_first_is_running(agenda: Agenda) -> None:
    await agenda.ask("ingest")
    running = await agenda.begin("ingest")
    twin = await agenda.ask("ingest", cause=await agenda.another_cause())
    assert await agenda.claim("ingest") is None
    assert await intents.next_due_us(agenda.store, ("ingest",)) is None
    await agenda.journal.record(lambda tx: intents.finish(tx, running, {}))
    assert (await agenda.begin("ingest")).id == twin


async def test_an_intent_released_at_the_end_of_a_boot_has_not_used_up_an_attempt(agenda: Agenda) -> None:
    asked = await agenda.ask("train")
    for _ in range(2 * MAX_ATTEMPT):
        assert (await agenda.begin("train")).attempt == 1
        assert await agenda.journal.record(intents.release) == 1
    waiting = await agenda.find(asked)
    assert (waiting.state, waiting.attempt) == ("ready", 0)
    assert await agenda.journal.record(intents.release) == 0


async def test_what_a_dead_boot_was_running_is_taken_up_and_what_runs_now_is_left(
    agenda: Agenda, clock: VirtualClock
) -> None:
    taken_up, ours = await agenda.ask("train"), await agenda.ask("backup", "journal")
    await agenda.begin("train")
    after = Agenda(Journal(agenda.store, clock, "boot-2"), agenda.cause)
    await after.begin("backup")
    assert await after.journal.record(intents.release) == 1
    await after.begin("backup")
    assert await after.journal.record(intents.recover) == 1
    waiting = await after.find(taken_up)
    assert (waiting.state, waiting.attempt) == ("ready", 1)
    assert waiting.error == "the daemon ended while this was running"
    assert (await after.find(ours)).state == "running"
    assert (await after.begin("train")).attempt == 2


async def test_what_kills_every_boot_is_buried_after_its_last_attempt(
    agenda: Agenda, clock: VirtualClock
) -> None:
    asked = await agenda.ask("train")
    for boot in range(MAX_ATTEMPT):
        await Agenda(Journal(agenda.store, clock, f"boot-{boot}"), agenda.cause).begin("train")
        await Journal(agenda.store, clock, f"boot-{boot + 1}").record(intents.recover)
    assert (await agenda.find(asked)).state == "dead"


async def test_recovery_with_a_waiting_twin_expires_the_twin(agenda: Agenda, clock: VirtualClock) -> None:
    first = await agenda.ask("train")
    await agenda.begin("train")
    twin = await agenda.ask("train", cause=await agenda.another_cause())
    await Journal(agenda.store, clock, "boot-2").record(intents.recover)
    assert (await agenda.find(first)).state == "ready"
    assert (await agenda.find(twin)).state == "expired"


async def test_an_intent_that_does_not_exist_is_not_found(agenda: Agenda) -> None:
    with pytest.raises(NotFound, match="There is no intent 'deadbeef'"):
        await agenda.find("deadbeef")


async def test_the_latest_intent_of_an_action_is_found_by_target(agenda: Agenda) -> None:
    mega, power = await agenda.ask("train", "megamillions"), await agenda.ask("train", "powerball")
    found = [
        await intents.latest(agenda.store, "train", t) for t in (None, "megamillions", "powerball", "keno")
    ]
    assert [i.id if i else None for i in found] == [power, mega, power, None]


LEGAL = {
    (None, "ready"), ("ready", "running"), ("ready", "expired"), ("running", "done"), ("running", "failed"),
    ("running", "dead"), ("running", "ready"), ("ready", "paused"), ("running", "paused"),
    ("paused", "ready"), ("paused", "expired"), ("ready", "cancelled"), ("running", "cancelled"),
    ("paused", "cancelled"), (None, "proposed"), ("proposed", "ready"), ("proposed", "refused"),
    ("proposed", "expired"), ("proposed", "cancelled"),
}  # fmt: skip
ENDS = (
    "intent.done", "intent.failed", "intent.dead", "intent.refused", "intent.expired", "intent.cancelled",
)  # fmt: skip
ACTIONS, TARGETS = ("ingest", "train"), ("powerball", "megamillions")


class Lives(RuleBasedStateMachine):
    """Boots of an agent that ask, propose, claim, pause, stop, end, are interrupted and die, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.connection = connect(self.folder / "helios.db")
        self.connection.execute("PRAGMA synchronous = OFF")
        self.clock = VirtualClock(datetime(2026, 9, 18, tzinfo=UTC))
        self.boots = 1
        self.states: dict[str, str] = {}

    def teardown(self) -> None:
        self.die_and_start()
        for row in self.connection.execute(
            "SELECT id FROM intent WHERE state IN ('proposed', 'ready', 'paused')"
        ).fetchall():
            self.transact(lambda tx, row=row: intents.stop(tx, row["id"], 1))
        self.every_change_of_state_is_legal()
        ended = self.connection.execute(
            "SELECT (SELECT count(*) FROM event WHERE kind IN (SELECT value FROM json_each(?))"
            " AND payload->>'id' = intent.id) AS n FROM intent",
            (json.dumps(ENDS),),
        )
        assert {row["n"] for row in ended} <= {1}
        count = self.connection.execute("SELECT count(*) FROM event").fetchone()[0]
        assert chain.verify_database(self.connection).seq == count
        self.connection.close()
        shutil.rmtree(self.folder)

    def transact(self, work: Any) -> Any:
        self.connection.execute("BEGIN IMMEDIATE")
        result = work(Transaction(self.connection, self.clock, f"boot-{self.boots}", ()))
        self.connection.execute("COMMIT")
        return result

    def running(self) -> list[Intent]:
        rows = self.connection.execute("SELECT * FROM intent WHERE state = 'running' ORDER BY seq")
        return [Intent.from_row(row) for row in rows]

    @initialize()
    def cause(self) -> None:
        self.transact(lambda tx: tx.append("test.happened", {}))

    @rule(
        action=st.sampled_from(ACTIONS), game=st.sampled_from(TARGETS), in_s=st.integers(0, 60),
        fresh=st.booleans(),
    )  # fmt: skip
    def ask(self, action: str, game: str, in_s: int, fresh: bool) -> None:
        def work(tx: Transaction) -> str:
            cause = tx.append("test.happened", {}).seq if fresh else 1
            return intents.request(tx, action, game, {}, cause, tx.now_us() + in_s * SECOND_US)

        assert self.transact(work) in {row[0] for row in self.connection.execute("SELECT id FROM intent")}

    @rule(
        action=st.sampled_from(ACTIONS), game=st.sampled_from(TARGETS), for_s=st.integers(1, 90),
        args=st.sampled_from([{}, {"start": "newest"}]),
    )  # fmt: skip
    def propose(self, action: str, game: str, for_s: int, args: dict[str, str]) -> None:
        def work(tx: Transaction) -> str:
            cause, expires_us = tx.append("test.happened", {}).seq, tx.now_us() + for_s * SECOND_US
            return intents.propose(tx, action, game, args, cause, expires_us=expires_us, reason="why not")

        assert self.transact(work) in {row[0] for row in self.connection.execute("SELECT id FROM intent")}

    @rule()
    def expire(self) -> None:
        self.transact(intents.expire_proposals)
        left = self.connection.execute("SELECT min(expires_us) FROM intent WHERE state = 'proposed'")
        assert (left.fetchone()[0] or math.inf) > self.clock.now_us()

    @rule(actions=st.sampled_from([ACTIONS, ACTIONS[:1], ACTIONS[1:]]))
    def claim(self, actions: tuple[str, ...]) -> None:
        claimed = self.transact(lambda tx: intents.claim(tx, actions))
        if claimed is not None:
            assert claimed.action in actions
            assert claimed.due_us <= self.clock.now_us()

    @rule(
        how=st.sampled_from(["finish", "fail", "retry", "stop"]),
        in_s=st.integers(0, 60),
        pick=st.integers(0, 3),
    )
    def end(self, how: str, in_s: int, pick: int) -> None:
        running = self.running()
        if not running:
            return
        intent = running[pick % len(running)]
        if how == "stop":
            self.transact(lambda tx: intents.put_back(tx, intent))
        elif how == "finish":
            self.transact(lambda tx: intents.finish(tx, intent, {"ok": True}))
        elif how == "fail":
            self.transact(lambda tx: intents.fail(tx, intent, "no"))
        else:
            waits = self.transact(lambda tx: intents.retry(tx, intent, "no", tx.now_us() + in_s * SECOND_US))
            assert waits == (intent.attempt < MAX_ATTEMPT and intent.wanted is None)

    @rule(what=st.sampled_from(sorted(intents.REQUESTS)), pick=st.integers(0, 9))
    def ask_of(self, what: str, pick: int) -> None:
        rows = self.connection.execute("SELECT * FROM intent ORDER BY seq DESC").fetchall()
        if not rows:
            return
        intent = Intent.from_row(rows[pick % len(rows)])
        do = {
            "pause": intents.pause, "resume": intents.resume, "stop": intents.stop, "retry": intents.again,
            "priority": lambda tx, found, cause: intents.prioritise(tx, found, cause, pick),
            "approve": lambda tx, found, cause: intents.approve(tx, found, "http"),
            "refuse": lambda tx, found, cause: intents.refuse(tx, found, "http", "no"),
        }[what]  # fmt: skip
        late = what in ("approve", "refuse") and (intent.expires_us or 0) <= self.clock.now_us()
        allowed = intent.state in intents.REQUESTS[what][0] and not late
        if allowed and (what, intent.wanted) != ("pause", "stop"):
            self.transact(lambda tx: do(tx, intent.id, tx.append("test.happened", {}).seq))
        else:
            with pytest.raises(Refused):
                self.transact(lambda tx: do(tx, intent.id, 1))
            self.connection.execute("ROLLBACK")

    @rule()
    def stop_and_start(self) -> None:
        before = len(self.running())
        assert self.transact(intents.release) == before
        self.boots += 1
        assert self.transact(intents.recover) == 0

    @rule()
    def die_and_start(self) -> None:
        before = len(self.running())
        self.boots += 1
        assert self.transact(intents.recover) == before
        assert self.running() == []

    @rule(seconds=st.integers(1, 90))
    def wait(self, seconds: int) -> None:
        asyncio.run(self.clock.advance(seconds))

    @invariant()
    def one_waits_and_one_runs(self) -> None:
        crowded = self.connection.execute(
            "SELECT state = 'running' AS runs, count(*) AS n FROM intent"
            " WHERE state IN ('proposed', 'ready', 'running', 'paused')"
            " GROUP BY action, target, runs HAVING n > 1"
        )
        assert crowded.fetchall() == []

    @invariant()
    def no_attempt_is_one_too_many(self) -> None:
        for row in self.connection.execute("SELECT * FROM intent"):
            assert 0 <= row["attempt"] <= row["max_attempt"]
            assert row["state"] != "running" or row["attempt"] >= 1
            assert row["state"] != "dead" or row["attempt"] == row["max_attempt"]

    @invariant()
    def every_change_of_state_is_legal(self) -> None:
        states = {row["id"]: row["state"] for row in self.connection.execute("SELECT id, state FROM intent")}
        assert states.keys() >= self.states.keys()
        for intent_id, state in states.items():
            before = self.states.get(intent_id)
            assert before == state or (before, state) in LEGAL
        self.states = states


TestLives = Lives.TestCase
TestLives.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


async def test_open_intents_are_listed_the_next_to_be_done_first(agenda: Agenda, store: Store) -> None:
    later, sooner = await agenda.ask("train", in_s=60), await agenda.ask("ingest", in_s=5)
    running = await agenda.ask("score")
    await agenda.begin("score")
    assert [i.id for i in await intents.open_ones(store)] == [running, sooner, later]
