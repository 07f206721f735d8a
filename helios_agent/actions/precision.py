"""Which arithmetic a training is asked to use.

It is settled before the spec is written, so that the same spec means the same computation wherever it runs.
"""

import re
from pathlib import Path
from typing import Any

from helios_agent.config.model import Training

CPUINFO = Path("/proc/cpuinfo")
BF16_FLAGS = {"avx512_bf16", "amx_bf16"}
BF16_PAYS_ABOVE = 64
"""Draws predicted in a training step. Of fewer, bf16 makes a step slower: measured, 1.2 times at 32."""


def resolved(training: Training, cpuinfo: Path = CPUINFO) -> dict[str, Any]:
    """Return the settings of a training as they stand in its spec, `auto` replaced by what pays here."""
    spec = training.model_dump()
    if training.precision == "auto":
        pays = training.segments * training.batch > BF16_PAYS_ABOVE and _has_bf16(cpuinfo)
        spec["precision"] = "bf16" if pays else "fp32"
    return spec


def _has_bf16(cpuinfo: Path) -> bool:
    """Return whether the processor multiplies bf16 matrices itself, as Linux tells; elsewhere, no."""
    try:
        text = cpuinfo.read_text("utf-8")
    except OSError:
        return False
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return flags is not None and not BF16_FLAGS.isdisjoint(flags[1].split())
