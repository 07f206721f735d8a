"""The report of a backtest as a page that needs nothing else, and as text for a terminal."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from textwrap import fill
from typing import Any

from markupsafe import Markup

from helios_agent.forecasting import evidence
from helios_agent.web import chart
from helios_agent.web.chart import signed
from helios_agent.web.numbers import and_, probability, share, stake
from helios_agent.web.page import STATIC, templates

Record = Mapping[str, Any]

WIDTH = 110
CONFIDENCE = "95%"


def page(made: Record) -> str:
    """Render `metacognition.backtests.report` as HTML."""
    styles = (STATIC / "helios.css").read_text("utf-8")
    return templates.get_template("backtest.html").render(
        made=made,
        forecasters=[(each, _drawing(made, each)) for each in made["forecasters"]],
        bounds=bounds,
        failures=failures(made),
        meaning=meaning(made),
        in_words=in_words,
        styles=Markup(styles),  # noqa: S704 (our own style sheet)
    )


def text(made: Record) -> str:
    """Render `metacognition.backtests.report` for a terminal."""
    lines = [
        f"Backtest of {made['title']}: {made['draws']:,} draws, {made['from']} to {made['to']}",
        _prose(made["verdict"]),
        "",
        f"  {'forecaster':<13}{'draws':>6}{'nats':>9}{'a draw':>10}{CONFIDENCE + ' confidence':>22}"
        f"{'stake':>10}{'fall':>8}{'hits':>7}{'chance':>8}{'p':>7}",
    ]
    for each in made["forecasters"]:
        hits = each["hits"]
        lines.append(
            f"  {each['name']:<13}{each['draws']:>6,}{signed(each['total_gain_nats']):>9}"
            f"{signed(each['mean_gain_nats'], 4):>10}{bounds(each, 4) or '—':>22}"
            f"{stake(each['total_gain_nats']):>10}{each['drawdown_nats']:>8.2f}{hits['hits']:>7,}"
            f"{hits['expected']:>8,.0f}{probability(hits['p']):>7}"
        )
    lines += [_prose(said, "  ") for said in failures(made)]
    return "\n".join([*lines, "", *(_prose(said) for said in meaning(made))])


def bounds(each: Record, decimals: int) -> str:
    """Write the bounds of a mean gain; empty where there are none."""
    low, high = each["mean_low_nats"], each["mean_high_nats"]
    return "" if low is None or high is None else f"{signed(low, decimals)} to {signed(high, decimals)}"


def failures(made: Record) -> list[str]:
    """Say which forecasters failed, and why."""
    return [f"The forecaster {name} failed: {why.rstrip('.')}." for name, why in made["broken"].items()]


def meaning(made: Record) -> list[str]:
    """Say what the figures of a report mean."""
    return [
        "Each draw is forecast from the draws before it alone. The gain is the log score less chance's, in "
        "nats. The stake is what has become of 1 that was bet on every draw at fair odds by the forecasts; "
        "the fall is the most that it ever lost from its best, in nats.",
        "The confidence of the gain a draw is asymptotic: good for many draws, not for few, and too narrow "
        "where a forecaster gains rarely and much, as repeats does. Of fewer than "
        f"{evidence.FEWEST_DRAWS_BOUNDED} draws none is shown. What is found does not rest on it.",
        "Found are forecasters whose stake stands out among all that were tried (e-BH at "
        f"{share(made['level'])}; for one alone it takes {made['alarm_nats']:.2f} nats). That holds for a "
        "span that was chosen without regard to its numbers.",
        f"Hits are how many of the {made['pick']} white balls held likeliest came; p is the exact chance of "
        "as many or more by guessing. Where many forecasters are shown, some p is small by chance.",
    ]


def in_words(each: Record, made: Record) -> list[str]:
    """Say what one forecaster did, in sentences."""
    hits, bonus, parts = each["hits"], each["bonus_hits"], each["calibration"]
    within = bounds(each, 5)
    said = [
        f"A stake of 1 has become {stake(each['total_gain_nats'])} ({stake(each['peak_nats'])} at best). It "
        f"gained {signed(each['mean_gain_nats'], 5)} nats a draw"
        + (f"; {CONFIDENCE} confidence, asymptotic and at any time: {within}." if within else "."),
        f"Of its {made['pick']} likeliest white balls {hits['hits']:,} came; by chance "
        f"{hits['expected']:,.1f}, give or take {hits['sd']:.1f}, and as many or more with probability "
        f"{probability(hits['p'])}."
        + (
            f" Its likeliest bonus ball came {bonus['hits']:,} times, by chance {bonus['expected']:,.1f} "
            f"(p {probability(bonus['p'])})."
            if bonus
            else ""
        ),
    ]
    return said + [_calibration(drum, parts[drum]) for drum in ("white", "bonus") if parts[drum]]


def _calibration(drum: str, parts: Record) -> str:
    """Say whether forecasts of the balls of a drum mean what they say."""
    said = (
        f"{drum.capitalize()} balls: Brier score {parts['brier']:.5f}, chance {parts['chance_brier']:.5f}; "
        f"reliability {parts['reliability']:.1e} (0 is perfect), resolution {parts['resolution']:.1e} "
        "(0 is no knowledge)."
    )
    checks = [
        f"forecasts as far from the frequencies come by chance with p {probability(parts['test']['p'])}"
        if parts["test"]
        else "",
        f"the transform (PIT) is as uneven with p {probability(parts['pit']['p'])}" if parts["pit"] else "",
    ]
    return f"{said} If they are honest, {and_([*filter(None, checks)])}." if any(checks) else said


def _drawing(made: Record, each: Record) -> chart.Drawing:
    gains: Sequence[float | None] = each["gains"]
    return chart.gains(made["days"], [*accumulate(gain or 0.0 for gain in gains)], made["alarm_nats"])


def _prose(said: str, indent: str = "") -> str:
    return fill(said, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
