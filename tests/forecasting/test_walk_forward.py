import json
import math
from typing import Any

import numpy as np
import pytest

from helios_agent.forecasting import experts
from helios_agent.forecasting.experts import PRIORS, Expert
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import Drawn, History
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.panel import Panel
from helios_agent.forecasting.walk_forward import evidence_of_runs, run, walk_forward

NATS = 1e-6
REAL_POWERBALL_NATS = {
    "ball": -4.077364,
    "missing": -3.688272,
    "counts-0.1": -1.724828,
    "counts-0.2": -17.961618,
    "counts-0.4": -49.840163,
    "recent-50": -5.553313,
    "recent-200": -12.696340,
    "groups": -3.541342,
    "last-draw": -3.820784,
    "ball-scorer": -0.994332,
    "repeats": -3.179243,
    "places": -0.277529,
    "bonus": -3.530487,
    "switching": -1.037431,
}


def job(rows: list[list[int]], first: int = 0) -> dict[str, Any]:
    ledger, ordered = Ledger.start(PRIORS).to_record(), [True] * len(rows)
    game = {"pick": 5, "white": 69, "bonus": 26}
    return {"rows": rows, "ordered": ordered, "first": first, "ledger": ledger} | game


def gains_of(entry: dict[str, Any]) -> dict[str, float]:
    """Return each forecaster's cumulative gain in the ledger after a draw."""
    return {name: standing["gain_nats"] for name, standing in entry["ledger"]["standings"].items()}


@pytest.fixture(scope="module")
def replay(powerball_rows: list[list[int]]) -> list[dict[str, Any]]:
    """The scored draws of the whole current Powerball era."""
    scored: list[dict[str, Any]] = run(job(powerball_rows), lambda _: None)["scored"]
    return scored


def test_real_powerball_shows_no_sign_of_a_loaded_machine(replay: list[dict[str, Any]]) -> None:
    last = replay[-1]
    assert [entry["index"] for entry in replay] == list(range(1408))
    assert gains_of(last) == {
        "uniform": 0.0, **{name: pytest.approx(nats, abs=NATS) for name, nats in REAL_POWERBALL_NATS.items()}
    }  # fmt: skip
    assert last["ledger"]["mixture_nats"] == pytest.approx(-0.649542, abs=NATS)
    assert last["ledger"]["peak_nats"] == pytest.approx(1.144795, abs=NATS)


def test_the_figures_of_a_replay_add_up(replay: list[dict[str, Any]]) -> None:
    for name in PRIORS:
        totals = np.cumsum([entry["gains"][name] for entry in replay])
        stated = [gains_of(entry)[name] for entry in replay]
        np.testing.assert_allclose(totals, stated, rtol=0, atol=1e-9)
    mixture = np.cumsum([entry["mixture_gain"] for entry in replay])
    np.testing.assert_allclose(
        mixture, [entry["ledger"]["mixture_nats"] for entry in replay], rtol=0, atol=1e-9
    )
    np.testing.assert_array_equal(
        np.maximum.accumulate([max(entry["ledger"]["mixture_nats"], 0.0) for entry in replay]),
        [entry["ledger"]["peak_nats"] for entry in replay],
    )
    assert mixture.min() >= -math.log(2.0)


def test_each_draw_is_weighted_by_what_was_known_before_it(replay: list[dict[str, Any]]) -> None:
    assert replay[0]["weights"] == {**PRIORS, "reserve": pytest.approx(0.005)}
    earlier, entry = replay[1000], replay[1001]
    wealth = math.exp(earlier["ledger"]["mixture_nats"])
    ball = PRIORS["ball"] * math.exp(gains_of(earlier)["ball"]) / wealth
    assert entry["weights"]["ball"] == pytest.approx(ball, abs=2e-9)
    assert entry["weights"]["uniform"] == pytest.approx(0.5 / wealth, abs=2e-9)


def test_the_same_job_gives_the_same_bytes(
    powerball_rows: list[list[int]], replay: list[dict[str, Any]]
) -> None:
    spec = json.loads(json.dumps(job(powerball_rows)))
    assert json.dumps(run(spec, lambda _: None)["scored"]) == json.dumps(replay)


def test_a_job_can_be_continued_where_another_ended(
    powerball_rows: list[list[int]], replay: list[dict[str, Any]]
) -> None:
    history = History.from_rows(powerball_rows[:300], 5, 69, 26, [True] * 300)
    *_, (_, _, ledger) = walk_forward(history, 0, Ledger.start(PRIORS), Panel(experts.start(history.matrix)))
    spec = job(powerball_rows[:400], first=300) | {"ledger": ledger.to_record()}
    assert run(spec, lambda _: None)["scored"] == replay[300:400]


def test_progress_is_reported_and_ends_complete(powerball_rows: list[list[int]]) -> None:
    reports: list[dict[str, Any]] = []
    run(job(powerball_rows[:250], first=20), reports.append)
    assert reports == [{"done": done, "total": 230} for done in (100, 200, 230)]


def test_a_forecast_does_not_depend_on_its_own_draw_or_any_later_one(powerball_rows: list[list[int]]) -> None:
    t = 120
    altered = powerball_rows[:t] + [[1, 2, 3, 4, 5, 6]] * 30

    def forecasts_made(rows: list[list[int]]) -> list[dict[str, Any]]:
        history = History.from_rows(rows, 5, 69, 26, [True] * len(rows))
        panel = Watched(experts.start(history.matrix))
        return [panel.told for _ in walk_forward(history, 0, Ledger.start(PRIORS), panel)]

    real, other = forecasts_made(powerball_rows[: t + 30]), forecasts_made(altered)
    assert real[: t + 1] == other[: t + 1]
    assert real[t + 1] != other[t + 1]


class Watched(Panel):
    """Experts whose forecasts can be looked at."""

    told: dict[str, Any]

    def forecasts(self) -> dict[str, Forecast]:
        made = super().forecasts()
        self.told = {name: forecast.to_record() for name, forecast in made.items()}
        return made


class Peeking:
    """An expert that is handed the future: what a forecaster without look-ahead must not be able to do."""

    def __init__(self, rows: list[list[int]]) -> None:
        self._coming = iter(rows)

    def forecast(self) -> Forecast:
        white = np.zeros(69)
        white[np.array(next(self._coming)[:5]) - 1] = 1.0
        return Forecast(white, np.zeros(26), 5)

    def update(self, drawn: Drawn) -> None:
        pass


def test_one_that_looks_ahead_gives_itself_away_by_what_it_gains(powerball_rows: list[list[int]]) -> None:
    history = History.from_rows(powerball_rows[:20], 5, 69, 26)
    ledger = Ledger.start({"uniform": 0.5, "peeking": 0.5})
    *_, (_, _, ledger) = walk_forward(history, 0, ledger, Panel({"peeking": Peeking(powerball_rows)}))
    assert ledger.mixture_nats > 20 * 4.0


class Failing:
    """An expert that fails at its third draw, or says what is no forecast."""

    def __init__(self, inner: Expert, value: float | None) -> None:
        self._inner, self._value, self._draws = inner, value, 0

    def forecast(self) -> Forecast:
        if self._draws < 3:
            return self._inner.forecast()
        if self._value is None:
            raise ZeroDivisionError("by zero")
        return Forecast(np.full(69, self._value), np.zeros(26), 5)

    def update(self, drawn: Drawn) -> None:
        self._draws += 1
        self._inner.update(drawn)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "ZeroDivisionError: by zero"),
        (math.nan, "ValueError: white of ball 1 is nan"),
        (-math.inf, "-inf"),
    ],
)
def test_an_expert_that_fails_is_left_out_and_named_and_the_others_go_on(
    powerball_rows: list[list[int]], value: float | None, message: str
) -> None:
    history = History.from_rows(powerball_rows[:10], 5, 69, 26)
    members = experts.start(history.matrix)
    panel = Panel(members | {"ball": Failing(members["ball"], value)})
    stages = list(walk_forward(history, 0, Ledger.start(PRIORS), panel))
    assert message in panel.broken.pop("ball")
    assert panel.broken == {}
    spoke = ["ball" in scored.gains for _, scored, _ in stages]
    assert spoke == [True] * 3 + [False] * 7
    assert all(scored.gains.keys() >= PRIORS.keys() - {"ball"} for _, scored, _ in stages)
    assert len({ledger.standings["ball"].gain_nats for _, _, ledger in stages[2:]}) == 1


def test_many_runs_at_once_are_scored_as_each_alone(
    powerball_rows: list[list[int]], replay: list[dict[str, Any]]
) -> None:
    rows = np.array(powerball_rows[:200])
    runs = np.stack([rows, rows[::-1]])
    history = History.from_rows(rows.tolist(), 5, 69, 26)
    evidence = evidence_of_runs(runs[:, :, :5], runs[:, :, 5], True, history.matrix)
    assert evidence.shape == (2, 200)
    told = [entry["ledger"]["mixture_nats"] for entry in replay[:200]]
    np.testing.assert_allclose(evidence[0], told, rtol=0, atol=1e-5)  # registered forecasts are rounded
    backwards = run(job(rows[::-1].tolist()), lambda _: None)["scored"][-1]["ledger"]["mixture_nats"]
    assert evidence[1, -1] == pytest.approx(backwards, abs=1e-5)


def test_a_model_without_a_forecast_is_carried_along_as_uniform(powerball_rows: list[list[int]]) -> None:
    spec = job(powerball_rows[:50])
    spec["ledger"]["standings"]["net-1"] = {"prior": 0.0025, "gain_nats": 0.0}
    plain = run(job(powerball_rows[:50]), lambda _: None)["scored"]
    for entry, without in zip(run(spec, lambda _: None)["scored"], plain, strict=True):
        assert gains_of(entry)["net-1"] == 0.0
        assert "net-1" not in entry["gains"]
        # Its small part in the switching forecaster is uniform, too.
        assert entry["ledger"]["mixture_nats"] == pytest.approx(without["ledger"]["mixture_nats"], abs=1e-5)


def test_a_first_draw_beyond_the_history_is_refused(powerball_rows: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"first is 11; expected 0\.\.10"):
        run(job(powerball_rows[:10], first=11), lambda _: None)
