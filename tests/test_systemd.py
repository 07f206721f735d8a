import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from helios_agent.systemd import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """A service manager's socket, and its address as NOTIFY_SOCKET gives it."""
    abstract = request.param == "abstract"
    address = f"@helios-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind("\0" + address[1:] if abstract else address)
        channel.settimeout(5)
        yield address, channel


def test_states_arrive_in_one_datagram_each_on_a_line(manager: tuple[str, socket.socket]) -> None:
    address, channel = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    notifier.send(READY=1, STATUS="ready; journal head 7 – gut")
    notifier.send(WATCHDOG=1)
    assert channel.recv(4096).decode() == "READY=1\nSTATUS=ready; journal head 7 – gut"
    assert channel.recv(4096) == b"WATCHDOG=1"


def test_a_service_manager_that_does_not_read_is_not_waited_for(manager: tuple[str, socket.socket]) -> None:
    address, channel = manager
    notifier = Notifier({"NOTIFY_SOCKET": address})
    for number in range(10_000):
        notifier.send(STATUS=number)
    assert channel.recv(4096) == b"STATUS=0"


def test_without_a_service_manager_nothing_is_sent() -> None:
    notifier = Notifier({})
    notifier.send(READY=1)
    assert notifier.watchdog_s is None


def test_a_service_manager_that_does_not_listen_is_no_reason_to_stop(tmp_path: Path) -> None:
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).send(READY=1)
    Notifier({"NOTIFY_SOCKET": "@helios-test-nobody"}).send(STOPPING=1)


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "60000000"}, 60.0),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_ours_only_if_it_watches_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert Notifier(environment).watchdog_s == seconds
