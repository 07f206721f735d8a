"""What the signals of a game mean, in plain words."""

from collections.abc import Mapping
from datetime import date

from helios_agent import wording
from helios_agent.forecasting import detection


def of(
    title: str,
    signals: Mapping[str, float | None],
    alarm_level: float,
    change_alarm_nats: float,
    alarmed_on: date | None,
) -> str:
    """Say in plain words what the signals mean for someone who follows the game.

    `alarmed_on`: when an alarm about a change was raised, if not long ago. The watch for the next begins anew
    with it, so that the signals tell of the change no more.
    """
    draws, p = signals["draws_scored"], signals["fairness_p"]
    if not draws or p is None:
        return f"No draw of {title} has been scored yet, so nothing can be said."
    if p <= alarm_level:
        return (
            f"{title} shows signs of not being fair: over {draws:,.0f} draws the forecasts gained "
            f"{signals['evidence_peak']:.2f} nats on chance at their best; a fair machine does that with "
            f"probability at most {p:.2g}."
        )
    factor = signals["smallest_visible_factor"]
    visible = (
        " So few draws hardly show anything: not even a ball that comes every time."
        if factor is None
        else f" A single ball {factor:.2f} times as heavy as any other would on average have shown by now."
    )
    said = f"No sign that {title} can be predicted, after {wording.count(draws, 'scored draw')}.{visible}"
    change, clearest, age = (signals[name] for name in ("change", "change_clearest", "change_age"))
    if (
        change is not None
        and clearest is not None
        and age is not None
        and detection.alarm(change, clearest, change_alarm_nats) >= 1.0
    ):
        return f"{said} But its machine seems to have changed, most likely {wording.count(age, 'draw')} ago."
    if alarmed_on is not None:
        return f"{said} But on {alarmed_on} an alarm was raised: its machine seems to have changed."
    return said
