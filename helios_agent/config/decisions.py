"""The settings of decisions: what may be decided, at which limits and prices, and the goals to be reached."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from helios_agent.config.kinds import CLOCK, GameName, Name, Seconds, Section, TimeZone

Chosen = Literal[
    "ingest", "train", "train-warm", "tune", "backtest", "promote", "rollback", "retire", "adjust",
    "compact", "backup", "verify", "alert", "ask",
]  # fmt: skip
"""What a decision can choose, besides waiting."""


class Budget(Section):
    """The most processor time that decisions may spend on jobs."""

    cpu_per_day: Seconds = Field(7200, ge=0)
    cpu_per_month: Seconds = Field(72_000, ge=0)


class QuietHours(Section):
    """When no long computation is begun: from start to end, on the clocks of timezone."""

    start: Annotated[str, Field(pattern=CLOCK)]
    end: Annotated[str, Field(pattern=CLOCK)]
    timezone: TimeZone = "UTC"

    @model_validator(mode="after")
    def _end_sometime(self) -> "QuietHours":
        if self.start == self.end:
            raise ValueError(f"start and end are both {self.start}: there would be no other hours")
        return self


SignalName = Literal[
    "evidence", "evidence_peak", "fairness_p", "evidence_registered", "draws_known", "draws_scored",
    "draws_registered", "skill", "skill_low", "skill_high", "calibration_error", "confidence",
    "leader_weight", "expert_disagreement", "regret", "change", "change_clearest", "change_age",
    "challenger", "challenger_trial", "challenger_gain", "champion_gain", "challenger_loss", "champion_loss",
    "validation_gap", "live_gap", "learning_progress", "smallest_visible_factor", "staleness",
    "failed_trainings", "diverged_trainings", "draws_since_search", "draws_since_backtest",
    "decision_effectiveness", "missing_draws", "draw_overdue", "feed_silence", "feed_disagreement",
    "open_incidents", "compute_day", "compute_month", "compute_left_day", "compute_left_month",
    "storage_used", "disk_free", "schedule_lateness", "webhook_failures", "backup_age", "verification_age",
]  # fmt: skip
"""What an assessment measures of a game, see `metacognition.signals`: what a goal can be about."""


LATEST_DEADLINE = date(2200, 1, 1)


class Goal(Section):
    """A value that a signal of a game is to reach."""

    id: Name
    name: Annotated[str, Field(min_length=1, max_length=200)]
    game: GameName
    metric: SignalName
    target: float
    direction: Literal["at least", "at most"]
    priority: Literal["critical", "high", "medium", "low"] = "medium"
    deadline: Annotated[date, Field(le=LATEST_DEADLINE)] | None = None
    after: tuple[Name, ...] = ()


class Decisions(Section):
    """The policy by which decisions are made."""

    autonomy: dict[Chosen, Literal["observe", "propose", "act"]] = Field({})
    retrain_after_draws: int = Field(13, ge=1)
    tune_after_draws: int = Field(312, ge=1)
    backtest_after_draws: int = Field(156, ge=1)
    evaluation_draws: int = Field(13, ge=1, le=1000)
    ingest_after: Seconds = Field(28_800, ge=60)
    backup_after: Seconds = Field(129_600, ge=60)
    verify_after: Seconds = Field(864_000, ge=60)
    compact_at: float = Field(0.9, gt=0, le=1)
    alarm_level: float = Field(0.01, gt=0, lt=0.5)
    change_alarm_years: float = Field(20, ge=1, le=10_000)
    cooldown: Seconds = Field(86_400, ge=0)
    cooldowns: dict[Chosen, Annotated[Seconds, Field(ge=0)]] = Field({"ask": 604_800})
    budget: Budget = Budget()
    cpu_price: float = Field(0.1, ge=0, le=1000)
    disk_price: float = Field(0.1, ge=0, le=1000)
    quiet_hours: QuietHours | None = None
    approval: Seconds = Field(604_800, ge=60)
    goals: tuple[Goal, ...] = ()

    @field_validator("autonomy")
    @classmethod
    def _tells_or_does_not(cls, autonomy: dict[str, str]) -> dict[str, str]:
        wrong = [action for action in ("alert", "ask") if autonomy.get(action) == "propose"]
        if wrong:
            raise ValueError(
                f"{' and '.join(wrong)} can only tell a person something: expected act or observe"
            )
        return autonomy

    @field_validator("goals")
    @classmethod
    def _can_be_reached(cls, goals: tuple[Goal, ...]) -> tuple[Goal, ...]:
        return _without_cycles(goals)


def _without_cycles(goals: tuple[Goal, ...]) -> tuple[Goal, ...]:
    """Return goals, each of which can come after those it names. Raises ValueError with every mistake."""
    mistakes = []
    ids = [goal.id for goal in goals]
    mistakes += [f"two goals have the id {twice}" for twice in sorted({i for i in ids if ids.count(i) > 1})]
    after = {goal.id: goal.after for goal in goals}
    for goal in goals:
        mistakes += [
            f"{goal.id} comes after {name}, which is no goal" for name in goal.after if name not in after
        ]
    left = {name: {before for before in befores if before in after} for name, befores in after.items()}
    while ready := [name for name, befores in left.items() if not befores]:
        left = {name: befores - set(ready) for name, befores in left.items() if befores}
    if left:
        mistakes.append(f"these goals wait for each other: {', '.join(sorted(left))}")
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return goals
