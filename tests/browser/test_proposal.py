"""The page behind the link in a message, as a browser shows and posts it."""

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from helios_agent.agent import Ports, open_agent
from helios_agent.clock import SECOND_US
from helios_agent.config import load
from helios_agent.journal import events, intents
from helios_agent.journal.journal import Transaction
from helios_agent.notify import links
from tests.acceptance.conftest import SECRET, Daemon
from tests.browser.conftest import Visit


def propose(daemon: Daemon, action: str) -> dict[str, str]:
    """Propose something for an hour while no daemon runs; return the links that go out."""

    def change(tx: Transaction) -> str:
        expires_us, cause = tx.now_us() + 3600 * SECOND_US, tx.append("test.decided", {}).seq
        return intents.propose(tx, action, "journal", {}, cause, expires_us=expires_us, reason="it is due")

    async def record() -> dict[str, str]:
        async with open_agent(load(daemon.config, daemon.environment), Ports()) as agent:
            await agent.journal.record(change)
            event = await events.latest(agent.store, links.PROPOSED)
            assert event is not None
            [told] = agent.targets
            return links.made(str(agent.config.http.public_url), told.name, told.key, event)

    return asyncio.run(record())


@pytest.fixture(scope="module")
def asking(
    new_daemon: Callable[..., Daemon], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Daemon, list[dict[str, str]]]:
    """A daemon with a token and two proposals, and the links to them."""
    folder: Path = tmp_path_factory.mktemp("secrets")
    (folder / "secret").write_text(SECRET)
    (folder / "token").write_text("a-token-of-more-than-sixteen")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    endpoint = {
        "name": "phone", "url": f"{url}/nowhere", "events": ["intent.proposed"],
        "secret_file": str(folder / "secret"),
    }  # fmt: skip
    made = new_daemon(
        GAMES={"simulated": {"feeds": []}}, SCHEDULES=[], HTTP__PORT=port, HTTP__PUBLIC_URL=url,
        HTTP__TOKEN_FILE=str(folder / "token"), WEBHOOKS__ENDPOINTS=[endpoint],
    )  # fmt: skip
    made.state.mkdir()
    asked = [propose(made, action) for action in ("backup", "verify")]
    return made.start(), asked


def test_a_click_on_the_button_approves(
    asking: tuple[Daemon, list[dict[str, str]]], visit: Callable[..., Visit]
) -> None:
    daemon, [backup, _] = asking
    seen = visit(backup["approve_url"])
    assert seen.page.get_by_role("heading", name="Approve this?").is_visible()
    assert "it is due" in seen.page.inner_text("main")
    assert not daemon.happened("intent.approved")
    seen.page.get_by_role("button", name="Approve").click()
    seen.page.get_by_role("heading", name="Approved").wait_for()
    assert (seen.failed, seen.complaints) == ([], [])
    assert all(url.startswith(daemon.url) for url in seen.requested)
    daemon.wait_for(lambda: daemon.happened("backup.completed"), "the backup to be made")


def test_a_click_on_the_other_rejects_with_the_reason_that_was_typed(
    asking: tuple[Daemon, list[dict[str, str]]], visit: Callable[..., Visit]
) -> None:
    daemon, [_, verify] = asking
    seen = visit(verify["reject_url"])
    seen.page.get_by_label("Reason").fill("wir prüfen selbst & später")
    seen.page.get_by_role("button", name="Reject").click()
    seen.page.get_by_role("heading", name="Rejected").wait_for()
    assert (seen.failed, seen.complaints) == ([], [])
    [refused] = daemon.get("/api/journal?kind=intent.refused").json()
    assert (refused["payload"]["by"], refused["payload"]["reason"]) == (
        "link:phone",
        "wir prüfen selbst & später",
    )
