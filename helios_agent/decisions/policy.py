"""The policy as the engine takes it: limits, prices and constraints as plain values, and their digest."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, time
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class QuietHours:
    """When no long computation is begun: from `start` to `end` (HH:MM), on the clocks of a time zone."""

    start: str
    end: str
    timezone: str

    def contain(self, instant: datetime) -> bool:
        """Return whether an instant is within them. They may go over midnight."""
        local = instant.astimezone(ZoneInfo(self.timezone)).time()
        start, end = time.fromisoformat(self.start), time.fromisoformat(self.end)
        return start <= local < end if start < end else local >= start or local < end


@dataclass(frozen=True)
class Policy:
    """The limits and constraints by which decisions about one game are made."""

    retrain_after_draws: int
    tune_after_draws: int
    backtest_after_draws: int
    evaluation_draws: int
    """After how many draws it is measured what a training or a promotion was worth."""
    ingest_after_hours: float
    backup_after_hours: float
    verify_after_hours: float
    compact_at: float
    """Share of its allowed size that the database may use."""
    alarm_level: float
    change_alarm_nats: float
    """The evidence for a change at which to alert."""
    fewest_draws: int
    """Draws of an era below which a network cannot be trained."""
    cooldown_hours: float
    cpu_seconds_per_day: float
    cpu_seconds_per_month: float
    cpu_price: float
    """What an hour of processor time takes from a score."""
    disk_price: float
    """What a GiB of disk takes from a score."""
    approval_hours: float
    """How long a proposal waits for approval."""
    fewest_draws_to_search: int = 0
    """Draws of an era below which no configuration can be searched for."""
    autonomy: Mapping[str, str] = field(default_factory=dict)
    """Per action: observe, propose or act. Those that are not named act."""
    cooldowns_hours: Mapping[str, float] = field(default_factory=dict)
    """Per action, where it is not `cooldown_hours`."""
    quiet_hours: QuietHours | None = None

    def mode_of(self, action: str) -> str:
        """Return what an action may do: observe, propose or act."""
        return self.autonomy.get(action, "act")

    def cooldown_of(self, action: str) -> float:
        """Return for how many hours the same action, on the same target, is not decided again."""
        return self.cooldowns_hours.get(action, self.cooldown_hours)

    def to_record(self) -> dict[str, Any]:
        """Return the policy as JSON-ready values."""
        return asdict(self)

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Policy":
        """Read a policy back from its record. Raises TypeError where a field without default is missing.

        What is not in the record had not been thought of: its default is what was done then.
        """
        known = {f.name: record[f.name] for f in fields(cls) if f.name in record}
        quiet = known.get("quiet_hours")
        return cls(**{**known, "quiet_hours": QuietHours(**quiet) if quiet else None})

    def digest(self) -> str:
        """Return 16 hex digits that name this policy."""
        text = json.dumps(self.to_record(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
