"""The listening socket."""

import asyncio
import socket

from helios_agent.config.model import Http
from helios_agent.web import server


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
