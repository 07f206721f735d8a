"""Numbers and names as sentences have them."""

import pytest

from helios_agent import wording
from helios_agent.metacognition.signals import SIGNALS


def test_every_signal_has_a_title() -> None:
    assert wording.TITLES.keys() == {signal.name for signal in SIGNALS}


def test_titles_stand_in_the_middle_of_a_sentence() -> None:
    assert wording.titles(["draw_overdue", "fairness_p", "best_loss"]) == (
        "oldest missing draw, p-value of fairness, best loss"
    )


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (119.4, "119 s"), (3600.0, "60 min"), (9000.0, "2.5 h")],
)
def test_a_span_has_the_unit_that_people_would_choose(seconds: float, said: str) -> None:
    assert wording.span(seconds) == said


def test_counts_hours_and_nats() -> None:
    assert (wording.count(1.0, "draw"), wording.count(1408, "draw")) == ("1 draw", "1,408 draws")
    assert (wording.hours(36.0), wording.hours(9.28361), wording.hours(8760.0)) == (
        "36 h",
        "9.3 h",
        "8,760 h",
    )
    assert (wording.nats(-0.001), wording.nats(-1.5), wording.nats(1234.5)) == ("0.00", "−1.50", "1,234.50")
