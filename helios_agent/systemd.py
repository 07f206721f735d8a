"""Tell the service manager how we are, as sd_notify(3) does: one datagram to $NOTIFY_SOCKET."""

import os
import socket
from collections.abc import Mapping
from contextlib import suppress

MICROSECONDS = 1_000_000


class Notifier:
    """Sends states to the service manager that started us; does nothing where there is none."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        watchdog = environment.get("WATCHDOG_USEC", "")
        own = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(watchdog) / MICROSECONDS if watchdog.isdigit() and own else None
        """How long the service manager waits for a sign of life, or None if it does not."""

    def send(self, **states: str | int) -> None:
        """Send states (READY=1, STATUS=…, WATCHDOG=1, STOPPING=1) in one datagram, without ever waiting."""
        if not self._address:
            return
        # An address that begins with "@" is in the abstract namespace, which is written with a zero byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        text = "\n".join(f"{name}={value}" for name, value in states.items())
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        # A manager that does not listen, or not fast enough, is no reason to stop, nor for the event loop to
        # wait; sd_notify(3) says not to mind either.
        with socket.socket(socket.AF_UNIX, kind) as channel, suppress(OSError):
            channel.connect(address)
            channel.sendall(text.encode())
