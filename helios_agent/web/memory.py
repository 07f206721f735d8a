"""Have the memory searched and taken out by a process of its own, a few at a time."""

import asyncio
import json
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from helios_agent.errors import HeliosError, NotFound, Refused, StoreCorrupt, StoreError
from helios_agent.journal import takeout

AT_ONCE = 2
"""How many processes answer at once; more questions wait."""
PART_BYTES = 256 * 1024
KNOWN = {error.exit_code: error for error in (HeliosError, StoreError, StoreCorrupt, Refused, NotFound)}


class Memory:
    """What asks the memory. `folder` is where what is taken out lies until it is sent, without a name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._free = asyncio.Semaphore(AT_ONCE)

    async def take_out(self, export: takeout.Export) -> IO[bytes]:
        """Return a file, at its beginning, with a whole table. Raises NotFound and Refused."""
        export.check()
        return await self._answer(export.question())

    async def search(self, search: takeout.Search) -> dict[str, Any]:
        """Return the events that are found. Raises NotFound, StoreCorrupt for a damaged archive."""
        with await self._answer(search.question()) as file:
            found: dict[str, Any] = json.load(file)
        return found

    async def _answer(self, question: str) -> IO[bytes]:
        with ExitStack() as undo:
            file = undo.enter_context(tempfile.TemporaryFile(dir=self._folder))
            async with self._free:
                await _ask(question, file)
            file.seek(0)
            undo.pop_all()
            return file


async def _ask(question: str, file: IO[bytes]) -> None:
    """Have a process write the answer to a file; it ends when nobody waits for it any more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", takeout.__name__, stdin=PIPE, stdout=file, stderr=PIPE
    )
    try:
        _, said = await process.communicate(question.encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    if process.returncode:
        message = said.decode(errors="replace").strip()
        raise KNOWN.get(process.returncode, HeliosError)(
            message if process.returncode in KNOWN else f"What was asked could not be answered: {message}"
        )


def parts(file: IO[bytes]) -> Iterator[bytes]:
    """Yield a file part by part, then close it."""
    with file:
        while part := file.read(PART_BYTES):
            yield part
