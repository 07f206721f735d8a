"""What is not known yet: too few draws to say something, or draws that went other than was expected.

What is said of single balls and conditions is tested on many of them, at every assessment anew. Each test is
valid however often one looks, and all share one level: with probability 1 - level, nothing is ever called a
gap by chance. Of balls that is exact, of conditions it is so in the limit of many draws (see
`evidence.skill_interval`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from helios_agent import wording
from helios_agent.forecasting import evidence
from helios_agent.metacognition.facts import Facts
from helios_agent.metacognition.measures import LEAST_CALIBRATED, LEAST_LIVE

PRIOR_DRAWS = 200.0
"""How strongly it is believed that a ball is near its fair share: as after so many draws that said so."""


@dataclass(frozen=True)
class Seen:
    """What happened under the current rules, by ball and by condition.

    whites, bonus: how often each ball was drawn, ball 1 first. draws: in how many draws.
    gains: the mixture's gains over uniform, nats, under each condition.
    """

    draws: int
    whites: Sequence[int]
    bonus: Sequence[int]
    gains: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Gap:
    """Something that is not known, and why."""

    what: str
    why: str


def find(
    facts: Facts, seen: Seen, measured: Mapping[str, float | None], fewest_draws: int, level: float
) -> list[Gap]:
    """Return every gap. `fewest_draws` are those that a network needs, `level` is shared by all tests."""
    share = level / (len(seen.whites) + len(seen.bonus) + len(seen.gains))
    return [
        *_too_few(facts, measured, fewest_draws),
        *_balls("white ball", seen.whites, seen.draws, facts.pick, share),
        *_balls("bonus ball", seen.bonus, seen.draws, 1, share),
        *_conditions(seen.gains, share),
    ]


def _too_few(facts: Facts, measured: Mapping[str, float | None], fewest_draws: int) -> list[Gap]:
    known, factor = wording.count(len(facts.gains), "scored draw"), measured["smallest_visible_factor"]
    found = [
        Gap(
            "a ball that is too heavy",
            f"after {known} not even one that comes every time would have shown",
        )
        if factor is None
        else Gap(
            f"a ball that is less than {factor:.2f} times as heavy as any other",
            f"after {known} it would on average not have shown",
        )
    ]
    if facts.draws < fewest_draws:
        found.append(
            Gap(
                "what a network can learn",
                f"these rules have {wording.count(facts.draws, 'draw')}; it needs {fewest_draws:,}",
            )
        )
    live = len(facts.networks.newest_gains)
    if facts.networks.newest is not None and live < LEAST_LIVE:
        found.append(
            Gap(
                "whether the newest network keeps what it promised",
                f"it was scored on {wording.count(live, 'draw')}; it takes {LEAST_LIVE}",
            )
        )
    telling = len(facts.overstated)
    if telling < LEAST_CALIBRATED:
        found.append(
            Gap(
                "whether forecasts promise too much",
                f"of that {wording.count(telling, 'draw')} can tell; it takes {LEAST_CALIBRATED}",
            )
        )
    return found


def _balls(name: str, counts: Sequence[int], draws: int, pick: int, level: float) -> list[Gap]:
    if len(counts) < 2:
        return []
    fair = pick / len(counts)
    return [
        Gap(
            f"why {name} {ball} comes so {'often' if count > draws * fair else 'rarely'}",
            f"it was drawn {wording.count(count, 'time')} in {wording.count(draws, 'draw')}; a fair machine "
            f"draws it {wording.count(round(draws * fair), 'time')} on average; that it ever is so far off "
            f"has a probability of 1 in {1 / level:,.0f} at most",
        )
        for ball, count in enumerate(counts, 1)
        if share_evidence(count, draws, fair) >= -math.log(level)
    ]


def share_evidence(count: int, draws: int, fair: float) -> float:
    """Return the evidence that what happened in `count` of `draws` draws is not of chance `fair`, in nats.

    The log of a test martingale: the likelihood averaged over Beta(c·fair, c·(1 - fair)), c = PRIOR_DRAWS,
    over that of `fair` (H. Robbins 1970, Statistical methods related to the law of the iterated logarithm,
    Annals of Mathematical Statistics 41, 1397-1409).
    """
    a, b = PRIOR_DRAWS * fair, PRIOR_DRAWS * (1.0 - fair)
    averaged = _log_beta(a + count, b + draws - count) - _log_beta(a, b)
    return averaged - count * math.log(fair) - (draws - count) * math.log1p(-fair)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _conditions(gains: Mapping[str, Sequence[float]], level: float) -> list[Gap]:
    found = []
    for condition, gained in gains.items():
        mean, _, high = evidence.skill_interval(gained, level)
        if mean is not None and high is not None and high < 0.0:
            found.append(
                Gap(
                    f"why forecasts of draws {condition} are worse than chance",
                    f"over {len(gained):,} of them the mixture gained {mean:+.4f} nats a draw",
                )
            )
    return found
