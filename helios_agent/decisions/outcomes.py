"""What a choice was worth, judged from what was measured after it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from helios_agent import wording
from helios_agent.decisions.engine import WAIT_SCORE

HELPED_NATS = 0.25
"""What a new network must gain, over all the draws on which it is judged, to have helped."""
LEARNING = ("train", "train-warm", "tune")
UNDONE = {
    "cancelled": "It was cancelled",
    "refused": "It was rejected",
    "expired": "It expired",
    None: "It is no longer on record",
}
DID_NOTHING = ("failed", "dead")
NATS = "nats per draw"


@dataclass(frozen=True)
class Facts:
    """What is known of a choice. `state` and `result` are its intent's; `price` is what it really cost.

    gains: of the network that it made, or promoted, over what stood before, at each draw since, nats; None
    where it made none. over: whether that network forecasts no more. in_vain: whether it is known already
    that the same was of no use since the newest draw.
    """

    action: str
    urgency: float
    state: str | None
    result: Mapping[str, Any]
    cpu_seconds: float
    price: float
    gains: Sequence[float] | None = None
    over: bool = False
    in_vain: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a choice: its impact, in a unit, if that was measured; whether it did what it was for.

    success is None where nothing can be said, as a person ended it. regret: what waiting would have scored
    more, so that it was worth it if that is nothing; None where its worth is not measured.
    """

    impact: float | None
    unit: str | None
    success: bool | None
    regret: float | None
    sentence: str

    def as_record(self) -> dict[str, Any]:
        """Return it as it is journaled."""
        return {
            "impact": None if self.impact is None else round(self.impact, 9),
            "unit": self.unit,
            "success": None if self.success is None else int(self.success),
            "regret": self.regret,
            "sentence": self.sentence,
        }


def judge(facts: Facts, evaluation_draws: int) -> Outcome | None:
    """Return what came of a choice, None while that cannot be told yet."""
    if facts.state in UNDONE:
        return _unknown(UNDONE[facts.state])
    if facts.state in DID_NOTHING:
        return _outcome(facts, None, None, False, "it failed")
    if facts.state != "done":
        return None
    if facts.action in LEARNING:
        return _learned(facts, evaluation_draws)
    if facts.action == "promote":
        return _promoted(facts, evaluation_draws)
    if facts.action == "ingest":
        new = int(facts.result["new"])
        if facts.in_vain and not new:
            return _unknown("It brought no new draw, as before, which is counted once until there is one")
        return _outcome(facts, float(new), "draws", new > 0, f"it brought {wording.count(new, 'new draw')}")
    if facts.action == "backtest":
        found = list(facts.result["found"])
        if facts.result.get("stopped") and not found:
            return _unknown("A person stopped it before it had found anybody")
        what = ", ".join(found) or "nobody"
        return _outcome(
            facts, float(len(found)), "forecasters", bool(found), f"{what} gained more than chance"
        )
    if facts.action == "compact":
        before, after = facts.result["before"], facts.result["after"]
        freed = float(before["used_bytes"] - after["used_bytes"])
        less = f"{freed:,.0f} bytes less" if freed >= 0.0 else f"{-freed:,.0f} bytes more"
        return _outcome(facts, freed, "bytes", freed > 0, f"the database uses {less}")
    return Outcome(None, None, True, None, "It was done; what that was worth is not measured.")


def _unknown(how: str) -> Outcome:
    return Outcome(None, None, None, None, f"{how}: nothing can be said of its worth.")


def _learned(facts: Facts, evaluation_draws: int) -> Outcome | None:
    if facts.gains is None:
        return _outcome(facts, 0.0, NATS, False, "no new network came of it")
    if len(facts.gains) < evaluation_draws and not facts.over:
        return None
    gains = facts.gains[:evaluation_draws]
    total = sum(gains)
    if len(gains) < evaluation_draws and abs(total) < HELPED_NATS:
        mean = total / len(gains) if gains else None
        said = _unknown(f"Its network forecast only {wording.count(len(gains), 'draw')}")
        return replace(said, impact=mean, unit=NATS)
    drawn = wording.count(len(gains), "draw")
    told = f"its network gained {total:+.3f} nats over {drawn}, and {HELPED_NATS:g} nats are needed"
    return _outcome(facts, total / len(gains), NATS, total >= HELPED_NATS, told)


def _promoted(facts: Facts, evaluation_draws: int) -> Outcome | None:
    gains = (facts.gains or ())[:evaluation_draws]
    if len(gains) < evaluation_draws and not facts.over:
        return None
    total = sum(gains)
    told = f"the champion gained {total:+.3f} nats over {wording.count(len(gains), 'draw')}"
    return _outcome(facts, total / len(gains) if gains else None, NATS, bool(gains) and total >= 0.0, told)


def _outcome(facts: Facts, impact: float | None, unit: str | None, success: bool, what: str) -> Outcome:
    realised = facts.urgency * success - facts.price
    regret = round(max(0.0, WAIT_SCORE - realised), 6)
    cost = f" and took {wording.span(facts.cpu_seconds)} of processor time" if facts.cpu_seconds else ""
    worth = "It was worth it" if not regret else "It was not worth it"
    return Outcome(impact, unit, success, regret, f"{worth}: {what}{cost}.")
