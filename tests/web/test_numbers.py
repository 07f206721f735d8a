"""Numbers as people read them."""

import pytest

from helios_agent.web import numbers
from helios_agent.web.page import _amount


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"), (8e-6, "< 0.001"), (-8e-6, "> −0.001"), (0.001, "0.001"), (1.5, "1.5"), (-0.25, "−0.25"),
        (1.124992, "1.125"), (54.0, "54"), (1234.5, "1,234.5"), (100.0, "100"),
    ],
)  # fmt: skip
def test_a_score_has_three_decimals_or_as_few_as_it_needs(value: float, said: str) -> None:
    assert numbers.score(value) == said


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0149, "share", ("1.49%", "")), (1.0, "share", ("100%", "")), (2.0, "trial", ("2", "")),
        (1.0, "incidents", ("1", "incident")), (0.0, "draws", ("0", "draws")), (1.0, "draws", ("1", "draw")),
        (1408.0, "draws", ("1,408", "draws")), (1.0, "CPU seconds", ("1", "CPU second")),
        (0.999, "probability", ("0.999", "probability")), (1.0, "times", ("1.00", "times")),
        (1.0, "hours", ("1.0", "hours")), (-0.25, "nats", ("−0.250", "nats")),
    ],
)  # fmt: skip
def test_the_amount_of_a_signal_has_a_unit_that_fits_it(
    value: float, unit: str, said: tuple[str, str]
) -> None:
    assert _amount(value, unit) == said
