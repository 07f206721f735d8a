"""The signed links with which a proposal is answered: what they do, and that nothing else does it."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from helios_agent.agent import Agent, Ports, open_agent
from helios_agent.clock import SECOND_US, VirtualClock, to_us
from helios_agent.config import Config
from helios_agent.journal import events, intents
from helios_agent.journal.journal import Event, Transaction
from helios_agent.notify import links
from helios_agent.web import server
from tests.web.test_page import NOW, said

TOKEN = "a-token-of-more-than-sixteen"
PUBLIC = "https://helios.example.org"
SECRETS = {"phone": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "log": "whsec_bG9nLWxvZy1sb2ctbG9nLWxvZy1sb2ct"}
HOURS_S = 3600


@asynccontextmanager
async def told(folder: Path, **http: Any) -> AsyncIterator[Agent]:
    """An agent that tells a phone of proposals, and a log of alerts."""
    for name, secret in SECRETS.items():
        (folder / name).write_text(secret)
    asks = {"phone": ["intent.proposed"], "log": ["alert.raised"]}
    endpoints = [
        {"name": name, "url": "http://127.0.0.1:9/", "events": asks[name], "secret_file": folder / name}
        for name in SECRETS
    ]
    config = Config.model_validate(
        {
            "paths": {"state": folder / "state", "models": folder / "models"},
            "games": {"powerball": {}},
            "http": {"public_url": PUBLIC} | http,
            "webhooks": {"endpoints": endpoints},
        }
    )
    config.paths.state.mkdir()
    async with open_agent(config, Ports(VirtualClock(NOW))) as agent:
        yield agent


async def proposed(agent: Agent, action: str = "backup", target: str = "journal", **how: Any) -> Event:
    """Propose something for an hour; return the event."""

    def change(tx: Transaction) -> str:
        cause, expires_us = tx.append("test.decided", {}).seq, tx.now_us() + HOURS_S * SECOND_US
        how.setdefault("reason", "the last backup is 40 h old; the limit is 36 h")
        return intents.propose(tx, action, target, how.pop("args", {}), cause, expires_us=expires_us, **how)

    await agent.journal.record(change)
    event = await events.latest(agent.store, links.PROPOSED)
    assert event is not None
    return event


def link(agent: Agent, event: Event, answer: str, endpoint: str = "phone") -> str:
    """Return the path and query of the link that an endpoint is sent."""
    [target] = [target for target in agent.targets if target.name == endpoint]
    url = urlsplit(links.made(PUBLIC, target.name, target.key, event)[f"{answer}_url"])
    return f"{url.path}?{url.query}"


async def go(
    agent: Agent, method: str, path: str, content: str = "", base: str = PUBLIC, **headers: str
) -> httpx.Response:
    transport = httpx.ASGITransport(server.application(agent, TOKEN))
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        return await client.request(method, path, content=content, headers=headers)


async def state(agent: Agent) -> tuple[str, str | None]:
    [intent] = await intents.asked_for(agent.store, ("backup",), before=None, limit=9)
    return intent.state, intent.error


async def length(agent: Agent) -> int:
    return (await events.head(agent.store)).seq


async def test_opening_a_link_says_what_is_proposed_and_why_and_changes_nothing(tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent, args={"deep": True}, reason="it is <b>old</b>")
        before = await length(agent)
        for answer in ("approve", "reject"):
            for _ in range(2):  # a mail scanner, then a person
                page = await go(agent, "GET", link(agent, event, answer))
                words = said(page)
                assert page.status_code == 200
                assert f"{answer.capitalize()} this?" in words
                assert "What Backup journal Why it is &lt;b&gt;old&lt;/b&gt;" in words
                assert "To be answered until 2026-09-18 13:00 UTC" in words
                assert page.text.count('<form method="post">') == 1
        assert await state(agent) == ("proposed", None)
        assert await length(agent) == before
    assert page.headers["referrer-policy"] == "same-origin"
    assert page.headers["cache-control"] == "no-store"
    assert "form-action 'self'" in page.headers["content-security-policy"]


async def test_a_link_says_in_words_what_is_proposed_and_says_why_once(tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        args = {"factor": 0.5, "reason": "trainings that diverged: 1"}
        event = await proposed(agent, "adjust", "powerball/learning_rate", args=args, reason=args["reason"])
        page = await go(agent, "GET", link(agent, event, "approve"))
    words = said(page)
    assert "What Set the learning rate of Powerball to 0.5 times what is configured Why" in words
    assert words.count("trainings that diverged") == 1


async def test_posting_to_a_link_answers_without_the_token_and_says_who_did(tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent)
        page = await go(agent, "POST", link(agent, event, "approve"), origin=PUBLIC)
        assert (page.status_code, await state(agent)) == (200, ("ready", None))
        approved = await events.latest(agent.store, "intent.approved")
    assert "Backup journal: this is approved" in said(page)
    assert approved is not None
    assert approved.payload == {"id": event.payload["id"], "by": "link:phone"}


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("reason=not+now%2C+%3Cplease%3E", "not now, <please>"),
        ("", "no reason was given"),
        ("reason=" + 600 * "x", 500 * "x"),
    ],
)
async def test_a_proposal_is_rejected_with_the_reason_that_was_given(
    form: str, reason: str, tmp_path: Path
) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent)
        path = link(agent, event, "reject")
        headers = {"content-type": "application/x-www-form-urlencoded"}
        page = await go(agent, "POST", path, form, **headers)
        assert (page.status_code, await state(agent)) == (200, ("refused", reason))
        again = await go(agent, "POST", path, form, **headers)
    assert again.status_code == 409
    assert "Backup journal: this is rejected since" in said(again)


async def test_a_used_link_says_so_and_does_nothing_more(tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent)
        for answer in ("approve", "reject"):
            await go(agent, "POST", link(agent, event, "approve"))
            before = await length(agent)
            for method in ("GET", "POST"):
                page = await go(agent, method, link(agent, event, answer))
                assert page.status_code == 409
                assert "This proposal was answered already Backup journal: this is ready since" in said(page)
                assert "<form" not in page.text
            assert await length(agent) == before
        assert await state(agent) == ("ready", None)


async def test_a_link_that_comes_too_late_says_so(tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent)
        clock = agent.journal.clock
        assert isinstance(clock, VirtualClock)
        await clock.advance(HOURS_S)
        for journaled in (False, True):
            for method in ("GET", "POST"):
                page = await go(agent, method, link(agent, event, "approve"))
                assert page.status_code == 410
                assert "This proposal has expired Backup journal: nobody approved it in time" in said(page)
            assert (await state(agent))[0] == ("expired" if journaled else "proposed")
            await agent.journal.record(intents.expire_proposals)


async def test_a_link_to_what_is_archived_says_so(tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent)
        path = link(agent, event, "approve")
        await agent.journal.record(lambda tx: intents.refuse(tx, event.payload["id"], "cli", "no"))
        await agent.journal.record(
            lambda tx: tx.apply(lambda connection: connection.execute("DELETE FROM intent"))
        )
        for method in ("GET", "POST"):
            page = await go(agent, method, path)
            assert (page.status_code, "is archived" in said(page)) == (404, True)


def forgeries(agent: Agent, event: Event) -> dict[str, str]:
    """Links that nobody was sent, by what is wrong with them."""
    true = link(agent, event, "approve")
    path, _, query = true.partition("?")
    given = dict(parse_qsl(query))

    def changed(**parts: str) -> str:
        return f"{path}?{httpx.QueryParams(given | parts)}"

    flipped = given["signature"][:-1] + ("0" if given["signature"][-1] != "0" else "1")
    other = event.payload["id"][::-1]
    return {
        "no signature": path,
        "an empty one": changed(signature=""),
        "one changed digit": changed(signature=flipped),
        "upper case": changed(signature=given["signature"].upper()),
        "not ASCII": changed(signature="é" * 64),
        "the other answer": changed(answer="reject"),
        "no such answer": changed(answer="retry"),
        "a later end": changed(expires=str(int(given["expires"]) + 1)),
        "the same end, written otherwise": changed(expires="0" + given["expires"] + "0"),
        "no number": changed(expires="soon"),
        "an endless number": changed(expires="9" * 5000),
        "another proposal": f"/proposals/{other}?{query}",
        "an endpoint that is not told of proposals": link(agent, event, "approve", "log"),
    }


async def test_what_was_forged_or_cut_off_does_nothing_and_reads_nothing(tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent)
        before, asked = await length(agent), []
        rows, agent.store.rows = agent.store.rows, asked.append  # type: ignore[method-assign,assignment]
        for what, path in forgeries(agent, event).items():
            for method in ("GET", "POST"):
                page = await go(agent, method, path)
                assert (what, page.status_code) == (what, 403)
                assert "This link is not valid" in said(page)
        assert asked == []
        agent.store.rows = rows  # type: ignore[method-assign]
        assert await state(agent) == ("proposed", None)
        assert await length(agent) == before


async def test_another_secret_voids_the_links_that_went_out(tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        path = link(agent, await proposed(agent), "approve")
        agent.targets = tuple(t for t in agent.targets if t.name != "phone")
        assert (await go(agent, "POST", path)).status_code == 403


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("helios.example.org", "https://helios.example.org", 200),
        ("127.0.0.1:8080", "https://helios.example.org", 200),  # behind a proxy
        ("localhost:8080", "http://localhost:8080", 200),
        ("helios.example.org", "https://evil.example", 403),
        ("helios.example.org", "null", 403),
        ("evil.example", "https://evil.example", 421),
    ],
)
async def test_the_guard_lets_through_only_who_comes_from_our_own_page_and_knows_our_name(
    host: str, origin: str, status: int, tmp_path: Path
) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent)
        page = await go(agent, "POST", link(agent, event, "approve"), host=host, origin=origin)
        assert page.status_code == status
        assert (await state(agent))[0] == ("ready" if status == 200 else "proposed")


async def test_a_body_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent)
        page = await go(agent, "POST", link(agent, event, "reject"), "x" * 65_537)
        assert (page.status_code, await state(agent)) == (413, ("proposed", None))


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/api/decisions/{}/approve", "localhost"),
        ("/api/train", "localhost/proposals/x?"),
        ("/api/train", "localhost/proposals/x#"),
        ("/proposals/../api/train", "localhost"),
        ("/proposals/%2e%2e/api/train", "localhost"),
        ("/proposals/x/../../api/train", "localhost"),
        ("//proposals/x", "localhost"),
    ],
)
async def test_no_signature_and_no_host_opens_any_other_door(path: str, host: str, tmp_path: Path) -> None:
    async with told(tmp_path) as agent:
        event = await proposed(agent)
        query = link(agent, event, "approve").partition("?")[2]
        application = server.application(agent, TOKEN)
        sent: list[Any] = []
        name = path.format(event.payload["id"])
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
            "scheme": "http", "path": name, "raw_path": name.encode(), "query_string": query.encode(),
            "root_path": "", "headers": [(b"host", host.encode()), (b"content-length", b"0")],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8080), "state": {},
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await application(scope, receive, send)
        assert sent[0]["status"] in (401, 404, 421), json.dumps(sent, default=str)
        assert await state(agent) == ("proposed", None)
        assert await intents.latest(agent.store, "train") is None


@pytest.mark.parametrize(
    "url", ["ftp://x.org", "https://me:pw@x.org", "https://x.org/?a=1", "https://x.org/#a", "x"]
)
def test_a_public_url_is_one_to_which_links_can_be_added(url: str) -> None:
    with pytest.raises(ValueError, match="public_url"):
        Config.model_validate({"games": {"powerball": {}}, "http": {"public_url": url}})


def test_the_expiry_in_a_link_is_never_later_than_the_proposals() -> None:
    event = Event(1, 1, "b", links.PROPOSED, None, {"id": "ab", "expires_us": to_us(NOW) + 999_999}, "00")
    url = links.made(PUBLIC + "/", "phone", b"k" * 24, event)["reject_url"]
    assert url.startswith(f"{PUBLIC}/proposals/ab?")
    assert dict(parse_qsl(urlsplit(url).query))["expires"] == str(to_us(NOW) // SECOND_US)
