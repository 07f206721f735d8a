"""What a loaded network says of the next draw, and what that is worth. It is registered nowhere."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from helios_agent.actions import history
from helios_agent.agent import Agent
from helios_agent.clock import from_us
from helios_agent.errors import ArtefactInvalid, JobFailed, NotFound, Refused
from helios_agent.forecasting.forecast import Forecast
from helios_agent.forecasting.picks import likeliest
from helios_agent.journal import events, forecasts, models
from helios_agent.journal.models import Model
from helios_agent.lottery import calendar, prizes
from helios_agent.lottery.games import Era, Game
from helios_agent.registry import folders, names
from helios_agent.registry.names import Ref
from helios_agent.work.predictor import Standing

SERVING = ("champion", "challenger")
"""Whom a name without a version means: the first of these roles that is held."""

MOST_PICKS = 100

CONFIDENCE = (
    "what the network expects its forecast to gain over chance, in nats; on its validation draws, which also"
    " chose its epoch and shrinkage, it was off by validation_bias_nats on average, by validation_error_nats"
    " root mean square"
)


@dataclass(frozen=True)
class _Known:
    """A game's era, its models and its draws, as they were when the journal had so many events."""

    seq: int
    era: Era
    models: Sequence[Model]
    rows: Sequence[list[int]]
    last_day: str | None


class Predictions:
    """Asks an agent's predictors. What it has read it keeps until the journal has another event."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._known: dict[str, _Known] = {}
        """By game."""

    async def load(self, rules: Game, name: str) -> dict[str, Any]:
        """Keep the model that `name` means ready, and return how it is doing."""
        model = _meant(rules, await self._read(rules), name)
        return _shown(
            await self._agent.predictors.load(model.forecaster, self._artefact(model), model.version)
        )

    async def unload(self, rules: Game, name: str) -> dict[str, Any]:
        """Let the model that `name` means go. A version only needs to be loaded, whatever became of it."""
        is_version = isinstance(names.name_or_ref(name), Ref)
        forecaster = name if is_version else _meant(rules, await self._read(rules), name).forecaster
        await self._agent.predictors.unload(forecaster)
        return _shown(Standing(forecaster, "unloaded", None, 0, None))

    async def predict(self, rules: Game, name: str, count: int) -> dict[str, Any]:
        """Return the forecast that the model that `name` means makes of the next draw, and `count` picks.

        Raises Refused where it reads more draws than there are, JobFailed where it has no forecast to give.
        """
        known = await self._read(rules)
        model = _meant(rules, known, name)
        artefact = self._artefact(model)
        try:
            said = await self._agent.predictors.predict(model.forecaster, artefact, model.version, known.rows)
        except JobFailed:
            reads = await asyncio.to_thread(_reads, artefact, model)
            if len(known.rows) < reads:
                raise Refused(
                    f"{model.forecaster} reads the last {reads} draws; of {rules.title} under today's rules"
                    f" there are {len(known.rows)}"
                ) from None
            raise
        made = _forecast(model, said, known.era)
        record = {
            "game": rules.name,
            "day": calendar.next_draw_day(rules, from_us(self._agent.journal.clock.now_us())).isoformat(),
            "model": model.forecaster,
            "draws": len(known.rows),
            "last_draw": known.last_day,
            "forecast": made.to_record(),
        }
        return record | {
            "digest": forecasts.digest(record),
            "white_probabilities": [round(p, 6) for p in made.inclusion().tolist()],
            "bonus_probabilities": [round(p, 6) for p in made.bonus_probabilities().tolist()],
            "picks": _picks(made, known.era, count),
            "confidence": {
                "predicted_gain_nats": round(said["predicted_gain_nats"], 6),
                "validation_bias_nats": model.metrics["confidence_bias_nats"],
                "validation_error_nats": model.metrics["confidence_error_nats"],
                "meaning": CONFIDENCE,
            },
        }

    def standings(self) -> list[dict[str, Any]]:
        """Return how the loaded models are doing, the last used first."""
        return [_shown(standing) for standing in self._agent.predictors.standings()]

    def _artefact(self, model: Model) -> Path:
        return folders.place(self._agent.config.paths.models, Ref(model.name, model.version))

    async def _read(self, rules: Game) -> _Known:
        store = self._agent.store
        head = await events.head(store)
        known = self._known.get(rules.name)
        era = calendar.era_now(rules, from_us(self._agent.journal.clock.now_us()))
        if known is not None and (known.seq, known.era) == (head.seq, era):
            return known
        stored = await models.of_era(store, rules.name, era.name)
        drawn = await history.of_era(store, rules, era)
        rows = drawn.rows if known is None or known.rows != drawn.rows else known.rows
        days = drawn.days
        known = _Known(head.seq, era, stored, rows, days[-1] if days else None)
        self._known[rules.name] = known
        return known


def _meant(rules: Game, known: _Known, name: str) -> Model:
    """Return the model of an era that `name` or `name@version` means; a name alone, who serves.

    Raises Refused where it cannot be a name, NotFound where there is no such model.
    """
    wanted = names.name_or_ref(name)
    found = [m for m in known.models if m.role != "deleted"]
    if isinstance(wanted, Ref):
        chosen = [m for m in found if m.forecaster == str(wanted)]
    else:
        chosen = [m for role in SERVING for m in found if (m.name, m.role) == (wanted, role)]
    if not chosen:
        raise NotFound(f"model is {name!r}; {rules.title} has none of that name under today's rules")
    return chosen[0]


def _reads(artefact: Path, model: Model) -> int:
    """Return how many draws a network reads, 0 where its files do not tell."""
    try:
        sequence = folders.verify(artefact, model.version).architecture.get("sequence")
    except ArtefactInvalid:
        return 0
    return sequence if isinstance(sequence, int) else 0


def _forecast(model: Model, said: dict[str, Any], era: Era) -> Forecast:
    try:
        return Forecast(said["white"], said["bonus"], era.pick).rounded()
    except ValueError as error:
        raise JobFailed(f"{model.forecaster} has no forecast: {error}") from error


def _picks(made: Forecast, era: Era, count: int) -> list[dict[str, Any]]:
    """Return the likeliest tickets, each with its probability, and that of any ticket if the game is fair."""
    fair = prizes.odds_one_in(era, era.pick, True)
    shown = []
    for whites, bonus in likeliest(made, count):
        probability = math.exp(made.log_score(whites, bonus))
        shown.append(
            {
                "whites": whites,
                "bonus": bonus,
                "probability": probability,
                "one_in": round(1.0 / probability),
                "fair_one_in": int(fair),
            }
        )
    return shown


def _shown(standing: Standing) -> dict[str, Any]:
    return {
        "model": standing.forecaster,
        "state": standing.state,
        "pid": standing.pid,
        "answers": standing.answers,
        "reason": standing.reason,
    }
