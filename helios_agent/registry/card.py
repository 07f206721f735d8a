"""`model.json`: what the weights beside it are, on what they were trained, by which code, and how well.

Canonical JSON (sorted keys, no spaces, no time stamps): the same training by the same Helios gives the same
bytes, and the version is the digest of both files.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from helios_agent.config.model import validation_draws
from helios_agent.errors import ArtefactInvalid

CARD = "model.json"
WEIGHTS = "weights.safetensors"
VERSION_LENGTH = 12
MEASURED = ("validation_gain_nats", "confidence_bias_nats", "confidence_error_nats")
"""Metrics that others rely on, in nats a draw."""

EXACT = 2**53
"""Whole numbers below this are themselves as floats."""
Positive = Annotated[int, Field(ge=1, lt=2**63)]
Balls = Annotated[int, Field(ge=1, le=10_000)]
"""No lottery has as many; of far more no network can be made."""
Row = list[int]


class Spec(BaseModel):
    """What all specs share: no unknown fields, no silent conversions, no later change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Matrix(Spec):
    """The sizes of a rule era: `pick` balls of `white`, and one bonus ball of `bonus`."""

    white: Balls
    bonus: Balls
    pick: Balls

    @model_validator(mode="after")
    def _pick_leaves_balls_behind(self) -> Self:
        if self.pick >= self.white:
            raise ValueError(f"pick must be less than white; got pick {self.pick}, white {self.white}")
        return self

    def check(self, rows: list[Row], first: int = 0) -> None:
        """Raise ValueError at the first row, from index `first` on, that is no draw of this matrix."""
        for number, row in enumerate(rows[first:], first):
            whites, bonus = row[:-1], row[-1] if row else 0
            good_whites = len(set(whites)) == self.pick == len(whites) and all(
                1 <= w <= self.white for w in whites
            )
            if not good_whites or not 1 <= bonus <= self.bonus:
                raise ValueError(
                    f"draws[{number}] is {row}; expected {self.pick} different numbers from 1 to {self.white}"
                    f" and then one from 1 to {self.bonus}"
                )


class Source(Spec):
    """What a network was trained on: how many draws, the date of the last, and the SHA-256 of them."""

    draws: Positive
    last_draw: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("last_draw")
    @classmethod
    def _dated(cls, day: str) -> str:
        return checked_day(day)


class ModelCard(Matrix):
    """The content of `model.json`. What `architecture` and `training` may hold is for `learning` to say."""

    name: Literal["PowerballNet"] = "PowerballNet"
    architecture: dict[str, JsonValue]
    game: str
    era: str
    data: Source
    code_version: str = Field(min_length=1)
    """The Helios that trained it."""
    seed: int = Field(ge=0, lt=2**63)
    shrinkage: float = Field(ge=0.0, le=1.0)
    """Factor on the white and bonus logits, fitted on the validation part; 0 is the uniform forecast."""
    metrics: dict[str, int | float]
    """From `training.run`. Epoch and shrinkage were chosen on the validation part, so its gain flatters."""
    training: dict[str, JsonValue]
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    begun_from: str | None = Field(None, pattern=r"^[0-9a-f]{12}$")
    """The version from whose weights the training began; without one it began from scratch."""

    @field_validator("era")
    @classmethod
    def _dated(cls, day: str) -> str:
        return checked_day(day)

    @field_validator("metrics")
    @classmethod
    def _measured(cls, metrics: dict[str, int | float]) -> dict[str, int | float]:
        missing = [name for name in MEASURED if name not in metrics]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing")
        for name, value in metrics.items():
            if isinstance(value, int) and abs(value) >= EXACT:
                raise ValueError(f"{name} has {len(str(abs(value)))} digits; expected a number below 2**53")
        return metrics

    @property
    def trained(self) -> int:
        """To how many draws, the earliest, its weights were fitted; the others may have chosen the epoch."""
        draws, validation = self.data.draws, self.training.get("validation")
        return draws - (validation_draws(draws, validation) if isinstance(validation, float) else 0)

    def unfit(
        self, game: str, era: str, architecture: Mapping[str, Any], draws: Sequence[Row], trained: int
    ) -> str | None:
        """Return why a training on the draws of an era cannot begin from its weights, None if it can.

        The first `trained` of `draws` are learned from, and the others kept for validation.
        """
        if (self.game, self.era) != (game, era):
            return f"it is of {self.game}, era {self.era}; expected {game}, era {era}"
        if self.architecture != architecture:
            return f"its architecture is {self.architecture}; expected {dict(architecture)}"
        if self.trained > trained:
            return f"it has learned from {self.trained} draws, and only {trained} are not kept for validation"
        if digest(draws[: self.data.draws]) != self.data.sha256:
            return f"the {self.data.draws} draws that it was trained on are not the first of those known"
        return None

    def content(self) -> bytes:
        """Return the bytes of `model.json`, in which what began from scratch does not say so."""
        left_out = {"begun_from"} if self.begun_from is None else set[str]()
        return (
            json.dumps(self.model_dump(exclude=left_out), sort_keys=True, separators=(",", ":")) + "\n"
        ).encode()


def digest(rows: Sequence[Row]) -> str:
    """Return the SHA-256, in hex, of the rows as JSON without spaces."""
    return hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()


def version_of(card: bytes, weights: Iterable[bytes]) -> str:
    """Return the first 12 hex digits of the SHA-256 of `model.json` and then the weights, given in parts."""
    digest = hashlib.sha256(card)
    for part in weights:
        digest.update(part)
    return digest.hexdigest()[:VERSION_LENGTH]


def verify(where: str, card: bytes, weights: Iterable[bytes], version: str | None = None) -> ModelCard:
    """Return the card after checking every byte; the weights come in parts, and are gone through once.

    Raises ArtefactInvalid, naming the file in `where` and the mismatch, where the card does not read, or the
    digest of the weights, or the version, if one is given, is another.
    """
    read = parse(f"{where}/{CARD}", card)
    whole, alone = hashlib.sha256(card), hashlib.sha256()
    for part in weights:
        whole.update(part)
        alone.update(part)
    if alone.hexdigest() != read.weights_sha256:
        raise ArtefactInvalid(
            f"{where}/{WEIGHTS}: SHA-256 is {alone.hexdigest()}; {CARD} says {read.weights_sha256}"
        )
    found = whole.hexdigest()[:VERSION_LENGTH]
    if version is not None and version != found:
        raise ArtefactInvalid(f"{where}/{CARD}: version is {found}; expected {version}")
    return read


def parse(where: str, content: bytes) -> ModelCard:
    """Return the card. Raises ArtefactInvalid, naming `where`, the field and what was expected."""
    try:
        values: Any = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ArtefactInvalid(f"{where}: not JSON: {error}") from None
    try:
        return ModelCard.model_validate(values)
    except ValidationError as error:
        raise ArtefactInvalid(f"{where}: {explain(error)}") from None


def checked_day(day: str) -> str:
    """Return `day`. Raises ValueError where it is no date in ISO 8601."""
    try:
        date.fromisoformat(day)
    except ValueError:
        raise ValueError(f"expected a date such as 2015-10-07; got {day!r}") from None
    return day


def explain(error: ValidationError) -> str:
    """Return what `error` found, one `field: fault` after the other."""
    faults = []
    for fault in error.errors(include_url=False):
        field = ".".join(str(part) for part in fault["loc"])
        message = fault["msg"].removeprefix("Value error, ")
        given = fault["input"]
        shown = f" (got {given!r})" if field and isinstance(given, int | float | str) else ""
        faults.append(f"{field}: {message}{shown}" if field else message)
    return "; ".join(faults)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
