"""Which arithmetic a training is asked to use.

It is settled before the spec is written, so that the same spec means the same computation wherever it runs.
"""

from pathlib import Path
from typing import Any

from helios_agent import processor
from helios_agent.config.model import Training

BF16_PAYS_ABOVE = 64
"""Draws predicted in a training step. Of fewer, bf16 makes it slower."""


def resolved(training: Training, cpuinfo: Path = processor.CPUINFO) -> dict[str, Any]:
    """Return the settings of a training as they stand in its spec, `auto` replaced by what pays here."""
    spec = training.model_dump()
    if training.precision == "auto":
        pays = training.segments * training.batch > BF16_PAYS_ABOVE and processor.multiplies_bf16(cpuinfo)
        spec["precision"] = "bf16" if pays else "fp32"
    return spec
