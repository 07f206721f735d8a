"""What a person has to approve: how it is answered, how it expires, and that it does nothing until then."""

from typing import Any

import pytest

from helios_agent.clock import SECOND_US, VirtualClock, iso
from helios_agent.errors import NotFound, Refused
from helios_agent.journal import events, intents, rebuild
from helios_agent.journal.journal import Journal
from tests.journal.test_control import Job, asked, in_state, proposed


async def approve(job: Job, by: str = "http") -> None:
    await job.journal.record(lambda tx: intents.approve(tx, job.id, by))


async def payload(journal: Journal, kind: str) -> Any:
    [event] = await events.tail(journal.store, limit=9, kinds=[kind])
    return event.payload


async def test_nothing_is_done_until_it_is_approved_and_then_it_is_due_now(
    journal: Journal, clock: VirtualClock
) -> None:
    job = await proposed(journal, priority=3)
    waiting = await job.now()
    assert (waiting.state, waiting.priority, waiting.expires_us) == (
        "proposed", 3, clock.now_us() + 3600 * SECOND_US
    )  # fmt: skip
    assert await journal.record(lambda tx: intents.claim(tx, ("train",))) is None
    assert await intents.next_due_us(journal.store, ("train",)) is None
    assert intents.queue(await intents.open_ones(journal.store), clock.now_us()) == []
    await clock.advance(60)
    await approve(job)
    assert ((await job.now()).state, (await job.now()).due_us) == ("ready", clock.now_us())
    assert (await job.begin()).attempt == 1
    assert await job.kinds() == ["proposed", "approved", "started"]
    assert await payload(journal, "intent.approved") == {"id": job.id, "by": "http"}


async def test_what_is_refused_keeps_the_reason_and_ends(journal: Journal) -> None:
    job = await proposed(journal)
    await journal.record(lambda tx: intents.refuse(tx, job.id, "cli", "not this week"))
    assert ((await job.now()).state, (await job.now()).error) == ("refused", "not this week")
    assert await payload(journal, "intent.refused") == {"id": job.id, "by": "cli", "reason": "not this week"}
    again = await proposed(journal)
    assert again.id != job.id


async def test_who_approves_twice_is_told_who_did_so_before_and_what_became_of_it(
    journal: Journal, clock: VirtualClock
) -> None:
    job = await proposed(journal)
    at = iso(clock.now_us())
    await approve(job, "link:phone")
    told = f"^train {job.id} was approved already, at {at} by link:phone: it is "
    with pytest.raises(Refused, match=told + r"ready\.$"):
        await approve(job)
    running = await job.begin()
    await journal.record(lambda tx: intents.finish(tx, running, {}))
    for what in ("approve", "refuse"):
        with pytest.raises(Refused, match=told + r"done\.$"):
            await job.ask(what)
    assert await job.kinds() == ["proposed", "approved", "started", "done"]


@pytest.mark.parametrize("what", ["approve", "refuse"])
async def test_what_was_never_proposed_cannot_be_answered(what: str, journal: Journal) -> None:
    job = await asked(journal)
    with pytest.raises(Refused, match=f"^train {job.id} is ready: it cannot be {what}d"):
        await job.ask(what)
    with pytest.raises(NotFound):
        await Job(journal, "deadbeef").ask(what)


async def test_who_proposes_what_is_proposed_or_waits_already_means_that(journal: Journal) -> None:
    job = await proposed(journal)
    assert (await proposed(journal, args={"start": "newest"}, priority=9)).id == job.id
    await approve(job)
    assert (await proposed(journal)).id == job.id
    assert (await job.now()).priority == 0
    assert await job.kinds() == ["proposed", "approved"]


async def test_the_same_is_proposed_beside_one_that_runs(journal: Journal) -> None:
    running = await in_state(journal, "running")
    twin = await proposed(journal)
    assert twin.id != running.id
    await approve(twin)
    assert await journal.record(lambda tx: intents.claim(tx, ("train",))) is None


async def test_a_proposal_makes_room_for_the_running_twin_that_is_put_back(journal: Journal) -> None:
    job = await asked(journal)
    running = await job.begin()
    twin = await proposed(journal)
    await journal.record(lambda tx: intents.put_back(tx, running))
    assert ((await job.now()).state, (await twin.now()).state) == ("ready", "expired")


async def test_it_expires_when_its_time_is_up_which_counts_as_a_refusal(
    journal: Journal, clock: VirtualClock
) -> None:
    first, second = await proposed(journal, "one", for_s=60), await proposed(journal, "two", for_s=61)
    assert await intents.next_expiry_us(journal.store) == clock.now_us() + 60 * SECOND_US
    await clock.advance(59.999999)
    assert await journal.record(intents.expire_proposals) == 0
    await clock.advance(0.000001)
    assert await journal.record(intents.expire_proposals) == 1
    assert await journal.record(intents.expire_proposals) == 0
    assert ((await first.now()).state, (await second.now()).state) == ("expired", "proposed")
    assert (await first.now()).error == "nobody approved it in time, so that it counts as rejected"


@pytest.mark.parametrize("what", ["approve", "refuse"])
async def test_an_answer_that_comes_too_late_is_refused_though_the_expiry_is_not_journaled_yet(
    what: str, journal: Journal, clock: VirtualClock
) -> None:
    job = await proposed(journal, for_s=60)
    await clock.advance(60)
    with pytest.raises(Refused, match=f"^train {job.id} expired at .*: nobody approved it in time, so"):
        await job.ask(what)
    assert (await job.now()).state == "proposed"


async def test_who_asks_for_what_is_proposed_approves_it(journal: Journal, clock: VirtualClock) -> None:
    job = await proposed(journal)

    def by_a_person(tx: Any) -> str:
        cause = tx.append("action.requested", {"action": "train", "by": "cli"}).seq
        return intents.request(tx, "train", "powerball", {}, cause, priority=2)

    assert await journal.record(by_a_person) == job.id
    assert ((await job.now()).state, (await job.now()).priority) == ("ready", 2)
    assert await payload(journal, "intent.approved") == {"id": job.id, "by": "cli"}
    assert await job.kinds() == ["proposed", "approved", "prioritised"]


async def test_a_schedule_that_wants_what_is_proposed_approves_it(journal: Journal) -> None:
    job = await proposed(journal)

    def fire(tx: Any) -> str:
        payload = {"schedule": "nightly", "due_us": 1, "outcome": "run"}
        return intents.request(tx, "train", "powerball", {}, tx.append("schedule.fired", payload).seq)

    assert await journal.record(fire) == job.id
    assert (await payload(journal, "intent.approved"))["by"] == "schedule.fired"


@pytest.mark.parametrize("how", [{"in_s": 60}, {"args": {"start": "newest"}}, {"after_s": 3600}])
async def test_who_asks_for_it_otherwise_or_later_has_not_approved_what_is_proposed(
    how: dict[str, Any], journal: Journal, clock: VirtualClock
) -> None:
    job = await proposed(journal)
    await clock.advance(how.get("after_s", 0))

    def ask(tx: Any) -> str:
        due_us = tx.now_us() + how.get("in_s", 0) * SECOND_US
        cause = tx.append("test.asked", {}).seq
        return intents.request(tx, "train", "powerball", how.get("args", {}), cause, due_us)

    other = await intents.find(journal.store, await journal.record(ask))
    assert other.id != job.id
    assert (other.state, other.args, other.expires_us) == ("ready", how.get("args", {}), None)
    assert other.due_us == clock.now_us() + how.get("in_s", 0) * SECOND_US
    late = "after_s" in how
    assert (await job.now()).state == "expired"
    assert (await job.now()).error == (
        intents.UNANSWERED if late else "the same was asked for otherwise, or for later"
    )


async def test_it_survives_the_daemon_and_is_no_work_left_behind(
    journal: Journal, clock: VirtualClock
) -> None:
    job = await proposed(journal)
    after = Journal(journal.store, clock, "boot-2")
    assert await journal.record(intents.release) == 0
    assert await after.record(intents.recover) == 0
    assert await Job(after, job.id).now() == await job.now()
    await after.record(lambda tx: intents.approve(tx, job.id, "http"))
    assert (await Job(after, job.id).begin()).attempt == 1


async def test_it_is_forgotten_with_its_game_and_kept_with_another(journal: Journal) -> None:
    ours, others = await proposed(journal), await proposed(journal, "megamillions")
    await journal.record(lambda tx: intents.expire_unwatched(tx, ["powerball"]))
    assert ((await ours.now()).state, (await others.now()).state) == ("proposed", "expired")
    assert (await others.now()).error == "megamillions is no longer watched"


async def test_it_can_be_stopped_and_given_a_priority_but_not_paused(journal: Journal) -> None:
    job = await proposed(journal)
    await job.ask("priority")
    assert ((await job.now()).state, (await job.now()).priority) == ("proposed", 7)
    with pytest.raises(Refused, match="is proposed: it cannot be paused"):
        await job.ask("pause")
    await job.ask("stop")
    assert (await job.now()).state == "cancelled"
    with pytest.raises(Refused, match="is cancelled: it cannot be approved"):
        await job.ask("approve")


async def test_the_tables_can_be_built_anew_with_it(journal: Journal, tmp_path: Any) -> None:
    for target in ("one", "two", "three", "four"):
        await proposed(journal, target)
    jobs = [intent.id for intent in await intents.open_ones(journal.store)]
    await approve(Job(journal, jobs[0]))
    await Job(journal, jobs[1]).ask("refuse")
    await Job(journal, jobs[2]).ask("stop")
    path = journal.store.path
    await journal.store.close()
    rebuild.check(path, tmp_path / "archives")
