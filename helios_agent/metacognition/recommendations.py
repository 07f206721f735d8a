"""What could be changed, as far as what was measured says: learning, focus, exploration, memory, evaluation.

Each recommendation rests on signals, and tells what came of it when decisions chose it before.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any

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


def make(measured: Measured, unhealthy: Collection[str], effects: Effects) -> list[Recommendation]:
    """Return one recommendation about each thing that can be changed, by which signals are out of range."""
    return [
        _made("learning rate", *_learning_rate(measured, unhealthy), measured, effects),
        _made("focus", *_focus(unhealthy), measured, effects),
        _made("exploration", *_exploration(unhealthy), measured, effects),
        _made("memory", *_memory(unhealthy), measured, effects),
        _made("evaluation frequency", *_evaluation(unhealthy), measured, effects),
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


def _learning_rate(measured: Measured, unhealthy: Collection[str]) -> Advice:
    names = ("diverged_trainings", "validation_gap", "learning_progress")
    if "diverged_trainings" in unhealthy:
        return "lower it: trainings diverge", "adjust", names
    if "validation_gap" in unhealthy:
        return "lower it: the newest network knows its draws by heart", "adjust", names
    if measured.get("validation_gap") is None:
        return "leave it: no training diverged", None, names
    return "leave it: the newest network gains on new draws about what it does on those it knows", None, names


def _focus(unhealthy: Collection[str]) -> Advice:
    names = ("draw_overdue", "change_clearest", "staleness")
    if "draw_overdue" in unhealthy:
        return "on the feeds: draws are missing", "ingest", names
    if "change_clearest" in unhealthy:
        return "on the newest draws: the machine may have changed", "train", names
    if "staleness" in unhealthy:
        return "on the draws that the newest network has not seen", "train-warm", names
    return "on nothing in particular", None, names


def _exploration(unhealthy: Collection[str]) -> Advice:
    names = ("evidence", "learning_progress", "compute_left_day", "compute_left_month")
    if "compute_left_day" in unhealthy or "compute_left_month" in unhealthy:
        return "less: the budget is spent", None, names
    if "learning_progress" in unhealthy:
        return "more: the newest network is worse than the one before", "tune", names
    return "as it is: nothing says that other networks would gain more", None, names


def _memory(unhealthy: Collection[str]) -> Advice:
    names = ("storage_used",)
    if "storage_used" in unhealthy:
        return "archive what is old: the database is near its allowed size", "compact", names
    return "leave it: there is room", None, names


def _evaluation(unhealthy: Collection[str]) -> Advice:
    names = ("calibration_error", "live_gap", "draws_since_backtest")
    if "calibration_error" in unhealthy:
        return "evaluate sooner: forecasts promise what they do not keep", "backtest", names
    if "live_gap" in unhealthy:
        return "evaluate sooner: the newest network gains less than it did in validation", "backtest", names
    return "leave it: what is foretold is about what comes", None, names
