"""A spec that does not hold is refused with the field, the value and what was expected."""

from collections.abc import Callable
from typing import Any

import pytest

from helios_agent.errors import JobFailed
from helios_agent.learning import specs, training

Job = Callable[..., dict[str, Any]]


def refusal(spec: dict[str, Any]) -> str:
    with pytest.raises(JobFailed) as caught:
        training.run(spec, lambda epoch: None)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"network": {"hidden": 10, "heads": 4}},
            "hidden must be a multiple of heads; got hidden 10, heads 4",
        ),
        ({"network": {"hiden": 10}}, "network.hiden: Extra inputs are not permitted (got 10)"),
        ({"training": {"epochs": 0}}, "training.epochs: Input should be greater than or equal to 1 (got 0)"),
        ({"training": {"validation": 1.0}}, "training.validation: Input should be less than 1 (got 1.0)"),
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
