"""The audit's findings in plain words, never more than they say."""

from collections.abc import Mapping
from typing import Any

from helios_agent.web.chart import signed
from helios_agent.web.numbers import and_, probability, share, stake

Record = Mapping[str, Any]

ASKS: Mapping[str, str] = {
    "whites": "Does every white ball come equally often?",
    "bonus": "Does every bonus ball come equally often?",
    "pairs": "Do any two white balls come together more or less often than the counts of each explain?",
    "repeats": "Do white balls of one draw come again in the next more or less often than by chance?",
    "positions": "Do white balls prefer a place in the order in which they are drawn?",
}
"""What each test asks."""


def deviation(test: Record) -> str:
    """Say what the largest deviation of a test is, and leave the judgement to the test as a whole."""
    of = test["largest"]["of"]
    judgement = "unusual" if test["unusual"] else "nothing unusual"
    return observed(test) + (f"; the largest of {of:,} deviations, together {judgement}" if of > 1 else "")


def observed(test: Record) -> str:
    """Say what a test counted where it deviates most."""
    largest = test["largest"]
    balls = " and ".join(map(str, largest["balls"]))
    times = "once" if largest["observed"] == 1 else f"{largest['observed']:,} times"
    what = {
        "whites": f"ball {balls} came {times}",
        "bonus": f"bonus ball {balls} came {times}",
        "pairs": f"balls {balls} came together {times}",
        "repeats": f"a ball of one draw came again in the next {times}",
        "positions": f"ball {balls} came {times} in place {largest['place']}",
    }[test["name"]]
    return f"{what}; about {count(largest['expected'])} expected"


def era_verdict(era: Record) -> str:
    """Say in a few sentences what the tests and the evidence make of an era."""
    unusual = [test for test in era["tests"] if test["unusual"]]
    if not era["unusual"]:
        return f"Nothing unusual in {draws(era)}. {blind_spot(era)}"
    names = [test["name"] for test in unusual]
    found = [f"the {and_(names)} {'tests' if names[1:] else 'test'}"] if names else []
    found += ["the evidence"] if era["evidence"]["unusual"] else []
    says = "say" if len(found) > 1 or len(names) > 1 else "says"
    farthest = (
        [f"Farthest off: {observed(min(unusual, key=lambda test: float(test['p'])))}."] if unusual else []
    )
    return " ".join(
        (
            f"Not what fair machines give. So {says} {and_(found)} of {draws(era)}.",
            *farthest,
            "Whether a machine is at fault or the draws on record, numbers alone cannot say.",
        )
    )


def blind_spot(era: Record) -> str:
    """Say what could not have been seen in the draws of an era."""
    factor = era["smallest_visible_factor"]
    if factor is None:
        return "Yet so few draws hardly show anything: not even a ball that comes every time."
    return (
        f"Yet one white ball up to {factor:.2f} times as heavy as any other, or a weaker fault, "
        "would on average not have shown in so many draws."
    )


def verdict(report: Record) -> str:
    """Say in a few sentences what the audit as a whole found."""
    title, eras = report["title"], report["eras"]
    named = [f"{era['name']} ({_grounds(era)})" for era in eras if era["unusual"]]
    if named:
        return (
            f"Some {title} draws are not what fair machines give. They were made under the rules "
            f"since {and_(named)}. The record may be at fault, too: check it first."
        )
    under = f"under any of the {len(eras)} sets of rules" if len(eras) > 1 else "under their rules"
    neither = (
        f"None of the {report['tests']} tests tells them from those of fair machines, "
        f"nor does the evidence {under}."
        if report["tests"]
        else f"They are too few for the tests, and there is no evidence {under}."
    )
    return (
        f"Nothing unusual in {draws(report, title)}. {neither} "
        "That is no proof that the machines are fair: small faults would still be hidden."
    )


def _grounds(era: Record) -> str:
    tests = [f"{t['name']} test, adjusted p {probability(t['p_holm'])}" for t in era["tests"] if t["unusual"]]
    if era["evidence"]["unusual"]:
        tests.append(f"evidence, up to {stake(era['evidence']['peak_nats'])} times the stake")
    return "; ".join(tests)


def meaning(report: Record) -> dict[str, str]:
    """Say what a p-value, the evidence and the level mean in this audit."""
    level, eras = share(report["level"]), len(report["eras"])
    alarm = report["eras"][0]["evidence"]["alarm_nats"]
    grounds = [f"evidence that ever reached {alarm:.2f} nats"]
    said = {}
    if report["tests"]:
        grounds.insert(0, f"an adjusted p of at most {level}")
        said["p"] = (
            "A p-value is the chance that a fair machine deviates at least as much. It is for one look at a "
            f"number of draws fixed beforehand. Adjusted (Holm), it allows for all {report['tests']} tests."
        )
    if eras > 1:
        grounds.append(f"evidence that stands out now among the {eras} sets of rules (e-BH)")
    said["e"] = (
        "The evidence is for looking again and again. Somebody bets on every draw at fair odds, by forecasts "
        "from the earlier draws alone; the evidence is the logarithm (in nats) of what has become of a stake "
        f"of 1. A fair machine ever multiplies it by {stake(alarm)} ({alarm:.2f} nats) with a chance of at "
        f"most 1 in {stake(alarm)}. The forecasts are replayed now; none was registered before its draw."
    )
    said["level"] = f"Unusual is {', or '.join(grounds)}. " + (
        f"Each calls at most {level} of fair games unusual, so that together they call at most "
        f"{share(len(grounds) * report['level'])} so."
        if len(grounds) > 1
        else f"This calls at most {level} of fair games unusual."
    )
    return said


def rules(era: Record) -> str:
    """Say what is drawn under the rules of an era."""
    bonus = f" and 1 of {era['bonus']}" if era["bonus"] > 1 else ""
    return f"Rules since {era['name']}: {era['pick']} of {era['white']}{bonus}"


def source(report: Record) -> str:
    """Say how many draws there are and where they are from."""
    where, told_by = report["source"], report["source"]["told_by"]
    span = f"{draws(report)}, {report['from']} to {report['to']}"
    if where["origin"] == "packaged":
        return (
            f"{span}, packaged with Helios (as the Texas Lottery publishes them, compared with other sources)"
        )
    told = ", ".join(f"{many:,} told by {name}" for name, many in told_by.items())
    return f"{span}, of those stored in {where['file']}: {told}"


def forecasters(era: Record) -> list[Record]:
    """Return the mixture's account and those of its forecasters, as rows of a table."""
    return [
        {**era["evidence"], "name": "mixture", "watches_for": "all of these together, and judges"},
        *era["forecasters"],
    ]


def betting(era: Record) -> str:
    """Say what became of a stake of 1, now and at best."""
    held = era["evidence"]
    best = f"{stake(held['peak_nats'])} at best, on {held['peak_day']}" if held["peak_day"] else "never more"
    return f"A stake of 1, bet on these forecasts, has become {stake(held['now_nats'])} ({best})."


def skill(era: Record, level: float) -> str:
    """Say what the mixture gained per draw, with its interval."""
    mean, low, high = (era["skill"][name] for name in ("mean", "low", "high"))
    if low is None or high is None:
        return "There are too few draws to tell the gain per draw."
    return (
        f"The mixture's gain over chance is {signed(mean, 4)} nats a draw, between {signed(low, 4)} and "
        f"{signed(high, 4)} with {share(1 - level)} confidence at any time: a coarser measure."
    )


def draws(of: Record, title: str = "") -> str:
    """Say how many draws an era or a report has."""
    return " ".join(filter(None, [f"{of['draws']:,}", title, "draw" if of["draws"] == 1 else "draws"]))


def statistic(test: Record) -> str:
    """Write a test's statistic: chi-square, or z."""
    return f"z {signed(test['statistic'])}" if test["df"] is None else f"{test['statistic']:,.1f}"


def count(value: float) -> str:
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]
