"""The audit as one page that needs nothing else: no script, no style sheet, no picture from elsewhere."""

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from helios_agent.fairness import words
from helios_agent.web import chart
from helios_agent.web.page import STATIC, templates

Record = Mapping[str, Any]


def render(seen: Record) -> str:
    """Render `report.report` as HTML."""
    styles = (STATIC / "helios.css").read_text("utf-8")
    return templates.get_template("audit.html").render(
        seen=seen,
        eras=[(era, _drawings(era, seen["level"] / len(seen["eras"]))) for era in seen["eras"]],
        words=words,
        styles=Markup(styles),  # noqa: S704 (our own style sheet)
    )


def _drawings(era: Record, alarm_level: float) -> dict[str, Any]:
    series = era["evidence"]["series"]
    points = [
        {"day": day, "mixture_nats": nats, "basis": "walk-forward"}
        for day, nats in zip(series["days"], series["nats"], strict=True)
    ]
    return {
        "white": chart.counts(era["counts"]["white"], era["pick"]),
        "bonus": chart.counts(era["counts"]["bonus"], 1) if era["bonus"] > 1 else None,
        "evidence": chart.evidence(points, alarm_level),
    }
