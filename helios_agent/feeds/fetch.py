"""Ask one source for its draws over HTTP, once. Trying again is the caller's business."""

import asyncio
import re
from dataclasses import dataclass, replace
from datetime import date

import httpx

from helios_agent import errors
from helios_agent.feeds import rows, socrata, texas
from helios_agent.feeds.reports import FeedReport
from helios_agent.lottery import games

ANSWER_MAX_BYTES = 8 * 1024 * 1024
DEADLINE_SECONDS = 120.0
"""The longest one reading may take, all its pages together: a source that trickles is not waited for."""

Validators = tuple[str | None, str | None]
"""The ETag and Last-Modified of an earlier answer."""


@dataclass(frozen=True, slots=True)
class Source:
    """A publisher of one game's draws: its name in reports, its kind (`texas` or `socrata`), its URL."""

    name: str
    kind: str
    url: str


async def fetch(
    client: httpx.AsyncClient,
    source: Source,
    game: games.Game,
    *,
    since: date | None = None,
    validators: Validators | None = None,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> FeedReport:
    """Return what `source` says of `game`.

    `since` limits a socrata source to the draws from that day on, None asks for all; a texas source is
    one file and always answers with all. `validators` make a texas source say `unchanged` where
    it has no news; pages have none. Raise `FeedUnreachable` if there is no answer of success,
    `FeedMalformed` if the answer is too large or cannot be read.
    """
    try:
        async with asyncio.timeout(deadline_seconds):
            if source.kind == "texas":
                return await _fetch_texas(client, source, game, validators or (None, None))
            if source.kind == "socrata":
                return await _fetch_socrata(client, source, game, since)
    except TimeoutError:
        raise _unreachable(source, f"no complete answer within {deadline_seconds:g} s") from None
    except (httpx.HTTPError, httpx.InvalidURL) as problem:
        raise _unreachable(source, f"{type(problem).__name__} {problem}") from problem
    raise errors.ConfigError(
        f"source {source.name!r}: kind is {source.kind!r}; expected 'texas' or 'socrata'"
    )


@dataclass(frozen=True, slots=True)
class _Answer:
    body: bytes
    etag: str | None
    last_modified: str | None

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")


async def _fetch_texas(
    client: httpx.AsyncClient, source: Source, game: games.Game, validators: Validators
) -> FeedReport:
    etag, last_modified = validators
    conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    headers = {name: value for name, value in conditions.items() if value is not None and value.isascii()}
    answer = await _get(client, source, httpx.URL(source.url), headers, ANSWER_MAX_BYTES)
    if answer is None:
        return FeedReport(source.name, (), (), unchanged=True, etag=etag, last_modified=last_modified)
    report = texas.parse(game, answer.text, source.name)
    return replace(report, etag=answer.etag, last_modified=answer.last_modified)


async def _fetch_socrata(
    client: httpx.AsyncClient, source: Source, game: games.Game, since: date | None
) -> FeedReport:
    found: list[object] = []
    page: list[object] = []
    room_bytes = ANSWER_MAX_BYTES
    while True:
        url = httpx.URL(source.url).copy_merge_params(socrata.query(len(found), since))
        answer = await _get(client, source, url, {}, room_bytes)
        if answer is None:
            raise _unreachable(source, "304 Not Modified to a request without a condition")
        room_bytes -= len(answer.body)
        before, page = page, socrata.records(answer.text, source.name)
        if page and page == before:
            raise errors.FeedMalformed(
                f"{source.name}: {_shown(source.url)} gives one page twice; expected $offset to be honoured"
            )
        found += page
        if len(page) < socrata.PAGE_ROWS:
            return socrata.parse_records(game, found, source.name)


async def _get(
    client: httpx.AsyncClient, source: Source, url: httpx.URL, headers: dict[str, str], room_bytes: int
) -> _Answer | None:
    """Return one answer of success of at most `room_bytes`, or None for 304 to a conditional request."""
    # A redirect is refused, not followed: whoever answers elsewhere is not the publisher that was named.
    async with client.stream("GET", url, headers=headers, follow_redirects=False) as response:
        if response.status_code == httpx.codes.NOT_MODIFIED and headers:
            return None
        if not response.is_success:
            raise _unreachable(source, _failure(response))
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > room_bytes:
                raise errors.FeedMalformed(
                    f"{source.name}: {_shown(source.url)} answers more than {ANSWER_MAX_BYTES} bytes"
                )
        return _Answer(bytes(body), response.headers.get("ETag"), response.headers.get("Last-Modified"))


def _failure(response: httpx.Response) -> str:
    status = f"{response.status_code} {response.reason_phrase}"
    if location := response.headers.get("Location"):
        return f"{status}, redirected to {_shown(location)}; name that address as the source's url to use it"
    if wait := response.headers.get("Retry-After"):
        return f"{status}, Retry-After {wait}"
    return status


def _unreachable(source: Source, cause: str) -> errors.FeedUnreachable:
    one_line = " ".join(cause.split())
    return errors.FeedUnreachable(f"{source.name}: {_shown(source.url)}: {rows.shorten(one_line)}")


def _shown(url: str) -> str:
    """Return `url` without its query and user, where a secret may stand."""
    return rows.shorten(re.sub(r"//[^/@]*@", "//", url.partition("?")[0]))
