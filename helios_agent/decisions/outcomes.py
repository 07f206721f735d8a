"""What a choice was worth, judged from what was measured after it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from helios_agent.decisions.engine import WAIT_SCORE

HELPED_NATS = 0.25
"""What a new network must gain, over all the draws on which it is judged, to have helped."""
LEARNING = ("train", "train-warm", "tune")
BY_A_PERSON = ("cancelled", "refused", "expired")
DID_NOTHING = ("failed", "dead")
NATS = "nats per draw"


@dataclass(frozen=True)
class Facts:
    """What is known of a choice. `state` and `result` are its intent's; `price` is what it really cost.

    gains: of the network that it made, or promoted, over what stood before, at each draw since, nats; None
    where it made none. over: whether that network forecasts no more.
    """

    action: str
    urgency: float
    state: str | None
    result: Mapping[str, Any]
    cpu_seconds: float
    price: float
    gains: Sequence[float] | None = None
    over: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of a choice: its impact, in a unit, if that was measured; whether it did what it was for.

    success is None where a person ended it, so that nothing can be said. regret: what waiting would have
    scored more.
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
            "regret": None if self.regret is None else round(self.regret, 6),
            "sentence": self.sentence,
        }


def judge(facts: Facts, evaluation_draws: int) -> Outcome | None:
    """Return what came of a choice, None while that cannot be told yet."""
    if facts.state is None or facts.state in BY_A_PERSON:
        how = facts.state or "no longer on record"
        return Outcome(None, None, None, None, f"{facts.action} is {how}: nothing can be said of its worth.")
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
        return _outcome(facts, float(new), "draws", new > 0, f"it brought {new} new draws")
    if facts.action == "backtest":
        found = list(facts.result["found"])
        what = ", ".join(found) or "nobody"
        return _outcome(
            facts, float(len(found)), "forecasters", bool(found), f"{what} gained more than chance"
        )
    if facts.action == "compact":
        freed = float(facts.result["freed_bytes"])
        return _outcome(facts, freed, "bytes", freed > 0, f"it freed {freed:,.0f} bytes")
    return _outcome(facts, None, None, True, "it was done")


def _learned(facts: Facts, evaluation_draws: int) -> Outcome | None:
    if facts.gains is None:
        return _outcome(facts, 0.0, NATS, False, "no new network came of it")
    if len(facts.gains) < evaluation_draws and not facts.over:
        return None
    gains = facts.gains[:evaluation_draws]
    if not gains:
        return _outcome(facts, None, NATS, False, "its network never forecast a draw")
    total = sum(gains)
    told = f"its network gained {total:+.3f} nats over {len(gains)} draws; {HELPED_NATS:g} are needed"
    return _outcome(facts, total / len(gains), NATS, total >= HELPED_NATS, told)


def _promoted(facts: Facts, evaluation_draws: int) -> Outcome | None:
    gains = (facts.gains or ())[:evaluation_draws]
    if len(gains) < evaluation_draws and not facts.over:
        return None
    total = sum(gains)
    told = f"the champion gained {total:+.3f} nats over {len(gains)} draws"
    return _outcome(facts, total / len(gains) if gains else None, NATS, bool(gains) and total >= 0.0, told)


def _outcome(facts: Facts, impact: float | None, unit: str | None, success: bool, what: str) -> Outcome:
    realised = facts.urgency * success - facts.price
    regret = max(0.0, WAIT_SCORE - realised)
    cost = f" and took {facts.cpu_seconds:.1f} s of processor time" if facts.cpu_seconds else ""
    worth = "It was worth it" if not regret else "It was not worth it"
    return Outcome(impact, unit, success, regret, f"{worth}: {what}{cost}.")
