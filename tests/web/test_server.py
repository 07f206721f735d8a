"""The listening socket."""

import asyncio
import socket
from pathlib import Path

import httpx
from loguru import logger

from helios_agent.config.model import Http
from helios_agent.web import guard, server
from tests.acceptance.simulated import LOADED, living


async def test_no_part_of_an_answer_waits_for_the_one_before_to_be_acknowledged() -> None:
    """Else an answer of two parts takes 40 ms longer: Nagle's algorithm against delayed acknowledgements."""
    listener = server.bind(Http(port=0))
    accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        option = writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        writer.close()
        accepted.set_result(option)

    async with await asyncio.start_server(accept, sock=listener):
        _, writer = await asyncio.open_connection(*listener.getsockname())
        assert await accepted
        writer.close()
        await writer.wait_closed()


async def test_what_is_unforeseen_is_an_answer_like_any_other_and_stands_in_the_log(
    tmp_path: Path,
) -> None:
    told_log: list[str] = []
    sink = logger.add(told_log.append, format="{message}\n{exception}")
    async with living(tmp_path, LOADED) as agent:
        app = server.application(agent, None)

        @app.get("/api/broken")
        async def broken() -> None:
            raise RuntimeError("the very cause")

        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as http:
            answer = await http.get("/api/broken")
            refused = await http.post("/api/models/load", json={"nam": "x"})
    logger.remove(sink)
    assert answer.json() == {
        "type": "about:blank", "title": "Internal Server Error", "status": 500,
        "detail": "Helios met with something unforeseen; its log says more.",
    }  # fmt: skip
    assert answer.headers["content-type"] == "application/problem+json"
    assert guard.HEADERS.items() <= dict(answer.headers).items()
    assert any("GET /api/broken" in told and "the very cause" in told for told in told_log)
    told = refused.json()
    assert told["detail"] == "; ".join(
        ("body.name is {'nam': 'x'}: Field required", "body.nam is 'x': Extra inputs are not permitted")
    )
    assert [fault["field"] for fault in told["errors"]] == ["body.name", "body.nam"]
