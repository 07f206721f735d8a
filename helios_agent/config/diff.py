"""What a reload would change, and which of it a running daemon cannot take."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from helios_agent.config.model import Config
from helios_agent.errors import ConfigError

FIXED = ("paths", "http", "work", "shutdown")
"""Sections that hold while the daemon runs: its files are open, its address is bound, its workers know their
limits, its end is arranged."""

_SECRETS = re.compile(r"(?<=://)[^/?#]*@|[?#].*", re.DOTALL)
"""What may hold a secret in the text of an address: the user, the query and the fragment."""


def changes(old: Config, new: Config) -> dict[str, list[Any]]:
    """Return setting → [old, new value] for every setting that differs, by dotted name.

    What is listed by name (schedules, endpoints, feeds) or id (goals) is told apart by it. None stands for a
    setting that is on one side only; of an address only scheme, host and path are shown. Raises ConfigError
    when one of them can only change at a restart.
    """
    before, after = (dict(_flat(config.model_dump(mode="json"))) for config in (old, new))
    changed = {
        name: [_shown(before.get(name)), _shown(after.get(name))]
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    }
    fixed = [name for name in changed if name.partition(".")[0] in FIXED]
    if fixed:
        raise ConfigError(f"{', '.join(fixed)}: can only change at a restart; nothing was changed")
    return changed


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, list) and value and all(isinstance(v, Mapping) and "name" in v for v in value):
        value = {item.get("id", item["name"]): item for item in value}
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _shown(value: Any) -> Any:
    return _SECRETS.sub("", value) if isinstance(value, str) and "://" in value else value
