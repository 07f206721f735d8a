import json
import math
from typing import Any

import pytest

from helios_agent.metacognition import backtests
from helios_agent.metacognition.backtests import Span

DAYS = tuple(f"2026-01-{day:02d}" for day in range(1, 31))
SPAN = Span("powerball", "Powerball", "2015-10-07", 69, 26, 5, DAYS)
LEVEL = 0.01


def account(total: float, draws: int = 30) -> dict[str, Any]:
    return dict.fromkeys(backtests.SUMMARISED, 0.0) | {"total_gain_nats": total, "draws": draws}


def report(stopped: bool = False, **totals: float) -> dict[str, Any]:
    accounts = {name: account(total) for name, total in totals.items()}
    return backtests.report(SPAN, accounts, {}, {}, LEVEL, stopped)


def test_who_gains_more_than_chance_allows_among_all_who_could_is_found() -> None:
    enough = math.log(3 / LEVEL)
    assert report(uniform=0.0, ball=enough + 1e-6, bonus=0.0, missing=-1.0)["found"] == ["ball"]
    assert report(uniform=0.0, ball=enough - 1e-6, bonus=0.0, missing=-1.0)["found"] == []
    # The second best needs less, once the best has paid.
    assert report(ball=enough, bonus=math.log(3 / (2 * LEVEL)), missing=0.0)["found"] == ["ball", "bonus"]


def test_where_nothing_is_found_it_is_said_what_would_have_been() -> None:
    made = report(uniform=0.0, ball=0.5, bonus=-0.5)
    assert made["visible_gain_nats"] == pytest.approx(math.log(2 / LEVEL) / 30)
    assert made["verdict"] == (
        "Nothing was found in 30 draws of Powerball from 2026-01-01 to 2026-01-30: none of the forecasters "
        "gained more on chance than a fair machine allows. One that gained 0.1766 nats a draw on average "
        "would have been found."
    )
    assert report(ball=math.log(1 / LEVEL))["visible_gain_nats"] == pytest.approx(math.log(1 / LEVEL) / 30)


def test_what_was_found_is_named_with_its_gain_and_its_limits() -> None:
    verdict = report(stopped=True, ball=12.0)["verdict"]
    assert verdict.startswith(
        "The backtest was stopped before its end. In 30 draws of Powerball from 2026-01-01"
    )
    assert "by ball (+12.00 nats)" in verdict


def test_who_was_stopped_before_the_end_of_the_span_is_not_judged() -> None:
    accounts = {"ball": account(0.0), "powerballnet": account(50.0, draws=15)}
    made = backtests.report(SPAN, accounts, {}, {}, LEVEL, stopped=True)
    assert made["found"] == []
    assert made["visible_gain_nats"] == pytest.approx(math.log(1 / LEVEL) / 30)
    assert made["verdict"].startswith(
        "The backtest was stopped before its end. Not judged, for want of the rest of the span: "
        "powerballnet. Nothing was found in 30 draws of Powerball"
    )
    alone = backtests.report(SPAN, {"powerballnet": account(50.0, 15)}, {}, {}, LEVEL, stopped=True)
    assert (alone["found"], alone["visible_gain_nats"]) == ([], None)
    assert alone["verdict"].endswith("powerballnet. So nothing can be said.")


def test_who_failed_is_told_with_the_reason_and_judged_only_if_it_was_walked_to_the_end() -> None:
    """An expert that fails is uniform from then on; a network says no more, perhaps nothing at all."""
    broken = {"ball": "ValueError: no", "powerballnet": "training diverged"}
    made = backtests.report(SPAN, {"ball": account(-1.0)}, broken, {"powerballnet": {}}, LEVEL, stopped=False)
    assert made["verdict"].startswith(
        "Not judged, for want of the rest of the span: powerballnet. Nothing was found"
    )
    assert backtests.summary(made)["broken"] == broken


def test_a_summary_has_no_list_that_grows_with_the_draws() -> None:
    made = backtests.report(
        SPAN, {"ball": account(1.0) | {"gains": [0.0] * 30}}, {}, {}, LEVEL, stopped=False
    )
    assert made["forecasters"][0]["gains"] == [0.0] * 30
    short = backtests.summary(made)
    assert short["forecasters"]["ball"] == account(1.0)
    assert len(json.dumps(short)) < 1000
