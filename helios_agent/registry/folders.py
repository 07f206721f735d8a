"""Versions as folders: `models/<name>/<version>/` with `model.json` and `weights.safetensors`."""

from collections.abc import Iterator
from pathlib import Path

from helios_agent import files
from helios_agent.errors import ArtefactInvalid
from helios_agent.registry import card as cards
from helios_agent.registry.card import CARD, WEIGHTS, ModelCard
from helios_agent.registry.names import NAME, VERSION, Ref

INCOMING = ".incoming"
"""Where versions that were brought from elsewhere wait to be looked at by a worker."""
LARGEST_CARD_BYTES = 64 * 1024
LARGEST_WEIGHTS_BYTES = 256 * 1024 * 1024
"""Fourteen times what the default network takes."""
PART_BYTES = 1024 * 1024


def place(models: Path, ref: Ref) -> Path:
    """Return the folder of a version."""
    return models / ref.name / ref.version


def waiting_room(models: Path, ref: Ref) -> Path:
    """Return the folder in which a version waits that was brought from elsewhere."""
    return models / INCOMING / str(ref)


def verify(folder: Path, version: str) -> ModelCard:
    """Return the card of the version in `folder` after checking every byte of both files.

    Raises ArtefactInvalid, naming file and mismatch.
    """
    try:
        card = _card(folder)
        with (folder / WEIGHTS).open("rb") as file:
            return cards.verify(str(folder), card, iter(lambda: file.read(PART_BYTES), b""), version)
    except OSError as error:
        raise ArtefactInvalid(f"{error.filename}: cannot be read: {error.strerror}") from None


def _card(folder: Path) -> bytes:
    """Return `model.json`, as far as one may be long."""
    with (folder / CARD).open("rb") as file:
        return file.read(LARGEST_CARD_BYTES + 1)


def publish(source: Path, target: Path) -> bool:
    """Move a sound version to its folder; return whether it was not there before, whole.

    The folder's name is a digest, so what stands there whole is the same, and what is not is replaced.
    """
    try:
        verify(target, target.name)
    except ArtefactInvalid:
        files.remove(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        files.rename(source, target)
        files.sync(target.parent.parent)
        return True
    files.remove(source)
    return False


def found(models: Path) -> Iterator[Ref]:
    """Yield every version that there is a folder of, in order; whatever is called otherwise is not ours."""
    for name in sorted(models.iterdir()) if models.is_dir() else ():
        for version in sorted(name.iterdir()) if NAME.fullmatch(name.name) and name.is_dir() else ():
            if VERSION.fullmatch(version.name):
                yield Ref(name.name, version.name)


def waiting(models: Path) -> list[Path]:
    """Return what waits to be looked at."""
    room = models / INCOMING
    return sorted(room.iterdir()) if room.is_dir() else []
