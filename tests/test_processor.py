"""The processor's name and what it multiplies itself are as Linux tells of the first one."""

from pathlib import Path

from helios_agent import processor

TOLD = "processor\t: {number}\nmodel name\t: {name}\nflags\t\t: {flags}\n\n"


def test_what_is_told_of_the_first_processor_counts(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    first = TOLD.format(number=0, name="One 7B13 (rev: 2)", flags="fpu avx2")
    cpuinfo.write_text(first + TOLD.format(number=1, name="Other", flags="fpu amx_bf16"))

    assert processor.name(cpuinfo) == "One 7B13 (rev: 2)"
    assert not processor.multiplies_bf16(cpuinfo)


def test_where_nothing_is_told_nothing_is_known(tmp_path: Path) -> None:
    assert processor.name(tmp_path / "none") == ""
    assert not processor.multiplies_bf16(tmp_path / "none")
