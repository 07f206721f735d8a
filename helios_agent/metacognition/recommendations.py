"""What could be changed, as far as what was measured says: learning, focus, exploration, memory, evaluation.

Each recommendation rests on signals, and tells what came of it when decisions chose it before.
"""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from helios_agent import wording

Measured = Mapping[str, float | None]
Effects = Mapping[str, tuple[int, int]]
"""Of how many measured choices of an action how many did what they were chosen for: (successes, of)."""


@dataclass(frozen=True)
class Recommendation:
    """What to do about one thing, the signals that say so, and what the action that does it has achieved.

    action: as decisions name it; None where nothing is to be done, or where only a person can do it.
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
        _made("learning rate", _learning_rate(measured, unhealthy), measured, effects),
        _made("focus", _focus(unhealthy), measured, effects),
        _made("exploration", _exploration(unhealthy), measured, effects),
        _made("memory", _memory(unhealthy), measured, effects),
        _made("evaluation frequency", _evaluation(unhealthy), measured, effects),
    ]


class _Advice(NamedTuple):
    """What to do, the action of decisions that does it, and the signals that say so."""

    said: str
    action: str | None
    signals: tuple[str, ...]
    by_person: bool = False


def _made(about: str, advice: _Advice, measured: Measured, effects: Effects) -> Recommendation:
    values = {name: measured.get(name) for name in advice.signals}
    unknown, said = [name for name, value in values.items() if value is None], advice.said
    if unknown and advice.action is None and not advice.by_person:
        is_known = len(unknown) < len(values)
        said = f"{said}, as far as is known" if is_known else "nothing can be said"
        said = f"{said}; not known: {wording.titles(unknown)}"
    return Recommendation(about, said, values, advice.action, _effect(advice, effects))


def _effect(advice: _Advice, effects: Effects) -> str:
    if advice.by_person:
        return "only a person can do that"
    if advice.action is None:
        return "nothing is to be done"
    wins, of = effects.get(advice.action, (0, 0))
    if not of:
        return "nothing measured yet"
    return f"{advice.action} did what it was chosen for in {wins:,} of {wording.count(of, 'measured case')}"


def _learning_rate(measured: Measured, unhealthy: Collection[str]) -> _Advice:
    names = ("diverged_trainings", "validation_gap", "learning_progress")
    if "diverged_trainings" in unhealthy:
        return _Advice("lower it: trainings diverge", "adjust", names)
    if "validation_gap" in unhealthy:
        said = "set learning.training.learning_rate lower: the newest network knows its draws by heart"
        return _Advice(said, None, names, by_person=True)
    if measured.get("validation_gap") is None:
        return _Advice("leave it: no training diverged", None, names)
    return _Advice(
        "leave it: the newest network gains on new draws about what it does on those it knows", None, names
    )


def _focus(unhealthy: Collection[str]) -> _Advice:
    names = ("draw_overdue", "change_clearest", "staleness")
    if "draw_overdue" in unhealthy:
        return _Advice("on the feeds: draws are missing", "ingest", names)
    if "change_clearest" in unhealthy:
        return _Advice("on the newest draws: the machine may have changed", "train", names)
    if "staleness" in unhealthy:
        return _Advice("on the draws that the newest network has not seen", "train-warm", names)
    return _Advice("on nothing in particular", None, names)


def _exploration(unhealthy: Collection[str]) -> _Advice:
    names = ("evidence", "learning_progress", "compute_left_day", "compute_left_month")
    if "compute_left_day" in unhealthy or "compute_left_month" in unhealthy:
        return _Advice("less: little is left of the budget", None, names)
    if "learning_progress" in unhealthy:
        return _Advice("more: the newest network is worse than the one before", "tune", names)
    return _Advice("as it is: nothing says that other networks would gain more", None, names)


def _memory(unhealthy: Collection[str]) -> _Advice:
    names = ("storage_used", "disk_free")
    if "disk_free" in unhealthy:
        said = "make room on the disk: it has less than the database may take"
        return _Advice(said, None, names, by_person=True)
    if "storage_used" in unhealthy:
        return _Advice("archive what is old: the database is near its allowed size", "compact", names)
    return _Advice("leave it: there is room", None, names)


def _evaluation(unhealthy: Collection[str]) -> _Advice:
    names = ("calibration_error", "live_gap", "draws_since_backtest")
    if "calibration_error" in unhealthy:
        return _Advice("evaluate sooner: forecasts promise what they do not keep", "backtest", names)
    if "live_gap" in unhealthy:
        return _Advice(
            "evaluate sooner: the newest network gains less than it did in validation", "backtest", names
        )
    return _Advice("leave it: what is foretold is about what comes", None, names)
