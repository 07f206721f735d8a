"""What a model and its versions may be called: nothing that could be a path."""

import re
from dataclasses import dataclass

from helios_agent.errors import Refused

NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
VERSION = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Ref:
    """A version of a model: written as `name@version`, and so called wherever it forecasts."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"


def ref(text: str) -> Ref:
    """Return what `name@version` means. Raises Refused for anything else."""
    name, _, version = text.partition("@")
    if not (NAME.fullmatch(name) and VERSION.fullmatch(version)):
        raise Refused(f"model is {text!r}; expected name@version, such as powerballnet@17e1c993042e")
    return Ref(name, version)


def name_or_ref(text: str) -> str | Ref:
    """Return the name, or the version, that `text` means. Raises Refused where it is neither."""
    if NAME.fullmatch(text):
        return text
    if "@" in text:
        return ref(text)
    raise Refused(
        f"model is {text!r}; expected a name (a to z, 0 to 9 and hyphens), such as powerballnet,"
        " or name@version, such as powerballnet@17e1c993042e"
    )
