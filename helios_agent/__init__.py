"""Helios: forecasts a lottery in advance, scores itself, and says honestly what it found."""

import sys

__version__ = "0.1.0"

# httpx loads a command of its own where it can, with libraries for terminals: 3 MB of the idle daemon.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
