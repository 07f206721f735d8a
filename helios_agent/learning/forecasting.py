"""The forecast job: what a trained network, kept current, says of the next draw."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helios_agent.errors import JobFailed
from helios_agent.learning import artefacts, data, specs
from helios_agent.learning.updating import Current
from helios_agent.registry.card import Row


def run(spec: dict[str, Any], report: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Forecast the draw after the last of `spec` (see `specs.ForecastJob`) with the artefact that it names.

    Returns `white`, log-weights that sum to zero, `bonus`, log-probabilities, both with the shrinkage
    applied; `predicted_gain_nats`, the log-score gain over uniform that the confidence head expects of them;
    `updates`, how many steps the network was asked to take since its training, and `updates_accepted`. A
    function of artefact and draws alone. Raises JobFailed where the artefact is damaged, the draws are too
    few or not of its matrix, or what it says of them is not finite. Reports nothing: it takes at most
    `updating.LIMIT` small steps.
    """
    job = specs.read(specs.ForecastJob, spec)
    return Predictor(Path(job.artefact), job.version).predict(job.draws)


class Predictor:
    """An artefact in memory, and the network as the latest draws have left it."""

    def __init__(self, artefact: Path, version: str | None = None) -> None:
        """Load and check the artefact. Raises JobFailed where it is damaged, or not that version."""
        self._artefact = artefact
        self.card, self._net = artefacts.read(artefact, version)
        self._rows: list[Row] = []
        self._current: Current | None = None

    def predict(self, rows: list[Row]) -> dict[str, Any]:
        """Forecast the draw after `rows`, all draws of the era, oldest first; see `run`.

        Where `rows` go on from those of the call before, the network does; otherwise it starts anew from the
        artefact. The answer is the same to the last bit.
        """
        if len(rows) < self._net.sequence:
            raise JobFailed(f"draws holds {len(rows)}; {self._artefact} reads the last {self._net.sequence}")
        known, trained = len(self._rows), self.card.data.draws
        goes_on = self._current is not None and known >= trained and rows[:known] == self._rows
        try:
            self.card.check(rows, known if goes_on else 0)
        except ValueError as error:
            raise JobFailed(f"{error}, as {self._artefact} was trained on") from None
        if self._current is None or not goes_on:
            begun = data.from_rows(rows[:trained])
            name = self.card.weights_sha256
            how = specs.read(specs.TrainingSpec, self.card.training)
            self._current = Current(self._net, begun, self.card, how, self.card.shrinkage, name)
        current = self._current
        try:
            current.take(rows[len(current) :])
        except BaseException:
            self._current = None  # it may have been cut short in the middle of a step
            raise
        self._rows = [*rows]
        counts = {"updates": current.updates, "updates_accepted": current.accepted}
        try:
            return current.forecast() | counts
        except JobFailed as error:
            raise JobFailed(f"{self._artefact}: {error}") from None
