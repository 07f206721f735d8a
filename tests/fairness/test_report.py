"""What the audit finds and how it says so."""

import json
import math
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helios_agent.errors import NotFound, Refused
from helios_agent.fairness import report, sources, text, words
from helios_agent.forecasting import audit
from helios_agent.forecasting.experts import PRIORS, WATCHES_FOR
from helios_agent.forecasting.history import Matrix
from helios_agent.lottery import games
from helios_agent.simulation import drums
from helios_agent.web import numbers
from tests.fairness.conftest import LEVEL, Drawn, Reports

# Game, era, draws; whites X², p; bonus X², df, p; pairs X², df, p; repeats, their expectation and z.
REFERENCE = """
powerball    2009-01-07  204  69.8 .137  30.8 38 .791  1658 1652 .455   95  86.0  1.05
powerball    2012-01-18  388  39.9 .967  32.5 34 .539  1611 1652 .762  169 164.0   .42
powerball    2015-10-07 1408  85.7 .072  23.5 25 .548  2187 2277 .909  494 509.8  -.75
megamillions 2002-05-17  162  52.0 .434  54.3 51 .348  1228 1274 .819   82  77.4   .57
megamillions 2005-06-24  869  55.1 .472  25.6 45 .991  1526 1484 .217  362 387.5 -1.41
megamillions 2013-10-22  420  81.2 .266  11.0 14 .686  2755 2700 .225  154 139.7  1.29
megamillions 2017-10-31  776  67.5 .528  23.4 24 .499  2217 2345 .971  278 276.8   .08
megamillions 2025-04-08  145  69.9 .447  23.7 23 .423  2300 2345 .743   58  51.4   .98
"""


def era_of(seen: dict[str, Any], name: str) -> dict[str, Any]:
    return next(era for era in seen["eras"] if era["name"] == name)


@pytest.mark.parametrize("row", REFERENCE.strip().splitlines())
def test_the_real_eras_are_reported_with_the_reference_values(row: str, real: Reports) -> None:
    game, name, *values = row.split()
    era = era_of(real[game], name)
    whites, bonus, pairs, repeats, _ = era["tests"]

    assert [float(value) for value in values] == [
        era["draws"],
        *(round(whites["statistic"], 1), round(whites["p"], 3)),
        *(round(bonus["statistic"], 1), bonus["df"], round(bonus["p"], 3)),
        *(round(pairs["statistic"]), pairs["df"], round(pairs["p"], 3)),
        *(repeats["largest"]["observed"], round(repeats["largest"]["expected"], 1)),
        round(repeats["statistic"], 2),
    ]
    section = text.report(real[game]).partition(words.rules(era))[2].split("\nRules since")[0]
    assert f"{era['draws']:,} draws, {era['from']} to {era['to']}" in section
    for test in (whites, bonus, pairs):
        line = next(line for line in section.splitlines() if line.startswith(f"  {test['name']} "))
        expected = [f"{test['statistic']:,.1f}", f"{test['df']:,}", f"{test['p']:.3f}", "1.000"]
        assert line.split()[1:] == expected


def test_the_real_games_are_nothing_unusual_and_not_called_fair(real: Reports) -> None:
    for seen, title in (
        (real["powerball"], "2,000 Powerball"),
        (real["megamillions"], "2,372 Mega Millions"),
    ):
        assert not seen["unusual"]
        assert seen["e_bh"]["named"] == []
        assert {test["p_holm"] for era in seen["eras"] for test in era["tests"]} == {1.0}
        assert seen["verdict"].startswith(f"Nothing unusual in {title} draws. ")
        assert "no proof that the machines are fair" in seen["verdict"]
        assert all("would on average not have shown" in era["verdict"] for era in seen["eras"])


def test_the_eras_stand_with_the_newest_first_and_their_draws_add_up(real: Reports) -> None:
    for seen in real.values():
        names = [era["name"] for era in seen["eras"]]
        assert names == sorted(names, reverse=True)
        assert (
            sum(era["draws"] for era in seen["eras"])
            == seen["draws"]
            == seen["source"]["told_by"]["packaged"]
        )


def test_the_evidence_is_that_of_a_ledger_and_its_highest_is_dated(real: Reports) -> None:
    era = era_of(real["powerball"], "2015-10-07")
    held, nats = era["evidence"], era["evidence"]["series"]["nats"]
    rows = {row["name"]: row for row in era["forecasters"]}

    assert len(nats) == 1408
    assert held["now_nats"] == nats[-1]
    assert held["peak_nats"] == max(nats)
    assert nats[held["series"]["days"].index(held["peak_day"])] == max(nats)
    assert min(nats) >= -math.log(2)
    assert held["anytime_p"] == pytest.approx(math.exp(-max(nats)))
    assert held["alarm_nats"] == pytest.approx(math.log(3 / LEVEL))
    assert rows.keys() == PRIORS.keys() - {"uniform"}
    gained = [math.log(PRIORS[name]) + row["now_nats"] for name, row in rows.items()]
    kept = math.log(1 - sum(PRIORS[name] for name in rows))  # uniform and the reserve
    assert held["now_nats"] == pytest.approx(float(np.logaddexp.reduce([*gained, kept])), abs=1e-6)


def test_the_smallest_bias_that_could_be_seen_is_said(real: Reports) -> None:
    era = era_of(real["powerball"], "2015-10-07")

    assert era["smallest_visible_factor"] == pytest.approx(1.626, abs=0.0005)
    assert "one white ball up to 1.63 times as heavy" in era["verdict"]


def test_counts_are_of_all_balls(real: Reports) -> None:
    for seen in real.values():
        for era in seen["eras"]:
            counts = era["counts"]
            assert (len(counts["white"]), len(counts["bonus"])) == (era["white"], era["bonus"])
            assert (sum(counts["white"]), sum(counts["bonus"])) == (5 * era["draws"], era["draws"])
    assert era_of(real["powerball"], "2015-10-07")["counts"]["white"][13 - 1] == 76


def test_every_test_and_forecaster_has_words_for_what_it_asks() -> None:
    assert WATCHES_FOR.keys() == PRIORS.keys()
    assert words.ASKS.keys() == {"whites", "bonus", "pairs", "repeats", "positions"}


def test_a_heavy_ball_is_called_unusual_by_name(unfair: dict[str, Any]) -> None:
    (era,) = unfair["eras"]
    by_name = {test["name"]: test for test in era["tests"]}

    assert unfair["unusual"]
    assert [test["name"] for test in era["tests"] if test["unusual"]] == ["whites"]
    assert era["evidence"]["unusual"]
    assert unfair["e_bh"]["named"] == ["2000-01-01"]
    assert "the whites test and the evidence" in era["verdict"]
    assert "ball 7 came 117 times; about 57 expected" in era["verdict"]
    assert by_name["whites"]["in_words"].endswith("the largest of 35 deviations, together unusual")
    assert by_name["bonus"]["in_words"].endswith("together nothing unusual")
    assert "since 2000-01-01 (whites test, adjusted p 2e-07; evidence, up to" in unfair["verdict"]
    assert "check it first" in unfair["verdict"]


def test_a_heavy_bonus_ball_is_found_by_the_test_of_the_bonus_ball(drawn: Drawn, matrix: Matrix) -> None:
    seen = report.report(drawn(drums.weighted_bonus(matrix, [3], 3.0), 300), LEVEL)

    assert [test["name"] for test in seen["eras"][0]["tests"] if test["unusual"]] == ["bonus"]
    assert "Farthest off: bonus ball 3 came" in seen["eras"][0]["verdict"]


def test_a_fair_machine_is_nothing_unusual(drawn: Drawn, matrix: Matrix) -> None:
    seen = report.report(drawn(drums.fair(matrix), 300), LEVEL)

    assert not seen["unusual"]
    assert "under their rules" in seen["verdict"]


def test_p_values_are_adjusted_over_all_tests_of_all_eras_shown(real: Reports) -> None:
    found = real["megamillions"]
    shown = {f"{e['name']} {t['name']}": t for e in found["eras"] for t in e["tests"]}

    assert found["tests"] == len(shown) == 25
    adjusted = audit.holm({name: test["p"] for name, test in shown.items()})
    assert {name: test["p_holm"] for name, test in shown.items()} == adjusted
    assert "all 25 tests" in found["meaning"]["p"]


@pytest.mark.parametrize(("draws", "tests"), [(1, 0), (29, 0), (30, 5)])
def test_a_few_draws_are_not_tested_and_said_to_be_few(
    draws: int, tests: int, drawn: Drawn, matrix: Matrix
) -> None:
    seen = report.report(drawn(drums.fair(matrix), draws), LEVEL)

    assert seen["tests"] == len(seen["eras"][0]["tests"]) == tests
    assert ("too few draws for the tests" in text.report(seen)) == (tests == 0)
    assert ("p" in seen["meaning"]) == (tests > 0)
    assert ("not even a ball that comes every time" in seen["eras"][0]["verdict"]) == (draws == 1)


def test_the_report_is_json_and_the_same_when_made_again(drawn: Drawn, matrix: Matrix) -> None:
    found = drawn(drums.fair(matrix), 40)
    first, again = report.report(found, LEVEL), report.report(found, LEVEL)

    assert json.dumps(first, allow_nan=False) == json.dumps(again, allow_nan=False)
    assert json.loads(json.dumps(first)) == first


def test_what_a_stake_has_become_is_written_whatever_it_is() -> None:
    assert [numbers.stake(nats) for nats in (-0.658, 0.0, math.log(300), 27_000.0)] == [
        "0.518", "1", "300", "10¹¹⁷²⁶"
    ]  # fmt: skip


def test_p_values_are_written_to_three_digits_or_as_powers_of_ten() -> None:
    assert [numbers.probability(p) for p in (1.0, 0.0721, 0.0004, 0.0)] == [
        "1.000", "0.072", "4e-04", "< 1e-300"
    ]  # fmt: skip


# Which draws


def test_bounds_are_days_and_both_included() -> None:
    found = sources.find(games.POWERBALL, [], Path("none"))
    some = sources.between(found, date(2026, 9, 14), date(2026, 9, 16))

    assert [draw.day.isoformat() for draw in some.draws] == ["2026-09-14", "2026-09-16"]
    assert sources.between(found, None, None).draws == found.draws


def test_draws_that_are_not_there_are_asked_for_in_vain() -> None:
    found = sources.find(games.POWERBALL, [], Path("none"))
    with pytest.raises(Refused, match=r"--from is 2026-01-02 and --to is 2026-01-01; expected --from not to"):
        sources.between(found, date(2026, 1, 2), date(2026, 1, 1))
    with pytest.raises(NotFound, match=r"--to is 1999-12-31.* expected days of 2010-02-03 to 2026-09-16"):
        sources.between(found, None, date(1999, 12, 31))
    with pytest.raises(NotFound, match=r"'simulated', of which none holds no draw.* expected one with draws"):
        sources.find(games.SIMULATED, [], Path("none"))
    with pytest.raises(Refused, match=r"--from is '2026-13-01'; expected a day such as 2026-09-16"):
        sources.day("--from", "2026-13-01")
