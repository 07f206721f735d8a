"""Models side by side: how they were trained, what they gained, what they are worth together.

Pure: facts in, values that are ready for JSON out. What cannot be said is None, never a default.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Literal

import numpy as np

from helios_agent.forecasting import ensemble, evidence
from helios_agent.forecasting.evidence import SKILL_ALPHA
from helios_agent.forecasting.mixture import UNIFORM

Gains = Mapping[str, float]
"""What a forecaster gained over uniform at each draw that it forecast, in nats, by the draw's day."""

CONVERGED_NATS = 0.001
"""A training has converged when its validation loss, in nats a draw, is within this of its best: less would
take a thousand draws to make one nat."""
FEWEST_DRAWS = 10
"""On fewer draws in common nothing is called better, and no correlation is shown."""
TREND_ALPHA = 0.05
"""Among all trends tested at once, P(any is called one | there is none) is at most this."""
MOST_TRENDED = 60
"""Only so many of the newest models are tested for a trend."""


@dataclass(frozen=True)
class Facts:
    """What is journaled about a model: `epochs`, or the `summary` left of them; neither if it was imported.

    cpu_seconds: what workers spent on the job that trained it, if that is known.
    """

    model: str
    game: str
    era: str
    role: str
    ordinal: int
    trained_at: str
    trained_on_draws: int
    epochs: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any] | None
    cpu_seconds: float | None
    gains: Gains


@dataclass(frozen=True)
class Metric:
    """What models can be ranked by, and followed from one to the next if equal models give no `trend` of it.

    Sums grow with the draws that a model has forecast, costs with those that it was trained on. What is
    measured on validation is no series of independent values: a model is validated on nearly the same draws
    as the one before it. title: how a sentence names it.
    """

    name: str
    title: str
    unit: str
    definition: str
    best: Literal["largest", "smallest"]
    trend: bool = False


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "live_mean_nats",
            "the mean gain on new draws",
            "nats a draw",
            f"mean log-score gain over uniform on the draws it forecast, of {FEWEST_DRAWS} or more",
            "largest",
            trend=True,
        ),
        Metric(
            "live_gain_nats",
            "the gain on new draws",
            "nats",
            "their sum: of models that forecast as many draws",
            "largest",
        ),
        Metric(
            "efficiency",
            "the gain on new draws for each CPU second",
            "nats per CPU second",
            "live_gain_nats, if it has gained, for each CPU second of its training",
            "largest",
        ),
        Metric(
            "validation_gain_nats",
            "the gain on validation",
            "nats a draw",
            "gain over uniform on validation, at the best epoch",
            "largest",
        ),
        Metric(
            "best_loss",
            "the best validation loss",
            "nats a draw",
            "smallest validation loss of its training",
            "smallest",
        ),
        Metric(
            "final_loss",
            "the last training loss",
            "nats a draw",
            "training loss of the last epoch",
            "smallest",
        ),
        Metric(
            "training_seconds",
            "the time of training",
            "seconds",
            "time that its epochs took",
            "smallest",
        ),
        Metric(
            "cpu_seconds",
            "the processor time of training",
            "seconds",
            "processor time that workers spent on the job that trained it",
            "smallest",
        ),
        Metric(
            "epochs",
            "the number of epochs",
            "epochs",
            "epochs of its training",
            "smallest",
        ),
        Metric(
            "convergence_epoch",
            "the epoch of convergence",
            "epoch",
            f"first whose validation loss is within {CONVERGED_NATS:g} nats of the best",
            "smallest",
        ),
        Metric(
            "instability",
            "the instability of the validation loss",
            "nats a draw",
            "root mean square of the changes of the validation loss",
            "smallest",
        ),
        Metric(
            "instability_last_third",
            "the instability of the validation loss at the end",
            "nats a draw",
            "the same over the last third of the changes",
            "smallest",
        ),
    )
}
RANKED_BY = "live_mean_nats"
TRENDED = tuple(metric for metric in METRICS.values() if metric.trend)


def record(facts: Facts) -> dict[str, Any]:
    """Return one model's figures: those of `METRICS`, and what they are made of."""
    live = account(facts.gains)
    gained, cpu_seconds = live["gain_nats"] or 0.0, facts.cpu_seconds
    return {
        "model": facts.model,
        "game": facts.game,
        "era": facts.era,
        "role": facts.role,
        "ordinal": facts.ordinal,
        "trained_at": facts.trained_at,
        "trained_on_draws": facts.trained_on_draws,
        **training(facts.epochs, facts.summary),
        "cpu_seconds": facts.cpu_seconds,
        **{f"live_{name}": value for name, value in live.items()},
        "efficiency": gained / cpu_seconds if cpu_seconds and gained > 0.0 else None,
    }


def training(epochs: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the figures of a training, from its epochs or, without them, from what is left of them."""
    if epochs:
        losses = [float(epoch["validation_loss"]) for epoch in epochs]
        best = losses.index(min(losses))
        changes = [after - before for before, after in pairwise(losses)]
        last_third = changes[-math.ceil(len(changes) / 3) :] if len(changes) >= 3 else []
        return {
            "epochs": len(epochs),
            "training_seconds": math.fsum(float(epoch["seconds"]) for epoch in epochs),
            "first_loss": epochs[0]["loss"],
            "final_loss": epochs[-1]["loss"],
            "best_loss": losses[best],
            "best_epoch": epochs[best]["epoch"],
            "validation_gain_nats": epochs[best]["validation_gain_nats"],
            "convergence_epoch": next(
                epoch["epoch"]
                for epoch, loss in zip(epochs, losses, strict=True)
                if loss <= losses[best] + CONVERGED_NATS
            ),
            "instability": _root_mean_square(changes),
            "instability_last_third": _root_mean_square(last_third),
        }
    kept = summary or {}
    return {
        "epochs": kept.get("epochs"),
        "training_seconds": kept.get("seconds"),
        "first_loss": kept.get("first_loss"),
        "final_loss": kept.get("final_loss"),
        "best_loss": kept.get("best_loss"),
        "best_epoch": kept.get("best_epoch"),
        "validation_gain_nats": kept.get("best_gain_nats"),
        "convergence_epoch": None,
        "instability": kept["instability"] if kept.get("epochs", 0) > 1 else None,
        "instability_last_third": None,
    }


def _root_mean_square(changes: Sequence[float]) -> float | None:
    return math.sqrt(math.fsum(c * c for c in changes) / len(changes)) if changes else None


def account(gains: Gains, alpha: float = SKILL_ALPHA) -> dict[str, Any]:
    """Return what was gained over uniform, with the confidence sequence of the mean: see `evidence`."""
    days = sorted(gains)
    mean, low, high = evidence.skill_interval([gains[day] for day in days], alpha)
    return {
        "draws": len(days),
        "from": days[0] if days else None,
        "to": days[-1] if days else None,
        "gain_nats": math.fsum(gains.values()) if days else None,
        "mean_nats": mean,
        "low_nats": low,
        "high_nats": high,
    }


def compare(accounts: Mapping[str, Gains]) -> dict[str, Any]:
    """Compare two or more forecasters on the draws that all of them forecast.

    The intervals of the differences hold all at once: of n pairs, each has the level SKILL_ALPHA/n.
    """
    days = _common(accounts)
    pairs = [*combinations(accounts, 2)]
    made = [_paired(*pair, accounts, days, SKILL_ALPHA / len(pairs)) for pair in pairs]
    found = {
        "draws": len(days),
        "from": days[0] if days else None,
        "to": days[-1] if days else None,
        "models": [
            {"model": name, **account({day: gains[day] for day in days})} for name, gains in accounts.items()
        ],
        "pairs": made,
    }
    return found | {"verdict": _comparison(len(days), made)}


def _paired(
    name: str, other: str, accounts: Mapping[str, Gains], days: Sequence[str], alpha: float
) -> dict[str, Any]:
    differences = [accounts[name][day] - accounts[other][day] for day in days]
    mean, low, high = evidence.skill_interval(differences, alpha)
    better = None
    if low is not None and high is not None and len(days) >= FEWEST_DRAWS:
        better = name if low > 0.0 else other if high < 0.0 else None
    return {
        "model": name, "other": other, "mean_difference_nats": mean, "low_nats": low, "high_nats": high,
        "better": better,
    }  # fmt: skip


def _common(accounts: Mapping[str, Gains]) -> list[str]:
    """Return the days of the draws that all have forecast, oldest first."""
    return sorted(set.intersection(*(set(gains) for gains in accounts.values()))) if accounts else []


def _comparison(draws: int, pairs: Sequence[Mapping[str, Any]]) -> str:
    if draws < FEWEST_DRAWS:
        return _too_few(draws)
    shown = [
        f"{p['better']} forecasts better than {p['other'] if p['better'] == p['model'] else p['model']}"
        for p in pairs
        if p["better"]
    ]
    span = f"over the {draws:,} draws that all of them forecast"
    return f"{'; '.join(shown) or 'No difference is shown'} {span}."


def _too_few(draws: int) -> str:
    if not draws:
        return "They have no scored draw in common, so nothing can be said."
    count = "1 scored draw" if draws == 1 else f"{draws} scored draws"
    return f"They have {count} in common; below {FEWEST_DRAWS} nothing is said."


def rank(records: Sequence[Mapping[str, Any]], metric: Metric) -> list[dict[str, Any]]:
    """Return the models in the order of a metric, the best first; equal ones share a rank.

    Those of which it cannot be said come last, and have none.
    """
    sign = -1.0 if metric.best == "largest" else 1.0
    values = {r["model"]: _said(r, metric) for r in records}
    known = sorted((sign * value, model) for model, value in values.items() if value is not None)
    ranked: list[dict[str, Any]] = []
    for place, (_, model) in enumerate(known, 1):
        value = values[model]
        tied = ranked and ranked[-1]["value"] == value
        ranked.append({"rank": ranked[-1]["rank"] if tied else place, "model": model, "value": value})
    return ranked + [
        {"rank": None, "model": model, "value": None} for model, value in values.items() if value is None
    ]


def _said(record: Mapping[str, Any], metric: Metric) -> float | None:
    """Return a model's value of a metric; None where it is not known, or a mean is of too few draws."""
    if metric.name == "live_mean_nats" and record["live_draws"] < FEWEST_DRAWS:
        return None
    value: float | None = record[metric.name]
    return value


def matrix(accounts: Mapping[str, Gains]) -> dict[str, Any]:
    """Return how the gains of forecasters go together: Pearson's correlation on the draws both forecast.

    None where that are fewer than FEWEST_DRAWS, or where either gained the same on all of them.
    """
    names = [*accounts]
    cells = {(a, b): _correlation(accounts[a], accounts[b]) for a in names for b in names}
    return {
        "models": names,
        "common_draws": [[cells[a, b][0] for b in names] for a in names],
        "correlations": [[cells[a, b][1] for b in names] for a in names],
        "accounts": [{"model": name, **account(gains)} for name, gains in accounts.items()],
    }


def _correlation(one: Gains, other: Gains) -> tuple[int, float | None]:
    days = sorted(one.keys() & other.keys())
    if len(days) < FEWEST_DRAWS:
        return len(days), None
    centred = np.array([[gains[day] for day in days] for gains in (one, other)])
    if (np.ptp(centred, axis=1) == 0.0).any():
        return len(days), None
    centred -= centred.mean(axis=1, keepdims=True)
    products = centred @ centred.T
    value = products[0, 1] / math.sqrt(products[0, 0] * products[1, 1])
    return len(days), min(1.0, max(-1.0, float(value)))


def trends(records: Sequence[Mapping[str, Any]], metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """Test each metric for a trend over successive models, which `records` are in the order of.

    M. G. Kendall's rank correlation with the order, tau, and its exact two-sided p-value given the ties. A
    trend is clear where p is at most TREND_ALPHA divided by the number of metrics tested. The p-value holds
    where every order of equal models is as likely: of means over draws that no two models share.
    """
    found = []
    for metric in metrics:
        said = [(r["model"], value) for r in records if (value := _said(r, metric)) is not None]
        models, values = ([each[i] for each in said[-MOST_TRENDED:]] for i in (0, 1))
        tau, p = rank_trend(values)
        is_clear = p is not None and p <= TREND_ALPHA / len(metrics)
        found.append(
            {
                "metric": metric.name,
                "unit": metric.unit,
                "models": models,
                "values": values,
                "tau": tau,
                "p": p,
                "clear": is_clear,
            }
        )
    return found


def rank_trend(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return Kendall's tau of values with their order, and its exact two-sided p; None if all are equal.

    Of n values with ties of t_1, t_2, … equal ones, the pairs that fall are distributed over all
    orders as the coefficients of the q-multinomial [n]!/([t_1]! [t_2]! …) (P. A. MacMahon 1913).
    """
    pairs = [*combinations(values, 2)]
    falling, rising = (sum(a > b for a, b in pairs), sum(a < b for a, b in pairs))
    if not (falling or rising):
        return None, None
    counts = [1, *[0] * (falling + rising)]
    for i in range(1, len(values) + 1):  # times 1 - q^i
        for k in range(len(counts) - 1, i - 1, -1):
            counts[k] -= counts[k - i]
    for tied in Counter(values).values():
        for i in range(1, tied + 1):  # divided by 1 - q^i
            for k in range(i, len(counts)):
                counts[k] += counts[k - i]
    tail = sum(counts[: min(falling, rising) + 1]) / sum(counts)
    return (rising - falling) / (rising + falling), min(1.0, 2 * tail)


def trend_verdict(found: Sequence[Mapping[str, Any]]) -> str:
    """Say which trends are clear, or that none is."""
    clear = [
        f"{METRICS[t['metric']].title} {'rises' if t['tau'] > 0 else 'falls'} over {len(t['models'])} models"
        f" (p = {t['p']:.2g})"
        for t in found
        if t["clear"]
    ]
    if clear:
        said = "; ".join(clear)
        return f"{said[0].upper()}{said[1:]}."
    most = max((len(t["models"]) for t in found), default=0)
    if most < 2:
        return "There are fewer than two models to follow each other, so there is no trend to look for."
    return f"No trend is clear over {most} models."


def recommend(accounts: Mapping[str, Gains]) -> dict[str, Any]:
    """Build the ensemble of forecasters, score it on the draws that all of them forecast, and judge it.

    Its weights on each draw are learned from the draws before it: see `forecasting.ensemble`. It is
    recommended where it is shown to be better than uniform and than each member alone; all these intervals
    are right at once with probability 1 - SKILL_ALPHA.
    """
    names, days = [*accounts], _common(accounts)
    walked = ensemble.walk(
        np.array([[accounts[name][day] for name in names] for day in days]).reshape(len(days), len(names))
    )
    gains = dict(zip(days, walked.gains.tolist(), strict=True))
    rivals = {**{name: accounts[name] for name in names}, UNIFORM: dict.fromkeys(days, 0.0)}
    mine = {"ensemble": gains, **rivals}
    versus = [_paired("ensemble", rival, mine, days, SKILL_ALPHA / len(rivals)) for rival in rivals]
    totals = {rival: math.fsum(rivals[rival][day] for day in days) for rival in rivals}
    best = max(totals, key=lambda rival: (totals[rival], rival == UNIFORM))
    found: dict[str, Any] = {
        "members": names,
        **account(gains),
        "weights": dict(zip(names, walked.weights.tolist(), strict=True)) if days else None,
        "best_alone": best if days else None,
        "best_alone_nats": totals[best] if days else None,
        "versus": [{key: pair[key] for key in pair if key != "model"} for pair in versus],
        "hindsight": {
            "weights": dict(zip(names, walked.hindsight.tolist(), strict=True)),
            "gain_nats": walked.hindsight_nats,
        }
        if days
        else None,
        "recommended": bool(days) and all(pair["better"] == "ensemble" for pair in versus),
    }
    return found | {"verdict": _recommendation(found)}


def _recommendation(found: Mapping[str, Any]) -> str:
    draws, best = found["draws"], found["best_alone"]
    if draws < FEWEST_DRAWS:
        return _too_few(draws)
    against = next(pair for pair in found["versus"] if pair["other"] == best)
    alone = "uniform, chance itself" if best == UNIFORM else f"{best} alone"
    measured = (
        f"over {draws:,} draws, with weights learned from the draws before each draw, the mixture of "
        f"{', '.join(found['members'])} gained {found['gain_nats']:+.3f} nats on chance, and {alone} "
        f"{found['best_alone_nats']:+.3f}; the difference a draw is between {against['low_nats']:+.4f} and "
        f"{against['high_nats']:+.4f} nats."
    )
    if found["recommended"]:
        return f"The ensemble is better than {best} and all the others: {measured}"
    return f"No ensemble of these is shown to be better than {best}: {measured}"
