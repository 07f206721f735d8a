"""What kind of processor this machine has, as Linux tells; elsewhere nothing is known of it."""

import re
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}


def name(cpuinfo: Path = CPUINFO) -> str:
    """Return the processor's name, empty where it is not known."""
    return _told("model name", cpuinfo)


def multiplies_bf16(cpuinfo: Path = CPUINFO) -> bool:
    """Return whether the processor multiplies bf16 matrices itself."""
    return not BF16_FLAGS.isdisjoint(_told("flags", cpuinfo).split())


def _told(what: str, cpuinfo: Path) -> str:
    """Return what is said of the first processor."""
    try:
        text = cpuinfo.read_text("utf-8")
    except OSError:
        return ""
    found = re.search(rf"^{what}\s*:(.*)$", text, re.MULTILINE)
    return found[1].strip() if found else ""
