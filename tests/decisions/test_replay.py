"""A recorded history is decided again: by its own policy as it was, and by another, with reasons."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from helios_agent.actions import decide, records
from helios_agent.agent import Agent
from helios_agent.clock import from_us
from helios_agent.config.load import load_policy
from helios_agent.decisions import engine, replay
from helios_agent.decisions.policy import Policy
from helios_agent.decisions.replay import Outcome, Recorded
from helios_agent.decisions.situation import Key, OpenGoal, Situation
from helios_agent.errors import ConfigError
from helios_agent.journal import snapshot
from helios_agent.lottery.games import game
from tests.acceptance.conftest import settle
from tests.acceptance.simulated import LOADED, living

DAY_S = 86_400
DAYS = 12


Lived = tuple[Path, Agent, Sequence[Recorded]]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """Where an agent lived that has assessed itself and decided every day, itself, and its decisions."""
    folder = tmp_path_factory.mktemp("life")

    async def live() -> Lived:
        async with living(folder, LOADED) as agent:
            for _ in range(DAYS):
                await agent.request("score", "simulated", {}, by="test")
                await agent.request("assess", "simulated", {}, by="test")
                await settle(agent)
                await agent.journal.clock.advance(DAY_S)  # type: ignore[attr-defined]
            with snapshot.opened(agent.config.database) as database:
                return folder, agent, tuple(records.recorded(database, agent.config.archives))

    return asyncio.run(live())


def test_every_decision_comes_out_as_it_was(lived: Lived) -> None:
    _, _, found = lived
    assert len(found) >= DAYS
    assert {action for one in found for action, _ in one.chosen} >= {"train", "backup"}
    assert list(replay.unlike(found)) == []


def test_a_decision_that_was_tampered_with_is_told(lived: Lived) -> None:
    found = [*lived[2]]
    altered = dict(found[3].inputs)
    altered["signals"] = altered["signals"] | {"backup_age": 1e9}
    candidates = [dict(c) | {"score": 9.0} for c in found[5].candidates]
    found[3] = replace(found[3], inputs=altered, rationale="Chose wait.")
    found[5] = replace(found[5], candidates=tuple(candidates))
    said = list(replay.unlike(found))
    assert [text.split(" ")[1].rstrip(":") for text in said] == [str(found[3].seq), str(found[5].seq)]


def test_by_the_same_policy_nothing_differs_and_by_another_it_says_where_and_why(
    lived: Lived,
) -> None:
    _, agent, found = lived
    policy = decide.policy(agent.config, game("simulated"), from_us(agent.journal.clock.now_us()))
    assert list(replay.differences(found, lambda *_: policy)) == []
    frugal = replace(policy, autonomy={"train": "observe", "train-warm": "propose"}, backup_after_hours=1e6)
    differing = list(replay.differences(found, lambda *_: frugal))
    dropped = [key for one in differing for key in one.dropped]
    assert ("train", "simulated") in dropped
    assert ("backup", "journal") in dropped
    (first,) = [one for one in differing if ("train", "simulated") in one.dropped][:1]
    assert first.why["train", "simulated"] == "its autonomy is observe"
    backups = [one for one in differing if ("backup", "journal") in one.dropped]
    assert {one.known["backup", "journal"].success for one in backups[:-1]} == {True}
    totals = replay.totals(found, differing)
    assert totals["backup"]["then"] > totals["backup"]["now"] == 0
    assert totals["train"]["now"] == 0


def test_a_policy_waits_for_its_own_cooldowns(lived: Lived) -> None:
    _, agent, found = lived
    policy = decide.policy(agent.config, game("simulated"), from_us(agent.journal.clock.now_us()))
    eager = replace(policy, backup_after_hours=0.001, cooldowns_hours={"backup": 71.0})
    now: list[int] = []
    by_seq = {one.seq: one for one in replay.differences(found, lambda *_: eager)}
    for one in found:
        difference = by_seq.get(one.seq)
        key = ("backup", "journal")
        then = key in one.chosen
        if (then and not (difference and key in difference.dropped)) or (
            difference and key in difference.added
        ):
            now.append(one.at_us)
    assert len(now) >= 3
    assert all(later - earlier >= 71 * 3600 * 1_000_000 for earlier, later in pairwise(now))


POLICY = Policy(
    retrain_after_draws=13, tune_after_draws=312, backtest_after_draws=156, evaluation_draws=13,
    ingest_after_hours=8.0, backup_after_hours=36.0, verify_after_hours=240.0, compact_at=0.9,
    alarm_level=0.01, change_alarm_nats=8.0, fewest_draws=100, cooldown_hours=24.0,
    cpu_seconds_per_day=7200.0, cpu_seconds_per_month=72_000.0, cpu_price=0.1, disk_price=0.1,
    approval_hours=168.0, autonomy={"backup": "propose"},
)  # fmt: skip
HOUR_US = 3_600_000_000
BACKUP, ALERT = ("backup", "journal"), ("alert", "powerball/evidence")


def recorded(
    hour: int, signals: dict[str, float], outcomes: Mapping[Key, Outcome] | None = None, **known: Any
) -> Recorded:
    """Decide at an hour, and return that as it would have been journaled."""
    it = Situation("powerball", hour * HOUR_US, 1, signals, **known)
    made = engine.decide(it, POLICY)
    candidates = tuple(candidate.as_record() for candidate in made.candidates)
    return Recorded(hour, hour * HOUR_US, it.to_record(), POLICY, candidates, made.rationale, outcomes or {})


def test_a_cooldown_counts_from_the_rejection_of_a_proposal_once_that_has_come() -> None:
    old, waits = {"backup_age": 99.0}, frozenset({BACKUP})
    expired = {BACKUP: Outcome(None, None, 0.0, rejected_us=168 * HOUR_US)}
    life = [
        recorded(0, old, expired),
        recorded(48, old, hours_since={BACKUP: 48.0}, under_way=waits),
        recorded(168, old, hours_since={BACKUP: 0.0}),
        recorded(191, old, hours_since={BACKUP: 23.0}),
        recorded(192, old, hours_since={BACKUP: 24.0}),
    ]
    assert [BACKUP in one.chosen for one in life] == [True, False, False, False, True]
    assert list(replay.differences(life, lambda *_: POLICY)) == []


def test_another_policy_is_held_to_the_alerts_that_it_would_have_given_itself() -> None:
    life = [recorded(25 * n, {"evidence_peak": 3.5}, era="2015-10-07") for n in range(4)]
    assert [one.chosen for one in life] == [{}] * 4
    anxious = replace(POLICY, alarm_level=0.05)
    found = list(replay.differences(life, lambda *_: anxious))
    assert [(one.seq, one.added) for one in found] == [(0, (ALERT,))], "it is told of once"


def test_what_is_different_is_told_though_it_was_told_in_the_same_words() -> None:
    one = recorded(0, {"backup_age": 99.0})
    altered = [c | {"score": 9.0} if c["action"] == "backup" else c for c in one.candidates]
    assert list(replay.unlike([one])) == []
    said = "decision 0: the figures of its candidates would now be others"
    assert list(replay.unlike([replace(one, candidates=tuple(altered))])) == [said]
    reworded = [c | {"reason": "for some reason"} for c in one.candidates]
    assert list(replay.unlike([replace(one, candidates=tuple(reworded), rationale="It was done.")])) == []


def test_a_goal_of_a_time_when_its_direction_made_no_difference_is_read() -> None:
    record = recorded(0, {}).inputs | {"goals": [["a", "skill", "high"]]}
    assert Situation.from_record(record).goals == (OpenGoal("a", "skill", "high"),)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "helios_agent", "decisions", "replay", *arguments],
        cwd=folder, capture_output=True, text=True, check=False, env=os.environ,
    )  # fmt: skip


def test_the_command_checks_and_compares(lived: Lived) -> None:
    folder, _, found = lived
    config = folder / "helios.yaml"
    config.write_text(
        f"paths: {{state: {folder / 'state'}, models: {folder / 'models'}}}\n"
        "games: {simulated: {feeds: []}, powerball: {feeds: []}}\n"
    )
    checked = run(folder, "--config", str(config))
    assert checked.stdout == f"{len(found)} decisions were made again, and each is what it was.\n"
    assert checked.returncode == 0
    other = folder / "other.yaml"
    other.write_text("decisions: {autonomy: {train: observe}}\n")
    told = json.loads(run(folder, "--config", str(config), "--policy", str(other), "--json").stdout)
    assert told["decisions"] == len(found)
    assert told["actions"]["train"]["now"] == 0
    assert told["differences"][0]["dropped"][0]["why"] == "its autonomy is observe"
    text = run(folder, "--config", str(config), "--policy", str(other)).stdout
    assert text.startswith(f"Of {len(found)} decisions {told['differing']} would differ.\n")
    assert run(folder, "--config", str(config), "--until", "2001-01-01").returncode == 66


GOAL = "name: A, game: powerball, metric: skill, target: 1, direction: at least"
WRONG: list[tuple[str, list[str]]] = [
    (
        "decisions:\n  autonomy: {trian: act}\n  budget: {cpu_per_day: -5}\n  goals:\n"
        f"    - {{id: a, after: [b], {GOAL}}}\n"
        f"    - {{id: b, after: [a], {GOAL}}}\n",
        [
            "2: decisions.autonomy.trian: 'trian': expected 'ingest'",
            "3: decisions.budget.cpu_per_day: -5",
            "these goals wait for each other: a, b",
        ],
    )
]


@pytest.mark.parametrize(("text", "expected"), WRONG)
def test_all_mistakes_of_a_policy_are_told_at_once(
    tmp_path: Path, lived: Lived, text: str, expected: list[str]
) -> None:
    _, agent, _ = lived
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load_policy(path, agent.config)
    for mistake in expected:
        assert mistake in str(refused.value)
    assert len(str(refused.value).splitlines()) == len(expected)
