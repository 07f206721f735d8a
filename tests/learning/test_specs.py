"""A spec that does not hold is refused with the field, the value and what was expected."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

from helios_agent.errors import JobFailed
from helios_agent.learning import specs, training
from helios_agent.lottery import calendar
from helios_agent.lottery.games import POWERBALL

Job = Callable[..., dict[str, Any]]


def refusal(spec: dict[str, Any]) -> str:
    with pytest.raises(JobFailed) as caught:
        training.run(spec, lambda epoch: None)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"network": {"hidden": 10, "heads": 4}}, "hidden (10) must be a multiple of heads (4)"),
        (
            {"network": {"hidden": 4, "heads": 4}},
            "hidden: Input should be greater than or equal to 8",
        ),
        ({"network": {"hidden": "16"}}, "network.hidden: Input should be a valid integer (got '16')"),
        ({"network": {"hidden": 10**9}}, "network.hidden: Input should be less than or equal to 4096"),
        ({"network": {"hiden": 10}}, "network.hiden: Extra inputs are not permitted (got 10)"),
        ({"training": {"epochs": 0}}, "training.epochs: Input should be greater than or equal to 1 (got 0)"),
        (
            {"training": {"validation": 1.0}},
            "training.validation: Input should be less than or equal to 0.9 (got 1.0)",
        ),
        (
            {"training": {"validation": 1e-9}},
            "training.validation: Input should be greater than or equal to 0.01 (got 1e-09)",
        ),
        ({"training": {"precision": "fp8"}}, "precision: Input should be 'fp32' or 'bf16' (got 'fp8')"),
        ({"training": {"loss": "mse"}}, "loss: Input should be 'exact' or 'cross-entropy' (got 'mse')"),
        ({"pick": 12}, "pick must be less than white; got pick 12, white 12"),
        ({"era": "yesterday"}, "era is 'yesterday'; expected a date such as 2015-10-07"),
        ({"seed": "3"}, "seed: Input should be a valid integer (got '3')"),
    ],
)
def test_a_wrong_setting_is_named(job: Job, changes: dict[str, Any], told: str) -> None:
    assert told in refusal(job(**changes))


@pytest.mark.parametrize("row", [[1, 2, 2, 1], [0, 2, 3, 1], [1, 2, 13, 1], [1, 2, 3, 6], [1, 2, 3], []])
def test_a_row_that_is_no_draw_is_shown(job: Job, row: list[int]) -> None:
    draws = [*job()["draws"][:7], row, *job()["draws"][8:]]
    expected = f"draws[7] is {row}; expected 3 different numbers from 1 to 12 and then one from 1 to 5"
    assert expected in refusal(job(draws=draws))


def test_too_few_draws_says_how_many_are_needed(job: Job) -> None:
    expected = "draws holds 30; at least 35 are needed for a sequence of 8 and a validation part of 0.2"
    assert expected in refusal(job(draws=job()["draws"][:30]))


def test_the_number_said_to_be_needed_is_enough(job: Job) -> None:
    assert (
        training.run(job(draws=job()["draws"][:35]), lambda epoch: None)["metrics"]["validation_draws"] == 7
    )


@pytest.mark.parametrize("validation", [0.01, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("sequence", [2, 50, 500])
def test_the_number_said_to_be_needed_is_the_least_that_leaves_20_to_train_on_and_5_to_validate_on(
    sequence: int, validation: float
) -> None:
    how = specs.TrainingSpec(validation=validation)

    def suffices(draws: int) -> bool:
        return how.validated(draws) >= 5 and draws - how.validated(draws) >= sequence + 20

    needed = specs.draws_needed(sequence, validation)
    assert suffices(needed)
    assert not any(map(suffices, range(needed)))


def test_the_documented_defaults_need_87_draws() -> None:
    network, how = specs.NetworkSpec(), specs.TrainingSpec()
    assert specs.draws_needed(network.sequence, how.validation) == 87
    assert (network.sequence, network.hidden, network.layers, network.heads) == (50, 256, 3, 8)
    assert (how.learning_rate, how.batch, how.epochs, how.patience, how.validation) == (
        1e-3,
        32,
        100,
        10,
        0.2,
    )


@pytest.mark.parametrize(
    ("number", "day", "told"),
    [
        (34, "2016-02-06", "last_draw is 2016-02-03; days end with ['2016-02-06']"),
        (9, "2015-11-04", "days[9] is 2015-11-04; expected a day after 2015-11-04"),
        (0, "2015-10-03", "days[0] is 2015-10-03; expected a day of the era from 2015-10-07"),
        (
            9,
            "2015-11-06",
            "days lacks 2015-11-07, on which Powerball was drawn; ingest what is missing",
        ),
        (0, "soon", "days[0] is 'soon'; expected a date such as 2015-10-07"),
    ],
)
def test_dates_tell_of_disorder_another_era_and_holes(job: Job, number: int, day: str, told: str) -> None:
    days = [str(day) for day in calendar.draw_days(POWERBALL, date(2015, 10, 7), date(2016, 2, 3))]
    spec = job(draws=job()["draws"][:35], last_draw="2016-02-03")
    assert told in refusal({**spec, "days": [*days[:number], day, *days[number + 1 :]]})
    assert "days holds 34; expected 35, one a draw" in refusal({**spec, "days": days[1:]})


def test_dates_without_fault_are_accepted(job: Job) -> None:
    days = [str(day) for day in calendar.draw_days(POWERBALL, date(2015, 10, 7), date(2016, 2, 3))]
    spec = job(draws=job()["draws"][:35], last_draw="2016-02-03", days=days)
    assert training.run(spec, lambda epoch: None)["version"]


def test_draws_of_the_rules_before_are_refused_by_their_dates(job: Job) -> None:
    """Both eras' balls can be drawn under either rules, so nothing but the dates tells."""
    days = [str(day) for day in calendar.draw_days(POWERBALL, date(2015, 9, 2), date(2015, 12, 30))]
    spec = job(draws=job()["draws"][: len(days)], last_draw=days[-1], days=days)
    assert "days[0] is 2015-09-02; expected a day of the era from 2015-10-07" in refusal(spec)
