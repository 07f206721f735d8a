"""What happened since the last reflection, in plain sentences made from the record and nothing else.

Pure: the same record gives the same text.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from helios_agent import wording
from helios_agent.forecasting import evidence
from helios_agent.forecasting.mixture import UNIFORM
from helios_agent.metacognition import analytics

Record = Mapping[str, Any]

MOST_TOLD = 5
"""Of what was learned only so much is told, the most relevant first; the record has the rest."""


def text(title: str, made: Record) -> str:
    """Say what a reflection has found of a game: see `actions/reflect.py` for the record."""
    parts = [
        _scored(title, made),
        *(_alarm(alarm) for alarm in made["alarms"]),
        *_leader(made["leader"]),
        *_trained(made),
        *(_role_change(change) for change in made["roles"]),
        _decided(made["decisions"]),
        *_spent(made["compute"]),
        *_trends(made["trends"]),
        *(f"Pattern: {pattern['sentence']}" for pattern in made["patterns"] or ()),
        *_learned(made["learned"]),
    ]
    return " ".join(parts)


def _scored(title: str, made: Record) -> str:
    draws, standing = made["draws"], made["evidence"]
    span = f"From {made['from']['at'][:16]}Z to {made['to']['at'][:16]}Z"
    if not draws["scored"]:
        told = f"{span}, no draw of {title} was scored"
        if standing["now_nats"] is None:
            return f"{told}, nor any before."
        return f"{told}; the evidence against fairness stands at {standing['now_nats']:.2f} nats."
    told = (
        f"{span}, {wording.count(draws['scored'], 'draw')} of {title} {_were(draws['scored'])} scored, "
        f"{draws['registered']} of them forecast in advance, and the mixture gained "
        f"{draws['gain_nats']:+.3f} nats on chance."
    )
    before = "" if standing["before_nats"] is None else f" went from {standing['before_nats']:.2f}"
    now = f"{before} to {standing['now_nats']:.2f}" if before else f" stands at {standing['now_nats']:.2f}"
    return (
        f"{told} The evidence against fairness{now} nats; its peak is {standing['peak_nats']:.2f}, which a "
        f"fair machine reaches with probability at most {evidence.anytime_p(standing['peak_nats']):.2g}."
    )


def _alarm(alarm: Record) -> str:
    what = (
        "a change of the machine" if alarm["about"].endswith("/change") else "the evidence against fairness"
    )
    told = f"On {alarm['at'][:10]} an alarm about {what} was raised"
    if alarm["evidence_nats"] is not None:
        told += (
            f", after {wording.count(alarm['draws_scored'], 'scored draw')} and with the evidence at "
            f"{alarm['evidence_nats']:.2f} nats, {alarm['peak_nats']:.2f} at its peak"
        )
    return f"{told}: {alarm['message'].rstrip('.')}."


def _leader(leader: Record | None) -> list[str]:
    if leader is None:
        return []
    first, best = leader["first"], leader["best"]
    if first["forecaster"] == UNIFORM:
        told = f"Uniform, chance itself, has the largest weight for the next draw, {first['weight']:.3f}"
        if best is None:
            return [f"{told}."]
        most = f"the forecaster {best['forecaster']} has most, {_gained(best)}"
        return [f"{told}; of those that could find something {most}."]
    return [
        f"The forecaster {first['forecaster']} has the largest weight for the next draw, {_gained(first)}."
    ]


def _gained(account: Record) -> str:
    if not account["draws"]:
        return f"{account['weight']:.3f}, and has not forecast a scored draw yet"
    told = f"{account['weight']:.3f}, and gained {account['gain_nats']:+.3f} nats on chance over "
    told += wording.count(account["draws"], "draw")
    if account["gain_since_nats"] not in (None, account["gain_nats"]):
        told += f", of which {account['gain_since_nats']:+.3f} in this time"
    return told


def _trained(made: Record) -> list[str]:
    told = [f"{_training(each)}." for each in made["trained"]]
    if failed := made["trainings_failed"]:
        told.append(f"{wording.count(failed, 'training')} {_were(failed)} given up.")
    return told or ["No network was trained."]


def _training(model: Record) -> str:
    if model["epochs"] is None:
        return f"{model['model']} joined on {model['trained_at'][:10]}; of its training nothing is known here"
    cost = "" if model["cpu_seconds"] is None else f" and {model['cpu_seconds']:,.1f} CPU seconds"
    spent = f"{wording.count(model['epochs'], 'epoch')}{cost}"
    return (
        f"{model['model']} was trained on {model['trained_at'][:10]}, in {spent}; on validation it gained "
        f"{model['validation_gain_nats']:+.4f} nats a draw"
    )


def _role_change(change: Record) -> str:
    day, by = change["at"][:10], f"by {change['by']}" if change["by"] else "for no reason that is recorded"
    if change["kind"] == "model.retired":
        return f"{change['model']} was retired on {day}, {by}."
    if change["kind"] == "model.rolled-back":
        after = f", and {change['other']} is champion again" if change["other"] else ""
        return f"{change['model']} was rolled back on {day}, {by}{after}."
    told = f"{change['model']} was promoted to champion on {day}, {by}"
    if change["other"]:
        told += f", in place of {change['other']}"
    if change["trial_draws"] is None:
        return f"{told}, before its trial had a draw."
    return (
        f"{told}, after {wording.count(change['trial_draws'], 'draw')} of trial that had shown "
        f"{change['trial_nats']:.2f} nats."
    )


def _decided(decisions: Record) -> str:
    chosen = [(a["action"], a["chosen"]) for a in decisions["actions"] if a["chosen"]]
    told = "No decision was made."
    if decisions["made"] or chosen:
        times = "once" if decisions["made"] == 1 else wording.count(decisions["made"], "time")
        listed = ", ".join(f"{action} ({count})" for action, count in chosen)
        told = f"It decided {times}, and chose {listed or 'nothing'}."
    measured = [a for a in decisions["actions"] if a["measured"]]
    if measured:
        listed = ", ".join(f"{a['action']} {a['worth_it']} of {a['measured']}" for a in measured)
        regret = sum(a["regret"] or 0.0 for a in measured)
        told += (
            f" Of earlier choices that were measured now, worth it were {listed}; regret {regret:.2f} in all."
        )
    spent = sum(a["cpu_seconds"] for a in decisions["actions"])
    return f"{told} What was chosen took {spent:,.1f} CPU seconds." if spent else told


def _spent(compute: Record) -> list[str]:
    by_action = ", ".join(f"{action} {seconds:,.1f}" for action, seconds in compute["by_action"].items())
    told = [
        f"Jobs took {compute['cpu_seconds']:,.1f} CPU seconds ({by_action})."
        if compute["by_action"]
        else "No job took processor time."
    ]
    alarm = compute["since_alarm"]
    if alarm is not None:
        told.append(
            f"In the {alarm['days']:.1f} days since the first alarm, on {alarm['at'][:10]}, jobs took "
            f"{alarm['cpu_seconds_per_day']:,.1f} CPU seconds a day; in the {alarm['days_before']:.1f} days "
            f"before it, {alarm['cpu_seconds_per_day_before']:,.1f}."
        )
    return told


def _trends(trends: Sequence[Record]) -> list[str]:
    clear = [trend for trend in trends if trend["clear"]]
    return [analytics.trend_verdict(clear)] if clear else []


def _learned(fragments: Sequence[Record]) -> list[str]:
    if not fragments:
        return []
    more = len(fragments) - MOST_TOLD
    told = " ".join(f"{fragment['content'].rstrip('.')}." for fragment in fragments[:MOST_TOLD])
    return [f"Learned: {told}{f' And {more} more.' if more > 0 else ''}"]


def of_model(record: Record, learned: Sequence[Record], choices: Sequence[Record]) -> str:
    """Say what is recorded of one model: how it was trained, what it gained, what decisions did about it."""
    parts = [f"{_training(record)}."]
    if record["live_draws"]:
        known = record["live_low_nats"] is not None
        between = (
            f", between {record['live_low_nats']:+.4f} and {record['live_high_nats']:+.4f} a draw"
            if known
            else ""
        )
        parts.append(
            f"It is {record['role']}, and gained {record['live_gain_nats']:+.3f} nats on chance over "
            f"{wording.count(record['live_draws'], 'draw')}{between}."
        )
    else:
        parts.append(f"It is {record['role']}, and no draw that it forecast has been scored.")
    for choice in choices:
        done = f"A decision chose to {choice['action']} on {choice['at'][:10]}"
        if not choice["is_measured"]:
            parts.append(f"{done}; what came of it is not measured yet.")
        elif choice["regret"] is None:
            parts.append(f"{done}; of its worth nothing can be said.")
        else:
            impact = "" if choice["impact"] is None else f" ({choice['impact']:+.3g} {choice['unit']})"
            parts.append(f"{done}; it was {'' if choice['regret'] == 0.0 else 'not '}worth it{impact}.")
    return " ".join([*parts, *_learned(learned)])


def _were(number: int) -> str:
    return "was" if number == 1 else "were"
