"""What a learning job is asked: the JSON specs as strict, frozen models.

A spec that does not hold is refused here with `JobFailed`, naming the field, the value and what was expected.
"""

from typing import Any, Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from helios_agent.config.model import Network, Training, draws_needed
from helios_agent.errors import JobFailed
from helios_agent.lottery import dates
from helios_agent.registry.card import Matrix, Row, Spec, explain

Precision = Literal["fp32", "bf16"]
Loss = Literal["exact", "cross-entropy"]


class NetworkSpec(Network, Spec):
    """Sizes of PowerballNet: those that can be configured, and no others."""

    model_config = Spec.model_config


class TrainingSpec(Training, Spec):
    """How to train, as can be configured: a step supervises `segments` of `batch` consecutive draws each."""

    model_config = Spec.model_config
    precision: Precision = "fp32"
    """Of the forward pass's matrix products while training; `fp32` elsewhere."""
    loss: Loss = "exact"
    """What training minimises; scores are exact log losses always (see `learning.objective`)."""


class Start(Spec):
    """The artefact whose weights a training begins from. It must be that very version."""

    artefact: str = Field(min_length=1)
    version: str = Field(pattern=r"^[0-9a-f]{12}$")


class TrainingJob(Matrix):
    """The whole spec of a training run. `draws` are chronological and all of one rule era.

    With `days`, the dates of the draws, that is checked against the game's calendar. Without `start` the
    weights are made from the seed. `checkpoint` is a folder in which an interrupted run leaves what it takes
    to go on; neither it, nor `out`, nor where the artefact of `start` lies bears on the outcome.
    """

    game: str = Field(min_length=1)
    era: str
    draws: list[Row]
    last_draw: str
    seed: int = Field(ge=0, lt=2**63)
    out: str = Field(min_length=1)
    checkpoint: str | None = Field(None, min_length=1)
    days: list[str] | None = None
    start: Start | None = None
    network: NetworkSpec = NetworkSpec()
    training: TrainingSpec = TrainingSpec()

    @model_validator(mode="after")
    def _dates_are_dates(self) -> Self:
        for name, value in (("era", self.era), ("last_draw", self.last_draw)):
            dates.parsed(name, value)
        if self.days is not None:
            if len(self.days) != len(self.draws):
                raise ValueError(f"days holds {len(self.days)}; expected {len(self.draws)}, one a draw")
            if self.days[-1:] != [self.last_draw]:
                raise ValueError(f"last_draw is {self.last_draw}; days end with {self.days[-1:]}")
            dates.check(self.game, self.era, self.days)
        return self

    @model_validator(mode="after")
    def _draws_are_valid_and_enough(self) -> Self:
        self.check(self.draws)
        needed = draws_needed(self.network.sequence, self.training.validation)
        if len(self.draws) < needed:
            raise ValueError(
                f"draws holds {len(self.draws)}; at least {needed} are needed for a sequence of"
                f" {self.network.sequence} and a validation part of {self.training.validation:g}"
            )
        return self


class ForecastJob(Spec):
    """The whole spec of a forecast: `draws` are all of the era, chronological, at least a window of them.

    With `version`, the artefact must be that very one.
    """

    artefact: str = Field(min_length=1)
    draws: list[Row]
    version: str | None = None


class ValidationJob(Spec):
    """The whole spec of a validation: the artefact must be whole, and that very version."""

    artefact: str = Field(min_length=1)
    version: str


AnySpec = TypeVar("AnySpec", bound=Spec)


def read(kind: type[AnySpec], values: dict[str, Any]) -> AnySpec:
    """Return `values` as a spec of `kind`, or raise JobFailed naming what is wrong."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise JobFailed(f"{kind.__name__}: {explain(error)}") from None
