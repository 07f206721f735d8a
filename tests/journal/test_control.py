"""What can be asked of an intent, and what becomes of it, whatever happens to the daemon meanwhile."""

from collections.abc import Callable
from typing import Any

import pytest

from helios_agent.clock import SECOND_US, VirtualClock
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import events, intents
from helios_agent.journal.intents import MAX_ATTEMPT, Intent
from helios_agent.journal.journal import Journal, Transaction

STATES = (
    "proposed", "ready", "running", "paused", "done", "failed", "dead", "refused", "expired", "cancelled",
)  # fmt: skip
ASK: dict[str, Callable[[Transaction, str, int], Any]] = {
    "pause": intents.pause,
    "resume": intents.resume,
    "stop": intents.stop,
    "retry": intents.again,
    "priority": lambda tx, intent_id, cause: intents.prioritise(tx, intent_id, cause, 7),
    "approve": lambda tx, intent_id, cause: intents.approve(tx, intent_id, "http"),
    "refuse": lambda tx, intent_id, cause: intents.refuse(tx, intent_id, "http", "not now"),
}


class Job:
    """A training of one journal, and short names for what a test does to it."""

    def __init__(self, journal: Journal, intent_id: str) -> None:
        self.journal, self.id = journal, intent_id

    async def ask(self, what: str) -> Any:
        return await self.journal.record(lambda tx: ASK[what](tx, self.id, tx.append("test.asked", {}).seq))

    async def begin(self) -> Intent:
        claimed = await self.journal.record(lambda tx: intents.claim(tx, ("train",)))
        assert claimed is not None
        assert claimed.id == self.id
        return claimed

    async def lose(self, times: int) -> None:
        """Have its worker killed so often."""
        for _ in range(times):
            running = await self.begin()
            await self.journal.record(
                lambda tx, running=running: intents.retry(tx, running, "lost", tx.now_us())
            )

    async def now(self) -> Intent:
        return await intents.find(self.journal.store, self.id)

    async def kinds(self) -> list[str]:
        found = await events.tail(self.journal.store, limit=99, kinds=["intent.*"])
        return [event.kind.removeprefix("intent.") for event in reversed(found)]


async def asked(journal: Journal, target: str = "powerball", **how: Any) -> Job:
    def change(tx: Transaction) -> str:
        return intents.request(tx, "train", target, {}, tx.append("test.asked", {}).seq, **how)

    return Job(journal, await journal.record(change))


async def proposed(journal: Journal, target: str = "powerball", for_s: float = 3600, **how: Any) -> Job:
    def change(tx: Transaction) -> str:
        expires_us = tx.now_us() + round(for_s * SECOND_US)
        how.setdefault("reason", "the network is old")
        cause = tx.append("test.decided", {}).seq
        return intents.propose(tx, "train", target, how.pop("args", {}), cause, expires_us=expires_us, **how)

    return Job(journal, await journal.record(change))


async def in_state(journal: Journal, state: str) -> Job:
    """Return a training that has come to this state."""
    job = await (proposed if state in ("proposed", "refused") else asked)(journal)
    if state == "paused":
        await job.ask("pause")
    elif state == "cancelled":
        await job.ask("stop")
    elif state == "expired":
        await journal.record(lambda tx: intents.expire_unwatched(tx, ()))
    elif state == "refused":
        await job.ask("refuse")
    elif state not in ("proposed", "ready"):
        if state == "dead":
            await job.lose(MAX_ATTEMPT - 1)
        running = await job.begin()
        if state == "done":
            await journal.record(lambda tx: intents.finish(tx, running, {"version": "abc"}))
        elif state == "failed":
            await journal.record(lambda tx: intents.fail(tx, running, "no draws"))
        elif state == "dead":
            await journal.record(lambda tx: intents.retry(tx, running, "lost", tx.now_us()))
    assert (await job.now()).state == state
    return job


@pytest.mark.parametrize("what", ASK)
@pytest.mark.parametrize("state", STATES)
async def test_what_can_be_asked_depends_on_the_state_and_a_refusal_names_it(
    state: str, what: str, journal: Journal
) -> None:
    allowed, called = intents.REQUESTS[what]
    job = await in_state(journal, state)
    if state in allowed:
        await job.ask(what)
        return
    before = (await events.head(journal.store)).seq
    with pytest.raises(Refused, match=rf"^train {job.id} is {state}: it cannot be {called}\.$"):
        await job.ask(what)
    assert (await job.now()).state == state
    assert (await events.head(journal.store)).seq == before


@pytest.mark.parametrize("what", ASK)
async def test_nothing_can_be_asked_of_what_does_not_exist(what: str, journal: Journal) -> None:
    with pytest.raises(NotFound, match="There is no intent 'deadbeef'"):
        await Job(journal, "deadbeef").ask(what)


async def test_what_waits_is_paused_at_once_and_waits_again_when_resumed(
    journal: Journal, clock: VirtualClock
) -> None:
    job = await asked(journal, due_us=clock.now_us() + 3600 * SECOND_US)
    await job.ask("pause")
    assert (await job.now()).state == "paused"
    assert await journal.record(lambda tx: intents.claim(tx, ("train",))) is None
    assert await intents.next_due_us(journal.store, ("train",)) is None
    await clock.advance(60)
    await job.ask("resume")
    assert (await job.now()).due_us == clock.now_us()
    assert (await job.begin()).attempt == 1


async def test_what_runs_goes_on_until_it_has_stopped_and_is_then_paused_without_counting_the_attempt(
    journal: Journal,
) -> None:
    job = await asked(journal)
    running = await job.begin()
    for _ in range(2):
        await job.ask("pause")
        assert ((await job.now()).state, (await job.now()).wanted) == ("running", "pause")
    await journal.record(lambda tx: intents.put_back(tx, running))
    paused = await job.now()
    assert (paused.state, paused.wanted, paused.attempt) == ("paused", None, 0)
    assert await job.kinds() == ["created", "started", "pausing", "paused"]


async def test_what_was_asked_to_pause_can_still_be_stopped_but_not_the_other_way_round(
    journal: Journal,
) -> None:
    job = await asked(journal)
    running = await job.begin()
    await job.ask("pause")
    await job.ask("stop")
    with pytest.raises(Refused, match="is being stopped: it cannot be paused"):
        await job.ask("pause")
    await journal.record(lambda tx: intents.put_back(tx, running))
    assert (await job.now()).state == "cancelled"
    assert await job.kinds() == ["created", "started", "pausing", "stopping", "cancelled"]


@pytest.mark.parametrize(("what", "state"), [("pause", "paused"), ("stop", "cancelled")])
@pytest.mark.parametrize("end", ["die", "drain", "lose the worker", "lose the last worker"])
async def test_what_was_wanted_is_done_whatever_ends_the_run(
    end: str, what: str, state: str, journal: Journal, clock: VirtualClock
) -> None:
    job = await asked(journal)
    await job.lose(MAX_ATTEMPT - 1 if end == "lose the last worker" else 0)
    running = await job.begin()
    await job.ask(what)
    if end == "die":
        assert await Journal(journal.store, clock, "boot-2").record(intents.recover) == 1
    elif end == "drain":
        assert await journal.record(intents.release) == 1
    else:
        assert not await journal.record(lambda tx: intents.retry(tx, running, "lost", tx.now_us()))
    assert ((await job.now()).state, (await job.now()).wanted) == (state, None)


@pytest.mark.parametrize(("what", "state"), [("stop", "cancelled"), ("pause", "failed")])
async def test_what_cannot_be_carried_out_is_stopped_where_it_was_to_be_and_else_has_failed(
    what: str, state: str, journal: Journal
) -> None:
    job = await asked(journal)
    running = await job.begin()
    await job.ask(what)
    await journal.record(lambda tx: intents.fail(tx, running, "the disk is full"))
    ended = await job.now()
    assert (ended.state, ended.wanted) == (state, None)
    assert ended.error == (None if state == "cancelled" else "the disk is full")


async def test_what_was_done_before_it_could_stop_is_done(journal: Journal) -> None:
    job = await asked(journal)
    running = await job.begin()
    await job.ask("stop")
    await journal.record(lambda tx: intents.finish(tx, running, {"version": "abc"}))
    done = await job.now()
    assert (done.state, done.wanted, done.result) == ("done", None, {"version": "abc"})


async def test_who_asks_for_the_same_while_it_is_paused_means_the_paused_one_which_stays_so(
    journal: Journal,
) -> None:
    job = await in_state(journal, "paused")
    assert (await asked(journal)).id == job.id
    assert (await job.now()).state == "paused"


@pytest.mark.parametrize("end", ["pause", "drain", "lose the worker"])
@pytest.mark.parametrize(("first", "second", "inherited"), [(0, 0, 0), (1, 5, 5), (5, 1, 5), (-5, -1, -1)])
async def test_what_waits_again_takes_the_place_of_a_waiting_twin_at_the_higher_priority_of_both(
    end: str, first: int, second: int, inherited: int, journal: Journal
) -> None:
    job = await asked(journal, priority=first)
    running = await job.begin()
    twin = await asked(journal, priority=second)
    assert twin.id != job.id
    if end == "lose the worker":
        await journal.record(lambda tx: intents.retry(tx, running, "lost", tx.now_us()))
    else:
        if end == "pause":
            await job.ask("pause")
        await journal.record(lambda tx: intents.put_back(tx, running))
    waits = await job.now()
    assert (waits.state, waits.priority) == ("paused" if end == "pause" else "ready", inherited)
    assert (await twin.now()).state == "expired"


async def test_what_waits_again_inherits_nothing_from_what_is_only_proposed(journal: Journal) -> None:
    job = await asked(journal)
    running = await job.begin()
    twin = await proposed(journal, priority=5)
    await journal.record(lambda tx: intents.put_back(tx, running))
    assert ((await job.now()).priority, (await twin.now()).state) == (0, "expired")


@pytest.mark.parametrize("state", ["failed", "dead", "cancelled", "expired", "refused"])
async def test_what_ended_without_being_done_is_tried_again_by_another_intent(
    state: str, journal: Journal
) -> None:
    job = await in_state(journal, state)
    other = Job(journal, await job.ask("retry"))
    assert other.id != job.id
    assert ((await other.now()).action, (await other.now()).target) == ("train", "powerball")
    assert (await job.now()).state == state
    assert (await other.begin()).attempt == 1


async def test_what_waits_for_its_next_attempt_is_tried_at_once(
    journal: Journal, clock: VirtualClock
) -> None:
    job = await asked(journal)
    running = await job.begin()
    await journal.record(lambda tx: intents.retry(tx, running, "lost", tx.now_us() + 60 * SECOND_US))
    assert await job.ask("retry") == job.id
    assert (await job.now()).due_us == clock.now_us()
    assert (await job.begin()).attempt == 2


async def test_the_highest_priority_is_begun_first_then_what_is_due_for_the_longest(
    journal: Journal, clock: VirtualClock
) -> None:
    now_us = clock.now_us()
    first, second = (
        await asked(journal, "one", due_us=now_us - 9),
        await asked(journal, "two", due_us=now_us - 8),
    )
    urgent, later = await asked(journal, "three", priority=1), await asked(journal, "four", due_us=now_us + 1)
    await later.ask("priority")
    expected = [urgent.id, first.id, second.id, later.id]
    assert intents.queue(await intents.open_ones(journal.store), now_us) == expected
    await second.ask("priority")
    assert (await second.now()).priority == 7
    for job in (second, urgent, first):
        await job.begin()


async def test_asking_again_with_a_higher_priority_raises_it_and_with_a_lower_one_does_not(
    journal: Journal,
) -> None:
    job = await asked(journal, priority=2)
    for priority, expected in ((1, 2), (5, 5), (0, 5)):
        assert (await asked(journal, priority=priority)).id == job.id
        assert (await job.now()).priority == expected
    assert await job.kinds() == ["created", "prioritised"]


async def test_what_was_asked_for_is_listed_newest_first_page_by_page(journal: Journal) -> None:
    jobs = [await asked(journal, target) for target in ("one", "two", "three")]

    async def page(**how: Any) -> list[str]:
        how = {"before": None, "limit": 9} | how
        return [intent.target for intent in await intents.asked_for(journal.store, ("train", "tune"), **how)]

    assert await page() == ["three", "two", "one"]
    assert await page(limit=2) == ["three", "two"]
    assert await page(before=(await jobs[1].now()).seq) == ["one"]
    assert await page(target="two") == ["two"]
