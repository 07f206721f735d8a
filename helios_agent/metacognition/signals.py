"""Every signal of the self-assessment: unit, definition, healthy range, source, and its value from facts.

Pure: facts in, values out. Each fact is a query of the journal's tables (see actions/facts.py), so that every
value can be computed again from the journal alone.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from helios_agent.forecasting import evidence
from helios_agent.metacognition import measures
from helios_agent.metacognition.facts import Facts
from helios_agent.metacognition.measures import LEAST_CALIBRATED, LEAST_LIVE, RECENT

Range = tuple[float | None, float | None]
"""Lowest and highest value at which all is well; None where there is no such bound."""
ANY: Range = (None, None)
LEAST_LEFT = 0.05
"""The share of a budget below which little is left. It is hardly ever all spent: no choice may exceed it."""


@dataclass(frozen=True)
class Signal:
    """A measured quantity.

    definition: what it is. source: of which events, and of which of their fields, it is computed.
    measure: its value from facts; None where it cannot be said yet.
    """

    name: str
    unit: str
    definition: str
    healthy: Range
    source: str
    measure: Callable[[Facts], float | None]


SCORES = "forecast.scored and history.scored of the game's current era (that of its newest draw)"
LAST = "the last of forecast.scored and history.scored of the era"
CHOSEN = "choice.made, any game, joined with work.spent by id = job"

SIGNALS: tuple[Signal, ...] = (
    Signal(
        "evidence", "nats",
        "The mixture's total log-score gain over uniform in this era: the log of an e-process.",
        (-0.6932, None),
        f"{SCORES}: the sum of mixture_gain.",
        lambda f: sum(f.gains),
    ),
    Signal(
        "evidence_peak", "nats",
        "The largest value that the evidence has had.",
        ANY,
        f"{LAST}: ledger.peak_nats.",
        lambda f: f.peak_nats,
    ),
    Signal(
        "fairness_p", "probability",
        "Anytime-valid p-value of «the draws are fair»: exp(−peak), at most 1 (Ville's inequality).",
        (0.01, None),
        f"{LAST}: exp(−ledger.peak_nats).",
        lambda f: evidence.anytime_p(f.peak_nats),
    ),
    Signal(
        "evidence_registered", "nats",
        "The part of the evidence from forecasts that stood in the journal before their draw.",
        ANY,
        "forecast.scored of the era: the sum of mixture_gain.",
        lambda f: sum(f.registered_gains),
    ),
    Signal(
        "draws_known", "draws",
        "Draws of this era that are stored.",
        ANY,
        "draw.ingested and history.imported of the game: those with day in the era.",
        lambda f: float(f.draws),
    ),
    Signal(
        "draws_scored", "draws",
        "Draws of this era that were scored.",
        ANY,
        f"{SCORES}: how many.",
        lambda f: float(len(f.gains)),
    ),
    Signal(
        "draws_registered", "draws",
        "Draws whose forecast stood in the journal before the draw.",
        ANY,
        "forecast.scored of the era: how many.",
        lambda f: float(len(f.registered_gains)),
    ),
    Signal(
        "skill", "nats per draw",
        "The mixture's mean log-score gain over uniform.",
        ANY,
        f"{SCORES}: the mean of mixture_gain.",
        measures.skill("mean"),
    ),
    Signal(
        "skill_low", "nats per draw",
        "Lower bound of the 95 % asymptotic confidence sequence of the skill.",
        ANY,
        f"{SCORES}: from number, mean and standard deviation of mixture_gain, by evidence.skill_interval.",
        measures.skill("low"),
    ),
    Signal(
        "skill_high", "nats per draw",
        "Upper bound of the 95 % asymptotic confidence sequence of the skill.",
        (0.0, None),
        f"{SCORES}: as skill_low.",
        measures.skill("high"),
    ),
    Signal(
        "calibration_error", "probability",
        f"Over the last {RECENT} draws with a registered forecast, at least {LEAST_CALIBRATED}: the chance "
        "to be drawn that the served forecast expected of the balls to be drawn, less the one that it gave "
        "to those drawn.",
        (-0.01, 0.01),
        f"The last {RECENT} forecast.scored of the era that have calibration: the mean of "
        "calibration.expected − calibration.drawn.",
        lambda f: measures.mean(f.overstated, LEAST_CALIBRATED),
    ),
    Signal(
        "confidence", "probability",
        "The mixture's weight on forecasters other than uniform: its belief that the game can be predicted.",
        ANY,
        f"{LAST}: the posterior of ledger.standings, that of switching passed on by ledger.shares; 1 less "
        "what uniform and the reserve have.",
        lambda f: evidence.predictability(f.weights),
    ),
    Signal(
        "leader_weight", "probability",
        "The largest weight in the mixture of a forecaster other than uniform.",
        ANY,
        f"{LAST}: the weights as for confidence.",
        measures.leader_weight,
    ),
    Signal(
        "expert_disagreement", "probability",
        "How far apart the forecasters are on the next draw: the standard deviation between them, uniform "
        "left out, of a main ball's chance to be drawn, root mean square over the balls.",
        ANY,
        "The last forecast.registered of the game, if its draw is not known yet: forecast.forecasters.",
        lambda f: f.disagreement,
    ),
    Signal(
        "regret", "nats",
        "What the best forecaster gained on uniform in this era, less what the mixture did.",
        ANY,
        f"{LAST}: the largest gain_nats of ledger.standings; less the sum of mixture_gain over the era.",
        lambda f: max((s.gain_nats for s in f.standings.values()), default=0.0) - sum(f.gains),
    ),
    Signal(
        "change", "nats",
        "Evidence that the machine has changed: log of Shiryaev and Roberts' sum over all moments. On a fair "
        "machine it grows with the logarithm of the draws, so that alone it says nothing.",
        ANY,
        f"{LAST}: ledger.detector.shiryaev_roberts_nats; null once an alert.raised about game/change "
        "followed it.",
        lambda f: f.detector.shiryaev_roberts_nats,
    ),
    Signal(
        "change_clearest", "nats",
        "The part of it that speaks for one moment alone: log of the CUSUM.",
        (None, 3.0),
        f"{LAST}: ledger.detector.cusum_nats; null as change is.",
        lambda f: f.detector.cusum_nats,
    ),
    Signal(
        "change_age", "draws",
        "How many draws ago that moment was.",
        ANY,
        f"{LAST}: ledger.detector.suspected_draws; null as change is.",
        lambda f: float(f.detector.suspected_draws) if f.detector.draws else None,
    ),
    Signal(
        "challenger", "nats",
        "The largest evidence so far that the newest network forecasts better than the champion.",
        ANY,
        f"{LAST}: ledger.trial.comparison.peak_nats, if ledger.trial is of the model that is challenger by "
        "model.trained, .imported, .promoted, .rolled-back, .retired and .deleted.",
        lambda f: f.trial.comparison.peak_nats if f.trial else None,
    ),
    Signal(
        "challenger_trial", "trial",
        "Which trial of a challenger in this era that is: each later one must show more.",
        ANY,
        f"{LAST}: ledger.trial.ordinal, null as challenger is.",
        lambda f: float(f.trial.ordinal) if f.trial else None,
    ),
    Signal(
        "challenger_gain", "nats per draw",
        f"The challenger's mean log-score gain over uniform, over its last {RECENT} draws since it joined.",
        ANY,
        "forecast.scored of the era after the model.trained or model.imported of the challenger: the mean of "
        f"gains[name@version] over the last {RECENT} that have it.",
        lambda f: measures.mean(f.networks.challenger_gains),
    ),
    Signal(
        "champion_gain", "nats per draw",
        f"The champion's mean log-score gain over uniform, over its last {RECENT} draws since its promotion.",
        ANY,
        "forecast.scored of the era after the last model.promoted of the champion: as challenger_gain.",
        lambda f: measures.mean(f.networks.champion_gains),
    ),
    Signal(
        "challenger_loss",
        "nats",
        "What the challenger lost to uniform in all since it joined: the log of an e-process against its "
        "forecasts being right.",
        (None, 4.605),
        f"{LAST}: −gain_nats of the challenger's name@version in ledger.standings, if it has one.",
        lambda f: measures.loss(f.networks.challenger, f),
    ),
    Signal(
        "champion_loss",
        "nats",
        "What the champion lost to uniform in all since it joined, as challenger_loss.",
        (None, 4.605),
        f"{LAST}: −gain_nats of the champion's name@version in ledger.standings, if it has one.",
        lambda f: measures.loss(f.networks.champion, f),
    ),
    Signal(
        "validation_gap", "nats per draw",
        "What the newest network gained on the last draws it was trained on, less what it did on those it "
        "was validated on, as many: how much it knows by heart.",
        (None, 0.05),
        "The last model.trained or model.imported of the era: metrics.training_gain_nats − "
        "metrics.validation_gain_nats.",
        measures.validation_gap,
    ),
    Signal(
        "live_gap", "nats per draw",
        "What the newest network gained on the draws it was validated on, less what it gained on average on "
        f"its last {RECENT} draws since, at least {LEAST_LIVE}.",
        (None, 0.05),
        "The last model.trained or model.imported of the era: metrics.validation_gain_nats; forecast.scored "
        "after it: as challenger_gain.",
        measures.live_gap,
    ),
    Signal(
        "learning_progress", "nats per draw",
        "What the newest network gained in validation, less what the one before it did.",
        (-0.05, None),
        "The last two model.trained or model.imported of the era, of different versions: "
        "metrics.validation_gain_nats.",
        measures.learning_progress,
    ),
    Signal(
        "smallest_visible_factor", "times",
        "The smallest weight of one ball, against 1 of the others, that the mixture would have found by now.",
        ANY,
        f"{SCORES}: how many; and of the last, ledger.standings.ball.prior, by "
        "evidence.smallest_visible_factor.",
        measures.smallest_visible_factor,
    ),
    Signal(
        "staleness", "draws",
        "Draws of this era that its newest network, whatever became of that, was not trained on; all of them "
        "if there was none.",
        (None, 39.0),
        "draws_known, less the largest draws of model.trained or .imported of the era.",
        lambda f: float(f.draws - (f.draws_trained_on or 0)),
    ),
    Signal(
        "failed_trainings", "trainings",
        "Trainings and searches that failed, one after the other, since the last that succeeded, as far back "
        "as the database goes (retention.age).",
        (None, 1.0),
        "intent.created or .proposed of train or tune for the game, the last first, with their intent.done, "
        ".failed or .dead: how many before the first that is done.",
        lambda f: float(len(measures.failed_in_a_row(f))),
    ),
    Signal(
        "diverged_trainings", "trainings",
        "Those of failed_trainings that failed because their loss was no longer a finite number.",
        (None, 0.0),
        "As failed_trainings: those of them whose intent.failed has an error that begins with «training "
        "diverged».",
        lambda f: float(measures.failed_in_a_row(f).count("diverged")),
    ),
    Signal(
        "draws_since_search", "draws",
        "Draws of this era that were scored since the last search for a network ended; all if none was made.",
        ANY,
        f"{SCORES}, after the last search.completed of the game: how many.",
        lambda f: float(f.draws_since_search),
    ),
    Signal(
        "draws_since_backtest", "draws",
        "Draws of this era that were scored since the last backtest ended; all if none was made.",
        ANY,
        f"{SCORES}, after the last backtest.completed of the game: how many.",
        lambda f: float(f.draws_since_backtest),
    ),
    Signal(
        "decision_effectiveness", "share",
        f"The share of the last {RECENT} measured bets of this game (to train, tune, backtest, ask feeds or "
        "compact the journal) that helped.",
        ANY,
        f"The last {RECENT} decision.measured of the game, by time and id, of the actions train, train-warm, "
        "tune, backtest, ingest and compact: the mean of success.",
        lambda f: measures.mean(f.successes),
    ),
    Signal(
        "missing_draws", "draws",
        "Draws that the calendar says were held and that no source has told of.",
        (None, 0.0),
        "draw.ingested and history.imported of the era, against the calendar from the first of them on.",
        lambda f: float(len(f.missing_since_us)),
    ),
    Signal(
        "draw_overdue", "hours",
        "Time since the oldest draw of the last 30 days that is missing was held; 0 if none is missing.",
        (None, 24.0),
        "As missing_draws.",
        lambda f: measures.hours_since(measures.overdue_since_us(f), f),
    ),
    Signal(
        "feed_silence", "hours",
        "Time since any feed of this game last answered.",
        (None, 24.0),
        "The last feed.read of the game: its time.",
        lambda f: measures.hours_since(f.feed_read_us, f),
    ),
    Signal(
        "feed_disagreement", "draws",
        "Draws on which feeds contradict each other.",
        (None, 0.0),
        "incident.opened whose key begins with dispute:game: and that no incident.closed has followed: how "
        "many.",
        lambda f: float(f.disputes),
    ),
    Signal(
        "open_incidents", "incidents",
        "Incidents that are open.",
        (None, 0.0),
        "incident.opened of any key that no incident.closed has followed: how many.",
        lambda f: float(f.upkeep.open_incidents),
    ),
    Signal(
        "compute_day", "CPU seconds",
        "Processor time that work chosen by decisions took within the last 24 hours.",
        ANY,
        f"{CHOSEN}: the sum of cpu_seconds within 24 hours.",
        lambda f: f.upkeep.spent_day_s,
    ),
    Signal(
        "compute_month", "CPU seconds",
        "Processor time that work chosen by decisions took within the last 30 days.",
        ANY,
        f"{CHOSEN}: the sum of cpu_seconds within 30 days.",
        lambda f: f.upkeep.spent_month_s,
    ),
    Signal(
        "compute_left_day", "CPU seconds",
        "What is left of the day's budget.",
        (360.0, None),
        "given.cpu_per_day of this assessment, less compute_day.",
        lambda f: f.upkeep.budget_day_s - f.upkeep.spent_day_s,
    ),
    Signal(
        "compute_left_month", "CPU seconds",
        "What is left of the month's budget.",
        (3600.0, None),
        "given.cpu_per_month of this assessment, less compute_month.",
        lambda f: f.upkeep.budget_month_s - f.upkeep.spent_month_s,
    ),
    Signal(
        "storage_used", "share",
        "What the database uses of the size that retention allows.",
        (None, 0.9),
        "given.used_bytes of this assessment, by given.allowed_bytes.",
        lambda f: f.upkeep.used_bytes / f.upkeep.allowed_bytes,
    ),
    Signal(
        "disk_free", "times",
        "What is free of the disk that the database is on, by the size that retention allows the database.",
        (1.0, None),
        "given.free_bytes of this assessment, by given.allowed_bytes.",
        lambda f: measures.disk_free(f.upkeep),
    ),
    Signal(
        "schedule_lateness", "hours",
        "By how much the last firing of the latest schedule came after it was due, of those within 30 days.",
        (None, 1.0),
        "Of each schedule the schedule.fired with the largest due_us, but for those that a schedule.rewound "
        "took back, if it is of the last 30 days: the largest of time − due_us.",
        measures.schedule_lateness,
    ),
    Signal(
        "webhook_failures", "messages",
        "Messages about events of the last 7 days that could not be delivered so far, or were given up.",
        (None, 0.0),
        "webhook.queued about events of the last 7 days with a webhook.failed or .dead and no webhook.sent: "
        "how many.",
        lambda f: float(f.upkeep.unsent),
    ),
    Signal(
        "backup_age", "hours",
        "Time since the last verified backup, or since the journal was begun if there is none.",
        (None, 48.0),
        "The last backup.completed, else the oldest event in the database: its time.",
        lambda f: measures.hours_since(f.upkeep.backup_us, f),
    ),
    Signal(
        "verification_age", "hours",
        "Time since the journal was last verified, or since it was begun if it never was.",
        (None, 264.0),
        "The last journal.verified, else the oldest event in the database: its time.",
        lambda f: measures.hours_since(f.upkeep.verified_us, f),
    ),
)  # fmt: skip


BY_NAME: Mapping[str, Signal] = {signal.name: signal for signal in SIGNALS}


@dataclass(frozen=True)
class Limits:
    """By which decisions about a game are made; in hours, or in CPU seconds, what ends so."""

    retrain_after_draws: float
    ingest_after_hours: float
    backup_after_hours: float
    verify_after_hours: float
    compact_at: float
    alarm_level: float
    budget_day_cpu_seconds: float
    budget_month_cpu_seconds: float


def healthy(limits: Limits) -> dict[str, Range]:
    """Return the healthy range of every signal: what is due by the limits may be as late as usual.

    Those of SIGNALS are the ranges under the limits that a policy has by default.
    """
    lost = (None, round(-math.log(limits.alarm_level), 3))
    return {signal.name: signal.healthy for signal in SIGNALS} | {
        "fairness_p": (limits.alarm_level, None),
        "challenger_loss": lost,
        "champion_loss": lost,
        "staleness": (None, 3.0 * limits.retrain_after_draws),
        "draw_overdue": (None, 3.0 * limits.ingest_after_hours),
        "compute_left_day": (_least_left(limits.budget_day_cpu_seconds), None),
        "compute_left_month": (_least_left(limits.budget_month_cpu_seconds), None),
        "storage_used": (None, limits.compact_at),
        "backup_age": (None, limits.backup_after_hours + 12.0),
        "verification_age": (None, limits.verify_after_hours + 24.0),
    }


def _least_left(budget_cpu_seconds: float) -> float:
    # A second at least: of a budget of 0 nothing is left, which is not enough.
    return max(1.0, LEAST_LEFT * budget_cpu_seconds)


def unhealthy(measured: Mapping[str, float | None], ranges: Mapping[str, Range]) -> list[str]:
    """Return the signals that are known and outside their healthy range."""
    return [
        name
        for name, (low, high) in ranges.items()
        if (value := measured.get(name)) is not None
        and ((low is not None and value < low) or (high is not None and value > high))
    ]


def assess(facts: Facts) -> dict[str, float | None]:
    """Return every signal's value, rounded to 9 decimals."""
    values = {signal.name: signal.measure(facts) for signal in SIGNALS}
    return {name: None if value is None else rounded(value) for name, value in values.items()}


def rounded(value: float) -> float:
    """Return a value with 9 decimals, or 9 digits."""
    # A p-value of 1e-12 is not 0: what decimals would make vanish keeps 9 digits instead.
    return round(value, 9) or float(f"{value:.9g}")
