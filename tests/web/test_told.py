"""What intents, switches and settings are called where people read of them."""

from typing import Any

import pytest

from helios_agent import wording
from helios_agent.decisions.situation import ALARMED, QUIET, SUSPICIOUS
from helios_agent.journal.intents import Intent
from helios_agent.journal.parameters import BOUNDS
from helios_agent.web import told


def intent(action: str, target: str, args: dict[str, Any]) -> Intent:
    return Intent(
        id="ab", action=action, target=target, args=args, state="proposed", attempt=0, max_attempt=3,
        due_us=0, created_us=0, changed_us=0, error=None, result=None, seq=1, priority=0, wanted=None,
        expires_us=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("action", "target", "args", "what"),
    [
        ("train", "powerball", {}, "Train a network for Powerball, from scratch"),
        ("train", "megamillions", {"start": "newest"},
         "Train a network for Mega Millions, on from the newest weights"),
        ("adjust", "powerball/learning_rate", {"factor": 0.5, "reason": "x"},
         "Set the learning rate of Powerball to 0.5 times what is configured"),
        ("adjust", "powerball/retrain_after_draws", {"factor": 2.0},
         "Set the number of draws until the next training of Powerball to 2 times what is configured"),
        ("adjust", "powerball/learning_rate", {}, "Adjust powerball/learning_rate"),
        ("promote", "powerball/powerballnet@17e1c993042e", {}, "Promote powerball/powerballnet@17e1c993042e"),
        ("backup", "journal", {}, "Backup journal"),
    ],
)  # fmt: skip
def test_what_is_asked_for_is_said_with_all_that_a_person_must_know(
    action: str, target: str, args: dict[str, Any], what: str
) -> None:
    assert told.what(intent(action, target, args)) == what


def test_every_setting_and_every_context_has_words() -> None:
    assert told.SETTINGS.keys() == BOUNDS.keys()
    assert wording.WHILE.keys() == {QUIET, SUSPICIOUS, ALARMED}
