"""A version as one file: an uncompressed tar with `name@version/model.json` and the weights, nothing else.

It may hold the folder `name@version` itself, as a tar of that folder does.

The same version gives the same bytes. What comes from elsewhere is believed in nothing, neither its names
nor its sizes, and is read header by header: `tarfile` itself follows whatever offsets a hostile header gives.
"""

import secrets
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from helios_agent import files
from helios_agent.errors import ArtefactInvalid, HeliosError, Refused
from helios_agent.registry import card as cards
from helios_agent.registry import folders
from helios_agent.registry.card import CARD, WEIGHTS, ModelCard
from helios_agent.registry.folders import LARGEST_CARD_BYTES, LARGEST_WEIGHTS_BYTES, PART_BYTES
from helios_agent.registry.names import Ref, ref

LARGEST_BYTES = LARGEST_CARD_BYTES + LARGEST_WEIGHTS_BYTES + 64 * 1024
BLOCK_BYTES = tarfile.BLOCKSIZE
IN_MEMORY_BYTES = 4 * 1024 * 1024
"""How much of an upload is kept in memory; what is larger waits in a file that nobody else sees."""
LIMITS = {CARD: LARGEST_CARD_BYTES, WEIGHTS: LARGEST_WEIGHTS_BYTES}


def file_name(version: Ref) -> str:
    """Return what a version's file is called."""
    return f"{version}.tar"


@dataclass(frozen=True)
class Packed:
    """A version's file: how many bytes it has, and these in parts."""

    size: int
    parts: Iterator[bytes]


def pack(models: Path, version: Ref) -> Packed:
    """Return the file of a version. Raises ArtefactInvalid where the version is missing or damaged."""
    folder = folders.place(models, version)
    folders.verify(folder, version.version)
    sizes = {name: (folder / name).stat().st_size for name in LIMITS}
    padded = sum(size + -size % BLOCK_BYTES for size in sizes.values())
    return Packed(padded + (len(sizes) + 2) * BLOCK_BYTES, _parts(folder, version, sizes))


def _parts(folder: Path, version: Ref, sizes: Mapping[str, int]) -> Iterator[bytes]:
    for name, size in sizes.items():
        header = tarfile.TarInfo(f"{version}/{name}")
        header.size, header.mode = size, 0o644
        yield header.tobuf(tarfile.USTAR_FORMAT)
        with (folder / name).open("rb") as file:
            yield from iter(lambda: file.read(PART_BYTES), b"")
        yield bytes(-size % BLOCK_BYTES)
    yield bytes(2 * BLOCK_BYTES)


@dataclass(frozen=True)
class Held:
    """One of the two files as it lies in the tar: from which byte on, and how many."""

    file: IO[bytes]
    first: int
    size: int

    def parts(self) -> Iterator[bytes]:
        """Yield its bytes, as many as there are. Nobody else may read the tar meanwhile."""
        self.file.seek(self.first)
        left = self.size
        while part := self.file.read(min(left, PART_BYTES)):
            left -= len(part)
            yield part


@dataclass(frozen=True)
class Bundle:
    """What a sound file holds, as long as it is open."""

    version: Ref
    card: ModelCard
    held: Mapping[str, Held]
    """Both files, by name."""

    def keep(self, models: Path) -> None:
        """Put it, durably, where it waits for a worker, even while others do the same."""
        folder = folders.waiting_room(models, self.version)
        own = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
        with taking_in(models):
            try:
                own.mkdir(parents=True)
                for name, held in self.held.items():
                    files.write_parts(own / name, held.parts())
                files.sync(own)
                try:
                    files.rename(own, folder)
                except OSError:
                    if not folder.exists():
                        raise
                    folders.publish(own, folder)  # who was here first has brought the same
            finally:
                files.remove(own)


@contextmanager
def taking_in(models: Path) -> Iterator[None]:
    """Raise HeliosError, saying why, where what is done in here cannot be written to the disk."""
    try:
        yield
    except OSError as error:
        raise HeliosError(f"paths.models: {models} cannot take the file in: {error.strerror}") from error


def spool(models: Path) -> IO[bytes]:
    """Return a nameless file for what comes in, on the disk that will hold it: another may be too small."""
    room = models / folders.INCOMING
    room.mkdir(parents=True, exist_ok=True)
    return tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=str(room))


def unpack(file: IO[bytes]) -> Bundle:
    """Read a version's file, in which it seeks, and check every byte of it.

    Raises ArtefactInvalid where the file is no such tar, is too large, holds anything but the two files, or
    these are not what their digests say.
    """
    version, held = _read(file)
    content = b"".join(held[CARD].parts())
    card = cards.verify(str(version), content, held[WEIGHTS].parts(), version.version)
    if version.name != card.name.lower():
        raise ArtefactInvalid(f"{version}: the name is {version.name!r}; expected {card.name.lower()!r}")
    return Bundle(version, card, held)


def _read(file: IO[bytes]) -> tuple[Ref, dict[str, Held]]:
    """Return where the two files are, and the version by which their folder is called."""
    held: dict[str, Held] = {}
    seen: set[str] = set()
    versions: set[Ref] = set()
    while (block := file.read(BLOCK_BYTES)).strip(b"\0"):
        try:
            member = tarfile.TarInfo.frombuf(block, "ascii", "strict")
        except (tarfile.TarError, ValueError) as error:
            raise ArtefactInvalid(f"The file is no whole uncompressed tar: {error}.") from None
        folder, _, name = member.name.partition("/")
        is_folder = member.type == tarfile.DIRTYPE and member.name == folder and member.size == 0
        is_file = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and name in LIMITS
        if not (is_folder or is_file) or name in seen:
            raise ArtefactInvalid(
                f"The file holds {member.name!r}; expected name@version/{CARD} and name@version/{WEIGHTS},"
                " each once, and nothing else but their folder"
            )
        seen.add(name)
        try:
            versions.add(ref(folder))
        except Refused as error:
            raise ArtefactInvalid(f"The file holds {member.name!r}: {error}") from None
        if is_file:
            held[name] = _held(file, member.name, member.size, LIMITS[name])
    if held.keys() != LIMITS.keys() or len(versions) != 1:
        raise ArtefactInvalid(
            f"The file holds {', '.join(sorted(held)) or 'nothing'} of {len(versions)} version(s);"
            f" expected {CARD} and {WEIGHTS} of one"
        )
    if any(part.strip(b"\0") for part in iter(lambda: file.read(PART_BYTES), b"")):
        raise ArtefactInvalid("The file goes on after its end; expected zeros alone")
    return versions.pop(), held


def _held(file: IO[bytes], path: str, size: int, most: int) -> Held:
    """Read over a file that begins here. Raises ArtefactInvalid where it has no fitting size, or not all."""
    if not 0 < size <= most:
        raise ArtefactInvalid(f"{path} has {size:,} bytes; expected at least 1 and at most {most:,}")
    held = Held(file, file.tell(), size)
    there = sum(map(len, held.parts()))
    if there < size:
        raise ArtefactInvalid(f"{path} has {there:,} of its {size:,} bytes: the file is cut off")
    file.read(-size % BLOCK_BYTES)
    return held
