"""The kill switch."""

from helios_agent.clock import VirtualClock
from helios_agent.journal import autonomy, events
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
