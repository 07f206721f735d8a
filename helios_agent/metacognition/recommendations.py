"""What could be changed, as far as what was measured says: learning, focus, exploration, memory, evaluation.

Each recommendation rests on signals, and tells what came of it when decisions chose it before.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from helios_agent.metacognition.signals import is_well

Measured = Mapping[str, float | None]
Effects = Mapping[str, tuple[int, int]]
"""Of how many measured choices of an action how many did what they were chosen for: (successes, of)."""


@dataclass(frozen=True)
class Recommendation:
    """What to do about one thing, the signals that say so, and what the action that does it has achieved.

    action: as decisions name it; None where nothing is to be done.
    """

    about: str
    advice: str
    signals: Measured
    action: str | None
    effect: str

    def as_record(self) -> dict[str, Any]:
        """Return the recommendation as JSON-ready values."""
        return asdict(self)


def make(measured: Measured, effects: Effects) -> list[Recommendation]:
    """Return one recommendation about each thing that can be changed."""
    return [
        _made("learning rate", *_learning_rate(measured), measured, effects),
        _made("focus", *_focus(measured), measured, effects),
        _made("exploration", *_exploration(measured), measured, effects),
        _made("memory", *_memory(measured), measured, effects),
        _made("evaluation frequency", *_evaluation(measured), measured, effects),
    ]


def _made(
    about: str, advice: str, action: str | None, names: tuple[str, ...], measured: Measured, effects: Effects
) -> Recommendation:
    values = {name: measured.get(name) for name in names}
    unknown = [name for name, value in values.items() if value is None]
    if unknown and action is None:
        said = "nothing can be said" if len(unknown) == len(names) else f"{advice}, as far as is known"
        advice = f"{said}; not known: {', '.join(unknown)}"
    return Recommendation(about, advice, values, action, _effect(action, effects))


def _effect(action: str | None, effects: Effects) -> str:
    if action is None:
        return "nothing is to be done"
    wins, of = effects.get(action, (0, 0))
    return f"{action} did what it was chosen for {wins} times of {of}" if of else "nothing measured yet"


Advice = tuple[str, str | None, tuple[str, ...]]


def _learning_rate(measured: Measured) -> Advice:
    names = ("failed_trainings", "validation_gap", "learning_progress")
    if not is_well("failed_trainings", measured):
        return "lower it: trainings fail", "adjust", names
    if not is_well("validation_gap", measured):
        return "lower it: the newest network knows its draws by heart", "adjust", names
    if measured.get("validation_gap") is None:
        return "leave it: no training failed", None, names
    return "leave it: the newest network gains on new draws about what it does on those it knows", None, names


def _focus(measured: Measured) -> Advice:
    names = ("draw_overdue", "change_clearest", "staleness")
    if not is_well("draw_overdue", measured):
        return "on the feeds: draws are missing", "ingest", names
    if not is_well("change_clearest", measured):
        return "on the newest draws: the machine may have changed", "train", names
    if not is_well("staleness", measured):
        return "on the draws that the newest network has not seen", "train-warm", names
    return "on nothing in particular", None, names


def _exploration(measured: Measured) -> Advice:
    names = ("evidence", "learning_progress", "compute_left_day", "compute_left_month")
    if not (is_well("compute_left_day", measured) and is_well("compute_left_month", measured)):
        return "less: the budget is spent", None, names
    if not is_well("learning_progress", measured):
        return "more: the newest network is worse than the one before", "tune", names
    return "as it is: nothing says that other networks would gain more", None, names


def _memory(measured: Measured) -> Advice:
    names = ("storage_used",)
    if not is_well("storage_used", measured):
        return "archive what is old: the database is near its allowed size", "compact", names
    return "leave it: there is room", None, names


def _evaluation(measured: Measured) -> Advice:
    names = ("calibration_error", "live_gap", "draws_since_backtest")
    if not is_well("calibration_error", measured):
        return "evaluate sooner: forecasts promise what they do not keep", "backtest", names
    if not is_well("live_gap", measured):
        return "evaluate sooner: the newest network gains less than it did in validation", "backtest", names
    return "leave it: what is foretold is about what comes", None, names
