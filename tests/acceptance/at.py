"""`helios` whose wall clock shows a given moment at first: `python -m tests.acceptance.at MOMENT run …`."""

import sys
from datetime import datetime

from helios_agent import cli
from helios_agent.clock import SystemClock, to_us


def main() -> None:
    ahead_us = to_us(datetime.fromisoformat(sys.argv.pop(1))) - SystemClock().now_us()
    real = SystemClock.now_us
    SystemClock.now_us = lambda self: real(self) + ahead_us  # type: ignore[method-assign]
    cli.main()


if __name__ == "__main__":
    main()
