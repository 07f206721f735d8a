"""Folders as bytes that know their hash: how files reach a worker that shares no disk with us, and come back.

A parcel is a tar archive, uncompressed, of regular files in order of their names, without owner, mode or
time: the same files give the same bytes. Whoever opens one checks the hash first.
"""

import hashlib
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from helios_agent import files
from helios_agent.errors import JobFailed, WorkerLost


@dataclass(frozen=True)
class Parcel:
    """The files of a folder: a tar archive, and the SHA-256 of it in hex."""

    sha256: str
    content: bytes


def pack(folder: Path) -> Parcel:
    """Return the files below `folder`. Raises JobFailed where it cannot be read or holds anything else."""
    archive = io.BytesIO()
    try:
        if not folder.is_dir():
            raise JobFailed(f"{folder} is no folder")
        with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
            for path in sorted(folder.rglob("*")):
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise JobFailed(f"{path} is neither a file nor a folder")
                if path.is_file():
                    content = path.read_bytes()
                    member = tarfile.TarInfo(path.relative_to(folder).as_posix())
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    except OSError as error:
        raise JobFailed(f"{folder} cannot be read: {error.strerror}") from error
    return Parcel(hashlib.sha256(archive.getbuffer()).hexdigest(), archive.getvalue())


def unpack(parcel: Parcel, folder: Path) -> None:
    """Make `folder` hold the files of the parcel and no others, durably.

    Whenever the process ends, `files.take_up` finds in it all of what was there, or all of what came.

    Raises WorkerLost where the parcel is not what its hash says, JobFailed where it names a place outside the
    folder, or the folder cannot be written.
    """
    found = hashlib.sha256(parcel.content).hexdigest()
    if found != parcel.sha256:
        raise WorkerLost(f"What came for {folder} was damaged on its way: {found}; expected {parcel.sha256}")
    waiting = folder.with_name(f".{folder.name}.new")
    try:
        files.remove(waiting)
        waiting.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(parcel.content)) as tar:
            for member in tar:
                content = tar.extractfile(member)
                if content is None or not _stays_inside(member.name):
                    raise JobFailed(f"{member.name!r} has no place in {folder}")
                target = waiting / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                files.write(target, content.read())
        for below in (waiting, *(path for path in waiting.rglob("*") if path.is_dir())):
            files.sync(below)
        files.replace(waiting, folder)
    except (OSError, tarfile.TarError) as error:
        raise JobFailed(f"{folder} cannot be written: {error}") from error


def stamp(folder: Path) -> frozenset[tuple[str, int, int]]:
    """Return what changes whenever a file of the folder is replaced; empty where there is none."""
    return frozenset(
        (str(path), status.st_ino, status.st_mtime_ns)
        for path in folder.rglob("*")
        for status in (path.stat(),)
        if path.is_file()
    )


def _stays_inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
