"""A file on this machine as a source of draws: CSV as `feeds.table` reads it."""

import hashlib
from pathlib import Path

from helios_agent import errors
from helios_agent.feeds import table
from helios_agent.feeds.fetch import ANSWER_MAX_BYTES
from helios_agent.feeds.reports import FeedReport
from helios_agent.lottery import games


def read(game: games.Game, path: Path, source: str, etag: str | None = None) -> FeedReport:
    """Return the draws in the file, or `unchanged` where its bytes are those of the reading that gave `etag`.

    Raises `FeedUnreachable` where it cannot be read, `FeedMalformed` where it is too large or holds no draws.
    """
    try:
        with path.open("rb") as file:
            content = file.read(ANSWER_MAX_BYTES + 1)
    except OSError as problem:
        raise errors.FeedUnreachable(f"{source}: {path}: {problem.strerror}") from problem
    if len(content) > ANSWER_MAX_BYTES:
        raise errors.FeedMalformed(f"{source}: {path} holds more than {ANSWER_MAX_BYTES} bytes")
    digest = hashlib.sha256(content).hexdigest()
    if digest == etag:
        return FeedReport(source, (), (), unchanged=True, etag=digest)
    report = table.parse(game, content.decode("utf-8", errors="replace"), source)
    return FeedReport(source, report.draws, report.rejected, etag=digest)
