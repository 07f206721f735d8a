"""Queue a message for every event an endpoint asked for, and send what is queued."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Any

import httpx
from loguru import logger

from helios_agent.clock import SECOND_US, Clock, to_us, wait_for
from helios_agent.config.model import Webhooks
from helios_agent.journal import chain, events, outbox
from helios_agent.journal.journal import Event, Hook, Journal, Transaction
from helios_agent.notify import links, signing

BATCH = 16
GONE = 410
LONGEST_WAIT_S = 86_400.0
"""No receiver makes us wait longer than a day."""


@dataclass(frozen=True)
class Endpoint:
    """Where messages go, which events it asked for (patterns), and the key that signs them."""

    name: str
    url: str
    patterns: tuple[str, ...]
    key: bytes

    def wants(self, kind: str) -> bool:
        """Return whether it asked for this kind; news about webhooks themselves are never sent."""
        return not kind.startswith("webhook.") and any(fnmatchcase(kind, p) for p in self.patterns)


def endpoints(config: Webhooks) -> tuple[Endpoint, ...]:
    """Return the configured endpoints with their keys. Raises ConfigError for an unusable secret."""
    return tuple(
        Endpoint(w.name, str(w.url), w.events, signing.read_secret(w.secret_file)) for w in config.endpoints
    )


def queueing(targets: Callable[[], Sequence[Endpoint]]) -> Hook:
    """Return the journal hook that queues a message in the event's own transaction."""

    def hook(tx: Transaction, event: Event) -> None:
        for target in targets():
            if target.wants(event.kind):
                outbox.queue(tx, target.name, event)

    return hook


class Sender:
    """Sends queued messages until each was accepted or has used up its attempts."""

    def __init__(
        self,
        journal: Journal,
        http: httpx.AsyncClient,
        config: Webhooks,
        targets: Sequence[Endpoint],
        pulse_s: float,
        public_url: str | None = None,
    ) -> None:
        self._journal = journal
        self._http = http
        self._config = config
        self._pulse_s = pulse_s
        self._public_url = public_url
        self._targets: Mapping[str, Endpoint] = {target.name: target for target in targets}

    async def run(self) -> None:
        """Send for ever, to each endpoint by itself, so that a slow one holds up no other.

        Raises what failed one of them, once every message under way was sent and that is noted.
        """
        names = {*self._targets, *await outbox.endpoints(self._journal.store)}
        sending = {name: asyncio.Lock() for name in sorted(names)}
        loops: list[asyncio.Task[Any]] = [
            asyncio.create_task(self._serve(name, lock), name=f"webhooks.{name}")
            for name, lock in sending.items()
        ]
        loops.append(asyncio.create_task(asyncio.Event().wait(), name="webhooks"))  # there may be no endpoint
        try:
            failed, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            for loop, lock in zip(loops, sending.values(), strict=False):
                async with lock:  # a message that is cut off would be sent twice
                    loop.cancel()
        finally:
            for loop in loops:
                loop.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        for loop in failed:
            loop.result()

    async def _serve(self, endpoint: str, sending: asyncio.Lock) -> None:
        clock: Clock = self._journal.clock
        with self._journal.listening() as news:
            while True:
                news.clear()
                due_us = await outbox.next_due_us(self._journal.store, endpoint)
                pause_s = self._pulse_s if due_us is None else (due_us - clock.now_us()) / SECOND_US
                if self._journal.store.trouble is not None:
                    pause_s = self._pulse_s  # that a message was sent could not be noted: it would go twice
                if pause_s > 0:
                    await wait_for(clock, news, min(self._pulse_s, pause_s))
                    continue
                async with sending:
                    messages = await outbox.due(self._journal.store, clock.now_us(), BATCH, endpoint)
                    attempts = (self._attempt(message) for message in messages)
                    ended = await asyncio.gather(*attempts, return_exceptions=True)
                for error in filter(None, ended):
                    raise error

    async def _attempt(self, message: outbox.Message) -> None:
        now_us = self._journal.clock.now_us()
        target = self._targets.get(message.endpoint)
        if target is None:
            await self._bury(message, None, f"endpoint {message.endpoint!r} is no longer configured")
            return
        event = await events.find(self._journal.store, message.event)
        if event is None:
            await self._bury(message, None, f"event {message.event} is no longer in the journal")
            return
        body = chain.canonical(
            {"type": event.kind, **event.as_record(), **self._links(target, event)}
        ).encode()
        headers = signing.headers(target.key, message.id, now_us // SECOND_US, body)
        try:
            # The status says it all: what follows is not read, so no receiver can hold us up with it.
            async with (
                asyncio.timeout(self._config.timeout),
                self._http.stream(
                    "POST",
                    target.url,
                    content=body,
                    headers=headers | {"content-type": "application/json"},
                    timeout=self._config.timeout,
                    follow_redirects=False,
                ) as response,
            ):
                pass
        except TimeoutError:
            await self._failed(message, None, f"no answer within {self._config.timeout:g} s", 0.0)
            return
        except Exception as error:  # an address that cannot be used raises many kinds
            await self._failed(message, None, f"{type(error).__name__}: {error}", 0.0)
            return
        if response.is_success:
            await self._journal.append(
                "webhook.sent", {"id": message.id, "status": response.status_code}, message.event
            )
        elif response.status_code == GONE:
            await self._bury(message, GONE, "the receiver answered 410 Gone")
        else:
            wait_s = _retry_after(response, now_us)
            await self._failed(message, response.status_code, f"answered {response.status_code}", wait_s)

    def _links(self, target: Endpoint, event: Event) -> dict[str, str]:
        """Return what a message carries beside its event: where a proposal can be answered."""
        if self._public_url is None or event.kind != links.PROPOSED:
            return {}
        return links.made(self._public_url, target.name, target.key, event)

    async def _failed(self, message: outbox.Message, status: int | None, error: str, wait_s: float) -> None:
        attempt = message.attempt + 1
        if attempt >= self._config.attempts:
            await self._bury(message, status, error)
            return
        backoff = min(self._config.retry_limit, self._config.retry_first * 2 ** (attempt - 1))
        next_us = self._journal.clock.now_us() + round(max(backoff, wait_s) * SECOND_US)
        logger.bind(action="webhook").warning("{} to {}: {}", message.id, message.endpoint, error)
        await self._journal.append(
            "webhook.failed",
            {"id": message.id, "status": status, "error": error, "next_us": next_us},
            message.event,
        )

    async def _bury(self, message: outbox.Message, status: int | None, error: str) -> None:
        logger.bind(action="webhook").error("{} to {} is given up: {}", message.id, message.endpoint, error)
        await self._journal.append(
            "webhook.dead", {"id": message.id, "status": status, "error": error}, message.event
        )


def _retry_after(response: httpx.Response, now_us: int) -> float:
    """Return the seconds that the receiver asked us to wait, 0 if it asked for none that can be read."""
    text = response.headers.get("retry-after", "")
    try:
        asked_s = (
            float(text)
            if text.isascii() and text.isdigit()
            else (to_us(parsedate_to_datetime(text)) - now_us) / SECOND_US
        )
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(max(0.0, asked_s), LONGEST_WAIT_S)
