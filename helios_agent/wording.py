"""Words and numbers in sentences for people, the same wherever they are said."""

from collections.abc import Iterable

TITLES = {
    "evidence": "Evidence against fairness",
    "evidence_peak": "Highest evidence so far",
    "fairness_p": "p-value of fairness",
    "evidence_registered": "Evidence registered in advance",
    "draws_known": "Draws known",
    "draws_scored": "Draws scored",
    "draws_registered": "Draws forecast in advance",
    "skill": "Skill",
    "skill_low": "Lower bound of the skill",
    "skill_high": "Upper bound of the skill",
    "calibration_error": "Chances promised too high",
    "confidence": "Belief in predictability",
    "leader_weight": "Weight of the most believed forecaster",
    "expert_disagreement": "Disagreement of the forecasters",
    "regret": "Regret to the best forecaster",
    "change": "Watch for a change over all moments",
    "change_clearest": "Clearest evidence for a change",
    "change_age": "Draws since that change",
    "challenger": "Evidence for the challenger",
    "challenger_trial": "Trial of a challenger",
    "challenger_gain": "Gain of the challenger",
    "champion_gain": "Gain of the champion",
    "challenger_loss": "Loss of the challenger to chance",
    "champion_loss": "Loss of the champion to chance",
    "validation_gap": "Gap from training to validation",
    "live_gap": "Gap from validation to new draws",
    "learning_progress": "Progress of the newest network",
    "smallest_visible_factor": "Smallest visible bias",
    "staleness": "Draws the network has not seen",
    "failed_trainings": "Trainings failed in a row",
    "diverged_trainings": "Trainings of these that diverged",
    "draws_since_search": "Draws since the last search",
    "draws_since_backtest": "Draws since the last backtest",
    "decision_effectiveness": "Choices that did what they should",
    "missing_draws": "Missing draws",
    "draw_overdue": "Oldest missing draw",
    "feed_silence": "Silence of the feeds",
    "feed_disagreement": "Disputed draws",
    "open_incidents": "Open incidents",
    "compute_day": "Processor time chosen in 24 hours",
    "compute_month": "Processor time chosen in 30 days",
    "compute_left_day": "Processor time left of the day",
    "compute_left_month": "Processor time left of the month",
    "storage_used": "Storage used",
    "disk_free": "Room left on the disk",
    "schedule_lateness": "Lateness of the schedules",
    "webhook_failures": "Messages not delivered",
    "backup_age": "Age of the backup",
    "verification_age": "Age of the last verification",
}
"""The signals' names in words."""


WHILE = {
    "quiet": "nothing was suspected",
    "suspicious": "something was suspected",
    "alarmed": "an alarm stood",
}
"""The contexts of decisions in words."""


def during(context: str) -> str:
    """Return in which context something was decided: "while an alarm stood"."""
    return f"while {WHILE.get(context, context)}"


def title(name: str) -> str:
    """Return the name of a signal, or of anything else that is written with underscores, in words."""
    return TITLES.get(name, name.replace("_", " ").capitalize())


def titles(names: Iterable[str]) -> str:
    """Return the names of signals in words, as they stand in the middle of a sentence."""
    return ", ".join(
        said if said[:2].isupper() else said[:1].lower() + said[1:] for said in map(title, names)
    )


def count(number: float, noun: str) -> str:
    """Return how many of something there are: "1 draw", "1,408 draws"."""
    return f"1 {noun}" if number == 1 else f"{number:,.0f} {noun}s"


def hours(value: float) -> str:
    """Return a span of hours, to a tenth."""
    return f"{value:,.1f}".removesuffix(".0") + " h"


def nats(value: float) -> str:
    """Return so much evidence, to a hundredth, without its unit."""
    return f"{0.0 if abs(value) < 0.005 else value:,.2f}".replace("-", "−")


def span(seconds: float) -> str:
    """Return a span of seconds in the unit that people would choose."""
    if seconds < 120.0:
        return (f"{seconds:.1f}" if seconds < 10.0 else f"{seconds:.0f}") + " s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200.0 else hours(seconds / 3600)
