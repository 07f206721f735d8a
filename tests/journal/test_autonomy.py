"""The kill switch."""

from helios_agent.clock import VirtualClock
from helios_agent.journal import autonomy, events, intents
from helios_agent.journal.autonomy import Autonomy
from helios_agent.journal.journal import Journal, Transaction


async def switch(journal: Journal, on: bool, by: str) -> bool:
    def change(tx: Transaction) -> bool:
        autonomy.switch(tx, on, by)
        return autonomy.is_on(tx)

    return await journal.record(change)


async def test_the_agent_decides_for_itself_until_somebody_stops_that(
    journal: Journal, clock: VirtualClock
) -> None:
    assert await journal.record(autonomy.is_on)
    assert await autonomy.standing(journal.store) == Autonomy(True, None, None)
    assert not await switch(journal, False, "http")
    assert await autonomy.standing(journal.store) == Autonomy(False, "http", clock.now_us())
    assert await switch(journal, True, "cli")
    assert await autonomy.standing(journal.store) == Autonomy(True, "cli", clock.now_us())


async def test_what_changes_nothing_is_no_event_and_keeps_who_said_so(
    journal: Journal, clock: VirtualClock
) -> None:
    await switch(journal, True, "http")
    assert await events.tail(journal.store, limit=9) == []
    await switch(journal, False, "http")
    at_us = clock.now_us()
    await clock.advance(60)
    await switch(journal, False, "cli")
    assert await autonomy.standing(journal.store) == Autonomy(False, "http", at_us)
    [event] = await events.tail(journal.store, limit=9)
    assert (event.kind, event.payload) == ("autonomy.switched", {"is_on": False, "by": "http"})


async def test_what_was_chosen_and_has_not_begun_is_cancelled_with_the_switch(journal: Journal) -> None:
    def choose(tx: Transaction, action: str, **proposed: int | str) -> str:
        cause = tx.append("test.decided", {}).seq
        ask = intents.propose if proposed else intents.request
        intent_id: str = ask(tx, action, "journal", {}, cause, **proposed)  # type: ignore[operator]
        told = {
            "id": intent_id,
            "decision": cause,
            "game": "powerball",
            "action": action,
            "target": "journal",
        }
        tx.append("choice.made", {**told, "context": "quiet", "urgency": 1.0, "price": 0.0}, cause)
        return intent_id

    def change(tx: Transaction) -> dict[str, str]:
        proposal = {"expires_us": tx.now_us() + 10**9, "reason": "a test"}
        made = {
            "chosen": choose(tx, "verify"),
            "tells": choose(tx, "ask"),
            "proposed": choose(tx, "compact", **proposal),
            "approved": choose(tx, "backup", **proposal),
            "asked for": intents.request(tx, "train", "powerball", {}, tx.append("test.asked", {}).seq),
        }
        intents.approve(tx, made["approved"], "cli")
        autonomy.switch(tx, False, "http")
        autonomy.switch(tx, False, "http")
        return {what: intents.known(tx, intent_id).state for what, intent_id in made.items()}

    assert await journal.record(change) == {
        "chosen": "cancelled", "tells": "ready", "proposed": "proposed", "approved": "ready",
        "asked for": "ready",
    }  # fmt: skip
    cancelled, switched = await events.tail(journal.store, limit=2)
    assert (switched.kind, cancelled.kind) == ("autonomy.switched", "intent.cancelled")
    assert cancelled.cause == switched.seq
