"""What was journaled about one game, as of one moment: all that an assessment is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from helios_agent.forecasting.comparison import Trial
from helios_agent.forecasting.detection import Detector
from helios_agent.forecasting.mixture import Standing


@dataclass(frozen=True)
class Networks:
    """What the networks of the current era gained, in nats a draw. Live gains: newest draw first."""

    newest: Mapping[str, float] | None
    """What was measured when the newest was trained; None if there is none."""
    before: Mapping[str, float] | None
    """The same of the one before."""
    challenger: str | None
    """Under which name it forecasts; None if there is none."""
    champion: str | None
    newest_gains: Sequence[float]
    """The newest one's gains on draws that were scored since it joined."""
    challenger_gains: Sequence[float]
    """The challenger's since it joined."""
    champion_gains: Sequence[float]
    """The champion's since it was promoted."""


@dataclass(frozen=True)
class Upkeep:
    """What concerns the agent and not a game: the same for every game."""

    spent_day_s: float
    """Processor time that work chosen by decisions took within 24 hours; then within 30 days."""
    spent_month_s: float
    budget_day_s: float
    budget_month_s: float
    used_bytes: int
    """Of the database file; and what retention allows."""
    allowed_bytes: int
    free_bytes: int | None
    """On the disk that the database is on; None if that could not be said."""
    firings_us: Sequence[tuple[int, int]]
    """When each schedule was last due, and when that was seen to, within 30 days."""
    unsent: int
    """Webhook messages of 7 days that at least one attempt failed to deliver and none has."""
    open_incidents: int
    backup_us: int
    """When the last backup was made, or the journal begun if there is none."""
    verified_us: int
    """When the journal was last verified, or begun if it never was."""


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
    overstated: Sequence[float]
    """At the last registered and scored draws, the inclusion probability that the served forecast expected of
    the balls to be drawn, less that of those drawn: see `forecasting.served`."""
    disagreement: float | None
    """How far apart the forecasters are on the next draw; None if no forecast of it is registered."""
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
    """Draws that the era's newest network, whatever became of it, was trained on; None if there was none."""
    networks: Networks
    draws_since_search: int
    """Draws of the era that were scored since the last search; then since the last backtest."""
    draws_since_backtest: int
    trainings: Sequence[str]
    """How the trainings ended that are in the database, the last asked for first: done, failed, diverged
    (which is to fail, too) or dead."""
    successes: Sequence[bool]
    """Which of the last choices that were measured did what they were chosen for."""
    missing_since_us: tuple[int, ...]
    """Instants of draws that were held but are not stored."""
    feed_read_us: int | None
    disputes: int
    """Draws on which feeds contradict each other."""
    upkeep: Upkeep
