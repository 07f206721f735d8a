"""What a decision is made from: everything that the engine is given, and can be given again."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from helios_agent.decisions.policy import Policy
from helios_agent.forecasting import detection

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUIET: Literal["quiet"] = "quiet"
SUSPICIOUS: Literal["suspicious"] = "suspicious"
ALARMED: Literal["alarmed"] = "alarmed"
Key = tuple[str, str]
"""An action and its target."""


@dataclass(frozen=True)
class Belief:
    """What came of earlier decisions for an action in a context, besides what is believed before any."""

    wins: float
    losses: float


@dataclass(frozen=True)
class OpenGoal:
    """A signal that has not reached the value it is to reach."""

    id: str
    metric: str
    priority: str


@dataclass(frozen=True)
class Situation:
    """A game as a decision finds it. `signals` are those of its latest assessment; None: unknown."""

    game: str
    now_us: int
    seed: int
    signals: Mapping[str, float | None]
    champion: str | None = None
    """name@version, as its target is written."""
    challenger: str | None = None
    is_on: bool = True
    """False while a person has switched decisions off."""
    hours_since: Mapping[Key, float] = field(default_factory=dict)
    """How long ago each action on each target was last chosen."""
    under_way: frozenset[Key] = frozenset()
    """Intents that wait, run or are paused."""
    beliefs: Mapping[Key, Belief] = field(default_factory=dict)
    """By action and context."""
    lent: Mapping[Key, Belief] = field(default_factory=dict)
    """What outcomes in other games count for here, likewise."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """CPU seconds that an action usually takes, where that was measured."""
    spent_day: float = 0.0
    """CPU seconds that chosen actions took within the last 24 hours."""
    spent_month: float = 0.0
    """… within the last 30 days."""
    factors: Mapping[str, float] = field(default_factory=dict)
    """By which decisions have multiplied configured settings; 1 where there is none."""
    goals: tuple[OpenGoal, ...] = ()

    @property
    def now(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.now_us)

    def factor(self, name: str) -> float:
        """Return by what a setting is multiplied."""
        return self.factors.get(name, 1.0)

    def to_record(self) -> dict[str, Any]:
        """Return the situation as JSON-ready values, in an order that does not depend on how it was made."""
        return {
            "game": self.game,
            "now_us": self.now_us,
            "seed": self.seed,
            "signals": dict(sorted(self.signals.items())),
            "champion": self.champion,
            "challenger": self.challenger,
            "is_on": self.is_on,
            "hours_since": [[*key, round(hours, 6)] for key, hours in sorted(self.hours_since.items())],
            "under_way": [list(key) for key in sorted(self.under_way)],
            "beliefs": [[*key, b.wins, b.losses] for key, b in sorted(self.beliefs.items())],
            "lent": [[*key, b.wins, b.losses] for key, b in sorted(self.lent.items())],
            "costs": {name: round(cost, 6) for name, cost in sorted(self.costs.items())},
            "spent_day": round(self.spent_day, 6),
            "spent_month": round(self.spent_month, 6),
            "factors": dict(sorted(self.factors.items())),
            "goals": [[goal.id, goal.metric, goal.priority] for goal in self.goals],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Situation":
        """Read a situation back from its record."""
        given = {
            "hours_since": {(action, target): hours for action, target, hours in record["hours_since"]},
            "under_way": frozenset((action, target) for action, target in record["under_way"]),
            **{
                name: {
                    (action, context): Belief(wins, losses)
                    for action, context, wins, losses in record.get(name, ())
                }
                for name in ("beliefs", "lent")
            },
            "goals": tuple(OpenGoal(*goal) for goal in record["goals"]),
        }
        return cls(**{**record, **given})


def context(signals: Mapping[str, float | None], policy: Policy) -> str:
    """Return how things stand with a game's fairness: what is worth doing depends on it.

    `alarmed` once the evidence, or that for a change, is at its alarm; `suspicious` from half way there.
    """
    at = max(
        (signals.get("evidence_peak") or 0.0) / alarm_nats(policy),
        change_alarm(signals, policy),
    )
    now = max((signals.get("evidence") or 0.0) / alarm_nats(policy), change_alarm(signals, policy))
    if at >= 1.0:
        return ALARMED
    return SUSPICIOUS if now >= 0.5 else QUIET


def alarm_nats(policy: Policy) -> float:
    """Return the evidence against fairness at which to alert."""
    return -math.log(policy.alarm_level)


def change_alarm(signals: Mapping[str, float | None], policy: Policy) -> float:
    """Return how near to its alarm the watch for a change is: from 1 on there is one."""
    return detection.alarm(
        signals.get("change") or 0.0, signals.get("change_clearest") or 0.0, policy.change_alarm_nats
    )
