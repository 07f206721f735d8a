import numpy as np
import pytest

from helios_agent.errors import DrawInvalid
from helios_agent.forecasting.history import History, Matrix

ROWS = [[5, 1, 3, 2], [2, 4, 6, 1], [1, 2, 3, 3]]


def test_rows_are_split_into_main_balls_and_bonus() -> None:
    history = History.from_rows(ROWS, 3, 6, 3)
    assert (len(history), history.pick) == (3, 3)
    assert history.whites.tolist() == [[5, 1, 3], [2, 4, 6], [1, 2, 3]]
    assert history.bonus.tolist() == [2, 1, 3]
    assert history.whites.dtype == history.bonus.dtype == np.int64


def test_before_holds_the_first_draws_and_no_more() -> None:
    known = History.from_rows(ROWS, 3, 6, 3).before(2)
    assert known.whites.tolist() == [[5, 1, 3], [2, 4, 6]]
    assert known.bonus.tolist() == [2, 1]
    assert len(known.before(0)) == 0


def test_a_draw_that_does_not_exist_yet_cannot_be_reached() -> None:
    history = History.from_rows(ROWS, 3, 6, 3)
    for t in (-1, 4):
        with pytest.raises(ValueError, match=r"expected 0\.\.3"):
            history.before(t)


def test_a_draw_knows_whether_an_earlier_one_had_the_same_main_balls() -> None:
    rows = [[5, 1, 3, 2], [2, 4, 6, 1], [3, 5, 1, 3], [6, 4, 2, 1], [1, 2, 3, 1], [1, 3, 5, 2]]
    history = History.from_rows(rows, 3, 6, 3, [True, False, True, True, False, False])
    assert history.again.tolist() == [False, False, True, True, False, True]
    drawn = history.draw(2)
    assert (drawn.whites.tolist(), int(drawn.bonus)) == ([3, 5, 1], 3)
    assert (bool(drawn.ordered), bool(drawn.again)) == (True, True)
    assert drawn.balls(6).tolist() == [True, False, True, False, True, False]
    assert history.before(2).again.tolist() == [False, False]


def test_a_job_describes_a_history_in_json() -> None:
    spec = {"rows": ROWS, "ordered": [True, False, True], "pick": 3, "white": 6, "bonus": 3}
    history = History.from_spec(spec)
    assert history.matrix == Matrix(6, 3, 3)
    assert (history.whites.tolist(), history.ordered.tolist()) == ([r[:3] for r in ROWS], spec["ordered"])


def test_no_rows_are_an_empty_history() -> None:
    history = History.from_rows([], 5, 69, 26)
    assert history.again.tolist() == []
    assert (len(history), history.pick, history.whites.shape) == (0, 5, (0, 5))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ([1, 2, 7, 1], r"row 1 is \[1, 2, 7, 1\]; expected 3 different main balls of 1\.\.6"),
        ([0, 2, 3, 1], "row 1"),
        ([2, 3, 2, 1], "row 1"),
        ([1, 2, 3, 4], r"a bonus ball of 1\.\.3"),
        ([1, 2, 3], "row 1 is .* expected 3 main balls and a bonus ball"),
        ([1, 2, 3.5, 1], "expected whole numbers"),
    ],
)
def test_a_row_that_breaks_the_matrix_is_named(row: list[int], message: str) -> None:
    with pytest.raises(DrawInvalid, match=message):
        History.from_rows([ROWS[0], row], 3, 6, 3)


def test_a_history_whose_parts_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="expected \\(draws, pick\\)"):
        History(np.ones((3, 2), dtype=np.int64), np.ones(2, dtype=np.int64), 6, 3, np.ones(2, dtype=bool))
    with pytest.raises(ValueError, match=r"ordered has shape \(2,\) .*expected \(3,\) and bool"):
        History.from_rows(ROWS, 3, 6, 3, [True, False])
    with pytest.raises(ValueError, match="pick is 7"):
        History.from_rows([], 7, 6, 3)
