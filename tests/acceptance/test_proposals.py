"""What is proposed waits for a person, whatever happens to the daemon; the link in a message answers it."""

import asyncio
import json
import signal
import socket
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from helios_agent.agent import Ports, open_agent
from helios_agent.clock import SECOND_US, to_us
from helios_agent.config import load
from helios_agent.journal import intents
from helios_agent.journal.journal import Transaction
from tests.acceptance.conftest import SECRET, Daemon, World

TOKEN = "a-token-of-more-than-sixteen"
HOUR_S = 3600.0


@pytest.fixture
def daemon(new_daemon: Callable[..., Daemon], world: World, tmp_path: Path) -> Daemon:
    """A daemon with a token that tells a receiver of intents, not started yet."""
    (tmp_path / "secret").write_text(SECRET)
    (tmp_path / "token").write_text(TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "state").mkdir()
    return new_daemon(
        GAMES={"simulated": {"feeds": []}},
        SCHEDULES=[],
        HTTP__PORT=port,
        HTTP__PUBLIC_URL=f"http://127.0.0.1:{port}",
        HTTP__TOKEN_FILE=str(tmp_path / "token"),
        WEBHOOKS__ENDPOINTS=[
            {
                "name": "phone",
                "url": world.url,
                "events": ["intent.*", "intent.proposed"],
                "secret_file": str(tmp_path / "secret"),
            }
        ],
    )


def propose(daemon: Daemon, for_s: float = HOUR_S, action: str = "backup") -> str:
    """Propose something about the journal while no daemon runs; return the intent's id."""

    def change(tx: Transaction) -> str:
        expires_us, cause = tx.now_us() + round(for_s * SECOND_US), tx.append("test.decided", {}).seq
        reason = "the last backup is 40 h old; the limit is 36 h"
        return intents.propose(tx, action, "journal", {}, cause, expires_us=expires_us, reason=reason)

    async def record() -> str:
        async with open_agent(load(daemon.config, daemon.environment), Ports()) as agent:
            return await agent.journal.record(change)

    return asyncio.run(record())


def message(daemon: Daemon, world: World, kind: str) -> dict[str, Any]:
    """Wait for the receiver to be told of an event of this kind; return what it was told."""

    def told() -> list[dict[str, Any]]:
        return [body for _, raw in world.messages if (body := json.loads(raw))["type"] == kind]

    found: list[dict[str, Any]] = daemon.wait_for(told, f"a message about {kind}")
    return found[0]


def state(daemon: Daemon, intent: str) -> str:
    return str(daemon.get(f"/api/intents/{intent}").json()["state"])


def kinds_of(daemon: Daemon, intent: str) -> list[str]:
    told = [e for e in daemon.events("intent.*") if e["payload"]["id"] == intent]
    return [e["kind"].removeprefix("intent.") for e in told]


def test_a_proposal_that_is_approved_by_the_link_in_its_message_is_carried_out_once_despite_kills(
    daemon: Daemon, world: World
) -> None:
    intent = propose(daemon)
    daemon.start()
    told = message(daemon, world, "intent.proposed")
    assert (told["payload"]["id"], told["payload"]["reason"]) == (
        intent, "the last backup is 40 h old; the limit is 36 h"
    )  # fmt: skip
    daemon.stop(signal.SIGKILL)
    daemon.start()
    assert state(daemon, intent) == "proposed"
    page = httpx.get(told["approve_url"], trust_env=False)
    assert (page.status_code, "the last backup is 40 h old" in page.text) == (200, True)
    assert (state(daemon, intent), daemon.happened("backup.completed")) == ("proposed", False)
    assert daemon.post(f"/api/decisions/{intent}/approve", {}).status_code == 401

    forged = told["approve_url"][:-1] + ("0" if told["approve_url"][-1] != "0" else "1")
    assert httpx.post(forged, trust_env=False).status_code == 403
    approved = httpx.post(told["approve_url"], trust_env=False)
    daemon.stop(signal.SIGKILL)
    assert (approved.status_code, "is approved" in approved.text) == (200, True)
    daemon.start()
    daemon.wait_for(lambda: state(daemon, intent) == "done", "the backup to be made")
    assert message(daemon, world, "intent.approved")["payload"] == {"id": intent, "by": "link:phone"}
    for url in (told["approve_url"], told["reject_url"]):
        assert httpx.post(url, trust_env=False).status_code == 409
    assert [kind for kind in kinds_of(daemon, intent) if kind not in ("started", "retried")] == [
        "proposed", "approved", "done"
    ]  # fmt: skip
    assert len(daemon.events("backup.completed")) == 1


def test_what_nobody_answers_expires_in_time_and_every_way_to_answer_says_so(
    daemon: Daemon, world: World
) -> None:
    intent = propose(daemon, for_s=8)
    daemon.start()
    expired = message(daemon, world, "intent.expired")
    told = message(daemon, world, "intent.proposed")
    late_us = to_us(datetime.fromisoformat(expired["at"])) - told["payload"]["expires_us"]
    assert late_us >= 0
    assert expired["payload"] == {
        "id": intent, "reason": "nobody approved it in time, so that it counts as rejected"
    }  # fmt: skip
    assert httpx.get(told["reject_url"], trust_env=False).status_code == 410
    assert httpx.post(told["approve_url"], trust_env=False).status_code == 410
    refused = daemon.cli("decisions", "approve", intent, check=False)
    assert (refused.returncode, f"backup {intent} is expired: it cannot be approved" in refused.stderr) == (
        64,
        True,
    )
    assert kinds_of(daemon, intent) == ["proposed", "expired"]
    assert not daemon.happened("backup.completed")


def test_proposals_and_the_kill_switch_at_the_terminal_with_and_without_a_daemon(daemon: Daemon) -> None:
    backup, verify = propose(daemon), propose(daemon, action="verify")
    daemon.start()
    seen = daemon.cli("decisions", "status").stdout
    assert "It decides for itself" in seen
    assert f"{backup}  Backup journal: the last backup is 40 h old; the limit is 36 h" in seen
    rejected = daemon.cli("decisions", "reject", verify, "--reason", "it was verified by hand").stdout
    assert f"{verify}  " in rejected
    assert "verify journal  rejected: it was verified by hand" in rejected
    assert daemon.cli("decisions", "stop").stdout.startswith(
        "It does not decide for itself, said over HTTP or on the page at "
    )
    undecided = daemon.cli("decisions", "make", check=False)
    assert (undecided.returncode, "has not been assessed yet" in undecided.stderr) == (70, True)
    assert daemon.cli("decisions", "list").stdout == "Nothing has been decided yet.\n"
    assert daemon.cli("decisions", "show", "1", check=False).returncode == 66

    assert daemon.stop() == 0
    approved = daemon.cli("decisions", "approve", backup).stdout
    assert f"{backup}  " in approved
    assert approved.endswith("backup journal  ready\n")
    twice = daemon.cli("decisions", "approve", backup, check=False)
    assert (twice.returncode, "was approved already, at " in twice.stderr) == (64, True)
    assert "by cli: it is ready." in twice.stderr
    assert daemon.cli("decisions", "start").stdout.startswith(
        "It decides for itself, said at the terminal at "
    )
    daemon.start()
    daemon.wait_for(lambda: state(daemon, backup) == "done", "the backup to be made")
    switched = [event["payload"] for event in daemon.events("autonomy.switched")]
    assert switched == [{"is_on": False, "by": "http"}, {"is_on": True, "by": "cli"}]


def test_who_asks_for_what_is_proposed_approves_it(daemon: Daemon) -> None:
    intent = propose(daemon)
    daemon.start()
    asked = daemon.post("/api/intents", {"action": "backup"}, authorization=f"Bearer {TOKEN}").json()
    assert asked["id"] == intent
    assert asked["state"] in {"ready", "running", "done"}  # it may begin, and end, before the answer is read
    daemon.wait_for(lambda: state(daemon, intent) == "done", "the backup to be made")
    [approved] = daemon.events("intent.approved")
    assert approved["payload"] == {"id": intent, "by": "http"}
