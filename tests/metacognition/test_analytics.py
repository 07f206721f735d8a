"""Models side by side: every figure against one worked out by hand, and none where nothing is known."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from helios_agent.forecasting import evidence
from helios_agent.metacognition import analytics
from helios_agent.metacognition.analytics import METRICS, Facts


def gains(values: Sequence[float], after: int = 0) -> dict[str, float]:
    """Gains on successive days, the first of them `after` days after the first of all."""
    first = date(2026, 1, 1)
    return {(first + timedelta(after + n)).isoformat(): float(v) for n, v in enumerate(values)}


def epochs(*losses: float) -> list[Mapping[str, Any]]:
    return [
        {
            "epoch": n, "loss": loss - 0.5, "validation_loss": loss, "validation_gain_nats": 19.5 - loss,
            "seconds": 2.0,
        }
        for n, loss in enumerate(losses, 1)
    ]  # fmt: skip


def facts(**known: Any) -> Facts:
    without: dict[str, Any] = {
        "model": "powerballnet@aaa", "game": "powerball", "era": "2015-10-07", "role": "champion",
        "ordinal": 1, "trained_at": "2026-01-01T00:00:00Z", "trained_on_draws": 1400, "epochs": [],
        "summary": None, "cpu_seconds": None, "gains": {},
    }  # fmt: skip
    return Facts(**(without | known))


def test_a_training_by_hand() -> None:
    found = analytics.training(epochs(10.0, 9.5, 9.3005, 9.3, 9.4), None)
    assert found == {
        "epochs": 5,
        "training_seconds": 10.0,
        "first_loss": 9.5,
        "final_loss": 8.9,
        "best_loss": 9.3,
        "best_epoch": 4,
        "validation_gain_nats": pytest.approx(10.2),
        "convergence_epoch": 3,  # within 0.001 nats of the best, one epoch before it
        "instability": pytest.approx(math.sqrt((0.25 + 0.1995**2 + 0.0005**2 + 0.01) / 4)),
        "instability_last_third": pytest.approx(math.sqrt((0.0005**2 + 0.01) / 2)),
    }


def test_one_epoch_has_nothing_to_be_unstable_with() -> None:
    found = analytics.training(epochs(9.5), None)
    assert (found["convergence_epoch"], found["instability"], found["instability_last_third"]) == (
        1,
        None,
        None,
    )


def test_what_is_left_of_epochs_is_read_and_what_was_lost_with_them_is_not_made_up() -> None:
    whole = analytics.training(epochs(10.0, 9.5, 9.3, 9.4), None)
    summary = {
        "epochs": 4, "first_loss": 9.5, "final_loss": 8.9, "best_loss": 9.3, "best_epoch": 3,
        "best_gain_nats": 10.2, "instability": whole["instability"], "seconds": 8.0,
    }  # fmt: skip
    left = analytics.training([], summary)
    lost = {"convergence_epoch": None, "instability_last_third": None}
    assert left == pytest.approx(whole | lost)
    assert set(analytics.training([], None).values()) == {None}


def test_a_model_by_hand() -> None:
    found = analytics.record(facts(epochs=epochs(9.5, 9.4), cpu_seconds=50.0, gains=gains([0.1, -0.2, 0.4])))
    mean, low, high = evidence.skill_interval([0.1, -0.2, 0.4], 0.05)
    assert (found["live_draws"], found["live_from"], found["live_to"]) == (3, "2026-01-01", "2026-01-03")
    assert found["live_gain_nats"] == pytest.approx(0.3)
    assert (found["live_mean_nats"], found["live_low_nats"], found["live_high_nats"]) == (mean, low, high)
    assert found["efficiency"] == pytest.approx(0.3 / 50)
    assert set(METRICS) <= set(found)


@pytest.mark.parametrize("known", [{"cpu_seconds": 50.0}, {"gains": gains([0.1])}, {"cpu_seconds": 0.0}])
def test_there_is_no_efficiency_without_a_live_draw_or_a_known_cost(known: dict[str, Any]) -> None:
    assert analytics.record(facts(**known))["efficiency"] is None


def test_a_model_without_data_has_no_figures() -> None:
    found = analytics.record(facts())
    assert {name: found[name] for name in METRICS} == dict.fromkeys(METRICS)
    assert (found["live_draws"], found["live_gain_nats"]) == (0, None)


def ranked(**values: float | None) -> list[tuple[int | None, str]]:
    records = [{"model": name, "live_mean_nats": v, "live_draws": 10} for name, v in values.items()]
    return [(r["rank"], r["model"]) for r in analytics.rank(records, METRICS["live_mean_nats"])]


def test_equal_models_share_a_rank_and_unknown_ones_come_last_without_one() -> None:
    assert ranked(a=None, b=0.1, c=0.3, d=0.1, e=-1.0, f=None) == [
        (1, "c"), (2, "b"), (2, "d"), (4, "e"), (None, "a"), (None, "f"),
    ]  # fmt: skip
    assert ranked() == []


def test_a_mean_of_too_few_draws_is_neither_ranked_nor_followed() -> None:
    records = [
        {"model": "lucky", "live_mean_nats": 9.0, "live_draws": 9},
        {"model": "known", "live_mean_nats": 0.1, "live_draws": 10},
    ]
    metric = METRICS["live_mean_nats"]
    order = [(r["rank"], r["model"]) for r in analytics.rank(records, metric)]
    assert order == [(1, "known"), (None, "lucky")]
    assert analytics.trends(records, [metric])[0]["models"] == ["known"]


def test_who_lost_has_no_efficiency_for_the_cheapest_would_be_the_worst() -> None:
    for gained in ([-0.3, 0.1], [0.0]):
        assert analytics.record(facts(cpu_seconds=50.0, gains=gains(gained)))["efficiency"] is None


def test_of_equal_models_no_metric_shows_a_trend_though_each_forecast_fewer_draws_and_cost_more() -> None:
    equal = [
        analytics.record(facts(epochs=epochs(9.5, 9.4), cpu_seconds=9.0 + n, gains=gains([0.1] * (40 - n))))
        for n in range(12)
    ]
    trends = analytics.trends(equal, analytics.TRENDED)
    assert [(t["metric"], t["clear"]) for t in trends] == [("live_mean_nats", False)]
    sums_and_costs = [METRICS["live_gain_nats"], METRICS["cpu_seconds"]]
    assert all(t["clear"] for t in analytics.trends(equal, sums_and_costs))


def test_of_losses_and_costs_the_smallest_is_the_best() -> None:
    records = [{"model": "a", "best_loss": 9.0}, {"model": "b", "best_loss": 8.0}]
    assert [r["model"] for r in analytics.rank(records, METRICS["best_loss"])] == ["b", "a"]


def test_forecasters_are_compared_on_the_draws_that_all_of_them_forecast() -> None:
    early, late = gains([9.0] * 5 + [0.1, 0.3] * 10), gains([0.0, 0.1] * 10 + [-9.0] * 5, after=5)
    found = analytics.compare({"a": early, "b": late})
    assert (found["draws"], found["from"], found["to"]) == (20, "2026-01-06", "2026-01-25")
    assert [m["gain_nats"] for m in found["models"]] == pytest.approx([4.0, 1.0])
    (pair,) = found["pairs"]
    mean, low, high = evidence.skill_interval([0.1, 0.2] * 10, 0.05)
    assert pair["mean_difference_nats"] == pytest.approx(mean)
    assert (pair["low_nats"], pair["high_nats"]) == pytest.approx((low, high))
    assert pair["better"] == "a"
    assert found["verdict"] == "a forecasts better than b over the 20 draws that all of them forecast."


def test_all_pairs_hold_at_once() -> None:
    accounts = {
        name: gains(values) for name, values in (("a", [0.1, 0.2] * 9), ("b", [0.0] * 18), ("c", [0.1] * 18))
    }
    found = analytics.compare(accounts)
    assert len(found["pairs"]) == 3
    _, low, high = evidence.skill_interval([0.1, 0.2] * 9, 0.05 / 3)
    assert (found["pairs"][0]["low_nats"], found["pairs"][0]["high_nats"]) == pytest.approx((low, high))


def test_too_few_draws_make_nobody_better() -> None:
    found = analytics.compare({"a": gains([1.0] * 9), "b": gains([0.0] * 9)})
    assert found["pairs"][0]["low_nats"] > 0
    assert found["pairs"][0]["better"] is None
    assert found["verdict"] == "They have 9 scored draws in common; below 10 nothing is said."


def test_without_a_draw_in_common_nothing_is_said() -> None:
    found = analytics.compare({"a": gains([1.0] * 20), "b": gains([0.0] * 20, after=50)})
    assert found["verdict"] == "They have no scored draw in common, so nothing can be said."
    assert found["pairs"][0] == {
        "model": "a", "other": "b", "mean_difference_nats": None, "low_nats": None, "high_nats": None,
        "better": None,
    }  # fmt: skip
    assert [m["gain_nats"] for m in found["models"]] == [None, None]


def test_equal_forecasters_are_not_told_apart(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wrong = 0
    for _ in range(200):
        pair = {name: gains(rng.normal(0, 0.1, 100)) for name in "ab"}
        wrong += analytics.compare(pair)["pairs"][0]["better"] is not None
    assert wrong <= 10 + 3 * math.sqrt(10)  # at most 5 % of 200, give or take


def test_the_matrix_has_pearsons_correlation_on_common_draws(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one = rng.normal(0, 1, 30)
    other = 0.5 * one + rng.normal(0, 1, 30)
    found = analytics.matrix(
        {
            "one": gains(one),
            "other": gains(other[5:], after=5),
            "against": gains(-one),
            "uniform": gains([0.0] * 30),
        }
    )
    assert found["models"] == ["one", "other", "against", "uniform"]
    expected = float(np.corrcoef(one[5:], other[5:])[0, 1])
    assert found["correlations"][0] == [
        pytest.approx(1.0),
        pytest.approx(expected),
        pytest.approx(-1.0),
        None,
    ]
    assert found["correlations"][1][0] == found["correlations"][0][1]
    assert found["common_draws"][0] == [30, 25, 30, 30]
    assert found["correlations"][3] == [None] * 4  # who always gains the same goes with nobody


def test_a_correlation_needs_ten_draws() -> None:
    line = [0.1 * n for n in range(20)]
    found = analytics.matrix({"a": gains(line[:10]), "b": gains(line[:10]), "c": gains(line[1:10], after=1)})
    assert found["correlations"][0] == [pytest.approx(1.0), pytest.approx(1.0), None]
    assert found["common_draws"][0] == [10, 10, 9]
    assert analytics.matrix({})["correlations"] == []


@pytest.mark.parametrize(
    "values", [(1, 2, 3, 4, 5), (2, 1, 2, 3, 3), (5, 1, 4, 2, 3, 3), (1, 1, 1, 2), (2, 1)]
)
def test_the_p_value_of_a_trend_is_exact_ties_or_not(values: tuple[float, ...]) -> None:
    def score(order: Sequence[float]) -> int:
        return sum(int(np.sign(b - a)) for i, a in enumerate(order) for b in order[i + 1 :])

    every = Counter(score(order) for order in permutations(values))
    seen = score(values)
    tail = min(sum(n for s, n in every.items() if s >= abs(seen)) / every.total() * 2, 1.0)
    tau, p = analytics.rank_trend(values)
    assert p == pytest.approx(tail)
    assert tau == pytest.approx(seen / max(every))


def test_no_trend_can_be_seen_in_what_does_not_vary() -> None:
    assert analytics.rank_trend([1.0, 1.0, 1.0]) == analytics.rank_trend([1.0]) == (None, None)
    assert analytics.rank_trend([]) == (None, None)


def test_trends_are_called_falsely_no_more_often_than_stated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    called = sum((analytics.rank_trend(rng.normal(0, 1, 10).tolist())[1] or 1.0) <= 0.05 for _ in range(1000))
    assert called <= 50 + 3 * math.sqrt(50)


def equal_models(rng: np.random.Generator, models: int = 12, window: int = 211, apart: int = 13) -> list[Any]:
    """Equal models, trained every few draws and validated on the last `window`; the first stays champion."""
    made = rng.normal(0.0, 0.05, window + models * apart)
    records = []
    for n in range(models):
        validated, new = made[n * apart :][:window], made[window + n * apart :]
        loss, live = 19.5 - validated.mean(), new if n == 0 else new[:apart]
        told = facts(model=f"m{n}", epochs=epochs(loss), gains=gains(live))
        records.append(analytics.record(told))
    return records


def test_windows_of_validation_that_overlap_are_not_told_as_trends(seed: int) -> None:
    rng, lives = np.random.default_rng(seed), 200
    called, drifted = 0, 0
    for _ in range(lives):
        records = equal_models(rng)
        called += any(t["clear"] for t in analytics.trends(records, analytics.TRENDED))
        drifted += analytics.trends(records, [METRICS["validation_gain_nats"]])[0]["clear"]
    assert called <= 10 + 3 * math.sqrt(10)  # at most 5 %, give or take
    assert drifted > 0.35 * lives  # which is why it is not asked
    assert {"validation_gain_nats", "best_loss"}.isdisjoint(m.name for m in analytics.TRENDED)


def test_a_trend_over_successive_models_is_clear_only_for_all_that_was_tested() -> None:
    records = [
        {"model": f"m{n}", "live_mean_nats": 9.0 - n, "live_draws": 10, "epochs": None} for n in range(5)
    ]
    alone = analytics.trends(records, [METRICS["live_mean_nats"]])
    assert (alone[0]["tau"], alone[0]["p"], alone[0]["clear"]) == (-1.0, pytest.approx(2 / 120), True)
    assert analytics.trend_verdict(alone) == "The mean gain on new draws falls over 5 models (p = 0.017)."
    among = analytics.trends(records, [METRICS[name] for name in ("live_mean_nats", *["epochs"] * 3)])
    assert [t["clear"] for t in among] == [False] * 4
    assert (among[1]["models"], among[1]["tau"], among[1]["p"]) == ([], None, None)
    assert analytics.trend_verdict(among) == "No trend is clear over 5 models."
    assert "fewer than two models" in analytics.trend_verdict(analytics.trends([], [METRICS["epochs"]]))


def halves(seed: int, draws: int) -> dict[str, dict[str, float]]:
    """Two forecasters, each right on one kind of draw and wrong on the other; each alone loses to uniform."""
    kinds = np.random.default_rng(seed).integers(0, 2, draws)
    good, bad = math.log(1.6), math.log(0.6)
    return {"a": gains(np.where(kinds == 0, good, bad)), "b": gains(np.where(kinds == 1, good, bad))}


def test_an_ensemble_that_helps_is_recommended(seed: int) -> None:
    found = analytics.recommend(halves(seed, 800))
    assert found["recommended"]
    # Half and half gains log 1.1 on every draw; learning that costs a little.
    assert 800 * math.log(1.1) - 4 < found["gain_nats"] <= found["hindsight"]["gain_nats"]
    assert found["weights"]["a"] == pytest.approx(0.5, abs=0.15)
    assert found["gain_nats"] > max(found["best_alone_nats"], 0.0) + 10
    assert found["verdict"].startswith(
        f"The ensemble is better than {found['best_alone']} and all the others: "
    )
    assert [pair["other"] for pair in found["versus"]] == ["a", "b", "uniform"]
    assert all(pair["low_nats"] > 0 for pair in found["versus"])


def test_an_ensemble_that_does_not_help_is_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    skill = rng.normal(0.05, 0.1, 300)
    found = analytics.recommend(
        {"good": gains(skill), "poor": gains(skill - 0.1), "idle": gains(rng.normal(-0.05, 0.1, 300))}
    )
    assert not found["recommended"]
    assert found["best_alone"] == "good"
    assert found["weights"]["good"] > 0.5
    assert found["verdict"].startswith("No ensemble of these is shown to be better than good: over 300 draws")
    assert found["gain_nats"] <= found["best_alone_nats"]


def test_where_all_lose_chance_itself_is_the_one_to_beat(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = analytics.recommend({name: gains(rng.normal(-0.02, 0.1, 200)) for name in "abc"})
    assert not found["recommended"]
    assert (found["best_alone"], found["best_alone_nats"]) == ("uniform", 0.0)
    assert "better than uniform" in found["verdict"]


def test_on_fair_draws_hardly_any_ensemble_is_recommended(seed: int) -> None:
    rng = np.random.default_rng(seed)
    called = 0
    for _ in range(60):
        said = rng.uniform(0.4, 0.6, (100, 3))  # of a fair coin
        came = rng.integers(0, 2, (100, 1))
        made = np.log(2 * np.where(came == 1, said, 1 - said))
        called += analytics.recommend({name: gains(made[:, k]) for k, name in enumerate("abc")})[
            "recommended"
        ]
    assert called <= 3 + 3 * math.sqrt(3)


def test_its_score_is_that_of_the_draws_in_common_alone() -> None:
    accounts = halves(1, 40)
    found = analytics.recommend({"a": accounts["a"], "b": dict([*accounts["b"].items()][10:])})
    assert (found["draws"], found["from"]) == (30, "2026-01-11")
    few = analytics.recommend({name: dict([*g.items()][:9]) for name, g in accounts.items()})
    assert (few["recommended"], few["verdict"]) == (
        False, "They have 9 scored draws in common; below 10 nothing is said.",
    )  # fmt: skip


def test_without_data_there_are_no_numbers() -> None:
    found = analytics.recommend({"a": {}, "b": {}})
    assert found["verdict"] == "They have no scored draw in common, so nothing can be said."
    assert (found["draws"], found["recommended"]) == (0, False)
    assert {
        found[name] for name in ("gain_nats", "mean_nats", "weights", "hindsight", "best_alone_nats")
    } == {None}
