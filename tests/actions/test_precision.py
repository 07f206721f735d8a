"""Which arithmetic a training is asked to use depends on the processor and on the size of its steps."""

from pathlib import Path

import pytest

from helios_agent.actions import precision
from helios_agent.config.model import Training


@pytest.mark.parametrize(
    ("flags", "settings", "expected"),
    [
        ("fpu avx512f avx512_bf16", {}, "bf16"),
        ("amx_tile amx_bf16 fpu", {}, "bf16"),
        ("fpu avx512f avx512_bf16x", {}, "fp32"),
        ("fpu avx512_bf16", {"segments": 2, "batch": 32}, "fp32"),
        ("fpu avx512_bf16", {"segments": 3, "batch": 32}, "bf16"),
        ("fpu avx512_bf16", {"precision": "fp32"}, "fp32"),
        ("fpu", {"precision": "bf16"}, "bf16"),
    ],
)
def test_auto_is_bf16_where_the_processor_has_it_and_a_step_is_large(
    tmp_path: Path, flags: str, settings: dict[str, object], expected: str
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: {flags}\nbogomips\t: 1\n")
    asked = Training.model_validate(settings)

    found = precision.resolved(asked, cpuinfo)
    assert found == asked.model_dump() | {"precision": expected}


def test_auto_is_fp32_where_the_processor_cannot_be_asked(tmp_path: Path) -> None:
    assert precision.resolved(Training(), tmp_path / "none")["precision"] == "fp32"
