"""A real receiver on loopback, which answers each message as a test tells it to."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

Answer = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class Received:
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]


@dataclass
class Receiver:
    """What was received, and what is answered: status and headers, given the number of the message."""

    url: str
    answer: Callable[[int], Answer] = lambda number: (200, {})
    received: list[Received] = field(default_factory=list)
    endless: threading.Event = field(default_factory=threading.Event)
    """Cleared, it lets a body go on that never ends."""


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        receiver = self.server.receiver
        receiver.received.append(Received({k.lower(): v for k, v in self.headers.items()}, body))
        status, headers = receiver.answer(len(receiver.received))
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            while headers.get("x-body") == "endless" and not receiver.endless.wait(0.001):
                self.wfile.write(b"more " * 1000)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64  # as many connections may come at once as the sender makes
    receiver: Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = _Server(("127.0.0.1", 0), _Handler)
    server.receiver = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hooks")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.receiver
    finally:
        server.receiver.endless.set()
        server.shutdown()
        thread.join()
        server.server_close()
