import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import httpx
import pytest

from helios_agent import errors
from helios_agent.feeds import fetch, packaged
from helios_agent.feeds.fetch import Source
from helios_agent.lottery import games
from helios_agent.lottery.draws import Draw

POWERBALL = games.game("powerball")
MEGAMILLIONS = games.game("megamillions")
CSV = b"Powerball,2,3,2010,37,52,22,36,17,24,2\r\nPowerball,2,6,2010,22,54,52,14,59,4,3\r\n"
HISTORY = packaged.read(MEGAMILLIONS).draws


def texas(site: Any) -> Source:
    return Source("texas", "texas", site.url)


def new_york(site: Any) -> Source:
    return Source("new-york", "socrata", site.url)


async def refusal(client: httpx.AsyncClient, source: Source, **options: Any) -> str:
    with pytest.raises(errors.FeedUnreachable) as caught:
        await fetch.fetch(client, source, POWERBALL, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


async def test_a_texas_answer_carries_its_draws_and_validators(client: httpx.AsyncClient, site: Any) -> None:
    stamp = "Thu, 17 Sep 2026 05:24:00 GMT"
    site.answer = lambda asked: (200, {"ETag": '"a1"', "Last-Modified": stamp}, [CSV])
    report = await fetch.fetch(client, Source("austin", "texas", site.url), POWERBALL)
    assert (report.source, report.etag, report.last_modified) == ("austin", '"a1"', stamp)
    assert [draw.day for draw in report.draws] == [date(2010, 2, 3), date(2010, 2, 6)]
    assert not report.unchanged
    assert "If-None-Match" not in site.asked[0].headers


async def test_a_source_without_news_is_unchanged_and_keeps_its_validators(
    client: httpx.AsyncClient, site: Any
) -> None:
    stamp = "Thu, 17 Sep 2026 05:24:00 GMT"

    def answer(asked: Any) -> tuple[int, dict[str, str], list[bytes]]:
        conditions = (asked.headers["If-None-Match"], asked.headers["If-Modified-Since"])
        return (304, {}, []) if conditions == ('"a1"', stamp) else (200, {"ETag": '"a2"'}, [CSV])

    site.answer = answer
    same = await fetch.fetch(client, texas(site), POWERBALL, validators=('"a1"', stamp))
    assert same.unchanged
    assert (same.draws, same.rejected, same.etag, same.last_modified) == ((), (), '"a1"', stamp)
    corrected = await fetch.fetch(client, texas(site), POWERBALL, validators=('"a0"', None))
    assert not corrected.unchanged
    assert (len(corrected.draws), corrected.etag, corrected.last_modified) == (2, '"a2"', None)


async def test_a_304_that_was_not_asked_for_is_no_answer(client: httpx.AsyncClient, site: Any) -> None:
    site.answer = lambda asked: (304, {}, [])
    assert "304 Not Modified" in await refusal(client, texas(site))
    assert "304 Not Modified" in await refusal(client, new_york(site), validators=('"a1"', None))


@pytest.mark.parametrize(
    ("status", "headers", "cause"),
    [
        (500, {}, "500 Internal Server Error"),
        (404, {}, "404 Not Found"),
        (403, {}, "403 Forbidden"),
        (429, {"Retry-After": "120"}, "429 Too Many Requests, Retry-After 120"),
        (503, {"Retry-After": "9"}, "503 Service Unavailable, Retry-After 9"),
    ],
)
@pytest.mark.parametrize("kind", ["texas", "socrata"])
async def test_an_answer_without_success_names_source_url_and_cause(
    client: httpx.AsyncClient, site: Any, kind: str, status: int, headers: dict[str, str], cause: str
) -> None:
    site.answer = lambda asked: (status, headers, [b"Powerball,2,3,2010,37,52,22,36,17,24,2"])
    message = await refusal(client, Source("feed", kind, site.url))
    assert message == f"feed: {site.url}: {cause}"
    assert len(site.asked) == 1


async def test_a_redirect_is_named_and_not_followed(site: Any) -> None:
    site.answer = lambda asked: (302, {"Location": "http://elsewhere.example/x.csv?key=secret"}, [])
    async with httpx.AsyncClient(follow_redirects=True, trust_env=False) as eager:
        message = await refusal(eager, texas(site))
    assert "302 Found, redirected to http://elsewhere.example/x.csv; name that address" in message
    assert "secret" not in message
    assert len(site.asked) == 1


async def test_an_answer_without_end_is_refused_after_eight_mebibytes(
    client: httpx.AsyncClient, site: Any
) -> None:
    sent = []

    def endless() -> Iterator[bytes]:
        while True:
            sent.append(65536)
            yield CSV[:32] * 2048

    site.answer = lambda asked: (200, {}, endless())
    with pytest.raises(errors.FeedMalformed, match=f"texas: {site.url} answers more than 8388608 bytes"):
        await fetch.fetch(client, texas(site), POWERBALL)
    assert sum(sent) < 64 * 1024 * 1024


async def test_a_source_that_does_not_answer_in_time_is_unreachable(site: Any) -> None:
    site.answer = lambda asked: (site.closing.wait(), (200, {}, []))[1]
    async with httpx.AsyncClient(timeout=httpx.Timeout(5.0, read=0.1), trust_env=False) as hasty:
        message = await refusal(hasty, texas(site))
    assert message == f"texas: {site.url}: ReadTimeout"


async def test_a_source_that_trickles_is_left_at_the_deadline(client: httpx.AsyncClient, site: Any) -> None:
    def trickle() -> Iterator[bytes]:
        while not site.closing.wait(0.01):
            yield b"P"

    site.answer = lambda asked: (200, {}, trickle())
    started = time.monotonic()
    message = await refusal(client, texas(site), deadline_seconds=0.2)
    assert message == f"texas: {site.url}: no complete answer within 0.2 s"
    assert time.monotonic() - started < 5


async def test_a_port_where_nobody_listens_is_unreachable(client: httpx.AsyncClient) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/draws"
        message = await refusal(client, Source("texas", "texas", url))
    assert message.startswith(f"texas: {url}: ConnectError")


@pytest.mark.parametrize(
    "url", ["http://[", "no-scheme/draws.csv", "ftp://127.0.0.1/x", "http://127.0.0.1:port/"]
)
async def test_an_address_that_is_none_is_unreachable(client: httpx.AsyncClient, url: str) -> None:
    assert (await refusal(client, Source("texas", "texas", url))).startswith(f"texas: {url}: ")


async def test_an_answer_cut_short_is_unreachable(client: httpx.AsyncClient, site: Any) -> None:
    site.answer = lambda asked: (200, {"Content-Length": "5000"}, [CSV])
    assert "RemoteProtocolError" in await refusal(client, texas(site))


async def test_a_secret_in_the_url_is_sent_but_never_told(client: httpx.AsyncClient, site: Any) -> None:
    site.answer = lambda asked: (500, {}, [])
    address = site.url.replace("//", "//user:hidden@")
    message = await refusal(client, Source("new-york", "socrata", f"{address}?$$app_token=hidden"))
    assert site.asked[0].query.items() >= {"$$app_token": "hidden", "$offset": "0"}.items()
    assert site.asked[0].headers["Authorization"].startswith("Basic ")
    assert message == f"new-york: {site.url}: 500 Internal Server Error"


async def test_an_html_page_of_success_is_malformed(client: httpx.AsyncClient, site: Any) -> None:
    site.answer = lambda asked: (200, {}, [b"<html>\xff maintenance</html>"])
    for source in (texas(site), new_york(site)):
        with pytest.raises(errors.FeedMalformed, match="<html>"):
            await fetch.fetch(client, source, POWERBALL)


async def test_an_unknown_kind_is_a_wrong_setting(client: httpx.AsyncClient) -> None:
    with pytest.raises(errors.ConfigError, match="source 'x': kind is 'rss'; expected 'texas' or 'socrata'"):
        await fetch.fetch(client, Source("x", "rss", "http://127.0.0.1/"), POWERBALL)


def socrata_answers(asked: Any) -> tuple[int, dict[str, str], list[bytes]]:
    """Answer as Socrata does: 1,000 rows unless told otherwise, newest first unless told an order."""
    rows = [
        {
            "draw_date": f"{draw.day}T00:00:00.000",
            "winning_numbers": " ".join(f"{ball:02}" for ball in sorted(draw.whites)),
            "mega_ball": f"{draw.bonus:02}",
        }
        for draw in reversed(HISTORY)
    ]
    if "$where" in asked.query:
        condition = re.fullmatch(r"draw_date >= '([\d-]+T[\d:]+)'", asked.query["$where"])
        assert condition is not None
        rows = [row for row in rows if row["draw_date"] >= condition[1]]
    if "$order" in asked.query:
        rows.sort(key=lambda row: row[asked.query["$order"]])
    offset = int(asked.query.get("$offset", 0))
    page = rows[offset : offset + int(asked.query.get("$limit", 1000))]
    return 200, {"Content-Type": "application/json", "ETag": '"page"'}, [json.dumps(page).encode()]


def as_new_york_has_it(draw: Draw) -> Draw:
    return replace(draw, whites=tuple(sorted(draw.whites)), multiplier=None, ordered=False)


async def test_a_socrata_source_is_read_page_by_page_to_its_end(client: httpx.AsyncClient, site: Any) -> None:
    site.answer = socrata_answers
    report = await fetch.fetch(client, new_york(site), MEGAMILLIONS, validators=('"page"', None))
    assert report.draws == tuple(map(as_new_york_has_it, HISTORY))
    assert (report.source, report.rejected, report.etag) == ("new-york", (), None)
    assert [asked.query["$offset"] for asked in site.asked] == ["0", "1000", "2000"]
    assert all("If-None-Match" not in asked.headers for asked in site.asked)


async def test_a_socrata_source_is_asked_only_for_the_days_that_are_wanted(
    client: httpx.AsyncClient, site: Any
) -> None:
    site.answer = socrata_answers
    report = await fetch.fetch(client, new_york(site), MEGAMILLIONS, since=date(2026, 8, 18))
    assert [draw.day for draw in report.draws] == [
        date(2026, 8, 18),
        date(2026, 8, 21),
        date(2026, 8, 25),
    ]
    assert len(site.asked) == 1
    nothing = await fetch.fetch(client, new_york(site), MEGAMILLIONS, since=date(2026, 8, 26))
    assert (nothing.draws, nothing.unchanged) == ((), False)


async def test_pages_that_do_not_move_on_are_malformed_instead_of_read_for_ever(
    client: httpx.AsyncClient, site: Any
) -> None:
    def answer(asked: Any) -> tuple[int, dict[str, str], list[bytes]]:
        asked.query["$offset"] = "0"
        return socrata_answers(asked)

    site.answer = answer
    with pytest.raises(errors.FeedMalformed, match="gives one page twice"):
        await fetch.fetch(client, new_york(site), MEGAMILLIONS)
    assert len(site.asked) == 2


async def test_all_pages_together_are_held_to_eight_mebibytes(client: httpx.AsyncClient, site: Any) -> None:
    def answer(asked: Any) -> tuple[int, dict[str, str], list[bytes]]:
        rows = [{"row": int(asked.query["$offset"]) + number, "pad": "x" * 2000} for number in range(1000)]
        return 200, {}, [json.dumps(rows).encode()]

    site.answer = answer
    with pytest.raises(errors.FeedMalformed, match="answers more than 8388608 bytes"):
        await fetch.fetch(client, new_york(site), MEGAMILLIONS)
    assert len(site.asked) == 5
