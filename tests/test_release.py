"""One byte of the source makes another code."""

from importlib import resources
from pathlib import Path

import pytest

from helios_agent import release


def test_the_code_is_the_names_and_bytes_of_the_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "files", lambda package: tmp_path)
    source = tmp_path / "one.py"
    source.write_text("A = 1\n")
    (tmp_path / "notes.txt").write_text("notes")
    codes = [release.code()]
    (tmp_path / "notes.txt").write_text("others")
    assert release.code() == codes[0]
    source.write_text("A = 2\n")
    codes.append(release.code())
    source.rename(tmp_path / "other.py")
    codes.append(release.code())

    assert len(set(codes)) == 3
