import json
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helios_agent import errors
from helios_agent.feeds import socrata
from helios_agent.lottery import games
from helios_agent.lottery.draws import Draw

POWERBALL = games.game("powerball")
MEGAMILLIONS = games.game("megamillions")
GOOD = {"draw_date": "2010-02-03T00:00:00.000", "winning_numbers": "17 22 36 37 52 24", "multiplier": "2"}


def test_the_sixth_winning_number_of_powerball_is_the_powerball() -> None:
    report = socrata.parse(POWERBALL, json.dumps([GOOD]))
    expected = Draw("powerball", date(2010, 2, 3), (17, 22, 36, 37, 52), 24, multiplier=2, ordered=False)
    assert (report.source, report.draws, report.rejected) == ("new-york", (expected,), ())


def test_balls_come_out_ascending_whatever_their_order_was() -> None:
    row = {**GOOD, "winning_numbers": "37 52 22 36 17 24"}
    (draw,) = socrata.parse(POWERBALL, json.dumps([row])).draws
    assert (draw.whites, draw.bonus, draw.ordered) == ((17, 22, 36, 37, 52), 24, False)


@pytest.mark.parametrize(("written", "multiplier"), [("3", 3), ("03", 3), ("", None), (None, None)])
def test_the_mega_ball_has_its_own_field_and_the_multiplier_many_forms(
    written: str | None, multiplier: int | None
) -> None:
    row = {
        "draw_date": "2022-05-10T00:00:00.000",
        "winning_numbers": "15 19 20 61 70",
        "mega_ball": "09",
        "multiplier": written,
    }
    (draw,) = socrata.parse(MEGAMILLIONS, json.dumps([row])).draws
    expected = (15, 19, 20, 61, 70)
    assert draw == Draw("megamillions", date(2022, 5, 10), expected, 9, multiplier, ordered=False)


def test_a_row_without_a_multiplier_is_whole_and_unknown_columns_are_passed_over() -> None:
    row = {key: value for key, value in GOOD.items() if key != "multiplier"}
    row["double_play_winning_numbers"] = "1 2 3 4 5 6"
    (draw,) = socrata.parse(POWERBALL, json.dumps([row])).draws
    assert draw.multiplier is None


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (17, "row is a int; expected an object"),
        ({**GOOD, "draw_date": None}, "draw_date is None; expected text"),
        ({**GOOD, "draw_date": "02/06/2010"}, "draw_date is '02/06/2010'; expected a date like"),
        (
            {**GOOD, "draw_date": "2010-02-31T00:00:00.000"},
            "draw_date is '2010-02-31T00:00:00.000'; expected",
        ),
        ({"draw_date": "2010-02-06T00:00:00.000"}, "winning_numbers is None; expected text"),
        ({**GOOD, "winning_numbers": " "}, "winning_numbers is empty; expected the balls"),
        ({**GOOD, "winning_numbers": "17 22 36 37 52"}, "powerball 2010-02-03: whites is 4 balls"),
        ({**GOOD, "winning_numbers": "17 22 36 37 52 40"}, "powerball 2010-02-03: bonus ball is 40"),
        ({**GOOD, "winning_numbers": "17 22 3x 37 52 24"}, "white ball 3 is '3x'; expected a whole number"),
        ({**GOOD, "winning_numbers": "17 22 36 37 53 24"}, "powerball 2010-02-03: balls are"),
        ({**GOOD, "draw_date": "2010-02-05T00:00:00.000"}, "powerball 2010-02-05: day is a Friday"),
    ],
)
def test_a_bad_row_is_rejected_with_its_place_and_reason_and_the_good_rows_land(
    row: Any, reason: str
) -> None:
    report = socrata.parse(POWERBALL, json.dumps([GOOD, row]), source="albany")
    assert [draw.day for draw in report.draws] == [date(2010, 2, 3)]
    (rejected,) = report.rejected
    assert (rejected.source, rejected.line) == ("albany", 2)
    assert rejected.text == json.dumps(row)
    assert rejected.reason.startswith(reason)


@pytest.mark.parametrize(
    "text", ["<html>busy</html>", "", '{"error": true}', '"text"', "null", "[" * 100_000, '[{"draw_date": ']
)
def test_what_is_not_a_json_array_is_malformed_and_its_beginning_is_shown(text: str) -> None:
    with pytest.raises(errors.FeedMalformed) as refusal:
        socrata.parse(POWERBALL, text)
    message = str(refusal.value)
    assert message.startswith(f"new-york: the answer is not a JSON array; it begins {text[:20]!r}"[:-1])
    assert len(message) < 300


def test_an_array_of_rows_that_are_no_draws_is_malformed_but_an_empty_one_is_no_news() -> None:
    with pytest.raises(
        errors.FeedMalformed, match="new-york: none of 1 rows can be read as a draw of Powerball"
    ):
        socrata.parse(POWERBALL, '[{"message": "moved"}]')
    assert socrata.parse(POWERBALL, "[]").draws == ()


def test_a_page_is_asked_for_in_the_order_of_dates_and_within_a_limit() -> None:
    assert socrata.query(2000, None) == {"$order": "draw_date", "$limit": "1000", "$offset": "2000"}
    assert socrata.query(0, date(2026, 9, 1))["$where"] == "draw_date >= '2026-09-01T00:00:00'"


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.lists(inner)))
def test_no_json_value_can_do_worse_than_be_rejected(value: object) -> None:
    text = json.dumps([GOOD, value, {**GOOD, "draw_date": value}, {**GOOD, "multiplier": value}])
    report = socrata.parse(POWERBALL, text)
    assert [draw.day for draw in report.draws] == [date(2010, 2, 3)]
