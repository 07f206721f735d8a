"""The predictor service: a trained network in memory, which forecasts whenever it is asked."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from helios_agent.errors import JobFailed
from helios_agent.learning import artefacts, data, forecasting, specs
from helios_agent.learning.reproducible import reproducible

Answer = Callable[[dict[str, Any]], dict[str, Any]]


class PredictorSpec(specs.Spec):
    """Which artefact to serve: the folder, and the version that it must be."""

    artefact: str
    version: str


def serve(spec: dict[str, Any]) -> Answer:
    """Load the network that `spec` names; return what answers {"rows": all draws of its era, oldest first}.

    An answer is as that of `forecasting.run`. Without `rows` the question is about the same draws as before.
    Raises JobFailed where the artefact is damaged; the answer does where the draws do not suit it.
    """
    wanted = specs.read(PredictorSpec, spec)
    predictor = Predictor(Path(wanted.artefact), wanted.version)
    rows: list[specs.Row] = []

    def answer(question: dict[str, Any]) -> dict[str, Any]:
        nonlocal rows
        rows = question.get("rows", rows)
        return predictor.predict(rows)

    return answer


class Predictor:
    """A trained network and its card, read once."""

    def __init__(self, folder: Path, version: str) -> None:
        self._folder = folder
        self._card, self._net = artefacts.read(folder, version)

    def predict(self, rows: list[specs.Row]) -> dict[str, Any]:
        """Return the forecast of the draw after `rows`: see `forecasting.run`."""
        net, card = self._net, self._card
        if len(rows) < net.sequence:
            raise JobFailed(f"rows holds {len(rows)} draws; {self._folder} reads the last {net.sequence}")
        try:
            card.check(rows[-net.sequence :])
        except ValueError as error:
            raise JobFailed(f"the last {net.sequence} draws: {error}") from None
        with reproducible(card.seed, threads=1):
            return forecasting.forecast(net, data.from_rows(rows[-net.sequence :]), card.shrinkage)
