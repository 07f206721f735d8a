"""How signals follow from facts: what `signals` defines, computed. Pure; None where it cannot be said yet."""

from collections.abc import Callable, Mapping, Sequence

from helios_agent.forecasting import evidence, mixture
from helios_agent.forecasting.experts import single_ball_hypotheses
from helios_agent.metacognition.facts import Facts, Upkeep

VISIBLE_ALPHA = 0.01
HOUR_US = 3_600_000_000
RECENT = 50
"""How many of the last draws, or choices, a mean is taken over."""
LEAST_CALIBRATED = 30
"""Fewest draws whose forecasts can be told to promise too much or too little."""
GIVEN_UP_US = 30 * 24 * HOUR_US
"""A draw that no source has told of for so long is not waited for any more."""
LEAST_LIVE = 6
"""Fewest draws that tell whether a network gains what it did in validation: two weeks of them."""


def skill(bound: str) -> Callable[[Facts], float | None]:
    """Return what measures the mean of the skill, or a bound of its confidence sequence, nats per draw."""

    def measure(facts: Facts) -> float | None:
        value: float | None = getattr(evidence.skill_interval(facts.gains, evidence.SKILL_ALPHA), bound)
        return value

    return measure


def smallest_visible_factor(facts: Facts) -> float | None:
    """Return how many times as heavy a single ball must be to have shown by now."""
    ball = facts.standings.get("ball")
    if ball is None:
        return None
    hypotheses = single_ball_hypotheses(facts.white_count, ball.prior)
    return evidence.smallest_visible_factor(
        len(facts.gains), facts.white_count, facts.pick, VISIBLE_ALPHA, hypotheses
    )


def hours_since(us: int | None, facts: Facts) -> float | None:
    """Return the hours since an instant, 0 if the clock was set back to before it."""
    return None if us is None else max(0, facts.now_us - us) / HOUR_US


def overdue_since_us(facts: Facts) -> int:
    """Return when the oldest draw was held that is missing and still waited for, now if there is none."""
    waited_for = [us for us in facts.missing_since_us if facts.now_us - us <= GIVEN_UP_US]
    return min(waited_for, default=facts.now_us)


def disk_free(upkeep: Upkeep) -> float | None:
    """Return how often the database, grown to the size that it may have, would fit into what is free."""
    return None if upkeep.free_bytes is None else upkeep.free_bytes / upkeep.allowed_bytes


def mean(values: Sequence[float], least: int = 1) -> float | None:
    """Return the mean of values, None of fewer than `least`."""
    return sum(values) / len(values) if len(values) >= least else None


def _less(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else first - second


def _metric(metrics: Mapping[str, float] | None, name: str) -> float | None:
    return None if metrics is None else metrics.get(name)


def loss(name: str | None, facts: Facts) -> float | None:
    """Return what a forecaster lost to uniform in all, nats; None if it has no standing."""
    standing = facts.standings.get(name) if name is not None else None
    return None if standing is None else 0.0 - standing.gain_nats


def validation_gap(facts: Facts) -> float | None:
    """Return what the newest network gained more on draws that it was trained on, nats per draw."""
    newest = facts.networks.newest
    return _less(_metric(newest, "training_gain_nats"), _metric(newest, "validation_gain_nats"))


def live_gap(facts: Facts) -> float | None:
    """Return what the newest network gained more in validation than since, nats per draw."""
    networks = facts.networks
    return _less(_metric(networks.newest, "validation_gain_nats"), mean(networks.newest_gains, LEAST_LIVE))


def learning_progress(facts: Facts) -> float | None:
    """Return what the newest network gained more in validation than the one before, nats per draw."""
    newest, before = facts.networks.newest, facts.networks.before
    return _less(_metric(newest, "validation_gain_nats"), _metric(before, "validation_gain_nats"))


def leader(weights: Mapping[str, float]) -> str | None:
    """Return the forecaster that the mixture believes most, other than uniform; None if there is none."""
    believed = {name: w for name, w in weights.items() if name not in (mixture.UNIFORM, mixture.RESERVE)}
    return min(believed, key=lambda name: (-believed[name], name), default=None)


def leader_weight(facts: Facts) -> float | None:
    """Return the weight of the leader."""
    name = leader(facts.weights)
    return None if name is None else facts.weights[name]


def schedule_lateness(facts: Facts) -> float | None:
    """Return by how many hours the latest of the schedules was late when it last fired."""
    late_us = [max(0, seen_us - due_us) for due_us, seen_us in facts.upkeep.firings_us]
    return max(late_us) / HOUR_US if late_us else None


def failed_in_a_row(facts: Facts) -> Sequence[str]:
    """Return how the trainings since the last success ended, the newest first."""
    ended = [*facts.trainings, "done"]
    return ended[: ended.index("done")]
