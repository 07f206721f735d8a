import json
import math
from typing import Any

import numpy as np
import pytest

from helios_agent.forecasting.experts import EXPERTS
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.history import History
from helios_agent.forecasting.ledger import Ledger
from helios_agent.forecasting.walk_forward import run, walk_forward

NATS = 1e-6


def job(rows: list[list[int]], first: int = 0) -> dict[str, Any]:
    ledger = Ledger.start(EXPERTS).to_record()
    return {"rows": rows, "pick": 5, "white": 69, "bonus": 26, "first": first, "ledger": ledger}


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
        "uniform": 0.0,
        "tilt": pytest.approx(-9.709311, abs=NATS),
        "recency": pytest.approx(0.184573, abs=NATS),
    }
    assert last["ledger"]["mixture_nats"] == pytest.approx(-0.104976, abs=NATS)
    assert last["ledger"]["peak_nats"] == pytest.approx(0.091785, abs=NATS)


def test_the_figures_of_a_replay_add_up(replay: list[dict[str, Any]]) -> None:
    for name in EXPERTS:
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
    assert replay[0]["weights"] == {"uniform": 0.5, "tilt": 0.125, "recency": 0.125, "reserve": 0.25}
    earlier, entry = replay[1000], replay[1001]
    wealth = math.exp(earlier["ledger"]["mixture_nats"])
    tilt = 0.125 * math.exp(gains_of(earlier)["tilt"]) / wealth
    assert entry["weights"]["tilt"] == pytest.approx(tilt, abs=2e-9)
    assert entry["weights"]["uniform"] == pytest.approx(0.5 / wealth, abs=2e-9)


def test_the_same_job_gives_the_same_bytes(
    powerball_rows: list[list[int]], replay: list[dict[str, Any]]
) -> None:
    spec = json.loads(json.dumps(job(powerball_rows)))
    assert json.dumps(run(spec, lambda _: None)["scored"]) == json.dumps(replay)


def test_a_job_can_be_continued_where_another_ended(
    powerball_rows: list[list[int]], replay: list[dict[str, Any]]
) -> None:
    history = History.from_rows(powerball_rows[:300], 5, 69, 26)
    *_, (_, _, ledger) = walk_forward(history, 0, Ledger.start(EXPERTS))
    spec = job(powerball_rows[:400], first=300) | {"ledger": ledger.to_record()}
    assert run(spec, lambda _: None)["scored"] == replay[300:400]


def test_progress_is_reported_and_ends_complete(powerball_rows: list[list[int]]) -> None:
    reports: list[dict[str, Any]] = []
    run(job(powerball_rows[:250], first=20), reports.append)
    assert reports == [{"done": done, "total": 230} for done in (100, 200, 230)]


def test_a_forecast_does_not_depend_on_its_own_draw_or_any_later_one(powerball_rows: list[list[int]]) -> None:
    t = 120
    altered = powerball_rows[:t] + [[1, 2, 3, 4, 5, 6]] * 30

    def forecasts_made(rows: list[list[int]]) -> list[tuple[str, int, dict[str, Any]]]:
        made: list[tuple[str, int, dict[str, Any]]] = []

        def watched(name: str, history: History) -> Forecast:
            forecast = EXPERTS[name](history)
            made.append((name, len(history), forecast.to_record()))
            return forecast

        experts = {name: lambda history, name=name: watched(name, history) for name in EXPERTS}
        history = History.from_rows(rows, 5, 69, 26)
        list(walk_forward(history, 100, Ledger.start(EXPERTS), experts))
        return made

    real, other = forecasts_made(powerball_rows[: t + 30]), forecasts_made(altered)
    known_at = [length for _, length, _ in real]
    assert known_at == [draw for draw in range(100, 150) for _ in EXPERTS]
    upto = [made for made in real if made[1] <= t]
    assert upto == [made for made in other if made[1] <= t]
    assert real[-1] != other[-1]


def test_a_model_without_a_forecast_is_carried_along_as_uniform(powerball_rows: list[list[int]]) -> None:
    spec = job(powerball_rows[:50])
    spec["ledger"]["standings"]["net-1"] = {"prior": 0.125, "gain_nats": 0.0}
    plain = run(job(powerball_rows[:50]), lambda _: None)["scored"]
    for entry, without in zip(run(spec, lambda _: None)["scored"], plain, strict=True):
        assert gains_of(entry)["net-1"] == 0.0
        assert "net-1" not in entry["gains"]
        assert entry["ledger"]["mixture_nats"] == pytest.approx(without["ledger"]["mixture_nats"], abs=2e-9)


def test_a_first_draw_beyond_the_history_is_refused(powerball_rows: list[list[int]]) -> None:
    with pytest.raises(ValueError, match=r"first is 11; expected 0\.\.10"):
        run(job(powerball_rows[:10], first=11), lambda _: None)
