"""Folders as bytes: the same files give the same parcel, and only whole, honest parcels are opened."""

import hashlib
import io
import itertools
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from helios_agent import files as disk
from helios_agent.errors import JobFailed, WorkerLost
from helios_agent.work import parcels
from helios_agent.work.parcels import Parcel

FILES = {"model.json": b"{}\n", "weights.safetensors": b"\0\1\2", "more/deep.txt": b""}


def folder(place: Path, files: dict[str, bytes] = FILES) -> Path:
    for name, content in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def files(place: Path) -> dict[str, bytes]:
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()}


def parcel_with(name: str) -> Parcel:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    return Parcel(hashlib.sha256(archive.getvalue()).hexdigest(), archive.getvalue())


def test_a_folder_comes_out_as_it_went_in(tmp_path: Path) -> None:
    parcels.unpack(parcels.pack(folder(tmp_path / "in")), tmp_path / "below" / "out")

    assert files(tmp_path / "below" / "out") == FILES
    assert [p.name for p in (tmp_path / "below").iterdir()] == ["out"]


def test_the_hash_is_of_names_and_contents_alone(tmp_path: Path) -> None:
    one = folder(tmp_path / "one")
    two = folder(tmp_path / "two", dict(reversed(FILES.items())))
    os.utime(two / "model.json", (1, 1))
    (two / "model.json").chmod(0o600)
    other = folder(tmp_path / "other", FILES | {"model.json": b"{ }\n"})

    assert parcels.pack(one) == parcels.pack(two)
    assert parcels.pack(one).sha256 != parcels.pack(other).sha256


def test_what_stood_in_the_folder_is_replaced(tmp_path: Path) -> None:
    out = folder(tmp_path / "out", {"old": b"old"})
    parcels.unpack(parcels.pack(folder(tmp_path / "in")), out)

    assert files(out) == FILES


def test_a_damaged_parcel_is_refused_and_what_stood_there_stays(tmp_path: Path) -> None:
    good = parcels.pack(folder(tmp_path / "in"))
    out = folder(tmp_path / "out", {"old": b"old"})
    with pytest.raises(WorkerLost, match="was damaged on its way"):
        parcels.unpack(Parcel(good.sha256, good.content[:-1] + b"x"), out)

    assert files(out) == {"old": b"old"}


class Killed(BaseException):
    """The process ends here."""


def test_whenever_the_process_ends_all_of_the_old_or_all_of_the_new_is_taken_up(tmp_path: Path) -> None:
    parcel = parcels.pack(folder(tmp_path / "in"))
    seen = []
    for survived in range(1000):
        out = folder(tmp_path / f"{survived}" / "out", {"old": b"old"})
        left = itertools.count(survived, -1)

        def watch(operation: str, path: Path, left: Iterator[int] = left) -> None:
            if next(left) == 0:
                raise Killed

        token = disk.observer.set(watch)
        try:
            parcels.unpack(parcel, out)
        except Killed:
            pass
        else:
            break
        finally:
            disk.observer.reset(token)
        disk.take_up(out)
        seen.append(files(out))
        assert {p.name for p in out.parent.iterdir()} <= {"out", ".out.new"}

    assert seen == [{"old": b"old"}] * seen.count({"old": b"old"}) + [FILES] * seen.count(FILES)
    assert seen[0] != seen[-1]


@pytest.mark.parametrize("name", ["/etc/outside", "../outside", "in/../../outside"])
def test_no_file_leaves_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(JobFailed, match="has no place in"):
        parcels.unpack(parcel_with(name), tmp_path / "below" / "out")

    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "below" / "out").exists()


def test_a_link_is_not_packed(tmp_path: Path) -> None:
    place = folder(tmp_path / "in")
    (place / "link").symlink_to("/etc/passwd")
    with pytest.raises(JobFailed, match="link is neither a file nor a folder"):
        parcels.pack(place)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="nowhere is no folder"):
        parcels.pack(tmp_path / "nowhere")


def test_the_stamp_changes_when_a_file_is_replaced(tmp_path: Path) -> None:
    place = folder(tmp_path / "in")
    before = parcels.stamp(place)
    (tmp_path / "new").write_bytes(b"{}\n")
    (tmp_path / "new").rename(place / "model.json")

    assert parcels.stamp(place) != before
    assert parcels.stamp(tmp_path / "nowhere") == frozenset()
