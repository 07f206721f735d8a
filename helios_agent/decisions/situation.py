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
IN_WORDS = {QUIET: "nothing is suspected", SUSPICIOUS: "something is suspected", ALARMED: "an alarm stands"}
ALARMED_HOURS = 90 * 24.0
REMEMBERED_HOURS = 400 * 24.0
"""What was chosen longer ago than this is no longer counted from."""
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
    direction: str | None = None
    """`at least` or `at most`; None in decisions of a time when that made no difference."""


@dataclass(frozen=True)
class Situation:
    """A game as a decision finds it. `signals` are those of its latest assessment; None: unknown."""

    game: str
    now_us: int
    seed: int
    signals: Mapping[str, float | None]
    era: str | None = None
    """The rules in force, by the day from which they are."""
    champion: str | None = None
    """name@version, as its target is written."""
    challenger: str | None = None
    can_roll_back: bool = True
    """Whether whoever was champion before, if anybody, could be it again."""
    on_trial: int | None = None
    """How many draws the newest network has yet to forecast before it is judged; None: it was judged."""
    is_on: bool = True
    """False while a person has switched decisions off."""
    hours_since: Mapping[Key, float] = field(default_factory=dict)
    """How long ago each action on each target was last chosen, or a proposal of it refused."""
    alerted: Mapping[str, float] = field(default_factory=dict)
    """Of what evidence, in nats, the last alert about each target told under these rules."""
    under_way: frozenset[Key] = frozenset()
    """Intents that wait, run or are paused."""
    beliefs: Mapping[Key, Belief] = field(default_factory=dict)
    """By action and context."""
    lent: Mapping[Key, Belief] = field(default_factory=dict)
    """What outcomes in other games count for here, likewise."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """CPU seconds that an action usually takes, where that was measured."""
    told_within_hours: float | None = None
    """Within which the quickest feed has told of nine draws in ten, where that was learned."""
    spent_day: float = 0.0
    """CPU seconds that chosen actions took within the last 24 hours, or will take that are not over."""
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
            "era": self.era,
            "champion": self.champion,
            "challenger": self.challenger,
            "can_roll_back": self.can_roll_back,
            "on_trial": self.on_trial,
            "is_on": self.is_on,
            "hours_since": [[*key, round(hours, 6)] for key, hours in sorted(self.hours_since.items())],
            "alerted": {target: round(nats, 6) for target, nats in sorted(self.alerted.items())},
            "under_way": [list(key) for key in sorted(self.under_way)],
            "beliefs": [[*key, b.wins, b.losses] for key, b in sorted(self.beliefs.items())],
            "lent": [[*key, b.wins, b.losses] for key, b in sorted(self.lent.items())],
            "costs": {name: round(cost, 6) for name, cost in sorted(self.costs.items())},
            "told_within_hours": None if self.told_within_hours is None else round(self.told_within_hours, 6),
            "spent_day": round(self.spent_day, 6),
            "spent_month": round(self.spent_month, 6),
            "factors": dict(sorted(self.factors.items())),
            "goals": [[goal.id, goal.metric, goal.priority, goal.direction] for goal in self.goals],
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
            "alerted": record["alerted"] if "era" in record else {},  # it was not in nats before
        }
        return cls(**{**record, **given})


def context(it: Situation, policy: Policy) -> str:
    """Return how things stand with a game's fairness: what is worth doing depends on it.

    `alarmed` while the evidence, or that for a change, is at its alarm, and for ALARMED_HOURS after an alert,
    since the watch for a change begins anew with it; `suspicious` from half way there.
    """
    nearest = max((it.signals.get("evidence") or 0.0) / alarm_nats(policy), change_alarm(it.signals, policy))
    alerts = [hours for key, hours in it.hours_since.items() if _is_alert(key, it.game)]
    if nearest >= 1.0 or min(alerts, default=math.inf) < ALARMED_HOURS:
        return ALARMED
    return SUSPICIOUS if nearest >= 0.5 else QUIET


def _is_alert(key: Key, game: str) -> bool:
    return key[0] == "alert" and key[1].partition("/")[0] == game


def alarm_nats(policy: Policy) -> float:
    """Return the evidence against fairness at which to alert."""
    return -math.log(policy.alarm_level)


def change_alarm(signals: Mapping[str, float | None], policy: Policy) -> float:
    """Return how near to its alarm the watch for a change is: from 1 on there is one."""
    return detection.alarm(
        signals.get("change") or 0.0, signals.get("change_clearest") or 0.0, policy.change_alarm_nats
    )
