"""Every signal of the self-assessment: its unit, its definition, and how it follows from facts.

Pure: facts in, values out. Each fact is a query of the journal's tables (see actions/assess.py), so
every value can be computed again from the journal alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from helios_agent.forecasting import evidence
from helios_agent.forecasting.comparison import Trial
from helios_agent.forecasting.detection import Detector
from helios_agent.forecasting.experts import single_ball_hypotheses
from helios_agent.forecasting.mixture import Standing

VISIBLE_ALPHA = 0.01
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Facts:
    """What was journaled about one game, as of `now_us` (microseconds, UTC)."""

    now_us: int
    white_count: int
    pick: int
    gains: Sequence[float]
    """The mixture's gain over uniform at each scored draw of the current era, nats, oldest first."""
    registered_gains: Sequence[float]
    """Those of them whose forecast was registered before its draw."""
    peak_nats: float
    weights: Mapping[str, float]
    """The mixture's weights for the next draw, by forecaster, the reserve among them."""
    standings: Mapping[str, Standing]
    """Prior weight of each forecaster in the current era, and what it gained on uniform, nats."""
    detector: Detector
    """The watch for a change, after the last scored draw."""
    trial: Trial | None
    """The test of today's challenger against the champion; None before its first scored draw."""
    draws: int
    """Draws of the current era that are stored."""
    draws_trained_on: int | None
    """Draws the newest network of the era was trained on; None if there is none."""
    missing_since_us: tuple[int, ...]
    """Instants of draws that were held but are not stored."""
    feed_read_us: int | None
    open_incidents: int
    backup_us: int
    """When the last backup was made, or the journal begun if there is none."""


@dataclass(frozen=True)
class Signal:
    """A measured quantity: its unit, its definition, and its value from facts (None: cannot be said yet)."""

    name: str
    unit: str
    definition: str
    measure: Callable[[Facts], float | None]


def _skill(bound: str) -> Callable[[Facts], float | None]:
    def measure(facts: Facts) -> float | None:
        value: float | None = getattr(evidence.skill_interval(facts.gains, evidence.SKILL_ALPHA), bound)
        return value

    return measure


def _smallest_visible_factor(facts: Facts) -> float | None:
    ball = facts.standings.get("ball")
    if ball is None:
        return None
    hypotheses = single_ball_hypotheses(facts.white_count, ball.prior)
    return evidence.smallest_visible_factor(
        len(facts.gains), facts.white_count, facts.pick, VISIBLE_ALPHA, hypotheses
    )


def _hours_since(us: int | None, facts: Facts) -> float | None:
    return None if us is None else max(0, facts.now_us - us) / HOUR_US


SIGNALS: tuple[Signal, ...] = (
    Signal(
        "evidence", "nats",
        "The mixture's total log-score gain over uniform in this era: the log of an e-process.",
        lambda f: sum(f.gains),
    ),
    Signal(
        "evidence_peak", "nats",
        "The largest value that the evidence has had.",
        lambda f: f.peak_nats,
    ),
    Signal(
        "fairness_p", "probability",
        "Anytime-valid p-value of «the draws are fair»: exp(−peak), at most 1 (Ville's inequality).",
        lambda f: evidence.anytime_p(f.peak_nats),
    ),
    Signal(
        "evidence_registered", "nats",
        "The part of the evidence from forecasts that stood in the journal before their draw.",
        lambda f: sum(f.registered_gains),
    ),
    Signal(
        "draws_known", "draws",
        "Draws of this era that are stored.",
        lambda f: float(f.draws),
    ),
    Signal(
        "draws_scored", "draws",
        "Draws of this era that were scored.",
        lambda f: float(len(f.gains)),
    ),
    Signal(
        "draws_registered", "draws",
        "Draws whose forecast stood in the journal before the draw.",
        lambda f: float(len(f.registered_gains)),
    ),
    Signal(
        "skill", "nats per draw",
        "The mixture's mean log-score gain over uniform.",
        _skill("mean"),
    ),
    Signal(
        "skill_low", "nats per draw",
        "Lower bound of the 95 % asymptotic confidence sequence of the skill.",
        _skill("low"),
    ),
    Signal(
        "skill_high", "nats per draw",
        "Upper bound of the 95 % asymptotic confidence sequence of the skill.",
        _skill("high"),
    ),
    Signal(
        "confidence", "probability",
        "The mixture's weight on forecasters other than uniform: its belief that the game can be predicted.",
        lambda f: evidence.predictability(f.weights),
    ),
    Signal(
        "regret", "nats",
        "What the best forecaster gained on uniform in this era, less what the mixture did.",
        lambda f: max((s.gain_nats for s in f.standings.values()), default=0.0) - sum(f.gains),
    ),
    Signal(
        "change", "nats",
        "Evidence that the machine has changed: log of Shiryaev and Roberts' sum over all moments.",
        lambda f: f.detector.shiryaev_roberts_nats,
    ),
    Signal(
        "change_clearest", "nats",
        "The part of it that speaks for one moment alone: log of the CUSUM.",
        lambda f: f.detector.cusum_nats,
    ),
    Signal(
        "change_age", "draws",
        "How many draws ago that moment was.",
        lambda f: float(f.detector.suspected_draws) if f.detector.draws else None,
    ),
    Signal(
        "challenger", "nats",
        "The largest evidence so far that the newest network forecasts better than the champion.",
        lambda f: f.trial.comparison.peak_nats if f.trial else None,
    ),
    Signal(
        "challenger_trial", "trial",
        "Which trial of a challenger in this era that is: each later one must show more.",
        lambda f: float(f.trial.ordinal) if f.trial else None,
    ),
    Signal(
        "smallest_visible_factor", "times",
        "The smallest weight of one ball, against 1 of the others, that the mixture would have found by now.",
        _smallest_visible_factor,
    ),
    Signal(
        "staleness", "draws",
        "Draws of this era that the newest network was not trained on; all of them if there is no network.",
        lambda f: float(f.draws - (f.draws_trained_on or 0)),
    ),
    Signal(
        "missing_draws", "draws",
        "Draws that the calendar says were held and that no source has told of.",
        lambda f: float(len(f.missing_since_us)),
    ),
    Signal(
        "draw_overdue", "hours",
        "Time since the oldest draw that is missing was held; 0 if none is missing.",
        lambda f: _hours_since(min(f.missing_since_us, default=f.now_us), f),
    ),
    Signal(
        "feed_silence", "hours",
        "Time since any feed of this game last answered.",
        lambda f: _hours_since(f.feed_read_us, f),
    ),
    Signal("open_incidents", "incidents", "Incidents that are open.", lambda f: float(f.open_incidents)),
    Signal(
        "backup_age", "hours",
        "Time since the last verified backup, or since the journal was begun if there is none.",
        lambda f: _hours_since(f.backup_us, f),
    ),
)  # fmt: skip


def assess(facts: Facts) -> dict[str, float | None]:
    """Return every signal's value, rounded to 9 decimals."""
    values = {signal.name: signal.measure(facts) for signal in SIGNALS}
    return {name: None if value is None else _rounded(value) for name, value in values.items()}


def _rounded(value: float) -> float:
    # A p-value of 1e-12 is not 0: what decimals would make vanish keeps 9 digits instead.
    return round(value, 9) or float(f"{value:.9g}")


def verdict(title: str, signals: Mapping[str, float | None], alarm_level: float) -> str:
    """Say in plain words what the signals mean for someone who follows the game."""
    draws, p = int(signals["draws_scored"] or 0), signals["fairness_p"]
    if not draws or p is None:
        return f"No draw of {title} has been scored yet, so nothing can be said."
    if p <= alarm_level:
        return (
            f"{title} shows signs of not being fair: over {draws:,} draws the forecasts gained "
            f"{signals['evidence_peak']:.2f} nats on chance at their best; a fair machine does that with "
            f"probability at most {p:.2g}."
        )
    factor = signals["smallest_visible_factor"]
    visible = (
        " So few draws hardly show anything: not even a ball that comes every time."
        if factor is None
        else f" A single ball {factor:.2f} times as heavy as each other would on average have shown by now."
    )
    count = "1 scored draw" if draws == 1 else f"{draws:,} scored draws"
    return f"No sign that {title} can be predicted, after {count}.{visible}"
