"""The configuration as immutable values, with the bounds that each setting must keep.

The settings are explained, with their defaults, in `config/helios.yaml`.
"""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    HttpUrl,
    ValidationInfo,
    field_validator,
    model_validator,
)

from helios_agent.config import cron
from helios_agent.config.cron import Trigger

SHORTEST_EVERY_S = 60
LONGEST_EVERY_S = 366 * 86_400
LOOPBACK = ("127.0.0.1", "::1", "localhost")

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


DURATION = r"^(\d+(\.\d+)?[smhd])+$"


def _parse_duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(DURATION, value):
        raise ValueError('a duration is written like "90s", "15m", "1h30m" or "7d"')
    return sum(float(n) * _UNITS[unit] for n, _, unit in re.findall(r"(\d+(\.\d+)?)([smhd])", value))


Seconds = Annotated[
    float,
    BeforeValidator(_parse_duration, json_schema_input_type=float | Annotated[str, Field(pattern=DURATION)]),
]
CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"


def _known_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        message = 'a time zone is named as in the IANA database, like "America/New_York"'
        raise ValueError(message) from None
    return zone


TimeZone = Annotated[str, AfterValidator(_known_zone)]
_BYTES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
SIZE = r"^\d+(\.\d+)?(KiB|MiB|GiB)$"


def _parse_size(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(SIZE, value):
        raise ValueError('a size is a number of bytes, or written like "64MiB" or "1.5GiB"')
    return int(float(value[:-3]) * _BYTES[value[-3:]])


Bytes = Annotated[
    int,
    BeforeValidator(_parse_size, json_schema_input_type=int | Annotated[str, Field(pattern=SIZE)]),
]
GameName = Literal["powerball", "megamillions", "simulated"]
ActionName = Literal[
    "ingest", "score", "forecast", "train", "tune", "assess", "decide", "reflect", "backup", "verify",
    "compact",
]  # fmt: skip
"""What a schedule or a request can ask for."""
UPKEEP_ACTIONS = ("backup", "verify", "compact")
"""Those of them that concern the journal; the others concern one game."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=_Named)


def _distinct_names(items: tuple[N, ...]) -> tuple[N, ...]:
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names must differ; used more than once: {', '.join(twice)}")
    return items


class Section(BaseModel):
    """A group of settings: frozen, and refusing what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: object, field: ValidationInfo) -> object:
        """Refuse what YAML reads as true or false (yes, no, on, off) where that is not meant."""
        if isinstance(value, bool) and cls.model_fields[str(field.field_name)].annotation is not bool:
            raise ValueError("true and false (yes, no, on, off) mean nothing here")
        return value


class Paths(Section):
    state: Path = Path("state")
    models: Path = Path("models")


class Log(Section):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = "text"


class Http(Section):
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    hosts: tuple[str, ...] = ()
    public_url: HttpUrl | None = None
    token_file: Path | None = None

    @field_validator("public_url")
    @classmethod
    def _can_be_added_to(cls, url: HttpUrl | None) -> HttpUrl | None:
        if url is not None and (url.username or url.password or url.query or url.fragment):
            raise ValueError("a public URL has no user, no query and no fragment: links begin with it")
        return url

    @model_validator(mode="after")
    def _guarded(self) -> "Http":
        if self.host not in LOOPBACK and self.token_file is None:
            raise ValueError(
                f"host {self.host} is reachable from other machines: set token_file, so that only who "
                "holds the token can make the agent act"
            )
        return self


class Feed(Section):
    name: Name
    kind: Literal["texas", "socrata"]
    url: HttpUrl


class GameFeeds(Section):
    feeds: tuple[Feed, ...] = ()

    @field_validator("feeds")
    @classmethod
    def _distinct(cls, feeds: tuple[Feed, ...]) -> tuple[Feed, ...]:
        return _distinct_names(feeds)


class Feeds(Section):
    timeout: Seconds = Field(20, gt=0, le=300)
    retry_first: Seconds = Field(60, ge=1)
    retry_limit: Seconds = Field(3600, ge=1)
    overlap_days: int = Field(21, ge=0, le=3660)


class Network(Section):
    sequence: int = Field(50, ge=2, le=500)
    hidden: int = Field(256, ge=8, le=4096)
    layers: int = Field(3, ge=1, le=8)
    heads: int = Field(8, ge=1, le=64)
    dropout: float = Field(0.2, ge=0, lt=1)
    embedding: int = Field(64, ge=2, le=1024)

    @model_validator(mode="after")
    def _divides(self) -> "Network":
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads})")
        return self


class Training(Section):
    learning_rate: float = Field(0.001, gt=0, le=1)
    batch: int = Field(32, ge=1, le=4096)
    segments: int = Field(8, ge=1, le=4096)
    epochs: int = Field(100, ge=1, le=10_000)
    patience: int = Field(10, ge=1, le=10_000)
    validation: float = Field(0.2, gt=0, lt=0.9)
    threads: int = Field(1, ge=1, le=64)
    precision: Literal["auto", "fp32", "bf16"] = "auto"


class Search(Section):
    trials: int = Field(20, ge=1, le=1000)
    folds: int = Field(4, ge=1, le=50)
    block: int = Field(50, ge=5, le=1000)
    cpu: Seconds = Field(3600, ge=1)


class Learning(Section):
    network: Network = Network()
    training: Training = Training()
    search: Search = Search()
    seed: int = Field(1, ge=0, lt=2**32)
    time_limit: Seconds = Field(3600, ge=1)

    @property
    def draws_needed(self) -> int:
        """The fewest draws of an era on which a network can be trained."""
        return draws_needed(self.network.sequence, self.training.validation)


class Tls(Section):
    """Files in PEM format with which this machine and the cluster prove to each other who they are."""

    certificate: Path
    key: Path
    authority: Path


class Cluster(Section):
    """A Ray cluster that runs already."""

    address: str
    token_file: Path | None = None
    tls: Tls | None = None
    connect: Seconds = Field(60, ge=1, le=600)
    queue: Seconds = Field(900, ge=1)

    @field_validator("address")
    @classmethod
    def _names_a_port(cls, address: str) -> str:
        if not re.fullmatch(r"(ray://)?[A-Za-z0-9_.\[\]:-]+:\d{1,5}", address):
            raise ValueError(
                'a cluster is named like "ray://host:10001" or, from one of its nodes, "host:6379"'
            )
        return address


class Work(Section):
    """Where jobs are computed: how many at once, what each may use, how long workers are kept ready."""

    engine: Literal["local", "ray"] = "local"
    workers: int = Field(2, ge=1, le=256)
    memory: Bytes = Field(2 * 1024**3, ge=512 * 1024**2)
    cpu: Seconds = Field(7200, ge=1)
    keep_warm: Seconds = Field(600, ge=0)
    predictors: int = Field(2, ge=1, le=64)
    ray: Cluster | None = None

    @model_validator(mode="after")
    def _has_a_cluster(self) -> "Work":
        if self.engine == "ray" and self.ray is None:
            raise ValueError("engine is ray: name the cluster in work.ray.address")
        return self


LEAST_TRAINED = 20
"""Fewest draws to be predicted in training for a fit to mean anything."""
LEAST_VALIDATED = 5
"""Fewest draws in the validation part."""


def draws_needed(sequence: int, validation: float) -> int:
    """Return the fewest draws that leave enough to train on and enough to validate on."""
    draws = sequence + LEAST_TRAINED + LEAST_VALIDATED
    while True:
        validated = round(draws * validation)
        if validated >= LEAST_VALIDATED and draws - validated >= sequence + LEAST_TRAINED:
            return draws
        draws += 1


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
    "storage_used", "schedule_lateness", "webhook_failures", "backup_age", "verification_age",
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

    autonomy: dict[Chosen, Literal["observe", "propose", "act"]] = {}
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
    cooldowns: dict[Chosen, Annotated[Seconds, Field(ge=0)]] = {"ask": 604_800}
    budget: Budget = Budget()
    cpu_price: float = Field(0.1, ge=0, le=1000)
    disk_price: float = Field(0.1, ge=0, le=1000)
    quiet_hours: QuietHours | None = None
    approval: Seconds = Field(604_800, ge=60)
    goals: tuple[Goal, ...] = ()

    @field_validator("autonomy")
    @classmethod
    def _tells_or_does_not(cls, autonomy: dict[str, str]) -> dict[str, str]:
        for action in ("alert", "ask"):
            if autonomy.get(action) == "propose":
                raise ValueError(f"{action} only tells a person something: it can act or observe")
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


class Schedule(Section):
    name: Name
    action: ActionName
    game: GameName | None = None
    cron: str | None = None
    every: Seconds | None = None
    timezone: TimeZone = "UTC"
    jitter: Seconds = Field(0, ge=0, le=86_400)
    catch_up: Literal["all", "latest", "none"] = "latest"
    max_age: Seconds = Field(604_800, ge=1)
    enabled: bool = True

    @field_validator("cron")
    @classmethod
    def _readable(cls, line: str | None) -> str | None:
        if line is not None:
            cron.trigger(line, "UTC")
        return line

    @model_validator(mode="after")
    def _one_rhythm(self) -> "Schedule":
        if (self.cron is None) == (self.every is None):
            raise ValueError("a schedule needs either cron or every, not both")
        if self.every is not None:
            if self.every < SHORTEST_EVERY_S:
                raise ValueError(f"every is {self.every:g} s; the shortest is {SHORTEST_EVERY_S} s")
            if self.every > LONGEST_EVERY_S:
                raise ValueError(f"every is {self.every:g} s; the longest is {LONGEST_EVERY_S} s, 366 days")
            if self.jitter >= self.every:
                raise ValueError(
                    f"jitter is {self.jitter:g} s, every {self.every:g} s: jitter must be shorter than every"
                )
        return self

    def trigger(self) -> Trigger:
        """Return what says when this schedule is due."""
        if self.cron is not None:
            return cron.trigger(self.cron, self.timezone)
        return cron.Interval(timedelta(seconds=self.every or 0))


class Webhook(Section):
    name: Name
    url: HttpUrl
    events: tuple[Annotated[str, Field(pattern=r"^[a-z*.-]+$")], ...] = Field(min_length=1)
    secret_file: Path


class Webhooks(Section):
    endpoints: tuple[Webhook, ...] = ()
    timeout: Seconds = Field(20, gt=0, le=60)
    attempts: int = Field(20, ge=1, le=50)
    retry_first: Seconds = Field(5, ge=0.01)
    retry_limit: Seconds = Field(36_000, ge=1)

    @field_validator("endpoints")
    @classmethod
    def _distinct(cls, endpoints: tuple[Webhook, ...]) -> tuple[Webhook, ...]:
        return _distinct_names(endpoints)


class Retention(Section):
    age: Seconds = Field(1825 * 86_400, ge=30 * 86_400)
    epochs: Seconds = Field(90 * 86_400, ge=86_400)
    size: Bytes = Field(2 * 1024**3, ge=1024**2)
    seal_key_file: Path | None = None


class Backup(Section):
    daily: int = Field(7, ge=1, le=1000)
    weekly: int = Field(4, ge=0, le=1000)
    monthly: int = Field(6, ge=0, le=1000)


class Expected(Section):
    """The dead man's switch: how long without an event before its absence raises an alert."""

    draw: Seconds = Field(86_400, ge=600)
    assessment: Seconds = Field(129_600, ge=600)
    backup: Seconds = Field(172_800, ge=600)


class Shutdown(Section):
    deadline: Seconds = Field(20, gt=0, le=600)


class Config(Section):
    """All settings of one daemon."""

    paths: Paths = Paths()
    log: Log = Log()
    http: Http = Http()
    games: dict[GameName, GameFeeds] = Field(min_length=1)
    feeds: Feeds = Feeds()
    learning: Learning = Learning()
    work: Work = Work()
    decisions: Decisions = Decisions()
    schedules: tuple[Schedule, ...] = ()
    webhooks: Webhooks = Webhooks()
    retention: Retention = Retention()
    backup: Backup = Backup()
    expected: Expected = Expected()
    shutdown: Shutdown = Shutdown()

    @field_validator("schedules")
    @classmethod
    def _distinct(cls, schedules: tuple[Schedule, ...]) -> tuple[Schedule, ...]:
        return _distinct_names(schedules)

    @model_validator(mode="after")
    def _lets_a_search_end(self) -> "Config":
        if 2 * self.learning.search.cpu > self.work.cpu:
            raise ValueError(
                f"learning.search.cpu is {self.learning.search.cpu:g} s, and work.cpu, which ends a job, "
                f"{self.work.cpu:g} s: a search needs twice its own to be sure to come to its end"
            )
        return self

    @model_validator(mode="after")
    def _watches_what_is_scheduled(self) -> "Config":
        for schedule in self.schedules:
            if schedule.game is not None and schedule.game not in self.games:
                raise ValueError(
                    f"schedule {schedule.name} is of game {schedule.game}, which is not among games"
                )
        return self

    def feeds_of(self, game: str) -> tuple[Feed, ...]:
        """Return the feeds of a game, none if it is not watched."""
        return next((settings.feeds for name, settings in self.games.items() if name == game), ())

    @property
    def database(self) -> Path:
        return self.paths.state / "helios.db"

    @property
    def archives(self) -> Path:
        return self.paths.state / "archives"

    @property
    def backtests(self) -> Path:
        return self.paths.state / "backtests"

    @property
    def backups(self) -> Path:
        return self.paths.state / "backups"
