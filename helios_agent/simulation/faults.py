"""What goes wrong in a life, and when: drawn by a seed, so that it goes wrong again in the same way."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from helios_agent.simulation.loop import WEEK_S
from helios_agent.simulation.world import FEED_HOSTS, RECEIVER_HOSTS

HOUR_S = 3600.0
MOODS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(FEED_HOSTS, ("down", "refused", "hangs", "busy", "malformed", "wrong")),
    **dict.fromkeys(RECEIVER_HOSTS, ("down", "refused", "hangs", "busy")),
}


@dataclass(frozen=True, slots=True, order=True)
class Turn:
    """At `at_s` seconds of life something begins or ends. What `value` means depends on the kind.

    * mood: a host misbehaves so (text), or works again ("");
    * worker: the next worker is killed; diverge: trainings diverge (1), or do no more (0);
    * full: the database finds no room on the disk (1), or finds room again (0); crammed: new files find none;
    * slow: each commit takes so many seconds longer;
    * step: the wall clock is set forward by so many seconds; right: it is set right;
    * suspend: the machine sleeps so many seconds;
    * reload: the configuration is read again;
    * pause, stop: that is asked of the next training that runs; resume: the one that is paused goes on;
    * restart, crash: the daemon is stopped, or killed, and started again after so many seconds;
    * strike: the daemon is killed at the so-many-th commit or exchange over HTTP from now on.
    """

    at_s: float
    kind: str
    host: str = ""
    value: float | str = 0.0


def draw(seed: int, weeks: int) -> list[Turn]:
    """Return the turns of a life of so many weeks, in order; its last three days are quiet."""
    source = random.Random(f"faults {seed}")  # noqa: S311
    span_s = weeks * WEEK_S - 3 * 24 * HOUR_S
    turns: list[Turn] = []

    def moments(per_week: float) -> list[float]:
        expected = per_week * weeks
        count = int(expected) + (source.random() < expected % 1)
        return [source.uniform(0, span_s) for _ in range(count)]

    def spell(kind: str, per_week: float, longest_s: float, begin: float, end: float) -> None:
        for at_s in moments(per_week):
            turns.append(Turn(at_s, kind, "", begin))
            turns.append(Turn(min(at_s + source.uniform(600, longest_s), span_s), kind, "", end))

    for host, moods in MOODS.items():
        for at_s in moments(0.7):
            turns.append(Turn(at_s, "mood", host, source.choice(moods)))
            turns.append(Turn(min(at_s + source.uniform(600, 60 * HOUR_S), span_s), "mood", host, ""))
    spell("full", 0.3, 24 * HOUR_S, 1.0, 0.0)
    spell("slow", 0.3, 6 * HOUR_S, source.uniform(0.5, 5.0), 0.0)
    turns += [Turn(at_s, "worker") for at_s in moments(1.0)]
    for at_s in moments(0.25):
        turns.append(Turn(at_s, "step", "", source.choice((-3600.0, 3600.0, -20.0, 20.0, 36 * 3600.0))))
        turns.append(Turn(min(at_s + source.uniform(60, 30 * HOUR_S), span_s), "right"))
    turns += [Turn(at_s, "suspend", "", source.uniform(60, 36 * HOUR_S)) for at_s in moments(0.25)]
    for kind in ("restart", "crash"):
        turns += [Turn(at_s, kind, "", source.choice((5.0, 600.0, 50 * HOUR_S))) for at_s in moments(0.4)]
    turns += [Turn(at_s, "strike", "", float(source.randint(1, 40))) for at_s in moments(1.0)]
    spell("crammed", 0.5, 60 * HOUR_S, 1.0, 0.0)
    turns += [Turn(at_s, "reload") for at_s in moments(1.0)]
    for at_s in moments(0.2):
        turns.append(Turn(at_s, "pause"))
        turns.append(Turn(min(at_s + source.uniform(24 * HOUR_S, 240 * HOUR_S), span_s), "resume"))
    turns += [Turn(at_s, "stop") for at_s in moments(0.1)]
    return sorted(turns)
