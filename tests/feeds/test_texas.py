from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent import errors
from helios_agent.feeds import texas
from helios_agent.feeds.reports import RejectedRow
from helios_agent.lottery import games
from helios_agent.lottery.draws import Draw

POWERBALL = games.game("powerball")
GOOD = "Powerball,2,3,2010,37,52,22,36,17,24,2"
DRAW = Draw("powerball", date(2010, 2, 3), (37, 52, 22, 36, 17), bonus=24, multiplier=2, ordered=True)


def test_a_row_gives_the_balls_in_the_order_drawn() -> None:
    report = texas.parse(POWERBALL, GOOD + "\r\n")
    assert (report.source, report.draws, report.rejected) == ("texas", (DRAW,), ())
    assert not report.unchanged


def test_the_multiplier_may_be_empty_or_absent() -> None:
    rows = "Mega Millions,8,25,2026,7,10,48,47,50,14,\nMega Millions,8,21,2026,48,25,34,57,1,24\n"
    report = texas.parse(games.game("megamillions"), rows)
    assert [(draw.day, draw.bonus, draw.multiplier) for draw in report.draws] == [
        (date(2026, 8, 21), 24, None),
        (date(2026, 8, 25), 14, None),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("Powerball,2,6,2010,37,52,22,36", "row has 8 fields; expected 10 or 11"),
        (GOOD + ",9", "row has 12 fields; expected 10 or 11"),
        ("<p>be right back</p>", "row has 1 fields; expected 10 or 11"),
        ("Lotto Texas,2,6,2010,1,2,3,4,5,6,", "game is 'Lotto Texas'; expected 'Powerball'"),
        ("Powerball,2,30,2010,1,2,3,4,5,6,2", "date is 2/30/2010; expected a month, day and year"),
        ("Powerball,Feb,6,2010,1,2,3,4,5,6,2", "month is 'Feb'; expected a whole number"),
        ("Powerball,2,6,2010,1,2,x,4,5,6,2", "white ball 3 is 'x'; expected a whole number"),
        ("Powerball,2,6,2010,1,2,-3,4,5,6,2", "white ball 3 is '-3'; expected a whole number"),
        ("Powerball,2,6,2010,1,2,1_0,4,5,6,2", "white ball 3 is '1_0'; expected a whole number"),
        ("Powerball,2,6,2010,1,2,٣,4,5,6,2", "white ball 3 is '٣'; expected a whole number"),
        ("Powerball,2,6,2010,1,2,,4,5,6,2", "white ball 3 is ''; expected a whole number"),
        ("Powerball,2,6,2010,1,2,3,4,5,,2", "bonus ball is ''; expected a whole number"),
        ("Powerball,2,6,2010,1,2,3,4,5,6,two", "multiplier is 'two'; expected a whole number"),
        ("Powerball,2,6,2010,1,2,60,4,5,6,2", "powerball 2010-02-06: white ball 3 is 60; expected 1 to 59"),
        ("Powerball,2,7,2010,1,2,3,4,5,6,2", "powerball 2010-02-07: day is a Sunday; expected Wednesday or"),
        (
            "Powerball,2,3,2010,37,52,22,36,17,25,2",
            "powerball 2010-02-03: balls are (37, 52, 22, 36, 17) and 25",
        ),
    ],
)
def test_a_bad_row_is_rejected_with_its_reason_and_the_good_rows_land(row: str, reason: str) -> None:
    later = "Powerball,2,10,2010,29,8,37,38,5,34,5"
    report = texas.parse(POWERBALL, f"{GOOD}\n\n{row}\n{later}\n", source="austin")
    assert [draw.day for draw in report.draws] == [date(2010, 2, 3), date(2010, 2, 10)]
    (rejected,) = report.rejected
    assert rejected == RejectedRow("austin", 3, row, rejected.reason)
    assert rejected.reason.startswith(reason)


def test_the_text_kept_of_a_rejected_row_is_at_most_200_characters() -> None:
    (rejected,) = texas.parse(POWERBALL, f"{GOOD}\n{'9' * 5000}\n").rejected
    assert len(rejected.text) == 200
    (rejected,) = texas.parse(POWERBALL, f"{GOOD}\nPowerball,2,6,2010,{'9' * 5000},2,3,4,5,6,2").rejected
    assert len(rejected.reason) < 300


def test_a_day_told_twice_alike_is_kept_once() -> None:
    other_order = "Powerball,2,3,2010,17,22,36,37,52,24,2"
    report = texas.parse(POWERBALL, f"{GOOD}\n{other_order}\n")
    assert (report.draws, report.rejected) == ((DRAW,), ())


def test_a_contradiction_names_the_line_it_contradicts() -> None:
    report = texas.parse(POWERBALL, f"{GOOD}\nPowerball,2,3,2010,37,52,22,36,18,24,2\n")
    assert report.draws == (DRAW,)
    assert [(row.line, row.reason) for row in report.rejected] == [
        (
            2,
            "powerball 2010-02-03: balls are (37, 52, 22, 36, 18) and 24; "
            "expected (37, 52, 22, 36, 17) and 24 as on line 1",
        )
    ]


def test_a_page_of_html_is_malformed_and_its_beginning_is_shown() -> None:
    page = "<!DOCTYPE html>\n<title>Maintenance</title>\n"
    with pytest.raises(errors.FeedMalformed) as refusal:
        texas.parse(POWERBALL, page)
    message = str(refusal.value)
    assert message.startswith(
        "texas: none of 2 rows can be read as a draw of Powerball; line 1 is '<!DOCTYPE html>'"
    )
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "\n \r\n", "\ufeff"])
def test_an_empty_answer_is_malformed(text: str) -> None:
    with pytest.raises(errors.FeedMalformed, match="texas: the answer is empty"):
        texas.parse(POWERBALL, text)


def test_a_byte_order_mark_is_no_part_of_the_first_row() -> None:
    assert texas.parse(POWERBALL, "\ufeff" + GOOD).draws == (DRAW,)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_no_text_can_do_worse_than_be_rejected(text: str) -> None:
    report = texas.parse(POWERBALL, f"{GOOD}\n{text}")
    assert DRAW in report.draws
