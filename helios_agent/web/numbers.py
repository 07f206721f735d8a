"""Numbers and lists as people read them."""

import math
from collections.abc import Sequence

LARGEST_WRITTEN_OUT_NATS = math.log(1e6)
SMALLEST_SCORE = 0.001
RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def stake(nats: float) -> str:
    """Write what a stake of 1 has become."""
    if nats > LARGEST_WRITTEN_OUT_NATS:
        return "10" + f"{nats / math.log(10):.0f}".translate(RAISED)
    value = math.exp(nats)
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def probability(p: float) -> str:
    """Write a p-value."""
    if p >= 0.0005:
        return f"{p:.3f}"
    return f"{p:.0e}" if p > 0.0 else "< 1e-300"


def amount(value: float) -> str:
    """Write a number in three digits, or as many as it has before its point."""
    return (f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}").replace("-", "−")


def score(value: float) -> str:
    """Write what a decision weighed in three decimals, or as few as it needs."""
    if 0.0 < abs(value) < SMALLEST_SCORE:
        return f"< {SMALLEST_SCORE:g}" if value > 0.0 else f"> −{SMALLEST_SCORE:g}"
    return f"{value:,.3f}".rstrip("0").rstrip(".").replace("-", "−")


def share(value: float) -> str:
    return f"{100 * value:g}%"


def percent(value: float) -> str:
    """Write a share in three digits."""
    return f"{100 * value:.3g}%"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def and_(parts: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))
