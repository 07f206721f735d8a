"""A search finds the same whether events are in the database or were archived and removed."""

from typing import Any

import pytest

from helios_agent import files
from helios_agent.clock import VirtualClock
from helios_agent.errors import NotFound, StoreCorrupt
from helios_agent.journal import archives, events, recall, snapshot
from helios_agent.journal.events import Filters
from helios_agent.journal.journal import Event, Journal
from tests.journal.story import archive, model, purge

EVERYTHING = 1000
COUNT, PURGED = 60, 45


@pytest.fixture
async def told(journal: Journal, clock: VirtualClock) -> list[Event]:
    """Events, newest first, of which all up to `PURGED` were archived, in three parts, and removed."""
    for number in range(1, COUNT):
        kind = "test.happened" if number % 3 else "test.noticed"
        about = "powerballnet@aaa" if number % 7 == 0 else "nothing"
        payload = {"number": number, "about": about, "text": f"N° {number}, 100 %"}
        await journal.append(kind, payload, number - 1 or None)
        await clock.advance(60)
    await journal.append("model.trained", model("aaa", 1))
    found = await events.tail(journal.store, limit=EVERYTHING)
    for upto in (20, 40, 50):
        await archive(journal, upto)
    assert await purge(journal, PURGED) == PURGED
    return found


def search(
    journal: Journal, limit: int = EVERYTHING, *, archived: bool = True, **filters: Any
) -> recall.Found:
    path = journal.store.path
    folder = path.parent / "archives" if archived else None
    with snapshot.following(path) as database:
        return recall.search(database, folder, Filters(**filters), limit)


@pytest.mark.parametrize(
    ("filters", "passes"),
    [
        ({}, lambda event: True),
        ({"kinds": ("test.n*",)}, lambda event: event.kind == "test.noticed"),
        ({"kinds": ("test.n*", "model.*")}, lambda event: event.kind in ("test.noticed", "model.trained")),
        ({"text": "n° 1"}, lambda event: f"{event.payload.get('text')}".startswith("N° 1")),
        ({"text": "100 %"}, lambda event: "text" in event.payload),
        ({"text": "1_0"}, lambda event: False),
        ({"cause": 30}, lambda event: event.cause == 30),
        ({"before": 30}, lambda event: event.seq < 30),
        ({"after": 30}, lambda event: event.seq > 30),
        ({"after": 10, "before": 50, "kinds": ("test.h*",)},
         lambda event: 10 < event.seq < 50 and event.kind == "test.happened"),
        ({"model": "aaa"}, lambda event: event.kind == "model.trained" or event.payload["number"] % 7 == 0),
    ],
)  # fmt: skip
async def test_what_was_archived_is_found_as_what_was_not(
    told: list[Event], journal: Journal, filters: dict[str, Any], passes: Any
) -> None:
    found = search(journal, **filters)
    assert [event for event in found.events if event.seq <= COUNT] == list(filter(passes, told))
    assert found.before is None


async def test_by_time_it_is_found_too(told: list[Event], journal: Journal) -> None:
    middle_us = told[COUNT - 30].at_us
    late, early = search(journal, since_us=middle_us), search(journal, until_us=middle_us)
    assert [event.seq for event in early.events] == list(range(29, 0, -1))
    assert [event.seq for event in late.events][-1] == 30


async def test_one_goes_on_from_page_to_page(told: list[Event], journal: Journal) -> None:
    seqs, before = [], None
    while True:
        page = search(journal, 7, before=before)
        assert len(page.events) <= 7
        seqs += [event.seq for event in page.events]
        before = page.before
        if before is None:
            break
    assert seqs == sorted(seqs, reverse=True)
    assert seqs[-COUNT:] == [event.seq for event in told]


async def test_a_search_that_would_take_long_says_where_to_go_on(
    told: list[Event], journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recall, "LARGEST", 10)
    monkeypatch.setattr(recall, "_PART", 3)
    first = search(journal, text="N° 7,")
    assert (first.events, first.before) == ([], 41), "one archive and the database were looked at"
    second = search(journal, text="N° 7,", before=41)
    assert (second.events, second.before) == ([], 21)
    third = search(journal, text="N° 7,", before=21)
    assert ([event.seq for event in third.events], third.before) == ([7], None)


async def test_archives_are_left_out_unless_they_are_asked_for(told: list[Event], journal: Journal) -> None:
    found = search(journal, archived=False)
    assert found.events[-1].seq == PURGED + 1


async def test_no_archive_is_read_that_can_hold_nothing_that_passes(
    told: list[Event], journal: Journal
) -> None:
    folder = journal.store.path.parent / "archives"
    with snapshot.opened(journal.store.path) as database:
        oldest, second, _ = archives.seals(database)
    files.remove(folder / oldest.archive)
    assert len(search(journal, after=20, before=61).events) == 40
    assert search(journal, 10).before is not None
    with pytest.raises(StoreCorrupt, match=oldest.archive):
        search(journal, before=30)
    files.remove(folder / second.archive)
    assert search(journal, since_us=second.at_us + 1).before is None


async def test_an_unknown_model_is_told(told: list[Event], journal: Journal) -> None:
    with pytest.raises(NotFound, match="model is 'nobody'"):
        search(journal, model="nobody")
