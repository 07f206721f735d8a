import asyncio
import hmac
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from standardwebhooks import Webhook

from helios_agent.clock import SECOND_US, Clock, SystemClock, VirtualClock, from_us
from helios_agent.config.model import Webhooks
from helios_agent.errors import ConfigError, StoreError
from helios_agent.journal import events, outbox
from helios_agent.journal.journal import Event, Journal, Transaction
from helios_agent.notify import links, webhooks
from helios_agent.notify.webhooks import Endpoint, Sender
from helios_agent.store import Store

KEY = b"0123456789abcdef01234567"
SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"
SETTINGS = Webhooks(attempts=4, retry_first=5, retry_limit=60, timeout=5)
PATIENCE_S = 10


def endpoint(url: str, *patterns: str) -> Endpoint:
    return Endpoint("receiver", url, patterns or ("test.*",), KEY)


class Post:
    """A journal whose events are queued for one endpoint, and the sender that sends them."""

    def __init__(self, store: Store, clock: Clock, target: Endpoint, settings: Webhooks = SETTINGS) -> None:
        self.clock, self.store, self.target, self.settings = clock, store, target, settings
        self.journal = Journal(store, clock, "boot-1", [webhooks.queueing(lambda: [target])])

    @asynccontextmanager
    async def sending(self, *targets: Endpoint, public_url: str | None = None) -> AsyncIterator[None]:
        async with httpx.AsyncClient(trust_env=False) as http:
            sender = Sender(self.journal, http, self.settings, targets, 60, public_url)
            task = asyncio.create_task(sender.run())
            try:
                yield
                assert not task.done(), task.exception()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def state(self) -> list[tuple[Any, ...]]:
        rows = await self.store.rows("SELECT state, attempt, status, error FROM outbox ORDER BY event")
        return [tuple(row) for row in rows]

    async def waits_until_due(self) -> float:
        due_us = await outbox.next_due_us(self.store)
        assert due_us is not None
        return (due_us - self.clock.now_us()) / SECOND_US

    async def after_attempts(self, number: int) -> None:
        """Wait until that many attempts are on record."""
        with self.journal.listening() as news:
            async with asyncio.timeout(PATIENCE_S):
                while (await self.store.rows("SELECT sum(attempt) AS n FROM outbox"))[0]["n"] != number:
                    await news.wait()
                    news.clear()

    async def settle(self) -> None:
        """Let time pass from retry to retry until nothing is pending."""
        attempts = 0
        while (await outbox.counts(self.store))["pending"]:
            attempts += 1
            await self.after_attempts(attempts)
            if (await outbox.counts(self.store))["pending"]:
                await asyncio.sleep(0.01)  # for the sender to lie down
                assert isinstance(self.clock, VirtualClock)
                await self.clock.advance(await self.waits_until_due())


@pytest.fixture
def post(store: Store, clock: VirtualClock, receiver: Any) -> Post:
    return Post(store, clock, endpoint(receiver.url))


async def test_an_accepted_message_is_sent_once_and_says_what_happened(
    post: Post, receiver: Any, clock: VirtualClock
) -> None:
    event = await post.journal.append("test.happened", {"day": "2026-09-16", "whites": [1, 2]})
    async with post.sending(post.target):
        await post.after_attempts(1)
        await clock.advance(86_400)
    assert await post.state() == [("sent", 1, 200, None)]
    [message] = receiver.received
    assert json.loads(message.body) == {"type": "test.happened", **event.as_record()}
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-timestamp"] == str(post.clock.now_us() // SECOND_US - 86_400)
    assert message.id.startswith("msg_")
    assert message.id.endswith("_receiver")


async def test_a_receiver_that_uses_the_standards_library_believes_the_message(
    store: Store, receiver: Any
) -> None:
    post = Post(store, SystemClock(), endpoint(receiver.url))
    await post.journal.append("test.happened", {"text": "Öffnung"})
    async with post.sending(post.target):
        await post.after_attempts(1)
    [message] = receiver.received
    assert Webhook(SECRET).verify(message.body, message.headers)["payload"] == {"text": "Öffnung"}


async def test_a_failing_receiver_gets_the_same_message_again(post: Post, receiver: Any) -> None:
    receiver.answer = lambda number: (500 if number < 3 else 200, {})
    await post.journal.append("test.happened", {})
    async with post.sending(post.target):
        await post.settle()
    assert await post.state() == [("sent", 3, 200, None)]
    assert len(receiver.received) == 3
    assert len({message.id for message in receiver.received}) == 1
    assert len({message.body for message in receiver.received}) == 1
    stamps = [int(message.headers["webhook-timestamp"]) for message in receiver.received]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 5, 15]


async def test_the_wait_doubles_up_to_its_limit_and_then_the_message_is_dead(
    store: Store, clock: VirtualClock, receiver: Any
) -> None:
    receiver.answer = lambda number: (503, {})
    settings = Webhooks(attempts=6, retry_first=5, retry_limit=30)
    post = Post(store, clock, endpoint(receiver.url), settings)
    await post.journal.append("test.happened", {})
    async with post.sending(post.target):
        await post.settle()
    stamps = [int(message.headers["webhook-timestamp"]) for message in receiver.received]
    assert [b - a for a, b in pairwise(stamps)] == [5, 10, 20, 30, 30]
    assert await post.state() == [("dead", 6, 503, "answered 503")]
    kinds = [e.kind for e in await events.tail(store, limit=9, kinds=["webhook.*"])]
    assert kinds == ["webhook.dead", *["webhook.failed"] * 5, "webhook.queued"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (200, ("sent", 1, 200, None)),
        (204, ("sent", 1, 204, None)),
        (301, ("pending", 1, 301, "answered 301")),
        (307, ("pending", 1, 307, "answered 307")),
        (400, ("pending", 1, 400, "answered 400")),
        (410, ("dead", 1, 410, "the receiver answered 410 Gone")),
        (429, ("pending", 1, 429, "answered 429")),
    ],
)
async def test_only_success_is_success(
    status: int, expected: tuple[Any, ...], post: Post, receiver: Any
) -> None:
    receiver.answer = lambda number: (status, {"location": receiver.url} if status in (301, 307) else {})
    await post.journal.append("test.happened", {})
    async with post.sending(post.target):
        await post.after_attempts(1)
    assert await post.state() == [expected]
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    ("asked", "wait_s"),
    [
        ("120", 120),
        ("1", 5),  # no sooner than we would ourselves
        ("date", 300),
        ("soon", 5),
        ("-7", 5),
        ("\xb2", 5),
        ("99999999999999999999", 86_400),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 86_400),
        ("Fri, 18 Sep 2026 13:00:00 -0000", 5),
    ],
)
async def test_a_receiver_may_say_when_it_wants_to_be_asked_again(
    asked: str, wait_s: int, post: Post, receiver: Any
) -> None:
    in_five_minutes = format_datetime(from_us(post.clock.now_us() + 300 * SECOND_US), usegmt=True)
    receiver.answer = lambda number: (429, {"retry-after": in_five_minutes if asked == "date" else asked})
    await post.journal.append("test.happened", {})
    async with post.sending(post.target):
        await post.after_attempts(1)
        assert await post.waits_until_due() == wait_s
    assert await post.state() == [("pending", 1, 429, "answered 429")]


async def test_a_receiver_that_does_not_listen_is_tried_again(store: Store, clock: VirtualClock) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: whoever connects is refused
        post = Post(store, clock, endpoint(f"http://127.0.0.1:{taken.getsockname()[1]}/"))
        await post.journal.append("test.happened", {})
        async with post.sending(post.target):
            await post.settle()
    [(state, attempt, status, error)] = await post.state()
    assert (state, attempt, status) == ("dead", SETTINGS.attempts, None)
    assert error.startswith("ConnectError: ")


async def test_a_receiver_that_keeps_silent_is_given_up_after_the_timeout(
    store: Store, clock: VirtualClock
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Webhooks(attempts=1, timeout=0.05)
        post = Post(store, clock, endpoint(f"http://127.0.0.1:{silent.getsockname()[1]}/"), settings)
        await post.journal.append("test.happened", {})
        async with post.sending(post.target):
            await post.after_attempts(1)
    [(state, _, status, error)] = await post.state()
    assert (state, status) == ("dead", None)
    assert "within" in error or "Timeout" in error


async def test_an_address_that_cannot_be_used_is_a_failed_attempt(store: Store, clock: VirtualClock) -> None:
    post = Post(store, clock, endpoint("http://\u2603.test/"))
    await post.journal.append("test.happened", {})
    async with post.sending(post.target):
        await post.after_attempts(1)
    [(state, attempt, status, error)] = await post.state()
    assert (state, attempt, status) == ("pending", 1, None)
    assert error.startswith("InvalidURL: ")


@pytest.mark.parametrize("of_the_same_endpoint", [True, False])
async def test_a_database_that_fails_one_message_makes_no_other_be_sent_twice(
    of_the_same_endpoint: bool,
    store: Store,
    clock: VirtualClock,
    receiver: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    target = endpoint(receiver.url)
    other = target if of_the_same_endpoint else replace(target, name="other")
    post = Post(store, clock, target)
    post.journal = Journal(store, clock, "boot-1")
    first = await post.journal.append("test.happened", {})
    second = await post.journal.append("test.happened", {})
    await post.journal.record(lambda tx: outbox.queue(tx, target.name, first))
    await post.journal.record(lambda tx: outbox.queue(tx, other.name, second))
    failed, append = asyncio.Event(), post.journal.append

    async def full(kind: str, payload: dict[str, Any], cause: int) -> Any:
        if cause == first.seq:
            failed.set()
            raise StoreError("disk full")
        await failed.wait()
        return await append(kind, payload, cause)

    monkeypatch.setattr(post.journal, "append", full)
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreError, match="disk full"):
            await Sender(post.journal, http, SETTINGS, [target, other], pulse_s=60).run()
    assert [state for state, *_ in await post.state()] == ["pending", "sent"]


async def test_while_the_disk_is_full_nothing_is_sent_that_could_not_be_noted(
    post: Post, receiver: Any, clock: VirtualClock
) -> None:
    await post.journal.append("test.happened", {})
    writing = await post.store.write(lambda connection: connection)
    writing.execute("PRAGMA query_only = ON")
    async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(PATIENCE_S):
        with pytest.raises(StoreError, match="readonly"):  # who sends begins again after this
            await Sender(post.journal, http, SETTINGS, [post.target], pulse_s=60).run()
    async with asyncio.timeout(PATIENCE_S), post.sending(post.target):
        for _ in range(10):
            while not clock.sleepers:
                await post.store.rows("SELECT 1")
            await clock.advance(60)
        assert len(receiver.received) == 1
        writing.execute("PRAGMA query_only = OFF")
        await post.journal.append("other.happened", {})
        await post.after_attempts(1)
    assert len({message.id for message in receiver.received}) == 1


async def test_a_receiver_whose_answer_never_ends_holds_nobody_up(post: Post, receiver: Any) -> None:
    receiver.answer = lambda number: (200, {"x-body": "endless"})
    await post.journal.append("test.happened", {})
    async with post.sending(post.target):
        await post.after_attempts(1)
    assert await post.state() == [("sent", 1, 200, None)]


async def test_a_message_to_an_endpoint_that_was_removed_is_dead(post: Post, receiver: Any) -> None:
    await post.journal.append("test.happened", {})
    async with post.sending():
        await post.after_attempts(1)
    assert await post.state() == [("dead", 1, None, "endpoint 'receiver' is no longer configured")]
    assert receiver.received == []


async def test_a_daemon_killed_before_it_recorded_the_delivery_delivers_again_under_the_same_id(
    post: Post, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await post.journal.append("test.happened", {})
    heard, append = asyncio.Event(), post.journal.append

    async def die(kind: str, *rest: Any) -> Event:
        assert kind == "webhook.sent"
        heard.set()
        return await asyncio.get_running_loop().create_future()  # never to return

    monkeypatch.setattr(post.journal, "append", die)
    async with post.sending(post.target), asyncio.timeout(PATIENCE_S):
        await heard.wait()
    assert await post.state() == [("pending", 0, None, None)]
    monkeypatch.setattr(post.journal, "append", append)
    async with post.sending(post.target):
        await post.after_attempts(1)
    assert await post.state() == [("sent", 1, 200, None)]
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)


async def test_messages_go_out_while_the_sender_runs_each_under_its_own_id(post: Post, receiver: Any) -> None:
    async with post.sending(post.target):
        for day in range(40):
            await post.journal.append("test.happened", {"day": day})
        await post.after_attempts(40)
    assert len({message.id for message in receiver.received}) == 40
    assert sorted(json.loads(m.body)["payload"]["day"] for m in receiver.received) == list(range(40))
    assert await outbox.counts(post.store) == {"pending": 0, "sent": 40, "dead": 0}


async def test_an_event_and_its_message_are_queued_in_one_transaction(post: Post) -> None:
    def breaks(tx: Transaction) -> None:
        tx.append("test.happened", {})
        assert len(tx.rows("SELECT * FROM outbox")) == 1
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await post.journal.record(breaks)
    assert await post.state() == []
    assert (await events.head(post.store)).seq == 0


async def test_each_endpoint_gets_what_it_asked_for_and_no_news_of_webhooks(
    store: Store, clock: VirtualClock
) -> None:
    everything = Endpoint("all", "http://127.0.0.1:1/", ("*",), KEY)
    some = Endpoint("some", "http://127.0.0.1:1/", ("test.*", "alert.raised"), KEY)
    journal = Journal(store, clock, "boot-1", [webhooks.queueing(lambda: [everything, some])])
    for kind in ("test.happened", "feed.asked", "alert.raised", "alert.raised-again"):
        await journal.append(kind, {})
    rows = await store.rows(
        "SELECT o.endpoint, e.kind FROM outbox o JOIN event e ON e.seq = o.event ORDER BY e.seq"
    )
    assert [tuple(row) for row in rows] == [
        ("all", "test.happened"),
        ("some", "test.happened"),
        ("all", "feed.asked"),
        ("all", "alert.raised"),
        ("some", "alert.raised"),
        ("all", "alert.raised-again"),
    ]


@pytest.mark.parametrize("kind", ["webhook.queued", "webhook.sent", "webhook.failed", "webhook.dead"])
def test_what_happens_to_webhooks_is_never_sent(kind: str) -> None:
    assert not endpoint("http://x", "*", "webhook.*", kind).wants(kind)


def test_endpoints_are_configured_with_their_keys(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    given = {
        "name": "a",
        "url": "https://example.org/x",
        "events": ["test.*"],
        "secret_file": tmp_path / "secret",
    }
    config = Webhooks.model_validate({"endpoints": [given | {"secret_file": tmp_path / "secret"}]})
    assert webhooks.endpoints(config) == (Endpoint("a", "https://example.org/x", ("test.*",), KEY),)
    (tmp_path / "secret").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        webhooks.endpoints(config)


PUBLIC = "https://helios.example.org/here/"
PROPOSAL: dict[str, Any] = {
    "id": "0123456789abcdef",
    "action": "train",
    "target": "powerball",
    "expires_us": 1_800_000_000_999_999,
}


async def test_a_message_about_a_proposal_says_beside_the_event_where_to_answer_it(
    store: Store, clock: VirtualClock, receiver: Any
) -> None:
    told = replace(endpoint(receiver.url), patterns=("intent.*",))
    post = Post(store, clock, told)
    event = await post.journal.append(links.PROPOSED, PROPOSAL | {"args": {}, "max_attempt": 3, "due_us": 1})
    await post.journal.append("intent.approved", {"id": PROPOSAL["id"], "by": "http"})
    async with post.sending(told, public_url=PUBLIC):
        await post.after_attempts(2)
    bodies = {json.loads(message.body)["type"]: json.loads(message.body) for message in receiver.received}
    record = event.as_record()
    assert bodies["intent.proposed"].keys() - record.keys() == {"type", "approve_url", "reject_url"}
    assert {name: bodies["intent.proposed"][name] for name in record} == json.loads(json.dumps(record))
    assert bodies["intent.approved"].keys() - record.keys() == {"type"}
    for answer in ("approve", "reject"):
        url = urlsplit(bodies["intent.proposed"][f"{answer}_url"])
        assert (url.scheme, url.netloc) == ("https", "helios.example.org")
        assert url.path == "/here/proposals/0123456789abcdef"
        assert dict(parse_qsl(url.query)) == {
            "answer": answer,
            "expires": "1800000000",
            "signature": links.signature("receiver", KEY, PROPOSAL["id"], answer, 1_800_000_000),
        }
    kept = "".join(row["payload"] for row in await store.rows("SELECT payload FROM event"))
    assert "signature" not in kept
    assert "proposals/" not in kept


async def test_a_message_about_a_proposal_is_its_event_alone_where_nobody_can_reach_the_agent(
    store: Store, clock: VirtualClock, receiver: Any
) -> None:
    told = replace(endpoint(receiver.url), patterns=("intent.*",))
    post = Post(store, clock, told)
    event = await post.journal.append(links.PROPOSED, PROPOSAL | {"args": {}, "max_attempt": 3, "due_us": 1})
    async with post.sending(told):
        await post.after_attempts(1)
    assert json.loads(receiver.received[0].body) == {"type": "intent.proposed", **event.as_record()}


def test_a_signature_is_of_one_answer_to_one_proposal_until_one_moment_by_one_endpoint() -> None:
    same: tuple[Any, ...] = ("receiver", KEY, "0123456789abcdef", "approve", 1_800_000_000)
    changed = [
        (*same[:place], other, *same[place + 1 :])
        for place, other in enumerate(("other", KEY[::-1], "1123456789abcdef", "reject", 1_800_000_001))
    ]
    signatures = {links.signature(*what) for what in (same, *changed)}
    assert len(signatures) == 6
    key = hmac.digest(KEY, b"helios/proposal-link/1\nreceiver", "sha256")
    told = b"0123456789abcdef\napprove\n1800000000"
    assert links.signature(*same) == hmac.digest(key, told, "sha256").hex()
