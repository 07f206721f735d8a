"""Backtests: nobody sees the future, and every figure is what can be counted out otherwise."""

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from helios_agent.errors import JobFailed, JobStopped
from helios_agent.forecasting import evidence
from helios_agent.forecasting import walk_forward as ledgers_own
from helios_agent.forecasting.experts import EXPERTS, PRIORS
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, History
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.panel import Panel
from helios_agent.learning import backtest, specs
from tests.learning.conftest import MATRIX, TINY

ALL = ["mixture", *EXPERTS]
NETWORK: dict[str, Any] = {
    "name": "powerballnet",
    "network": TINY,
    "training": {"epochs": 4, "batch": 8, "segments": 4, "learning_rate": 0.02},
    "seed": 3,
    "refit_every": 20,
}
FIRST, LAST = 60, 90
Machine = Callable[..., list[list[int]]]
Rows = list[list[int]]


def job(rows: Rows, forecasters: list[Any], first: int = FIRST, last: int = LAST) -> dict[str, Any]:
    span = {"first": first, "last": last, "forecasters": forecasters}
    return {"rows": rows, "ordered": [True] * len(rows), **MATRIX, **span}


def said_in_block(spec: dict[str, Any], stop_after: int = 10**6) -> list[str]:
    """Return the records that a block told, one a draw."""
    said: list[str] = []

    def report(progress: dict[str, Any]) -> None:
        said.append(progress["said"])
        assert (progress["done"], progress["total"]) == (len(said), spec["last"] - spec["first"])
        if len(said) == stop_after:
            raise JobStopped()

    assert backtest.run_block(spec, report) == {"stopped": len(said) == stop_after}
    return said


def walked(rows: Rows) -> dict[str, Any]:
    """Return a network with what it said of the span, walked as one block."""
    return NETWORK | {"said": said_in_block(job(rows, [NETWORK]))}


def quietly(_: dict[str, Any]) -> None:
    """Hear how far a job is, and let it go on."""


def stopping_after(reports: int) -> Callable[[dict[str, Any]], None]:
    heard = itertools.count(1)

    def report(_: dict[str, Any]) -> None:
        if next(heard) >= reports:
            raise JobStopped()

    return report


def changed_from(rows: Rows, t: int) -> Rows:
    """Return rows of which number t and all later ones are others."""
    return rows[:t] + [
        [*sorted(1 + ball % MATRIX["white"] for ball in row[:-1]), 1 + row[-1] % 5] for row in rows[t:]
    ]


# Nobody sees the future.

Walk = Callable[[Rows], Iterator[tuple[int, Mapping[str, Forecast]]]]
"""Foretells draws: yields (t, what each forecaster says of draw t)."""


def saw_the_future(walk: Walk, rows: Rows) -> set[str]:
    """Return which forecasters of `walk` say something else of a draw when that or later draws are others."""

    def told(rows: Rows, upto: int) -> dict[tuple[str, int], str]:
        heard = itertools.takewhile(lambda said: said[0] <= upto, walk(rows))
        return {(n, t): json.dumps(f.to_record()) for t, said in heard for n, f in said.items()}

    saw = set()
    for t in (FIRST, FIRST + 13, LAST - 1):
        real, other = told(rows, t), told(changed_from(rows, t), t)
        assert real.keys() == other.keys()
        saw |= {name for (name, at), said in real.items() if said != other[name, at]}
    return saw


def of_experts(rows: Rows) -> Iterator[tuple[int, Mapping[str, Forecast]]]:
    """Yield what the experts say, and in the mixture's name what weights it has."""
    spec = specs.read(backtest.BacktestJob, job(rows, ALL))
    for heard in backtest.listen(spec.history, Panel.after(spec.history.before(0))):
        weights = np.array([heard.weights[name] for name in EXPERTS])
        yield heard.index, {**heard.said, "mixture": Forecast(weights, np.zeros(5), 3)}


def of_network(rows: Rows) -> Iterator[tuple[int, Mapping[str, Forecast]]]:
    spec = specs.read(backtest.BacktestJob, job(rows, [NETWORK]))
    for t, forecast in backtest.foretold(spec, spec.networks[0]):
        yield t, {"powerballnet": forecast}


class Peeking:
    """Says that the balls of a coming draw are likelier, if only a little."""

    def __init__(self, rows: Rows, ahead: int) -> None:
        self._rows, self._next, self._ahead = rows, 0, ahead

    def forecast(self) -> Forecast:
        white = np.zeros(MATRIX["white"])
        coming = self._rows[min(self._next + self._ahead, len(self._rows) - 1)]
        white[np.array(coming[:-1]) - 1] = 1e-3
        return Forecast(white, np.zeros(MATRIX["bonus"]), MATRIX["pick"])

    def update(self, drawn: Drawn) -> None:
        self._next += 1


@pytest.mark.parametrize("walk", [of_experts, of_network])
def test_no_forecaster_sees_the_draw_that_it_foretells_or_any_later_one(walk: Walk, machine: Machine) -> None:
    rows = machine(100, log_sd=1.5)
    said = [forecast for t, made in walk(rows) if t == LAST - 1 for forecast in made.values()]

    assert any(forecast.white.any() for forecast in said)  # or there would be nothing to see
    assert saw_the_future(walk, rows) == set()


@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_a_forecaster_that_peeks_is_found_out(ahead: int, machine: Machine) -> None:
    def peeking(rows: Rows) -> Iterator[tuple[int, Mapping[str, Forecast]]]:
        history = History.from_rows(rows, MATRIX["pick"], MATRIX["white"], MATRIX["bonus"])
        honest = EXPERTS["counts-0.2"](history.matrix, ())
        panel = Panel({"peeking": Peeking(rows, ahead), "honest": honest})
        ledger = Ledger.start({"uniform": 0.5, "peeking": 0.2, "honest": 0.2})
        for t, _, _ in ledgers_own.walk_forward(history, 0, ledger, panel):
            yield t, panel.said

    assert saw_the_future(peeking, machine(100, log_sd=0.8)) == {"peeking"}


def test_a_backtest_does_not_depend_on_draws_after_its_span(machine: Machine) -> None:
    rows = machine(100, log_sd=0.8)
    real, other = (
        backtest.run(job(each, [*ALL, walked(each)]), quietly) for each in (rows, changed_from(rows, LAST))
    )
    assert json.dumps(real) == json.dumps(other)
    assert list(real["forecasters"]) == ["powerballnet", *ALL]


# What is reported is so.


def test_what_is_said_of_the_mixture_and_the_experts_is_what_the_live_ledger_says(machine: Machine) -> None:
    rows = machine(LAST, log_sd=0.8)
    ledger = {"ledger": Ledger.start(PRIORS).to_record(), "first": 0}
    live = ledgers_own.run(job(rows, ALL) | ledger, quietly)["scored"][FIRST:]
    found = backtest.run(job(rows, ALL), quietly)["forecasters"]

    assert found["mixture"]["gains"] == [entry["mixture_gain"] for entry in live]
    for name in EXPERTS:
        assert found[name]["gains"] == [entry["gains"][name] for entry in live]


def test_the_account_of_a_forecaster_is_what_its_gains_and_picks_add_up_to(machine: Machine) -> None:
    rows = machine(150, log_sd=0.8)
    account = backtest.run(job(rows, ["counts-0.4"], 50, 150), quietly)["forecasters"]["counts-0.4"]
    gains, picked, bonus = [], 0, 0
    expert = EXPERTS["counts-0.4"](History.from_rows(rows, 3, 12, 5).matrix, ())
    history = History.from_rows(rows, 3, 12, 5)
    for t in range(150):
        said, drawn = expert.forecast().rounded(), history.draw(t)
        if t >= 50:
            gains.append(said.gain(rows[t][:-1], rows[t][-1]))
            p = said.inclusion().round(9)
            likeliest = sorted(range(1, 13), key=lambda ball: (-p[ball - 1], ball))[:3]
            picked += len({*likeliest} & {*rows[t][:-1]})
            bonus += rows[t][-1] == 1  # it holds all bonus balls equal: the lowest number leads
        expert.update(drawn)
    sums = np.cumsum(gains)
    interval = evidence.skill_interval(gains, 0.05)

    assert account["draws"] == 100
    assert account["total_gain_nats"] == pytest.approx(sums[-1], abs=1e-7)
    assert account["mean_low_nats"] == pytest.approx(interval.low, abs=1e-9)
    assert account["mean_high_nats"] == pytest.approx(interval.high, abs=1e-9)
    assert account["peak_nats"] == pytest.approx(max(0.0, sums.max()), abs=1e-7)
    falls = [max(0.0, *sums[: t + 1]) - sums[t] for t in range(100)]
    assert account["drawdown_nats"] == pytest.approx(max(falls), abs=1e-7)
    assert account["hits"]["hits"] == picked
    assert account["bonus_hits"]["hits"] == bonus
    assert account["total_gain_nats"] > 10.0
    assert account["hits"]["p"] < 0.01 < account["bonus_hits"]["p"]


def test_a_network_walked_in_blocks_is_judged_as_one_that_was_not(machine: Machine) -> None:
    rows = machine(LAST, log_sd=0.8)
    said = [
        record
        for first, last in ((60, 80), (80, 90))
        for record in said_in_block(job(rows, [NETWORK], first, last))
    ]
    made = backtest.run(job(rows, [NETWORK | {"said": said}]), quietly)
    assert made == backtest.run(job(rows, [walked(rows)]), quietly)
    assert made["forecasters"]["powerballnet"]["draws"] == LAST - FIRST


def test_without_a_network_torch_is_not_loaded(machine: Machine) -> None:
    program = (
        "import json, sys\nfrom helios_agent.learning import backtest\n"
        "backtest.run(json.load(sys.stdin), lambda _: None)\nassert 'torch' not in sys.modules"
    )
    spec = json.dumps(job(machine(LAST), ["mixture"]))
    subprocess.run([sys.executable, "-c", program], input=spec, text=True, check=True)


# Progress, and being stopped.


def test_progress_tells_how_far_it_is_and_what_was_gained(machine: Machine) -> None:
    reports: list[dict[str, Any]] = []
    result = backtest.run(job(machine(LAST), ["ball", "bonus"]), reports.append)

    assert [(each["done"], each["total"]) for each in reports] == [(0, 30), (0, 30), (15, 30), (30, 30)]
    assert reports[-1]["gains"] == {
        name: pytest.approx(account["total_gain_nats"], abs=1e-7)
        for name, account in result["forecasters"].items()
    }


def test_a_backtest_stopped_in_the_middle_keeps_what_it_has(machine: Machine) -> None:
    rows = machine(LAST, log_sd=0.8)
    whole = backtest.run(job(rows, ALL), quietly)
    stopped = backtest.run(job(rows, ALL), stopping_after(3))  # after draws 25, 50 and 75

    assert (whole["stopped"], stopped["stopped"]) == (False, True)
    for name, account in stopped["forecasters"].items():
        assert account["draws"] == 15
        gains = whole["forecasters"][name]["gains"]
        assert account["gains"] == gains[:15] + [None] * 15

    assert said_in_block(job(rows, [NETWORK]), 25) == said_in_block(job(rows, [NETWORK]))[:25]
    nothing = backtest.run(job(rows, ALL), stopping_after(1))
    assert (nothing["forecasters"], nothing["stopped"]) == ({}, True)


def test_draws_that_no_block_reached_are_left_out(machine: Machine) -> None:
    rows = machine(LAST, log_sd=0.8)
    said = walked(rows)["said"]
    gains = backtest.run(job(rows, [walked(rows)]), quietly)["forecasters"]["powerballnet"]["gains"]
    with_a_hole = NETWORK | {"said": said[:5] + [None] * 10 + said[15:]}
    account = backtest.run(job(rows, [with_a_hole]), quietly)["forecasters"]["powerballnet"]

    assert account["draws"] == 20
    assert account["gains"] == gains[:5] + [None] * 10 + gains[15:]
    assert account["total_gain_nats"] == pytest.approx(sum(gains[:5] + gains[15:]), abs=1e-8)


# Bad input.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first": 90}, "first is 90 and last is 90; expected 0 <= first < last <= 90"),
        ({"last": 91}, "first is 60 and last is 91"),
        ({"first": -1}, r"first: Input should be greater than or equal to 0 \(got -1\)"),
        ({"forecasters": []}, "forecasters: List should have at least 1 item"),
        ({"forecasters": ["oracle"]}, "'oracle' is no forecaster; expected one of mixture, uniform, ball"),
        ({"forecasters": ["ball", "ball"]}, "ball is named twice"),
        ({"forecasters": [NETWORK | {"refit_every": 0}]}, "refit_every"),
        (
            {"forecasters": [NETWORK], "first": 30},
            r"first is 30; powerballnet is trained on the 20 draws before",
        ),
        (  # enough before the span, and too few where the block begins
            {"forecasters": [NETWORK | {"refit_every": 32}]},
            r"first is 60; powerballnet is trained on the 32 draws before its block; expected at least 35",
        ),
        ({"ordered": [True]}, "ordered has 1 entries; expected 90, one a row"),
        ({"white": 9}, r"draws\[\d+\] is .*; expected 3 different numbers from 1 to 9"),
        ({"depth": 3}, "depth: Extra inputs are not permitted"),
    ],
)
def test_a_spec_that_does_not_hold_is_refused_naming_the_field(
    change: dict[str, Any], message: str, machine: Machine
) -> None:
    with pytest.raises(JobFailed, match=message):
        backtest.run(job(machine(LAST), ["ball"]) | change, quietly)
