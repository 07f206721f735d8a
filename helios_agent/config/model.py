"""The configuration as immutable values, with the bounds that each setting must keep.

The settings are explained, with their defaults, in `config/helios.yaml`.
"""

import re
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    HttpUrl,
    field_validator,
    model_validator,
)

from helios_agent.config import cron
from helios_agent.config.cron import Trigger
from helios_agent.config.decisions import Decisions
from helios_agent.config.kinds import (
    ActionName,
    Bytes,
    GameName,
    Name,
    Seconds,
    Section,
    TimeZone,
    distinct_names,
)

SHORTEST_EVERY_S = 60
LONGEST_EVERY_S = 366 * 86_400
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SIMULATED_BALLS, MISSING_BALLS_MAX = 35, 25
"""White balls of the simulated game, and how many of them may never come."""


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


WhiteBall = Annotated[int, Field(ge=1, le=SIMULATED_BALLS)]


class Machine(Section):
    """A simulated lottery machine: a fair one, but for what its balls weigh from `unfair_from` on."""

    seed: int = Field(1, ge=0, lt=2**63)
    begins: date = date(2020, 1, 1)
    log_sd: float = Field(0.0, ge=0, le=5)
    weights: dict[WhiteBall, Annotated[float, Field(ge=0, le=1000)]] = Field(default_factory=dict)
    unfair_from: date | None = None

    @model_validator(mode="after")
    def _can_draw(self) -> "Machine":
        if sum(weight == 0 for weight in self.weights.values()) > MISSING_BALLS_MAX:
            raise ValueError(f"more than {MISSING_BALLS_MAX} balls never come; too few are left to draw from")
        return self


class Feed(Section):
    name: Name
    kind: Literal["texas", "socrata", "file", "simulated"]
    url: HttpUrl | None = None
    path: Path | None = None
    machine: Machine | None = None

    @model_validator(mode="after")
    def _asks_in_one_place(self) -> "Feed":
        needed = {"file": "path", "simulated": "machine"}.get(self.kind, "url")
        for field in ("url", "path", "machine"):
            if (getattr(self, field) is not None) != (field == needed):
                raise ValueError(
                    f"a feed of kind {self.kind} needs {needed}, and nothing else of url, path and machine"
                )
        return self


class GameFeeds(Section):
    feeds: tuple[Feed, ...] = ()

    @field_validator("feeds")
    @classmethod
    def _distinct(cls, feeds: tuple[Feed, ...]) -> tuple[Feed, ...]:
        return distinct_names(feeds)


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
    validation: float = Field(0.2, ge=0.01, le=0.9)
    threads: int = Field(1, ge=1, le=64)
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def validated(self, draws: int) -> int:
        """Return how many of `draws` draws, the latest ones, are kept for validation."""
        return validation_draws(draws, self.validation)


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

    @property
    def draws_needed_to_search(self) -> int:
        """The fewest draws of an era on which a configuration can be searched for."""
        return self.draws_needed + (self.search.folds + 2) * self.search.block


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
        kept = validation_draws(draws, validation)
        if kept >= LEAST_VALIDATED and draws - kept >= sequence + LEAST_TRAINED:
            return draws
        draws += 1


def validation_draws(draws: int, validation: float) -> int:
    """Return how many of `draws` draws, the latest ones, are kept for validation: that share of them."""
    return round(draws * validation)


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
        return distinct_names(endpoints)


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
        return distinct_names(schedules)

    @model_validator(mode="after")
    def _lets_a_search_end(self) -> "Config":
        if 2 * self.learning.search.cpu > self.work.cpu:
            raise ValueError(
                f"learning.search.cpu is {self.learning.search.cpu:g} s, and work.cpu, which ends a job, "
                f"{self.work.cpu:g} s: a search needs twice its own to be sure to come to its end"
            )
        return self

    @model_validator(mode="after")
    def _tells_no_simulated_draws_of_a_real_game(self) -> "Config":
        for game, settings in self.games.items():
            for feed in settings.feeds:
                if feed.kind == "simulated" and game != "simulated":
                    raise ValueError(
                        f"feed {feed.name} of {game} is simulated: only game simulated may have it"
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
