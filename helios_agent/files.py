"""What the disk must have promised before we rely on it."""

import os
from pathlib import Path


def sync(path: Path) -> None:
    """Return once the content of a file, or the names in a folder, are on the disk (fsync)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
