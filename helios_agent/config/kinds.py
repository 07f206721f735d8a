"""What a setting can be: a duration, a size, a name, a time zone; and the sections that settings are in."""

import re
from typing import Annotated, Literal, Protocol, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


DURATION = r"^(\d+(\.\d+)?[smhd])+$"


def _parse_duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(DURATION, value):
        raise ValueError('a duration is written like "90s", "15m", "1h30m" or "7d"')
    return sum(float(n) * _UNITS[unit] for n, _, unit in re.findall(r"(\d+(\.\d+)?)([smhd])", value))


Seconds = Annotated[
    float,
    BeforeValidator(_parse_duration, json_schema_input_type=float | Annotated[str, Field(pattern=DURATION)]),
]
CLOCK = r"^([01]\d|2[0-3]):[0-5]\d$"


def _known_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        message = 'a time zone is named as in the IANA database, like "America/New_York"'
        raise ValueError(message) from None
    return zone


TimeZone = Annotated[str, AfterValidator(_known_zone)]
_BYTES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
SIZE = r"^\d+(\.\d+)?(KiB|MiB|GiB)$"


def _parse_size(value: object) -> object:
    if not isinstance(value, str):
        return value
    if not re.fullmatch(SIZE, value):
        raise ValueError('a size is a number of bytes, or written like "64MiB" or "1.5GiB"')
    return int(float(value[:-3]) * _BYTES[value[-3:]])


Bytes = Annotated[
    int,
    BeforeValidator(_parse_size, json_schema_input_type=int | Annotated[str, Field(pattern=SIZE)]),
]
GameName = Literal["powerball", "megamillions", "simulated"]
ActionName = Literal[
    "ingest", "score", "forecast", "train", "tune", "assess", "decide", "reflect", "backup", "verify",
    "compact",
]  # fmt: skip
"""What a schedule or a request can ask for."""
UPKEEP_ACTIONS = ("backup", "verify", "compact")
"""Those of them that concern the journal; the others concern one game."""
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class Named(Protocol):
    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


def distinct_names(items: tuple[N, ...]) -> tuple[N, ...]:
    """Return items whose names differ. Raises ValueError."""
    names = [item.name for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names must differ; used more than once: {', '.join(twice)}")
    return items


class Section(BaseModel):
    """A group of settings: frozen, and refusing what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _yes_is_no_number(cls, value: object, field: ValidationInfo) -> object:
        """Refuse what YAML reads as true or false (yes, no, on, off) where that is not meant."""
        if isinstance(value, bool) and cls.model_fields[str(field.field_name)].annotation is not bool:
            raise ValueError("true and false (yes, no, on, off) mean nothing here")
        return value
