"""The page's buttons: a person switches, approves and rejects, with the token where there is one."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from helios_agent.agent import Ports, open_agent
from helios_agent.clock import SECOND_US
from helios_agent.config import load
from helios_agent.journal import intents
from helios_agent.journal.journal import Transaction
from tests.acceptance.conftest import Daemon
from tests.browser.conftest import Visit

TOKEN = "a-token-of-more-than-sixteen"
NO_REFRESH = """() => {
  const sent = window.fetch;
  window.fetch = (path, how) => how.method ? sent(path, how) : new Promise(() => {});
}"""
REFUSED = "Failed to load resource: the server responded with a status of"


def propose(daemon: Daemon, *actions: str) -> None:
    """Propose things for an hour while no daemon runs."""

    def change(tx: Transaction) -> None:
        expires_us, cause = tx.now_us() + 3600 * SECOND_US, tx.append("test.decided", {}).seq
        for action in actions:
            intents.propose(tx, action, "journal", {}, cause, expires_us=expires_us, reason="it is due")

    async def record() -> None:
        async with open_agent(load(daemon.config, daemon.environment), Ports()) as agent:
            await agent.journal.record(change)

    with ThreadPoolExecutor(1) as apart:  # this thread has the browser's loop
        apart.submit(asyncio.run, record()).result()


@pytest.fixture(scope="module")
def quiet(new_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon without a token, with two proposals."""
    made = new_daemon(GAMES={"simulated": {"feeds": []}}, SCHEDULES=[])
    made.state.mkdir()
    propose(made, "backup", "verify")
    return made.start()


@pytest.fixture(scope="module")
def guarded(new_daemon: Callable[..., Daemon], tmp_path_factory: pytest.TempPathFactory) -> Daemon:
    """A daemon that acts only for who knows the token."""
    file: Path = tmp_path_factory.mktemp("secrets") / "token"
    file.write_text(TOKEN)
    return new_daemon(
        GAMES={"simulated": {"feeds": []}}, SCHEDULES=[], HTTP__TOKEN_FILE=str(file)
    ).start()  # fmt: skip


def is_on(daemon: Daemon) -> bool:
    found: bool = daemon.get("/api/decisions/status").json()["autonomy"]["is_on"]
    return found


def button(page: Page, section: str, name: str, nth: int = 0) -> None:
    page.get_by_role("region", name=section).get_by_role("button", name=name).nth(nth).click()


def test_the_switch_is_flipped_and_stays_so_after_a_reload(
    quiet: Daemon, visit: Callable[..., Visit]
) -> None:
    seen = visit(quiet.url)
    autonomy = seen.page.get_by_role("region", name="Autonomy")
    expect(autonomy).to_contain_text("Helios decides for itself")
    button(seen.page, "Autonomy", "Switch off")
    expect(autonomy).to_contain_text("Switched off over HTTP or on the page at")
    assert not is_on(quiet)
    focused = autonomy.get_by_role("button", name="Switch on")
    assert focused.evaluate("e => e === document.activeElement")
    seen.page.reload()
    expect(autonomy).to_contain_text("Switched off over HTTP or on the page at")
    focused.focus()
    seen.page.keyboard.press("Enter")
    expect(autonomy).to_contain_text("Switched on over HTTP or on the page at")
    assert is_on(quiet)
    assert (seen.failed, seen.complaints) == ([], [])


def test_what_is_proposed_is_approved_or_rejected_with_a_reason(
    quiet: Daemon, visit: Callable[..., Visit]
) -> None:
    seen = visit(quiet.url)
    proposals = seen.page.get_by_role("region", name="Proposals")
    banner = seen.page.get_by_role("banner")
    expect(banner).to_contain_text("2 proposals wait for an answer")
    banner.get_by_role("link").click()
    expect(proposals.get_by_role("listitem")).to_have_count(2)
    button(seen.page, "Proposals", "Approve")
    expect(proposals.get_by_role("listitem")).to_have_count(1)
    quiet.wait_for(lambda: quiet.happened("backup.completed"), "the backup to be made")
    expect(banner).to_contain_text("1 proposal waits for an answer")

    button(seen.page, "Proposals", "Reject")
    seen.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(proposals.get_by_role("listitem")).to_have_count(1)
    button(seen.page, "Proposals", "Reject")
    seen.page.get_by_role("textbox", name="Why is it not to be done?").fill("wir prüfen selbst & später")
    seen.page.keyboard.press("Enter")
    expect(proposals).to_contain_text("Nothing waits for a person’s answer.")
    [refused] = quiet.get("/api/journal?kind=intent.refused").json()
    assert (refused["payload"]["by"], refused["payload"]["reason"]) == ("http", "wir prüfen selbst & später")
    assert not quiet.happened("journal.verified")
    assert (seen.failed, seen.complaints) == ([], [])


def test_the_token_is_asked_for_once_and_kept_for_the_tab_alone(
    guarded: Daemon, visit: Callable[..., Visit]
) -> None:
    seen = visit(guarded.url)
    dialog = seen.page.get_by_role("dialog")
    button(seen.page, "Autonomy", "Switch off")
    dialog.get_by_role("button", name="Cancel").click()
    assert is_on(guarded)
    button(seen.page, "Autonomy", "Switch off")
    field = dialog.get_by_label("This needs the token of this agent.")
    assert field.get_attribute("type") == "password"
    field.fill("not-the-token-at-all")
    seen.page.keyboard.press("Enter")
    expect(dialog).to_contain_text("That token was not accepted.")
    assert is_on(guarded)
    dialog.locator("input").fill(TOKEN)
    seen.page.keyboard.press("Enter")
    autonomy = seen.page.get_by_role("region", name="Autonomy")
    expect(autonomy).to_contain_text("Switched off over HTTP or on the page at")
    seen.page.reload()
    button(seen.page, "Autonomy", "Switch on")
    expect(autonomy).to_contain_text("Switched on over HTTP or on the page at")
    assert seen.page.evaluate("() => [localStorage.length, document.cookie]") == [0, ""]
    assert all(line.startswith(REFUSED) for line in seen.complaints)
    button(visit(guarded.url).page, "Autonomy", "Switch off")
    assert is_on(guarded)


def test_what_the_agent_refuses_is_said_beside_the_button(
    new_daemon: Callable[..., Daemon], visit: Callable[..., Visit]
) -> None:
    made = new_daemon(GAMES={"simulated": {"feeds": []}}, SCHEDULES=[])
    made.state.mkdir()
    propose(made, "verify")
    page = visit(made.start().url).page
    [proposal] = made.get("/api/decisions/status").json()["proposals"]
    page.evaluate(NO_REFRESH)
    assert made.post(f"/api/decisions/{proposal['id']}/approve", {}).status_code == 202
    button(page, "Proposals", "Approve")
    expect(page.get_by_role("alert")).to_contain_text("was approved already")
    made.stop()
    button(page, "Proposals", "Approve")
    expect(page.get_by_role("alert")).to_contain_text("Helios did not answer")


def test_without_scripts_there_are_no_buttons_that_do_nothing(
    quiet: Daemon, visit: Callable[..., Visit]
) -> None:
    page = visit(quiet.url, java_script_enabled=False).page
    assert page.get_by_role("region", name="Autonomy").is_visible()
    assert page.get_by_role("button").count() == 0
