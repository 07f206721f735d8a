"""Events as a life left them behind, in its archives and its database."""

import gzip
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from helios_agent.config import Config


@dataclass(frozen=True, slots=True)
class Told:
    """An event as the archives and the database tell it."""

    seq: int
    at_us: int
    kind: str
    cause: int | None
    payload: Mapping[str, Any]


def journal(config: Config, connection: sqlite3.Connection) -> list[Told]:
    """Return every event there ever was: those of the archives, then those of the database."""
    told = {}
    for archive in sorted(config.archives.glob("*.jsonl.gz")):
        with gzip.open(archive, "rt", encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                told[event["seq"]] = Told(*(event[name] for name in Told.__slots__))
    for seq, at_us, kind, cause, payload in connection.execute(
        "SELECT seq, at_us, kind, cause, payload FROM event"
    ):
        told[seq] = Told(seq, at_us, kind, cause, json.loads(payload))
    return [told[seq] for seq in sorted(told)]
