from datetime import date
from importlib import resources
from pathlib import Path
from shutil import copyfile

import pytest

from helios_agent.errors import FeedMalformed, FeedUnreachable
from helios_agent.feeds import local, packaged
from helios_agent.feeds.fetch import ANSWER_MAX_BYTES
from helios_agent.lottery.games import POWERBALL, SIMULATED

PUBLISHED = resources.files("helios_agent.lottery.history") / "powerball.csv"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    with resources.as_file(PUBLISHED) as published:
        copyfile(published, tmp_path / "draws.csv")
    return tmp_path / "draws.csv"


def test_a_file_like_the_packaged_one_tells_of_the_same_draws(file: Path) -> None:
    report = local.read(POWERBALL, file, "own")
    assert report.source == "own"
    assert report.rejected == ()
    assert report.draws == packaged.read(POWERBALL).draws


def test_a_file_that_is_as_it_was_has_no_news_and_one_that_was_added_to_has(file: Path) -> None:
    etag = local.read(POWERBALL, file, "own").etag
    assert local.read(POWERBALL, file, "own", etag).unchanged
    with file.open("a") as opened:
        opened.write("2026-09-19,10,20,30,40,50,6,2\n")
    report = local.read(POWERBALL, file, "own", etag)
    assert not report.unchanged
    assert report.draws[-1].day == date(2026, 9, 19)


def test_names_of_columns_and_multipliers_may_be_left_out(file: Path) -> None:
    file.write_text("2026-09-19,50,20,30,40,10,6\n\n2026-09-21,11,21,31,41,51,7,\n")
    first, second = local.read(POWERBALL, file, "own").draws
    assert (first.whites, first.bonus, first.multiplier) == ((50, 20, 30, 40, 10), 6, None)
    assert second.multiplier is None


def test_balls_that_ascend_in_every_row_do_not_stand_in_the_order_drawn(file: Path) -> None:
    ascending, drawn = "2026-09-19,10,20,30,40,50,6,2\n", "2026-09-21,51,21,31,41,11,7,3\n"
    file.write_text(ascending)
    assert [draw.ordered for draw in local.read(POWERBALL, file, "own").draws] == [False]
    file.write_text(ascending + drawn)
    assert [draw.ordered for draw in local.read(POWERBALL, file, "own").draws] == [True, True]


def test_a_row_that_is_no_draw_is_told_of_with_its_line_and_the_good_ones_stay(file: Path) -> None:
    file.write_text(
        "draw_date,ball1,ball2,ball3,ball4,ball5,bonus,multiplier\n"
        "2026-09-19,10,20,30,40,50,6,2\n"
        "19.9.2026,10,20,30,40,50,6,2\n"
        "2026-09-21,10,20,30,40,70,6,2\n"
        "2026-09-21,10,20\n"
    )
    report = local.read(POWERBALL, file, "own")
    assert len(report.draws) == 1
    assert [(row.line, row.reason.partition(";")[0]) for row in report.rejected] == [
        (3, "draw_date is '19.9.2026'"),
        (4, "powerball 2026-09-21: white ball 5 is 70"),
        (5, "row has 3 fields"),
    ]


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FeedUnreachable, match=r"^own: .*none\.csv: No such file or directory$"):
        local.read(POWERBALL, tmp_path / "none.csv", "own")


def test_a_file_without_draws_or_beyond_all_bounds_is_refused(file: Path) -> None:
    file.write_text("draw_date,ball1\n")
    with pytest.raises(FeedMalformed, match="own: there is no row; expected the draws of Simulated lottery"):
        local.read(SIMULATED, file, "own")
    file.write_bytes(b"\n" * (ANSWER_MAX_BYTES + 1))
    with pytest.raises(FeedMalformed, match=f"holds more than {ANSWER_MAX_BYTES} bytes"):
        local.read(POWERBALL, file, "own")
