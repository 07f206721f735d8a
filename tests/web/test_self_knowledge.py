"""What the page shows of what the agent decided, aims at, learned and trained, and of what it asks."""

from pathlib import Path
from typing import Any

from helios_agent.lottery.games import game
from helios_agent.web import self_knowledge
from tests.acceptance.conftest import settle
from tests.web import analytics_story
from tests.web.test_decisions import CHOSEN, candidate, carry_out, decided
from tests.web.test_goals import GOAL, ask
from tests.web.test_page import living, said, shown

ASSESSMENT: dict[str, Any] = {
    "game": "powerball",
    "verdict": "No sign of anything.",
    "signals": {"evidence": -0.7, "backup_age": 60.0, "calibration_error": -0.02, "staleness": None,
        "storage_used": 0.9512, "open_incidents": 1.0},
    "units": {"evidence": "nats", "backup_age": "hours", "calibration_error": "probability",
        "storage_used": "share", "open_incidents": "incidents"},
    "healthy": {
        "evidence": [-0.6932, None], "backup_age": [None, 48.0], "calibration_error": [-0.01, 0.01],
        "storage_used": [None, 0.9], "open_incidents": [None, 0.0],
    },
    "unhealthy": ["evidence", "backup_age", "calibration_error", "storage_used", "open_incidents"],
    "confidence": 0.125,
    "predicted_performance": {"mean": -0.0005, "low": -0.002, "high": 0.001},
    "uncertainty": {"width": 0.003, "spread": 0.00412},
    "knowledge_gaps": [{"what": "why ball <13> comes so often", "why": "it was drawn 90 times"}],
    "strategy": {"name": "conservative", "why": "Nothing says that these draws can be predicted."},
    "patterns": [{"kind": "trend", "sentence": "feed_silence rises; by chance <0.01."}],
}  # fmt: skip


async def test_an_assessment_says_what_the_agent_expects_and_what_it_does_not_know(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await agent.journal.append("assessment.completed", ASSESSMENT)
        answer = await shown(agent)
    words = said(answer)
    for told in (
        "Conservative. Nothing says that these draws can be predicted.",
        "Mean gain over chance so far −0.00050 nats a draw; with 95% confidence between −0.00200 and "
        "+0.00100",
        "Width of that interval 0.00300 nats a draw",
        "Disagreement of the forecasters 0.00412 in a ball’s chance",
        "Belief that the game can be predicted 12.5%",
        "Evidence against fairness −0.700 nats at least −0.693",
        "Age of the backup 60 hours at most 48",
        "Chances promised too high −0.02 probability at least −0.01 and at most 0.01",
        "Storage used 95.1% at most 90%",
        "Open incidents 1 incident at most 0",
        "Why ball &lt;13&gt; comes so often. It was drawn 90 times.",
        "feed_silence rises; by chance &lt;0.01.",
    ):
        assert told in words
    assert "<13>" not in answer.text


async def test_a_real_assessment_of_a_game_of_which_nothing_is_known_is_shown(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await agent.request("assess", "powerball", {}, by="http")
        await settle(agent)
        words = said(await shown(agent))
    assert "Active learning. These rules have 0 draws" in words
    assert "Mean gain over chance so far cannot be said yet" in words
    assert "Disagreement of the forecasters cannot be said yet" in words
    assert "Patterns in what was measured None that chance would not make as well." in words


async def test_every_candidate_shows_its_score_and_what_became_of_it(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        seq, (compact,) = await decided(
            agent,
            candidate("compact", "journal", **CHOSEN, effectiveness=0.75, price=8e-6, score=1.124992),
            candidate("tune", score=None, urgency=None, blocked="its <signal> is unknown"),
        )
        await carry_out(agent, "compact", 70)
        measured = {
            "id": compact, "game": "powerball", "action": "compact", "impact": 12345678.0, "unit": "bytes",
            "success": 1, "regret": 0.0, "sentence": "It was worth it: it freed 12,345,678 bytes.",
        }  # fmt: skip
        await agent.journal.append("decision.measured", measured)
        first, alone = await shown(agent), await shown(agent, f"/decisions/{seq}")
    for words in (said(first), said(alone)):
        assert "compact journal 1.125 1.5 × 0.75 − &lt; 0.001 compact is due" in words
        assert f"event {seq}, while nothing was suspected." in words
        assert (
            "chosen : completed in 1 min 10 s; worth it (12,345,678 bytes) It was worth it: it freed" in words
        )
        assert "tune powerball unknown tune is due not chosen: its &lt;signal&gt; is unknown" in words
    assert "The last" not in said(first)
    assert f"Decision {seq} about Powerball Chose something." in said(alone)
    assert "default-src 'self'" in alone.headers["content-security-policy"]
    assert f'href="/api/decisions/{seq}"' in alone.text


async def test_a_decision_of_an_earlier_release_is_shown_as_far_as_it_goes(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        old = {
            "action": "wait",
            "target": "powerball",
            "score": 1.0,
            "reason": "nothing is due",
            "chosen": True,
        }
        made = {
            "game": "powerball",
            "assessment": 1,
            "candidates": [old | {"blocked": None}],
            "rationale": "x",
        }
        seq = (await agent.journal.append("decision.made", made)).seq
        answers = [await shown(agent), await shown(agent, f"/decisions/{seq}")]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert all("wait powerball 1 nothing is due chosen" in said(answer) for answer in answers)


async def test_the_last_ten_decisions_are_listed_with_a_link_to_each(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        made = [(await decided(agent, candidate("wait", **CHOSEN)))[0] for _ in range(10)]
        made.append((await decided(agent, candidate("verify", "journal", **CHOSEN)))[0])
        answer = await shown(agent)
        missing = await shown(agent, "/decisions/1000")
    assert "The last 10 decisions" in said(answer)
    assert [f'href="/decisions/{seq}"' in answer.text for seq in made] == [False] + [True] * 10
    assert "verify journal: pending" in said(answer)
    assert missing.status_code == 404


async def test_a_proposal_is_shown_with_its_buttons_until_it_is_answered(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        _, (proposed,) = await decided(
            agent, candidate("verify", "journal", **CHOSEN, proposed=True, reason="it is <i>due</i>")
        )
        before = await shown(agent)
        await ask(agent, "POST", f"/api/decisions/{proposed}/approve")
        after = await shown(agent)
    assert "1 proposal waits for an answer" in said(before)
    assert f'data-post="/api/decisions/{proposed}/approve"' in before.text
    assert f'data-post="/api/decisions/{proposed}/reject" data-reason' in before.text
    assert f'<strong id="proposal-{proposed}">Verify journal</strong>' in before.text
    assert "it is &lt;i&gt;due&lt;/i&gt;" in before.text
    assert "unanswered until 2026-09-18 13:00 UTC , it counts as rejected" in said(before)
    assert proposed not in after.text
    assert "waits for an answer" not in said(after)


async def test_the_switch_says_who_turned_it_and_what_the_button_does(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        on = await shown(agent)
        await agent.switch(False, by="http")
        off = await shown(agent)
    assert 'data-post="/api/decisions/autonomous/stop">Switch off<' in on.text
    assert "Off : Helios chooses nothing by itself." in said(off)
    assert "Switched off over HTTP or on the page at 2026-09-18 12:00 UTC" in said(off)
    assert 'data-post="/api/decisions/autonomous/start">Switch on<' in off.text


async def test_goals_lessons_and_the_latest_reflection_are_told(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await ask(agent, "POST", "/api/goals", GOAL | {"name": "a <hundred> draws"})
        told = {"id": "many-draws", "state": "open", "start": 0.0, "value": 25.0, "progress": 0.25}
        await agent.journal.append("goal.measured", told)
        for number in range(6):
            lesson = {
                "id": f"k-{number}", "game": "powerball", "kind": "cost", "subject": f"train-{number}",
                "content": f"Lesson <{number}>.", "relevance": 0.5, "evidence": {},
            }  # fmt: skip
            await agent.journal.append("knowledge.learned", lesson)
        for text in ("Of old.", "Nothing <happened>."):
            await agent.journal.append("reflection.completed", {"game": "powerball", "text": text})
        answer = await shown(agent)
    words = said(answer)
    aim = "a &lt;hundred&gt; draws Draws known at least 100 by 2030-01-01 ; priority high; served by ingest"
    assert f"{aim} 25 open" in words
    assert '<progress max="1" value="0.25" aria-label="Progress of a &lt;hundred&gt; draws">' in answer.text
    assert "25% of the way" in words
    assert [f"Lesson &lt;{number}&gt;." in words for number in range(6)] == [False] + [True] * 5
    assert "from processor time used, learned 2026-09-18 12:00 UTC ; relevance 0.50" in words
    assert "Latest reflection Nothing &lt;happened&gt;." in words


async def test_models_stand_side_by_side_with_their_ensemble_and_correlations(tmp_path: Path) -> None:
    async with living(tmp_path) as agent:
        await analytics_story.live(agent)
        words = said(await shown(agent))
    old, new = (name.replace("@", " @") for name in analytics_story.MODELS)
    assert f"{new} challenger +0.100 20 draws — 4 s 2 epochs" in words
    assert f"{old} retired +0.110 25 draws 0.0055 6 s 3 epochs" in words
    assert words.index(f"{new} challenger +0.100") < words.index(f"{old} retired +0.110")
    assert f"Model 1 2 1 {new} +1.00 +1.00 2 {old} +1.00 +1.00" in words
    assert "over 20 draws, with weights learned from the draws before each draw" in words


async def test_models_are_computed_anew_once_there_is_something_new_of_them(tmp_path: Path) -> None:
    models = self_knowledge.Models()
    async with living(tmp_path) as agent:
        rules = game("powerball")
        assert await models.of_game(agent.store, rules) is None
        await analytics_story.live(agent)
        first = await models.of_game(agent.store, rules)
        await agent.journal.append("agent.stopped", {})
        again = await models.of_game(agent.store, rules)
        await decided(agent, candidate("wait", **CHOSEN))
        model = {"name": "powerballnet", "version": analytics_story.NEW, "game": "powerball", "by": "http"}
        await agent.journal.append("model.retired", model)
        after = await models.of_game(agent.store, rules)
    assert first is not None
    assert again is first
    assert after is not None
    assert [m["role"] for m in first["models"]] == ["challenger", "retired"]
    assert [m["role"] for m in after["models"]] == ["retired", "retired"]
