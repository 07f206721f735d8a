"""The only place that changes what must outlive the process: files, and the names in folders.

What is written here is on the disk when the call returns. `observer`, where one is set, is told before
and after every operation, so that whoever tests it can stop the process between any two of them.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

Observer = Callable[[str, Path], None]
"""Called with "before rename", "after rename" and so on, and the path concerned."""

observer: ContextVar[Observer | None] = ContextVar("observer", default=None)


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free


free_bytes: ContextVar[Callable[[Path], int]] = ContextVar("free_bytes", default=_free_bytes)
"""How many bytes are free on the disk that a folder is on: a simulated one says it itself. Raises OSError."""


@contextmanager
def _observed(operation: str, path: Path) -> Iterator[None]:
    watch = observer.get()
    if watch is not None:
        watch(f"before {operation}", path)
    yield
    if watch is not None:
        watch(f"after {operation}", path)


def sync(path: Path) -> None:
    """Return once the content of a file, or the names in a folder, are on the disk (fsync)."""
    with _observed("sync", path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write(path: Path, content: bytes) -> None:
    """Write a new file, or none. Its name is safe once its folder is synced. Raises FileExistsError."""
    write_parts(path, (content,))


def write_parts(path: Path, parts: Iterable[bytes]) -> None:
    """Write a new file as `write` does, of which not all has to be in memory."""
    with _observed("write", path), path.open("xb") as file:
        try:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        except OSError:  # a part of it would only help to keep the disk full
            path.unlink()
            raise


def rename(source: Path, target: Path) -> None:
    """Give a file or folder, synced before, another name; both folders know it when this returns."""
    with _observed("rename", target):
        source.rename(target)
    sync(target.parent)
    if source.parent != target.parent:
        sync(source.parent)


def replace(source: Path, target: Path) -> None:
    """Give a folder, synced before, the name of another, which goes; `take_up` before reading it."""
    take_up(target)
    if target.exists():
        rename(target, _aside(target))
    rename(source, target)
    remove(_aside(target))


def take_up(target: Path) -> None:
    """End a `replace` that was cut off: the folder is whole then, the new one or else the old one."""
    if not target.exists() and _aside(target).exists():
        rename(_aside(target), target)
    remove(_aside(target))


def _aside(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if it is there. Done again, it does nothing."""
    with _observed("remove", path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
