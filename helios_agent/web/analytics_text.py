"""Forecasters side by side, and what the agent reflected on, as text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]


def models(found: Record) -> str:
    """Render `analytics.cross_model`."""
    lines = [found["verdict"]]
    if not found["models"]:
        return str(lines[0])
    for m in found["models"]:
        lines += [
            "",
            f"{m['model']}  {m['role']}, trained {m['trained_at'][:10]} on {m['trained_on_draws']:,} draws",
            f"  training   {_number(m['epochs'], 'd')} epochs, converged at "
            f"{_number(m['convergence_epoch'], 'd')}; {_number(m['training_seconds'], '.0f')} s, "
            f"{_number(m['cpu_seconds'], '.0f')} CPU seconds",
            f"  validation loss {_number(m['best_loss'], '.4f')}, gain "
            f"{_number(m['validation_gain_nats'], '+.4f')} nats a draw; instability "
            f"{_number(m['instability'], '.4f')}, at last {_number(m['instability_last_third'], '.4f')}",
            f"  live       {_account(m, 'live_')}; {_number(m['efficiency'], '+.2e')} nats per CPU second",
        ]
    ranking = found["ranking"]
    lines += ["", f"by {ranking['metric']} ({ranking['definition']}; {ranking['unit']})"]
    lines += [
        f"  {r['rank'] or '-':>2}  {r['model']}  {_number(r['value'], '.6g')}" for r in ranking["order"]
    ]
    return "\n".join(lines)


def comparison(found: Record) -> str:
    """Render `analytics.compared`."""
    lines = [found["verdict"], *(f"  {m['model']:<28} {_account(m)}" for m in found["models"])]
    lines += [
        f"  {p['model']} less {p['other']}: {_interval(p['mean_difference_nats'], p)}" for p in found["pairs"]
    ]
    return "\n".join(lines)


def matrix(found: Record) -> str:
    """Render `analytics.matrix`."""
    if found["verdict"]:
        return str(found["verdict"])
    width = max(len(name) for name in found["models"])
    lines = [f"{' ':{width}}  " + " ".join(f"{n:>6}" for n in range(1, len(found["models"]) + 1))]
    for number, (name, row) in enumerate(zip(found["models"], found["correlations"], strict=True), 1):
        cells = " ".join(f"{_number(value, '+.2f'):>6}" for value in row)
        lines.append(f"{name:<{width}}  {cells}  {number}")
    lines += ["", *(f"{m['model']:<{width}}  {_account(m)}" for m in found["accounts"])]
    return "\n".join(lines)


def ensemble(found: Record) -> str:
    """Render `analytics.ensemble`."""
    lines = [found["verdict"]]
    if found.get("weights"):
        lines += ["weights for the next draw:"]
        lines += [f"  {name:<28} {weight:.3f}" for name, weight in found["weights"].items()]
        lines += [
            f"  ensemble less {p['other']}: {_interval(p['mean_difference_nats'], p)}"
            for p in found["versus"]
        ]
    return "\n".join(lines)


def reflections(found: Sequence[Record]) -> str:
    """Render `reflections.listed`."""
    return "\n\n".join(f"{item['at']}  event {item['seq']}\n{item['text']}" for item in found)


def _account(account: Record, prefix: str = "") -> str:
    draws = account[f"{prefix}draws"]
    if not draws:
        return "no scored draw"
    mean = account[f"{prefix}mean_nats"]
    bounds = {name: account[f"{prefix}{name}"] for name in ("low_nats", "high_nats")}
    return f"{account[f'{prefix}gain_nats']:+.3f} nats over {draws:,} draws, {_interval(mean, bounds)}"


def _interval(mean: float | None, bounds: Record) -> str:
    low, high = bounds["low_nats"], bounds["high_nats"]
    if mean is None:
        return "not known"
    between = "" if low is None else f", between {low:+.4f} and {high:+.4f}"
    return f"{mean:+.4f} a draw{between}"


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
