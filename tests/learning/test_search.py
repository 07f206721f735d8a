"""A search: the same trials whether or not it was cut short, in its budget, its best tried on new draws."""

import math
from collections import Counter
from collections.abc import Callable
from statistics import fmean
from typing import Any

import pytest
import torch

from helios_agent.errors import JobFailed, JobStopped
from helios_agent.learning import checkpoints, search, specs

Job = Callable[..., dict[str, Any]]
Machine = Callable[..., list[list[int]]]

TIMED = {"cpu_seconds"}


@pytest.fixture
def spec(job: Job, machine: Machine) -> Callable[..., dict[str, Any]]:
    """A search on a machine with a strong bias; keyword arguments replace its fields."""

    def make(**changes: Any) -> dict[str, Any]:
        training = {"epochs": 2, "batch": 8, "segments": 4, "learning_rate": 0.01, "patience": 2}
        network = {"sequence": 4, "hidden": 15, "layers": 1, "heads": 5, "dropout": 0.1, "embedding": 4}
        base: dict[str, Any] = {
            "job": job(draws=machine(150, 1.0), training=training, network=network),
            "trials": 3,
            "folds": 2,
            "block": 20,
            "cpu_seconds": 600.0,
        }
        return base | changes

    return make


def question(spec: dict[str, Any]) -> str:
    return search.question(specs.read(search.SearchJob, spec))


def told(spec: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Run a search; return its result and the record of each trial."""
    reports: list[dict[str, Any]] = []
    result = search.run(spec, reports.append)
    return result, [report["done"] for report in reports if "done" in report]


def without_times(trials: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in trial.items() if name not in TIMED} for trial in trials]


def test_the_first_trial_is_the_configuration_that_stands(spec: Callable[..., dict[str, Any]]) -> None:
    _, (first,) = told(spec(trials=1))
    assert first["number"] == 0
    assert first["parameters"] == {
        "hidden": 15, "layers": 1, "dropout": 0.1, "learning_rate": 0.01, "segments": 4,
    }  # fmt: skip
    assert first["state"] == "complete"
    assert first["gain"] == pytest.approx(sum(first["gains"]) / 2)


def test_a_search_that_was_cut_short_goes_on_as_if_nothing_had_happened(
    spec: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "STARTUP_TRIALS", 2)  # the third is proposed by what the first two gained
    whole, trials = told(spec())
    done: list[dict[str, Any]] = []

    def stop_in_the_second(report: dict[str, Any]) -> None:
        if "done" in report:
            done.append(report["done"])
        if report.get("trial") == 1:
            raise JobStopped

    with pytest.raises(JobStopped):
        search.run(spec(), stop_in_the_second)
    assert len(done) == 1
    rest, later = told(spec(known=done))

    assert without_times(done + later) == without_times(trials)
    assert [trial["parameters"] for trial in trials[1:]] != [trials[0]["parameters"]] * 2
    timed = {"cpu_seconds", "best"}
    assert {k: v for k, v in rest.items() if k not in timed} == {
        k: v for k, v in whole.items() if k not in timed
    }
    assert without_times([rest["best"]]) == without_times([whole["best"]])


def test_the_best_is_adopted_if_it_is_better_on_draws_that_no_trial_has_seen(
    spec: Callable[..., dict[str, Any]],
) -> None:
    asked = spec()
    asked["job"]["training"]["learning_rate"] = 1e-5  # what stands learns next to nothing
    result, trials = told(asked)
    best = max((trial for trial in trials if trial["gain"] is not None), key=lambda trial: trial["gain"])
    assert best["gain"] > 0.0
    assert result["best"] == best != trials[0]
    assert result["confirmed_gain"] > max(0.0, result["standing_gain"])
    assert result["adopted"]
    assert result["network"]["hidden"] == best["parameters"]["hidden"]
    assert result["training"]["segments"] == best["parameters"]["segments"]

    often = Counter(ball for row in asked["job"]["draws"] for ball in row[:-1])
    rare = sorted(range(1, 13), key=lambda ball: often[ball])[:3]
    asked["job"]["draws"][-20:] = [[*rare, 1]] * 20  # what was learnt holds for these no more
    other, again = told(asked)
    asked_anew = {"question": again[0]["question"]}
    assert without_times(again) == [trial | asked_anew for trial in without_times(trials)]
    assert other["best"]["number"] == best["number"]
    assert other["confirmed_gain"] < 0.0
    assert not other["adopted"]
    assert "network" not in other


@pytest.mark.parametrize("change", ["draws", "release", "torch", "block", "nothing that counts"])
def test_trials_of_other_draws_settings_or_releases_count_for_nothing(
    spec: Callable[..., dict[str, Any]], machine: Machine, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    asked = spec(trials=1)
    _, known = told(asked)
    if change == "draws":
        asked["job"]["draws"] = machine(151, 1.0)
    elif change == "release":
        monkeypatch.setattr(checkpoints, "CODE", "0" * 64)
    elif change == "torch":
        monkeypatch.setattr(torch, "__version__", "9.9")
    elif change == "block":
        asked["block"] = 21
    else:
        asked["job"]["out"] = "elsewhere"
    result, again = told(asked | {"known": known})
    assert [trial["question"] for trial in again] == ([] if "nothing" in change else [question(asked)])
    assert result["trials"] == 1


@pytest.mark.parametrize("better", [0, 1])
def test_what_is_tried_next_is_like_the_trials_that_gained_more(
    spec: Callable[..., dict[str, Any]], better: int
) -> None:
    kinds = [{"learning_rate": 3e-4, "dropout": 0.1}, {"learning_rate": 3e-3, "dropout": 0.4}]
    asked, known = spec(trials=13), []
    for number in range(12):
        gain = (0.2 if number % 2 == better else -0.2) + 0.001 * number
        parameters = {"hidden": 15, "layers": 1, "segments": 4} | kinds[number % 2]
        known.append(
            {
                "number": number, "state": "complete", "parameters": parameters, "gains": [gain, gain],
                "gain": gain, "error": None, "cpu_seconds": 0.0,
            }
        )  # fmt: skip
    tried = []
    for seed in range(5):
        seeded = asked | {"job": asked["job"] | {"seed": seed}}
        answered = [trial | {"question": question(seeded)} for trial in known]
        _, (trial,) = told(seeded | {"known": answered})
        tried.append(trial["parameters"])

    rate = math.exp(fmean(math.log(parameters["learning_rate"]) for parameters in tried))
    dropout = fmean(parameters["dropout"] for parameters in tried)
    assert [rate > 1e-3, dropout > 0.25] == [better == 1] * 2


def test_a_trial_is_judged_on_each_block_by_the_draws_before_it_alone(
    spec: Callable[..., dict[str, Any]], machine: Machine
) -> None:
    asked = spec(trials=1)
    _, (before,) = told(asked)
    asked["job"]["draws"][-40:] = machine(40, 1.0, seed=9)  # the second block and the last part
    _, (after,) = told(asked)
    assert after["gains"][0] == before["gains"][0]
    assert after["gains"][1] != before["gains"][1]


def test_where_nothing_gains_there_is_no_best(spec: Callable[..., dict[str, Any]]) -> None:
    parameters = {"hidden": 15, "layers": 1, "dropout": 0.1, "learning_rate": 0.01, "segments": 4}
    lost = {
        "number": 0, "question": question(spec()), "state": "complete", "parameters": parameters,
        "gains": [-0.1, 0.0], "gain": -0.05, "error": None, "cpu_seconds": 1.0,
    }  # fmt: skip
    result, trials = told(spec(trials=1, known=[lost]))
    assert trials == []
    assert result == {"trials": 1, "cpu_seconds": 1.0, "adopted": False, "best": None}


def test_no_trial_begins_after_the_budget_is_spent(spec: Callable[..., dict[str, Any]]) -> None:
    result, trials = told(spec(trials=50, cpu_seconds=1e-6))
    assert len(trials) == result["trials"] == 1


def test_a_configuration_that_diverges_is_a_failed_trial_and_the_search_goes_on(
    spec: Callable[..., dict[str, Any]],
) -> None:
    asked = spec(trials=2)
    asked["job"]["network"] |= {"hidden": 64, "heads": 4}
    asked["job"]["training"] |= {"learning_rate": 1.0, "epochs": 60, "patience": 60}
    _, (first, second) = told(asked)
    assert (first["state"], first["gain"]) == ("failed", None)
    assert "diverged" in first["error"]
    assert second["state"] == "complete"


def test_a_trial_that_begins_worse_than_most_is_pruned(spec: Callable[..., dict[str, Any]]) -> None:
    parameters = {"hidden": 15, "layers": 1, "dropout": 0.1, "learning_rate": 0.01, "segments": 4}
    unbeatable = [
        {
            "number": number, "question": question(spec()), "state": "complete", "parameters": parameters,
            "gains": [9.0, 9.0], "gain": 9.0, "error": None, "cpu_seconds": 0.0,
        }
        for number in range(search.STARTUP_TRIALS)
    ]  # fmt: skip
    _, (trial,) = told(spec(trials=6, known=unbeatable))
    assert (trial["state"], trial["gain"], len(trial["gains"])) == ("pruned", None, 1)


def test_the_space_holds_the_configuration_that_stands(job: Job) -> None:
    asked = job(
        network={"sequence": 8, "hidden": 48, "heads": 3, "layers": 5, "dropout": 0.7},
        training={"segments": 5},
    )
    standing = specs.read(specs.TrainingJob, asked)
    space = search.space(standing)
    assert getattr(space["hidden"], "choices") == (48,)  # noqa: B009 - 32, 64 … are no multiples of 3
    assert getattr(space["segments"], "choices") == (4, 5, 8, 16)  # noqa: B009
    assert (getattr(space["layers"], "high"), getattr(space["dropout"], "high")) == (5, 0.7)  # noqa: B009


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trials": 0}, "trials"),
        ({"folds": 20}, r"leave -270 to train on"),
        ({"surprise": 1}, "surprise"),
        ({"cpu_seconds": 0.0}, "cpu_seconds"),
    ],
)
def test_a_search_that_cannot_be_is_refused_naming_what_is_wrong(
    spec: Callable[..., dict[str, Any]], wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(JobFailed, match=message):
        search.run(spec(**wrong), lambda report: None)
