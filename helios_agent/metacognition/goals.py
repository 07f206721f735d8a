"""Goals: values that signals are to reach, and how far they are from where they began.

Pure: goals, signals and the time in, what became of the goals out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter

WAITING, OPEN, REACHED, MISSED, WITHDRAWN = "waiting", "open", "reached", "missed", "withdrawn"
LIVE = (WAITING, OPEN)
"""States in which a goal can still be reached."""
DECIMALS = 9


@dataclass(frozen=True)
class Goal:
    """A value that a signal (`metric`) of a game is to reach.

    It is open once every goal in `after` is reached and its metric is known; until then it waits. start: the
    metric when it was opened. value: the metric when it was last measured. progress: see `progress`. reason:
    why it ended without being reached. deadline_us: when it is missed, microseconds since 1970 UTC.
    """

    id: str
    game: str
    metric: str
    target: float
    direction: str
    deadline_us: int | None = None
    after: tuple[str, ...] = ()
    state: str = WAITING
    start: float | None = None
    value: float | None = None
    progress: float | None = None
    reason: str | None = None


def is_reached(value: float, target: float, direction: str) -> bool:
    """Return whether a value is what it is to be: `at least` or `at most` the target."""
    return value >= target if direction == "at least" else value <= target


def progress(start: float | None, value: float, target: float, direction: str) -> float:
    """Return the share of the way from the starting value to the target that is done, from 0 to 1.

    1 where the target is reached; 0 where the value has moved away from it, or its start is not known.
    """
    if is_reached(value, target, direction):
        return 1.0
    if start is None or is_reached(start, target, direction):
        return 0.0  # from a start beyond the target there is no way to it: it was reached, and left
    return round(min(1.0, max(0.0, (value - start) / (target - start))), DECIMALS)


def measure(goals: Sequence[Goal], game: str, signals: Mapping[str, float | None], now_us: int) -> list[Goal]:
    """Return the goals of a game that an assessment changes, as they are now, in the order in which they do.

    `goals` are those of all games. What was reached by the end of its deadline has been reached for good; a
    value that is measured after it came too late. A metric that is unknown leaves its goal as it is. A goal
    opens in the assessment that finds the last of those it comes after reached; where one of them can be
    reached no more it can neither, and is missed at once.
    """
    now = {goal.id: goal for goal in goals}
    # Those first that others come after: what these come to is seen by the others.
    order = TopologicalSorter({goal.id: [name for name in goal.after if name in now] for goal in goals})
    changed = []
    for goal in map(now.__getitem__, tuple(order.static_order())):
        if goal.game == game and goal.state in LIVE:
            after = _measured(goal, now, signals.get(goal.metric), now_us)
            if after != goal:
                now[goal.id] = after
                changed.append(after)
    return changed


def _measured(goal: Goal, now: Mapping[str, Goal], value: float | None, now_us: int) -> Goal:
    before = [now[name] for name in goal.after]
    for other in before:
        if goal.state == WAITING and other.state in (MISSED, WITHDRAWN):
            return replace(goal, state=MISSED, reason=f"it comes after {other.id}, which was {other.state}")
    if goal.deadline_us is not None and now_us >= goal.deadline_us:
        return replace(goal, state=MISSED, reason="its deadline is over")
    if value is None or (goal.state == WAITING and any(other.state != REACHED for other in before)):
        return goal
    start = value if goal.state == WAITING else goal.start
    done = is_reached(value, goal.target, goal.direction)
    return replace(
        goal,
        state=REACHED if done else OPEN,
        start=start,
        value=value,
        progress=progress(start, value, goal.target, goal.direction),
    )


def faults(goal: Goal, others: Iterable[Goal], signals: Iterable[str], now_us: int) -> list[str]:
    """Return why a goal cannot be set among others, each in words that name the field; empty where it can."""
    known = {other.id: other for other in others}
    found = []
    if goal.id in known and known[goal.id].state in LIVE:
        found.append(f"id is {goal.id!r}, which is that of a goal that is {known[goal.id].state}")
    if goal.metric not in (names := list(signals)):
        found.append(f"metric is {goal.metric!r}; expected a signal: {', '.join(names)}")
    if goal.deadline_us is not None and goal.deadline_us <= now_us:
        found.append("deadline is over already")
    for name in goal.after:
        if name not in known and name != goal.id:
            found.append(f"after names {name!r}, which is no goal")
        elif name in known and known[name].state in (MISSED, WITHDRAWN):
            found.append(f"after names {name!r}, which was {known[name].state}: it would never come to it")
    if goal.id in _before(goal.after, known):
        found.append(f"after makes {goal.id} wait for itself: {' and '.join(goal.after)} would come after it")
    return found


def _before(names: Iterable[str], goals: Mapping[str, Goal]) -> set[str]:
    """Return the ids of all goals that must be reached before a goal that comes after these."""
    found: set[str] = set()
    left = list(names)
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += goals[name].after if name in goals else ()
    return found
