"""The audit as text for a terminal."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

from helios_agent.fairness import words
from helios_agent.web.chart import signed
from helios_agent.web.numbers import probability

Record = Mapping[str, Any]

WIDTH = 110


def report(seen: Record) -> str:
    """Render `report.report`."""
    lines = [f"Fairness audit of {seen['title']}", _prose(words.source(seen) + "."), ""]
    lines += [_prose(seen["verdict"]), "", *(_prose(text) for text in seen["meaning"].values())]
    for era in seen["eras"]:
        lines += ["", "", *_era(era, seen["level"])]
    return "\n".join(lines)


def _era(era: Record, level: float) -> list[str]:
    heading = words.rules(era)
    lines = [heading, "─" * len(heading)]
    lines += [f"{words.draws(era)}, {era['from']} to {era['to']}", _prose(era["verdict"]), ""]
    lines.append(f"  {'test':<12}{'statistic':>10}{'df':>8}{'p':>10}{'adjusted p':>12}")
    for test in era["tests"]:
        df = "" if test["df"] is None else f"{test['df']:,}"
        lines.append(
            f"  {test['name']:<12}{words.statistic(test):>10}{df:>8}{probability(test['p']):>10}"
            f"{probability(test['p_holm']):>12}{'  unusual' if test['unusual'] else ''}"
        )
        lines += [_prose(test["asks"], "    "), _prose(f"{words.capital(test['in_words'])}.", "    ")]
    if not era["tests"]:
        lines.append("  too few draws for the tests")
    lines += ["", f"  {'forecaster':<12}{'evidence':>10}{'highest':>10}{'any-time p':>12}  watches for"]
    lines += [
        f"  {row['name']:<12}{signed(row['now_nats']):>10}{signed(row['peak_nats']):>10}"
        f"{probability(row['anytime_p']):>12}  {row['watches_for']}"
        for row in words.forecasters(era)
    ]
    lines += [_prose(f"The forecaster {n} failed: {why}.", "  ") for n, why in era["broken"].items()]
    lines += ["", _prose(words.betting(era), "  "), _prose(words.skill(era, level), "  ")]
    return lines


def _prose(text: str, indent: str = "") -> str:
    return fill(text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
