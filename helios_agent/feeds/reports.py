"""What a source of draws had to say: the draws that can be believed, and the rows that cannot."""

from dataclasses import dataclass

from helios_agent.lottery.draws import Draw

TEXT_MAX = 200
"""Characters of a source's own text that are kept with a complaint about it."""


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that was not taken: its line (from 1), the beginning of its text, and the reason."""

    source: str
    line: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class FeedReport:
    """One reading of one source.

    `draws` ascend by day, one per day. `unchanged` means that the source said it has no news since
    the reading that gave the validators; `etag` and `last_modified` are the validators of this one.
    """

    source: str
    draws: tuple[Draw, ...]
    rejected: tuple[RejectedRow, ...]
    unchanged: bool = False
    etag: str | None = None
    last_modified: str | None = None
