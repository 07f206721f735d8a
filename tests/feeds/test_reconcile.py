from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from helios_agent.feeds import packaged
from helios_agent.feeds.reconcile import Dispute, Reconciliation, Sighting, reconcile
from helios_agent.feeds.reports import FeedReport, RejectedRow
from helios_agent.lottery import games
from helios_agent.lottery.draws import Draw

HISTORY = packaged.read(games.game("megamillions")).draws
KNOWN = {draw.day: draw for draw in HISTORY}
SOURCES = dict.fromkeys(KNOWN, "packaged")


def report(source: str, draws: Iterable[Draw]) -> FeedReport:
    return FeedReport(source, tuple(draws), ())


def ascending(draw: Draw) -> Draw:
    return replace(draw, whites=tuple(sorted(draw.whites)), ordered=False)


def test_new_yorks_known_errors_are_disputes_and_its_gaps_are_nothing() -> None:
    misread, mistyped = date(2022, 5, 10), date(2011, 9, 23)
    new_york = {draw.day: ascending(draw) for draw in HISTORY}
    for missing in (date(2007, 12, 25), date(2009, 12, 25), date(2013, 10, 18)):
        del new_york[missing]
    new_york[misread] = replace(new_york[misread], bonus=6)
    new_york[mistyped] = replace(new_york[mistyped], whites=(27, 31, 32, 40, 52))

    outcome = reconcile(KNOWN, SOURCES, [report("new-york", new_york.values())])

    assert outcome == Reconciliation(
        new=(),
        disputes=(
            Dispute(mistyped, KNOWN[mistyped], "packaged", new_york[mistyped], "new-york"),
            Dispute(misread, KNOWN[misread], "packaged", new_york[misread], "new-york"),
        ),
        rejected=(),
        confirmed=2372 - 3 - 2,
    )
    assert KNOWN[misread].bonus == 9
    assert 21 in KNOWN[mistyped].whites


def test_the_first_report_wins_a_new_day_and_a_later_one_confirms_or_disputes_it() -> None:
    *_, monday, friday = HISTORY
    other = replace(ascending(friday), bonus=friday.bonus % 24 + 1)
    outcome = reconcile(
        {}, {}, [report("texas", [monday, friday]), report("new-york", [ascending(monday), other])]
    )
    assert outcome.new == (Sighting(monday, "texas"), Sighting(friday, "texas"))
    assert outcome.disputes == (Dispute(friday.day, friday, "texas", other, "new-york"),)
    assert outcome.confirmed == 1


def test_a_day_only_the_second_source_has_is_taken_from_it_in_its_place_by_day() -> None:
    first, second, third = HISTORY[:3]
    outcome = reconcile({}, {}, [report("texas", [first, third]), report("new-york", [ascending(second)])])
    assert outcome.new == (
        Sighting(first, "texas"),
        Sighting(ascending(second), "new-york"),
        Sighting(third, "texas"),
    )


def test_a_backfill_of_an_old_day_is_new() -> None:
    gap = HISTORY[1000]
    known = {day: draw for day, draw in KNOWN.items() if day != gap.day}
    outcome = reconcile(known, SOURCES, [report("texas", HISTORY)])
    assert outcome == Reconciliation((Sighting(gap, "texas"),), (), (), confirmed=2371)


def test_an_unchanged_source_says_nothing_and_rejected_rows_of_all_are_kept() -> None:
    rows = tuple(RejectedRow(source, 1, "x", "unreadable") for source in ("texas", "new-york"))
    reports = [
        FeedReport("texas", (), rows[:1]),
        FeedReport("spare", (), (), unchanged=True),
        FeedReport("new-york", (), rows[1:]),
    ]
    assert reconcile(KNOWN, SOURCES, reports) == Reconciliation((), (), rows, confirmed=0)


@given(
    known=st.sets(st.integers(0, 30)),
    told=st.lists(st.dictionaries(st.integers(0, 30), st.booleans()), max_size=4),
)
def test_every_claim_is_new_confirmed_or_disputed_and_a_second_look_finds_nothing_new(
    known: set[int], told: list[dict[int, bool]]
) -> None:
    def claim(place: int, right: bool) -> Draw:
        draw = HISTORY[place]
        return draw if right else replace(draw, bonus=draw.bonus % 46 + 1)

    stored = {HISTORY[place].day: HISTORY[place] for place in known}
    sources = dict.fromkeys(stored, "packaged")
    reports = [
        report(f"source {number}", [claim(place, right) for place, right in sorted(claims.items())])
        for number, claims in enumerate(told)
    ]
    outcome = reconcile(stored, sources, reports)
    claims = sum(len(each.draws) for each in reports)
    assert len(outcome.new) + outcome.confirmed + len(outcome.disputes) == claims
    days = [sighting.draw.day for sighting in outcome.new]
    assert days == sorted(set(days))
    assert not set(days) & set(stored)

    stored |= {sighting.draw.day: sighting.draw for sighting in outcome.new}
    sources |= {sighting.draw.day: sighting.source for sighting in outcome.new}
    again = reconcile(stored, sources, reports)
    assert again.new == ()
    assert again.disputes == outcome.disputes
