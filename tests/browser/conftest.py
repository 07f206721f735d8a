"""A real daemon and a real browser."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.acceptance.conftest import ROOT, WHILE_TICKETS_ARE_SOLD, Daemon

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip


@dataclass
class Visit:
    """A page that a reader has open, and what went over the wire and wrong since it was opened."""

    page: Page
    requested: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser found: none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def new_daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Daemon]]:
    """Return a maker of daemons, each on a state folder of its own; they are stopped at the end."""
    made: list[Daemon] = []

    def make(**settings: Any) -> Daemon:
        folder: Path = tmp_path_factory.mktemp("daemon")
        made.append(Daemon(folder, settings, ROOT / "config/helios.yaml"))
        return made[-1]

    yield make
    for daemon in made:
        if daemon.process is not None and daemon.process.poll() is None:
            daemon.stop()


@pytest.fixture(scope="module")
def daemon(browser: Browser, new_daemon: Callable[..., Daemon]) -> Daemon:
    """A daemon that has scored the real Powerball, trained a small network and decided."""
    made = new_daemon(DECISIONS__AUTONOMY={}).start_at(WHILE_TICKETS_ARE_SOLD)
    made.wait_until_idle()
    return made


@pytest.fixture
def visit(browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Return a function that opens the page at a URL; keyword arguments describe the reader's browser."""
    opened = []

    def go(url: str, **reader: Any) -> Visit:
        context = browser.new_context(locale="en-GB", timezone_id="Europe/Berlin", **reader)
        opened.append(context)
        seen = Visit(context.new_page())
        seen.page.on("request", lambda request: seen.requested.append(request.url))
        seen.page.on("requestfailed", lambda request: seen.failed.append(request.url))
        seen.page.on(
            "response", lambda answer: seen.failed.append(answer.url) if answer.status >= 400 else None
        )
        seen.page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        seen.page.on(
            "console",
            lambda line: seen.complaints.append(line.text) if line.type in ("error", "warning") else None,
        )
        seen.page.goto(url)
        return seen

    yield go
    for context in opened:
        context.close()
